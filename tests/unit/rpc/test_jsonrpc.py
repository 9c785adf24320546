from __future__ import annotations

import json

import pytest

from netloom.base.errors import ProtocolError
from netloom.base.limits import JSON_DEPTH
from netloom.ovsdb.json_text import format_json, format_pretty
from netloom.rpc.fast_json import FastJson
from netloom.rpc.json_codec import Codec, LightJson
from netloom.rpc.jsonrpc import Error, JsonRpc, Notify, Reply, Request


@pytest.fixture(params=[LightJson, FastJson])
def codec(request: pytest.FixtureRequest) -> Codec:
    made: Codec = request.param()
    return made


def events(rpc: JsonRpc) -> list[object]:
    found: list[object] = []
    while (event := rpc.next_event()) is not None:
        found.append(event)
    return found


def test_two_ends_understand_each_other(codec: Codec) -> None:
    here, there = JsonRpc(codec), JsonRpc(codec)
    assert here.request("transact", ["db", {"é": [1, 2.5, None, True]}]) == 0
    assert here.request("list_dbs", []) == 1
    here.notify("update", [None])
    there.receive_data(here.data_to_send())
    assert events(there) == [
        Request("transact", ["db", {"é": [1, 2.5, None, True]}], 0),
        Request("list_dbs", [], 1),
        Notify("update", [None]),
    ]
    there.reply(0, None)
    there.error(1, {"error": "x"})
    here.receive_data(there.data_to_send())
    assert events(here) == [Reply(None, 0), Error({"error": "x"}, 1)]
    assert here.data_to_send() == b""


def test_messages_are_encoded_as_open_vswitch_does(codec: Codec) -> None:
    rpc = JsonRpc(codec)
    rpc.reply(0, "x\n")
    rpc.error("id", "no\n")
    assert rpc.data_to_send() == (
        b'{"id":0,"result":"x\\n","error":null}{"id":"id","error":"no\\n"}'
    )


def test_echo_is_answered_and_not_reported(codec: Codec) -> None:
    rpc = JsonRpc(codec)
    rpc.receive_data(b'{"id":"echo","method":"echo","params":[1]}{"method":"m","params":[],"id":2}')
    assert events(rpc) == [Request("m", [], 2)]
    assert json.loads(rpc.data_to_send()) == {"id": "echo", "result": [1], "error": None}


def test_answer_to_own_probe_is_swallowed(codec: Codec) -> None:
    rpc = JsonRpc(codec)
    rpc.send_echo()
    assert json.loads(rpc.data_to_send()) == {"id": "echo", "method": "echo", "params": []}
    rpc.receive_data(b'{"id":"echo","result":[],"error":null}')
    assert events(rpc) == []


def test_echo_is_a_request_like_others_where_wanted(codec: Codec) -> None:
    rpc = JsonRpc(codec, answer_echo=False)
    rpc.receive_data(b'{"id":0,"method":"echo","params":[]}')
    assert events(rpc) == [Request("echo", [], 0)]


def test_message_is_reported_before_the_next_is_complete(codec: Codec) -> None:
    rpc = JsonRpc(codec)
    rpc.receive_data(b' \n{"id":null,"method":"a","params":["}\\"{"]}\n {"id":1,"met')
    assert events(rpc) == [Notify("a", ['}"{'])]
    rpc.receive_data(b'hod":"b","params":[]}')
    assert events(rpc) == [Request("b", [], 1)]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"x", "error parsing stream: line 0, column 1, byte 1: invalid keyword 'x'"),
        (b'"', "error parsing stream: line 0, column 1, byte 1: unexpected end of input"),
        (b"[1]", "message is not a JSON object"),
        (b'{"id":0,"method":"m","params":{}}', '"params" must be JSON array'),
        (b'{"id":0,"method":1,"params":[]}', "method is not a JSON string"),
        (b'{"id":0,"method":"m"}', 'request must have "params"'),
        (b'{"id":0,"method":"m","params":[],"result":1}', 'request must not have "result"'),
        (b'{"id":null,"result":1,"error":null}', 'reply must have "id"'),
        (b'{"id":0}', 'reply must have "result"'),
        (b'{"id":0,"result":1,"error":2}', 'error must not have "result"'),
        (b'{"id":0,"result":1,"error":null,"x":1}', 'message has unexpected member "x"'),
        (
            b'{"id":0,"result":NaN,"error":null}',
            "error parsing stream: line 0, column 17, byte 17: invalid character 'N'",
        ),
        (
            b'{"id":0,"result":1,,"error":null}',
            "error parsing stream: line 0, column 19, byte 19: syntax error parsing object "
            "expecting string",
        ),
        (
            b'{"id":0,\n"a\x05',
            "error parsing stream: line 1, column 2, byte 11: U+0005 must be escaped",
        ),
        (b'{"id":0,"result":"\xff","error":null}', "error parsing stream"),
        (
            b'{"id":]',
            "error parsing stream: line 0, column 6, byte 6: syntax error expecting value",
        ),
    ],
)
def test_malformed_messages_are_protocol_errors(codec: Codec, data: bytes, message: str) -> None:
    rpc = JsonRpc(codec)
    rpc.receive_data(data)
    for _ in range(2):
        with pytest.raises(ProtocolError) as caught:
            rpc.next_event()
        assert str(caught.value).startswith(message)


