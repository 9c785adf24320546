"""However a stream of JSON-RPC is cut, the same messages come out; garbage is a ProtocolError."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netloom.base.errors import ProtocolError
from netloom.ovsdb.json_text import format_json, format_pretty
from netloom.rpc.fast_json import FastJson
from netloom.rpc.json_codec import LightJson, decode_document
from netloom.rpc.json_errors import syntax_error
from netloom.rpc.jsonrpc import Error, JsonRpc, Message, Notify, Reply, Request

text = st.text(st.characters(exclude_categories=("Cs",)), max_size=8) | st.sampled_from(
    ['"', "\\", '\\"', "{", "}", "[]", '{"', "\\\\"]
)
scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | text
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)
ids = st.integers(0, 99) | st.text("abc", min_size=1, max_size=3)
methods = st.text("abcd_", min_size=1, max_size=6)
params = st.lists(values, max_size=3)
messages = (
    st.builds(Request, methods, params, ids)
    | st.builds(Notify, methods, params)
    | st.builds(Reply, values, ids)
    | st.builds(Error, values.filter(lambda value: value is not None), ids)
)
codecs = st.sampled_from([LightJson(), FastJson()])


def feed(rpc: JsonRpc, pieces: list[bytes]) -> tuple[list[Message], bool]:
    """The messages, and whether the stream ended in a ProtocolError."""
    found: list[Message] = []
    for piece in pieces:
        rpc.receive_data(piece)
        try:
            while (event := rpc.next_event()) is not None:
                found.append(event)
        except ProtocolError:
            return found, True
    return found, False


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


@given(
    codec=codecs,
    sent=st.lists(messages, max_size=4),
    size=st.integers(1, 40),
    gap=st.booleans(),
)
def test_pieces_of_any_size_give_the_messages_sent(
    codec: LightJson, sent: list[Message], size: int, gap: bool
) -> None:
    out = JsonRpc(codec, answer_echo=False)
    data = b""
    for message in sent:
        out.send(message)
        data += out.data_to_send() + (b" \n" if gap else b"")
    for pieces in ([data], cut(data, size), cut(data, 1)):
        assert feed(JsonRpc(codec, answer_echo=False), pieces) == (sent, False)


@given(
    codec=codecs,
    sent=st.lists(messages, max_size=2),
    junk=st.binary(max_size=12),
    tail=st.sampled_from([b"", b"}", b"]}", b'"}']),
)
def test_damaged_streams_fail_alike_however_they_are_cut(
    codec: LightJson, sent: list[Message], junk: bytes, tail: bytes
) -> None:
    out = JsonRpc(codec, answer_echo=False)
    for message in sent:
        out.send(message)
    data = out.data_to_send() + junk + tail
    at_once = feed(JsonRpc(codec, answer_echo=False), [data])
    assert feed(JsonRpc(codec, answer_echo=False), cut(data, 1)) == at_once
    assert at_once[0][: len(sent)] == sent


@given(data=st.text('{}[]":,\\01en u', max_size=30))
def test_both_codecs_accept_the_same_documents(data: str) -> None:
    encoded = data.encode()
    try:
        expected = LightJson().decode(encoded)
    except ValueError:
        with pytest.raises(ValueError):
            FastJson().decode(encoded)
    else:
        assert FastJson().decode(encoded) == expected


def rounded(value: object) -> object:
    """The value, with reals of 15 digits."""
    if isinstance(value, float):
        return float(f"{value:.15g}")
    if isinstance(value, list):
        return [rounded(item) for item in value]
    if isinstance(value, dict):
        return {name: rounded(item) for name, item in value.items()}
    return value


@given(value=values)
def test_text_for_people_is_still_json(value: object) -> None:
    assert json.loads(format_json(value)) == rounded(value)
    assert json.loads(format_pretty(value)) == rounded(value)


@given(st.text(alphabet='[]{}:,"\\u0dD8eE+-.19tnfalsruF \n\x01\u00e9', max_size=40))
def test_what_decoders_refuse_has_a_place(text: str) -> None:
    """An error of syntax is found in all texts that are none of Open vSwitch's JSON, and decoders
    take all others, but for halves of characters and what no number of theirs holds."""
    data = text.encode()
    found = syntax_error(data)
    for codec in (LightJson(), FastJson()):
        try:
            decode_document(codec, data)
        except ValueError as error:
            assert str(error) == found or not found
        else:
            assert not found
