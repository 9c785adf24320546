"""Types, schemas and values: JSON and command-line text."""

from __future__ import annotations

from typing import Any

import pytest

from netloom.base.errors import CommandError
from netloom.ovsdb import schemas_directory
from netloom.ovsdb.datum import (
    Symbols,
    apply_diff,
    datum_to_json,
    diff_datum,
    insert_atoms,
    parse_datum,
    remove_atoms,
    set_changes,
)
from netloom.ovsdb.datum_text import bare_datum, format_datum, parse_datum_text
from netloom.ovsdb.errors import OvsdbError
from netloom.ovsdb.schema import DatabaseSchema
from netloom.ovsdb.types import ColumnType
from netloom.ovsdb.uuids import UuidSource, parse_uuid
from netloom.rpc.json_codec import LightJson

U1 = "11111111-2222-3333-4444-555555555555"
INTS = {"key": {"type": "integer", "minInteger": 0, "maxInteger": 4095}, "min": 0, "max": 4096}
MAP = {"key": "string", "value": "string", "min": 0, "max": "unlimited"}
MODE = {"key": {"type": "string", "enum": ["set", ["access", "trunk"]]}, "min": 0, "max": 1}


def column(json: Any) -> ColumnType:
    return ColumnType.from_json(json)


@pytest.mark.parametrize(
    ("json", "value", "datum"),
    [
        ("integer", 5, 5),
        ("integer", 5.0, 5),
        ("real", 5, 5.0),
        ("boolean", True, True),
        ("string", "x", "x"),
        ("uuid", ["uuid", U1.upper()], U1),
        (INTS, 3, (3,)),
        (INTS, ["set", [3, 1]], (1, 3)),
        (INTS, ["set", []], ()),
        (MAP, ["map", [["b", "2"], ["a", "1"]]], {"a": "1", "b": "2"}),
        (MODE, ["set", ["trunk"]], ("trunk",)),
    ],
)
def test_value_has_the_shape_that_its_type_prescribes(json: Any, value: Any, datum: Any) -> None:
    parsed = parse_datum(column(json), value)
    assert parsed == datum
    assert type(parsed) is type(datum)
    assert parse_datum(column(json), datum_to_json(column(json), parsed)) == datum


@pytest.mark.parametrize(
    ("json", "value", "error"),
    [
        ("integer", "x", 'syntax ""x"": syntax error: expected integer'),
        ("integer", 2**63, 'syntax "9223372036854775808": syntax error: expected integer'),
        (INTS, 4096, "constraint violation: 4096 is not in the valid range 0 to 4095 (inclusive)"),
        (INTS, ["set", [1, 1]], "ovsdb error: set contains duplicate"),
        (MAP, ["map", [["a", "b"], ["a", "c"]]], "ovsdb error: map contains duplicate key"),
        (MAP, "x", 'syntax ""x"": syntax error: expected ["map", <array>]'),
        (
            MODE,
            "native",
            "constraint violation: native is not one of the allowed values ([access, trunk])",
        ),
        (
            "string",
            ["set", []],
            'syntax "["set",[]]": syntax error: set must have exactly one member but 0 are present',
        ),
        (
            "uuid",
            ["named-uuid", "x"],
            'syntax "["named-uuid","x"]": syntax error: expected ["uuid", <string>]',
        ),
    ],
)
def test_bad_value_is_refused_with_the_peers_words(json: Any, value: Any, error: str) -> None:
    with pytest.raises(OvsdbError) as caught:
        parse_datum(column(json), value)
    assert str(caught.value) == error


@pytest.mark.parametrize(
    ("json", "text", "datum"),
    [
        (INTS, "5", (5,)),
        (INTS, "[1,2 5-7]", (1, 2, 5, 6, 7)),
        (INTS, "[]", ()),
        (MAP, "{}", {}),
        (MAP, 'a=b, "c d" = "e\\"f"', {"a": "b", "c d": 'e"f'}),
        (MAP, "{k=\\,}", {"k": ","}),
        ("boolean", "on", True),
        ("real", "1e3", 1000.0),
        ("string", '"\\u00e9\\ud83d\\ude00"', "é😀"),
        ("string", "br-int.1", "br-int.1"),
        ({"key": "string", "min": 0, "max": 9}, "b,a", ("a", "b")),
    ],
)
def test_text_is_parsed(json: Any, text: str, datum: Any) -> None:
    assert parse_datum_text(column(json), text) == datum


@pytest.mark.parametrize(
    ("json", "text", "error"),
    [
        (INTS, "", 'use "[]" to specify the empty set'),
        (MAP, "", 'use "{}" to specify the empty map'),
        (INTS, "[1", '[1: missing "]" at end of data'),
        (INTS, "[1] 2", '[1] 2: trailing garbage after "]"'),
        (INTS, "x", '"x" is not a valid integer or range'),
        (INTS, "7-5", '"7-5" is not a valid range. Range end cannot be before start.'),
        (INTS, "1,1", "1,1: set contains duplicate value"),
        (MAP, "a", 'a: syntax error at "'),
        (MAP, "a=b,a=c", "a=b,a=c: map contains duplicate key"),
        ("integer", "1,2", "1,2: 2 value(s) specified but the maximum number is 1"),
        ("boolean", "maybe", '"maybe" is not a valid boolean (use "true" or "false")'),
        ("string", '"a', '"a: quoted string extends past end of argument'),
        ("uuid", "abc", '"abc" is not a valid UUID'),
        (MODE, "x", "constraint violation: x is not one of the allowed values ([access, trunk])"),
    ],
)
def test_bad_text_is_refused_with_the_peers_words(json: Any, text: str, error: str) -> None:
    with pytest.raises(CommandError) as caught:
        parse_datum_text(column(json), text)
    assert str(caught.value) == error