@pytest.mark.parametrize("cut", [1, 7, 10**9])
def test_nesting_beyond_the_limit_is_refused(codec: Codec, cut: int) -> None:
    data = b'{"id":0,"method":"m","params":' + b"[" * JSON_DEPTH + b"]" * JSON_DEPTH + b"}"
    rpc = JsonRpc(codec)
    with pytest.raises(ProtocolError, match="nest"):
        for start in range(0, len(data), cut):
            rpc.receive_data(data[start : start + cut])
            rpc.next_event()


def test_long_message_in_many_reads_is_scanned_once(codec: Codec) -> None:
    rows = [{"name": f'port "{n}" \\ {{', "tag": n, "list": [[n], {}]} for n in range(20_000)]
    data = codec.encode({"id": 7, "result": rows, "error": None})
    rpc = JsonRpc(codec)
    found: list[object] = []
    for start in range(0, len(data), 4096):
        rpc.receive_data(data[start : start + 4096])
        found += events(rpc)
    assert found == [Reply(rows, 7)]


@pytest.mark.parametrize("cut", [1000, 8192, 65_536])
def test_escapes_on_the_edge_of_a_block_are_seen(codec: Codec, cut: int) -> None:
    for shift in range(6):
        text = "x" * shift + '\\"}{' * 10_000 + "\\"
        data = codec.encode({"id": shift, "result": [text, [], text], "error": None}) * 2
        rpc = JsonRpc(codec)
        found: list[object] = []
        for start in range(0, len(data), cut):
            rpc.receive_data(data[start : start + cut])
            found += events(rpc)
        assert found == [Reply([text, [], text], shift)] * 2


def test_many_messages_in_one_read_are_all_found(codec: Codec) -> None:
    one = b'{"id":null,"method":"m","params":[]}'
    rpc = JsonRpc(codec)
    rpc.receive_data(one * 5_000)
    assert len(events(rpc)) == 5_000


def test_pretty_text_is_laid_out_as_open_vswitch_does() -> None:
    value = {"b": [1, {"c": None}], "a": "é\n", "e": {}, "f": [], "r": 2.5, "i": 3.0}
    assert format_json(value) == '{"a":"é\\n","b":[1,{"c":null}],"e":{},"f":[],"i":3,"r":2.5}'
    assert format_pretty({"b": [1, {"c": True}], "a": "x"}) == (
        '{\n  "a": "x",\n  "b": [\n    1,\n    {\n      "c": true}]}'
    )
    assert format_pretty({"a": {}, "b": []}) == '{\n  "a": {\n    },\n  "b": []}'


def test_reals_have_fifteen_digits_also_where_they_are_pretty() -> None:
    for value, text in (
        (0.1 + 0.2, "0.3"),
        (1e15, "1e+15"),
        (123456789012345678.0, "1.23456789012346e+17"),
    ):
        assert format_json(value) == format_pretty(value) == text


def test_codecs_refuse_what_json_cannot_say(codec: Codec) -> None:
    with pytest.raises(TypeError):
        codec.encode({"a": object()})
    for bad in (b"", b"{", b"1 2", b'{"a":Infinity}', b"\xff", b'"\x01"'):
        with pytest.raises(ValueError):
            codec.decode(bad)
