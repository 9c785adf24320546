"""What is fuzzed: functions that take any bytes, and bytes to start from.

What must hold for each, whatever the bytes: it returns, or raises one of the errors that its
callers expect; it takes time and memory in proportion to the bytes. `python -m fuzz` lets atheris
look for bytes that break this; the tests do the same with bytes that chance changed.
"""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache

from tests.support.action_corpus import KEYWORDS
from tests.support.action_corpus import Maker as ActionMaker
from tests.support.field_corpus import field_matches
from tests.support.message_corpus import PROTOCOLS, XID
from tests.support.message_corpus import Maker as MessageMaker
from tests.support.odd_packets import odd_packet

from netloom.base.errors import ConfigError, ProtocolError
from netloom.flow.extract import extract_key
from netloom.flow.print import format_flow, format_match
from netloom.flow.text import parse_match
from netloom.openflow.action_decode import decode_actions, decode_instructions
from netloom.openflow.action_encode import encode_actions, encode_instructions
from netloom.openflow.action_format import format_actions
from netloom.openflow.action_parse import parse_actions
from netloom.openflow.codec import decode_message, encode_message
from netloom.openflow.codec_match import decode_match, decode_nx_match
from netloom.openflow.errors import OpenFlowError
from netloom.openflow.flow_text import parse_flow_mod
from netloom.openflow.message_table import ROWS
from netloom.openflow.message_text import Style, format_message
from netloom.ovsdb.errors import OvsdbError
from netloom.ovsdb.log_file import LogFile, encode_record
from netloom.packet.parse import parse
from netloom.rpc.fast_json import FastJson
from netloom.rpc.json_codec import LightJson
from netloom.rpc.jsonrpc import JsonRpc

#: What a peer's bytes may raise.
REFUSED = (OpenFlowError, ProtocolError)


def message(data: bytes) -> None:
    """A message of OpenFlow, decoded by switch or controller, and printed. The length in its
    header is made right, so that there is something to decode."""
    data = data[:0xFFFF]
    if len(data) >= 8:
        data = data[:2] + len(data).to_bytes(2, "big") + data[4:]
    with suppress(REFUSED):
        decode_message(data)
    for verbosity in (0, 1, 4):
        format_message(data, Style(verbosity))


def match(data: bytes) -> None:
    """A match of the version that the first byte chooses; 0: NXM with the entry for the cookie."""
    version = data[0] % 7 if data else 0
    try:
        if version == 0:
            format_match(decode_nx_match(data + bytes(8), 1, len(data) - 1, cookie=True)[0])
        else:
            # Those who call see to it that the match of 1.0, whose length is fixed, is there.
            format_match(decode_match(data + bytes(41 if version == 1 else 0), 1, version)[0])
    except REFUSED:
        return


def actions(data: bytes) -> None:
    """Actions or instructions of the version that the first byte chooses."""
    choice = data[0] if data else 0
    decode = decode_instructions if choice >= 128 else decode_actions
    try:
        format_actions(decode(data[1:], choice % 6 + 1))
    except REFUSED:
        return


def packet(data: bytes) -> None:
    """A packet, which nothing may refuse."""
    parse(data)
    for vlan_limit in (0, 1, 2):
        format_flow(extract_key(data, 1, 0, vlan_limit))


def flow_text(data: bytes) -> None:
    """A line of a file of flows."""
    text = data.decode("utf-8", "replace")
    for read in (parse_flow_mod_add, parse_match, parse_actions):
        try:
            read(text)
        except ConfigError:
            continue


def parse_flow_mod_add(text: str) -> None:
    parse_flow_mod(text, 0)


def json_rpc(data: bytes) -> None:
    """A peer of JSON-RPC, by the codecs of the tools and of the daemons; the bytes come in two
    parts."""
    for codec in (LightJson(), FastJson()):
        peer = JsonRpc(codec)
        try:
            for part in (data[: len(data) // 2], data[len(data) // 2 :]):
                peer.receive_data(part)
                while peer.next_event() is not None:
                    pass
        except ProtocolError:
            continue


def database_file(data: bytes) -> None:
    """A database file, cut off or damaged."""
    with tempfile.NamedTemporaryFile(dir=_memory_folder()) as file:
        file.write(data)
        file.flush()
        try:
            log = LogFile(file.name, FastJson().decode, writable=False)
        except OvsdbError:
            return
        with suppress(OvsdbError):
            while log.read() is not None:
                pass
        log.close()


@cache
def _memory_folder() -> str | None:
    return "/dev/shm" if os.path.isdir("/dev/shm") else None


TARGETS: dict[str, Callable[[bytes], None]] = {
    "message": message, "match": match, "actions": actions, "packet": packet,
    "flow-text": flow_text, "json-rpc": json_rpc, "database-file": database_file,
}  # fmt: skip


# Bytes to start from


def _messages() -> list[bytes]:
    found = []
    for version, protocols in PROTOCOLS.items():
        for protocol in protocols:
            for seed in range(3):
                maker = MessageMaker(seed, version, protocol)
                for row in ROWS.values():
                    if row.numbers[version - 1] is None:
                        continue
                    for name in filter(None, (row.request, row.reply)):
                        found.append(encode_message(maker.make(name), XID, protocol))
    return found


def _packets() -> list[bytes]:
    chance = random.Random(1)
    return [odd_packet(chance) for _ in range(300)]


def _matches() -> list[bytes]:
    found = []
    for version, protocols in PROTOCOLS.items():
        maker = MessageMaker(version, version, protocols[-1])
        for _ in range(60):
            data = encode_message(maker.make("FlowMod"), 0, protocols[-1])
            start = 48 if version > 1 else 24
            found.append(bytes((version if version > 1 else 0,)) + data[start:])
    return found


def _actions() -> list[bytes]:
    found = []
    maker = ActionMaker(1)
    for version in range(1, 7):
        for keyword in KEYWORDS:
            made, _ = parse_actions(maker.make(keyword))
            if version > 1:
                head = bytes((126 + (version - 1 + 6),))
                found.append(head + encode_instructions(made, version))
            if keyword not in ("write_actions", "clear_actions", "meter", "goto_table"):
                found.append(bytes((version - 1,)) + encode_actions(made, version))
    return found


def _texts() -> list[bytes]:
    chance = random.Random(1)
    maker = ActionMaker(2)
    matches = chance.sample(field_matches(3), 300)
    return [f"{text},actions={maker.make(chance.choice(KEYWORDS))}".encode() for text in matches]


def _json() -> list[bytes]:
    return [
        b'{"id":0,"method":"echo","params":[]}',
        b'{"id":"x","method":"transact","params":["db",{"op":"select","where":[]}]}',
        b'{"id":null,"method":"update","params":[null,{"t":{"u":{"new":{"a":[1,2.5,"\\u00e9"]}}}}]}',
        b'{"id":3,"result":{"a":["set",[["uuid","1"],true,false,-1e3]]},"error":null}',
        b'{"id":3,"result":null,"error":{"error":"x","details":"y\\\\\\"z"}} {"id":1}',
    ]


def _files() -> list[bytes]:
    schema = b'{"name":"d","tables":{"t":{"columns":{"a":{"type":"integer"}}}}}'
    change = b'{"_date":1,"t":{"550e8400-e29b-41d4-a716-446655440000":{"a":5}}}'
    return [encode_record(schema) + encode_record(change) * n for n in (0, 1, 3)]


SEEDS: dict[str, Callable[[], list[bytes]]] = {
    "message": _messages, "match": _matches, "actions": _actions, "packet": _packets,
    "flow-text": _texts, "json-rpc": _json, "database-file": _files,
}  # fmt: skip