@pytest.mark.parametrize(
    ("json", "datum", "text", "bare"),
    [
        (INTS, (1, 2), "[1, 2]", "1 2"),
        (MODE, ("trunk",), "trunk", "trunk"),
        (MODE, (), "[]", ""),
        (MAP, {"a": "b", "c d": "true"}, '{a=b, "c d"="true"}', "a=b c d=true"),
        ("string", "", '""', ""),
        ("string", "br0", "br0", "br0"),
        ("string", "0br", '"0br"', "0br"),
        ("string", U1.replace("1", "a"), f'"{U1.replace("1", "a")}"', U1.replace("1", "a")),
        ("real", 1.0, "1", "1"),
        ("boolean", False, "false", "false"),
        ("uuid", U1, U1, U1),
    ],
)
def test_value_is_formatted(json: Any, datum: Any, text: str, bare: str) -> None:
    assert format_datum(column(json), datum) == text
    assert bare_datum(column(json), datum) == bare
    if datum != ():
        assert parse_datum_text(column(json), text) == datum


def test_names_stand_for_one_uuid_from_first_mention_on() -> None:
    symbols = Symbols(UuidSource())
    ref = column({"key": {"type": "uuid", "refTable": "Port"}, "min": 0, "max": "unlimited"})
    assert parse_datum(ref, ["named-uuid", "p"], symbols) == (symbols.resolve("p"),)
    assert symbols.strong_refs == {"p"}
    assert parse_datum_text(ref, "@q", symbols) == (symbols.resolve("@q"),)


@pytest.mark.parametrize(
    ("json", "old", "new", "diff"),
    [
        (INTS, (1, 2), (2, 3), (1, 3)),
        (MODE, ("access",), (), ()),
        (MAP, {"a": "1", "b": "2"}, {"b": "3", "c": "4"}, {"a": "1", "b": "3", "c": "4"}),
        ("integer", 1, 2, 2),
    ],
)
def test_difference_leads_from_old_to_new(json: Any, old: Any, new: Any, diff: Any) -> None:
    assert diff_datum(column(json), old, new) == diff
    assert apply_diff(column(json), old, diff) == new


def test_large_sets_change_as_small_ones_do() -> None:
    old = tuple(range(0, 20_000, 2))
    new = tuple(sorted({*old, 5, 19_999} - {8000, 8002}))
    assert insert_atoms(remove_atoms(old, (8000, 8002, 3)), (5, 19_999, 4)) == new
    assert set_changes(old, new) == ((8000, 8002), (5, 19_999))
    assert set_changes(new, old) == ((5, 19_999), (8000, 8002))


def test_shipped_schemas_parse_to_themselves() -> None:
    for name, version in (("vswitch", "8.8.0"), ("_server", "1.2.0"), ("local-config", "1.0.0")):
        with open(f"{schemas_directory()}/{name}.ovsschema", "rb") as file:
            schema = DatabaseSchema.from_json(LightJson().decode(file.read()))
        assert schema.version == version
        assert DatabaseSchema.from_json(schema.to_json()).to_json() == schema.to_json()


@pytest.mark.parametrize(
    ("tables", "error"),
    [
        ({"_T": {"columns": {"a": {"type": "string"}}}}, 'names beginning with "_" are reserved'),
        ({"T": {"columns": {}}}, "table must have at least one column"),
        ({"T": {"columns": {"a": {"type": "string"}}, "maxRows": 0}}, "maxRows must be at least 1"),
        ({"T": {"columns": {"a": {"type": "text"}}}}, '"text" is not an atomic-type'),
        (
            {"T": {"columns": {"a": {"type": {"key": {"type": "uuid", "refTable": "U"}}}}}},
            "column a key refers to undefined table U",
        ),
        (
            {"T": {"columns": {"a": {"type": "string"}}, "indexes": [["b"]]}},
            "b is not a valid column name",
        ),
        (
            {"T": {"columns": {"a": {"type": "string", "ephemeral": True}}, "indexes": [["a"]]}},
            "ephemeral columns (such as a) may not be indexed",
        ),
    ],
)
def test_bad_schema_is_refused(tables: Any, error: str) -> None:
    with pytest.raises(OvsdbError) as caught:
        DatabaseSchema.from_json({"name": "D", "tables": tables})
    assert caught.value.details == error


def test_uuid_text_is_recognized() -> None:
    assert parse_uuid(U1.upper()) == U1
    assert parse_uuid(U1[:-1]) is None
    assert parse_uuid(U1.replace("-", "x")) is None
