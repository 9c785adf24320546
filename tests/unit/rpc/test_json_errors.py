"""Errors of JSON's syntax, as Open vSwitch's own test suite (json.at) has them."""

from __future__ import annotations

import pytest

from netloom.base.limits import JSON_DEPTH
from netloom.rpc.fast_json import FastJson
from netloom.rpc.json_codec import Codec, LightJson, decode_document
from netloom.rpc.json_errors import syntax_error

BAD = [
    ("", "0, 0, 0: empty input stream"),
    (" \n", "1, 0, 2: empty input stream"),
    ("[ 1, 2, 3 4, 5 ]", "0, 11, 11: syntax error expecting ']' or ','"),
    ("[1,2,]", "0, 5, 5: syntax error expecting value"),
    ("[1,,2]", "0, 3, 3: syntax error expecting value"),
    ('"xxx"', "0, 4, 4: syntax error at beginning of input"),
    ('["xxx\n"]', "0, 5, 5: U+000A must be escaped in quoted string"),
    ('["\\x12"]', "0, 6, 6: bad escape \\x"),
    ('["\\u1x"]', "0, 6, 6: quoted string ends within \\u escape"),
    ('["\\u1xyz"]', "0, 8, 8: malformed \\u escape"),
    ('["\\ud834xxx"]', "0, 11, 11: malformed escaped surrogate pair"),
    (
        '["\\ud834\\u1234"]',
        "0, 14, 14: second half of escaped surrogate pair is not trailing surrogate",
    ),
    ('["\\u0000"]', "0, 8, 8: null bytes not supported in quoted strings"),
    ('["abcd\\"]', "0, 9, 9: unexpected end of input in quoted string"),
    ('"xxx', "0, 4, 4: unexpected end of input in quoted string"),
    ('{"a": }, "b": 2', "0, 6, 6: syntax error expecting value"),
    ('{"b": 2, "a" 1, "c": 3}', "0, 14, 14: syntax error parsing object expecting ':'"),
    ('{"b": 2 "a" 1, "c": 3}', "0, 10, 10: syntax error expecting '}' or ','"),
    ('{"b": 2, }', "0, 9, 9: syntax error parsing object expecting string"),
    ("{1: 2}", "0, 2, 2: syntax error parsing object expecting string"),
    ("null", "0, 4, 4: syntax error at beginning of input"),
    ("[ nubs ]", "0, 6, 6: invalid keyword 'nubs'"),
    ("1", "0, 1, 1: syntax error at beginning of input"),
    ("[0123]", "0, 5, 5: leading zeros not allowed"),
    ("[1e9999]", "0, 7, 7: number outside valid range"),
    ("[1e9999999999999999999]", "0, 22, 22: exponent outside valid range"),
    (
        "[340282366920938463461761716499e2147483639]",
        "0, 42, 42: exponent outside valid range",
    ),
    (
        "[0.340282366920938463461761716499e-2147483639]",
        "0, 45, 45: exponent outside valid range",
    ),
    ("[1.]", "0, 3, 3: decimal point must be followed by digit"),
    ("[1e+]", "0, 4, 4: exponent must contain at least one digit"),
    ("[-x]", "0, 2, 2: '-' must be followed by digit"),
    ("[1-2]", "0, 4, 4: syntax error in number"),
    ("[1]null", "0, 7, 7: trailing garbage at end of input"),
    ("[\f]", "0, 1, 1: invalid character U+000c"),
    (";", "0, 0, 0: invalid character ';'"),
    ("[\n1,\n 2", "2, 3, 8: unexpected end of input"),
    ("[\n[]", "1, 2, 4: unexpected end of input"),
    ("[" * (JSON_DEPTH + 1), "0, 1000, 1000: input exceeds maximum nesting depth 1000"),
]
GOOD = [
    "[]",
    ' {"a": [1, -2.5e3, 0e99999, true, false, null, {}], "b": "\\ud834\\udd1e\\n\\/"} \n',
    "[1e-9999, 9223372036854775808]",
    "[" * JSON_DEPTH + "]" * JSON_DEPTH,
]


def in_full(short: str) -> str:
    place, _, text = short.partition(": ")
    line, column, byte = place.split(", ")
    return f"line {line}, column {column}, byte {byte}: {text}"


@pytest.mark.parametrize(("text", "short"), BAD)
def test_errors_are_worded_and_placed_as_open_vswitchs(text: str, short: str) -> None:
    assert syntax_error(text.encode()) == in_full(short)


@pytest.mark.parametrize("text", GOOD)
def test_good_texts_have_none(text: str) -> None:
    assert syntax_error(text.encode()) == ""


@pytest.mark.parametrize("codec", [LightJson(), FastJson()], ids=["light", "fast"])
@pytest.mark.parametrize("text", ["[1,,2]", "5", '["\\x12"]', "[1]null", "[", "[nubs]", "[1e9999]"])
def test_decoders_tell_them(codec: Codec, text: str) -> None:
    with pytest.raises(ValueError, match="line") as caught:
        decode_document(codec, text.encode())
    assert str(caught.value) == syntax_error(text.encode())


@pytest.mark.parametrize("codec", [LightJson(), FastJson()], ids=["light", "fast"])
def test_zero_characters_are_no_json_here(codec: Codec) -> None:
    with pytest.raises(ValueError, match="byte 14: null bytes not supported in quoted strings"):
        codec.decode(b'{"a": ["\\u0000"]}')
    assert codec.decode(b'["\\\\u0000"]') == ["\\u0000"]


@pytest.mark.parametrize("size", range(4))
def test_what_may_become_good_has_none_yet(size: int) -> None:
    for text in ('{"a": tr', '[12, "x\\', '{"a": 1}', '[{"b": -'):
        assert syntax_error(text[: len(text) - size].encode(), is_whole=False) == ""


def test_what_follows_in_a_stream_counts_for_the_next() -> None:
    assert syntax_error(b"{} ]", is_whole=False) == ""
    assert syntax_error(b"{ ]", is_whole=False) == in_full(
        "0, 2, 2: syntax error parsing object expecting string"
    )
