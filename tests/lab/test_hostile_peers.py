"""Peers that send nonsense: they are answered with an error or cut off, and nobody else notices."""

from __future__ import annotations

import json
import random
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.peers import wait_until
from tests.support.switches import RunningSwitch, needs_root, own_tools

from netloom.lab.lab import Lab

pytestmark = [pytest.mark.root, needs_root]

DEEP = 200_000
HUGE = b"9" * 300


@pytest.fixture(scope="module")
def switch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSwitch]:
    """A switch with bridge br0 of ports p1 and p2 on dummy devices; at the end it still works."""
    programs = own_tools(tmp_path_factory.mktemp("tools"))
    with Lab("hostile") as lab:
        made = RunningSwitch(lab, programs, programs, ("--enable-dummy=override",))
        made.start()
        made.vsctl("add-br", "br0", "--", "add-port", "br0", "p1", "--", "add-port", "br0", "p2",
                   "--", "set", "bridge", "br0", "fail_mode=secure",
                   "protocols=[OpenFlow10,OpenFlow13,OpenFlow15]")  # fmt: skip
        made.ofctl("add-flow", "br0", "in_port=1,actions=2")
        yield made


def rss_kib(switch: RunningSwitch, daemon: str) -> int:
    pid = switch.daemons.pid(daemon)
    assert pid is not None, f"{daemon} is gone"
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))


def no_exception(switch: RunningSwitch) -> bool:
    logs = switch.log() + switch.log("ovsdb-server")
    return "Traceback" not in logs and "|EMER|" not in logs and "Error:" not in logs


class Peer:
    """A connection by hand to a Unix socket of the switch."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(40)
        self._socket.connect(str(path))

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            # Cut off in the middle, as it should be; `is_closed` finds out.
            return

    def half_close(self) -> None:
        self._socket.shutdown(socket.SHUT_WR)

    def receive(self) -> bytes:
        try:
            return self._socket.recv(1 << 16)
        except ConnectionResetError:
            return b""

    def is_closed(self) -> bool:
        """Whether the switch hangs up in time; what it still says is skipped."""
        try:
            while self.receive():
                continue
        except TimeoutError:
            return False
        return True

    def json(self) -> dict[str, object]:
        data = b""
        while True:
            piece = self.receive()
            assert piece, f"closed after {data!r}"
            data += piece
            try:
                return json.loads(data)  # type: ignore[no-any-return]
            except ValueError:
                continue

    def exactly(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            piece = self._socket.recv(length - len(data))
            assert piece, f"closed after {data!r}"
            data += piece
        return data

    def openflow(self) -> bytes:
        """The next message that is no hello and no echo."""
        while True:
            head = self.exactly(8)
            message = head + self.exactly(struct.unpack("!H", head[2:4])[0] - 8)
            if message[1] not in (0, 2):
                return message


NOT_JSON_RPC = {
    "garbage": b"garbage\n",
    "binary": bytes(range(256)),
    "a page request": b"GET / HTTP/1.0\r\n\r\n",
    "a number": b"42",
    "a string": b'"hello"',
    "an array": b"[1,2,3]",
    "an object of nothing": b"{}",
    "no method": b'{"id":1,"params":[]}',
    "a method that is a number": b'{"id":1,"method":7,"params":[]}',
    "parameters that are an object": b'{"id":1,"method":"echo","params":{}}',
    "an unknown member": b'{"id":1,"method":"echo","params":[],"x":1}',
    "result and error": b'{"id":1,"result":1,"error":1}',
    "no closing quote": b'{"id":1,"method":"ec\n"',
    "bad UTF-8": b'{"id":1,"method":"\xff\xfe","params":[]}',
    "a lone surrogate": rb'{"id":1,"method":"\ud800","params":[]}',
    "deep arrays": b'{"id":1,"method":"echo","params":[' + b"[" * DEEP,
    "deep objects": b'{"id":1,"method":"echo","params":[' + b'{"a":' * DEEP,
    "a bad number": b'{"id":1,"method":"echo","params":[01]}',
    "a constant of JavaScript": b'{"id":1,"method":"echo","params":[NaN]}',
    "a number out of range": b'{"id":1,"method":"echo","params":[1e400]}',
    "a wrong bracket": b'{"id":1,"method":"echo","params":[}]}',
    "a comma too many": b'{"id":1,"method":"echo","params":[1,]}',
}


@pytest.mark.parametrize("what", NOT_JSON_RPC)
@pytest.mark.parametrize("daemon", ["ovsdb-server", "ovs-vswitchd"])
def test_what_is_no_json_rpc_closes_only_that_connection(
    what: str, daemon: str, switch: RunningSwitch
) -> None:
    rundir = switch.daemons.rundir
    path = switch.daemons.db_socket
    if daemon == "ovs-vswitchd":
        path = rundir / f"ovs-vswitchd.{switch.daemons.pid(daemon)}.ctl"
    with Peer(path) as other, Peer(path) as hostile:
        hostile.send(NOT_JSON_RPC[what])
        assert hostile.is_closed()
        method = "echo" if daemon == "ovsdb-server" else "version"
        other.send(b'{"id":1,"method":"%s","params":[]}' % method.encode())
        assert other.json()["error"] is None
    assert no_exception(switch)


REQUESTS = {
    "unknown method": ('{"id":1,"method":"nope","params":[]}', "unknown method"),
    "no database": ('{"id":1,"method":"transact","params":[]}', "syntax error"),
    "a number as database": ('{"id":1,"method":"transact","params":[5]}', "syntax error"),
    "unknown database": ('{"id":1,"method":"transact","params":["x"]}', "unknown database"),
    "get_schema of a list": ('{"id":1,"method":"get_schema","params":[[]]}', "syntax error"),
    "monitor of nothing": ('{"id":1,"method":"monitor","params":["Open_vSwitch"]}', "syntax error"),
    "monitor of an unknown table": (
        '{"id":1,"method":"monitor","params":["Open_vSwitch",null,{"Nope":{}}]}', "syntax error"),
    "cancel of an unknown monitor": (
        '{"id":1,"method":"monitor_cancel","params":["x"]}', "unknown monitor"),
    "lock of a number": ('{"id":1,"method":"lock","params":[1]}', "syntax error"),
    "unlock of a free lock": ('{"id":1,"method":"unlock","params":["x"]}', "syntax error"),
}  # fmt: skip


@pytest.mark.parametrize("what", REQUESTS)
def test_a_wrong_request_gets_an_error_and_the_connection_goes_on(
    what: str, switch: RunningSwitch
) -> None:
    request, error = REQUESTS[what]
    with Peer(switch.daemons.db_socket) as peer:
        peer.send(request.encode())
        reply = peer.json()
        answer = reply["error"]
        assert (isinstance(answer, dict) and error in (answer["error"], answer.get("details"))) or (
            answer == error
        ), reply
        peer.send(b'{"id":2,"method":"echo","params":[7]}')
        assert peer.json() == {"id": 2, "result": [7], "error": None}


def test_numbers_of_any_size_are_answered(switch: RunningSwitch) -> None:
    with Peer(switch.daemons.db_socket) as peer:
        for number in (HUGE, b"-" + HUGE, b"1e300", b"0.5"):
            operation = b'{"op":"insert","table":"Bridge","row":{"flood_vlans":%s}}' % number
            peer.send(b'{"id":1,"method":"transact","params":["Open_vSwitch",%s]}' % operation)
            assert "error" in str(peer.json()["result"])
    assert no_exception(switch)


def test_half_a_message_and_the_end_are_no_message(switch: RunningSwitch) -> None:
    for _ in range(20):
        with Peer(switch.daemons.db_socket) as peer:
            peer.send(b'{"id":1,"method":"transact","params":["Open_vSwitch",{"op":"comm')
            peer.half_close()
            assert peer.is_closed()
    assert switch.vsctl("list-br") == "br0\n"


def test_a_message_in_single_bytes_is_a_message(switch: RunningSwitch) -> None:
    with Peer(switch.daemons.db_socket) as peer:
        for byte in b' {"id":1,"method":"echo","params":["\\u00e9]{"]}\n':
            peer.send(bytes([byte]))
        assert peer.json()["result"] == ["é]{"]


def test_a_request_without_end_does_not_fill_the_memory(switch: RunningSwitch) -> None:
    """A string that never ends: the server may hang up or go on reading, but not for ever grow."""
    before = rss_kib(switch, "ovsdb-server")
    piece = b"x" * (1 << 20)
    with Peer(switch.daemons.db_socket) as peer:
        peer.send(b'{"id":1,"method":"echo","params":["')
        for _ in range(40):
            peer.send(piece)
        with Peer(switch.daemons.db_socket) as other:
            other.send(b'{"id":1,"method":"echo","params":[]}')
            assert other.json()["error"] is None
    assert wait_until(lambda: rss_kib(switch, "ovsdb-server") < before + 100_000)


def test_random_bytes_harm_nobody(switch: RunningSwitch) -> None:
    rng = random.Random(20_260)
    control = switch.daemons.rundir / f"ovs-vswitchd.{switch.daemons.pid('ovs-vswitchd')}.ctl"
    good = b'{"id":1,"method":"transact","params":["Open_vSwitch",{"op":"comment","comment":"x"}]}'
    before = [rss_kib(switch, name) for name in ("ovsdb-server", "ovs-vswitchd")]
    for path in (switch.daemons.db_socket, control, switch.daemons.rundir / "br0.mgmt"):
        for _ in range(100):
            data = bytearray(good)
            for _ in range(rng.randrange(1, 6)):
                data[rng.randrange(len(data))] = rng.randrange(256)
            with Peer(path) as peer:
                peer.send(bytes(data))
                peer.half_close()
                assert peer.is_closed()
    assert switch.vsctl("list-br") == "br0\n"
    assert "in_port=1" in switch.ofctl("dump-flows", "br0").replace("in_port=p1", "in_port=1")
    after = [rss_kib(switch, name) for name in ("ovsdb-server", "ovs-vswitchd")]
    assert all(now < then + 20_000 for then, now in zip(before, after))
    assert no_exception(switch)


# OpenFlow


def message(version: int, kind: int, body: bytes = b"", length: int = -1, xid: int = 77) -> bytes:
    return struct.pack("!BBHI", version, kind, 8 + len(body) if length < 0 else length, xid) + body


def of13_flow_mod(match: bytes, instructions: bytes = b"", command: int = 0) -> bytes:
    fixed = struct.pack("!QQBBHHHIIIHxx", 0, 0, 0, command, 0, 0, 5, 0xFFFFFFFF, 0xFFFFFFFF,
                        0xFFFFFFFF, 0)  # fmt: skip
    return message(4, 14, fixed + match + instructions)


def match_of(oxms: bytes) -> bytes:
    length = 4 + len(oxms)
    return struct.pack("!HH", 1, length) + oxms + bytes(-length % 8)


def apply(actions: bytes) -> bytes:
    return struct.pack("!HHxxxx", 4, 8 + len(actions)) + actions


EMPTY = match_of(b"")
#: What, and the OpenFlow 1.3 message; the (type, code) of the answer. From the specification,
#: section 7.4.4, and what Open vSwitch answers.
REFUSED_OF13 = {
    "an unknown message type": (message(4, 99), (1, 1)),
    "an unknown experimenter": (message(4, 4, struct.pack("!II", 0x123456, 1)), (1, 3)),
    "an unknown multipart type": (message(4, 18, struct.pack("!HHxxxx", 999, 0)), (1, 2)),
    "a flow mod of four bytes": (message(4, 14, b"abcd"), (1, 6)),
    "a barrier with a body": (message(4, 20, b"12345678"), (1, 6)),
    "a flow mod with an unknown command": (of13_flow_mod(EMPTY, command=9), (5, 6)),
    "a match of an unknown type": (of13_flow_mod(struct.pack("!HHxxxx", 7, 4)), (4, 0)),
    "a match longer than the message": (of13_flow_mod(struct.pack("!HHxxxx", 1, 400)), (4, 1)),
    "a match field nobody knows": (
        of13_flow_mod(match_of(struct.pack("!HBBI", 0x8000, 120 << 1, 4, 1))), (4, 6)),
    "a match field without its prerequisite": (
        of13_flow_mod(match_of(struct.pack("!HBBH", 0x8000, 14 << 1, 2, 80))), (4, 9)),
    "a match field twice": (
        of13_flow_mod(match_of(struct.pack("!HBBI", 0x8000, 0, 4, 1) * 2)), (4, 10)),
    "a match field of a wrong length": (
        of13_flow_mod(match_of(struct.pack("!HBBH", 0x8000, 0, 2, 1))), (4, 6)),
    "an unknown instruction": (of13_flow_mod(EMPTY, struct.pack("!HHxxxx", 99, 8)), (3, 0)),
    "an instruction longer than the message": (
        of13_flow_mod(EMPTY, struct.pack("!HHxxxx", 4, 800)), (3, 7)),
    "an action of an unknown type": (
        of13_flow_mod(EMPTY, apply(struct.pack("!HHxxxx", 999, 8))), (2, 0)),
    "an action of length nought": (
        of13_flow_mod(EMPTY, apply(struct.pack("!HHxxxx", 0, 0))), (2, 1)),
    "an action longer than its list": (
        of13_flow_mod(EMPTY, apply(struct.pack("!HHxxxx", 0, 64))), (2, 1)),
    "an output to a port that cannot be": (
        of13_flow_mod(EMPTY, apply(struct.pack("!HHIHxxxxxx", 0, 16, 0xFFFFFF77, 0))), (2, 4)),
    "a table that points back": (of13_flow_mod(EMPTY, struct.pack("!HHBxxx", 1, 8, 0)), (3, 2)),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED_OF13)
def test_a_wrong_openflow_message_gets_its_error_and_the_connection_goes_on(
    what: str, switch: RunningSwitch
) -> None:
    request, (kind, code) = REFUSED_OF13[what]
    flows = switch.ofctl("--no-stats", "dump-flows", "br0")
    with Peer(switch.daemons.rundir / "br0.mgmt") as peer:
        peer.send(message(4, 0) + request)
        reply = peer.openflow()
        assert reply[1] == 1, reply
        assert struct.unpack("!HH", reply[8:12]) == (kind, code)
        assert reply[4:8] == request[4:8]
        assert request.startswith(reply[12:])
        peer.send(message(4, 20, xid=5))
        assert peer.openflow() == message(4, 21, xid=5)
    assert switch.ofctl("--no-stats", "dump-flows", "br0") == flows
    assert no_exception(switch)


BROKEN = {
    "a hello shorter than its header": message(4, 0, length=4),
    "a later message shorter than its header": message(4, 0) + message(4, 2, length=7),
    "a version that nobody speaks": message(0, 0),
    "no hello": message(4, 14, bytes(48)),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_breaks_the_framing_or_the_handshake_closes_that_connection(
    what: str, switch: RunningSwitch
) -> None:
    with Peer(switch.daemons.rundir / "br0.mgmt") as other:
        other.send(message(4, 0))
        with Peer(switch.daemons.rundir / "br0.mgmt") as hostile:
            hostile.send(BROKEN[what])
            assert hostile.is_closed()
        other.send(message(4, 20, xid=9))
        assert other.openflow() == message(4, 21, xid=9)
    assert no_exception(switch)


def test_every_cut_of_a_flow_mod_is_refused_or_carried_out(switch: RunningSwitch) -> None:
    oxms = struct.pack("!HBBH", 0x8000, 5 << 1, 2, 0x0800) + struct.pack(
        "!HBB4s", 0x8000, 11 << 1, 4, b"\x0a\0\0\1"
    )
    whole = of13_flow_mod(match_of(oxms), apply(struct.pack("!HHIHxxxxxx", 0, 16, 2, 0)))
    refused = 0
    with Peer(switch.daemons.rundir / "br0.mgmt") as peer:
        peer.send(message(4, 0))
        for length in range(8, len(whole)):
            cut = whole[:2] + struct.pack("!H", length) + whole[4:length]
            peer.send(cut + message(4, 20, xid=length))
            reply = peer.openflow()
            if reply[1] == 1:
                refused += 1
                reply = peer.openflow()
            assert reply == message(4, 21, xid=length)
    # Two cuts are valid flow mods: before the instructions, and none of the match.
    assert refused >= len(whole) - 8 - 2
    switch.ofctl("--strict", "del-flows", "br0", "priority=5")
    switch.ofctl("--strict", "del-flows", "br0", "priority=5,ip,nw_src=10.0.0.1")
    assert no_exception(switch)


def test_changed_bytes_of_valid_messages_never_stop_the_switch(switch: RunningSwitch) -> None:
    rng = random.Random(77)
    oxms = struct.pack("!HBBH", 0x8000, 5 << 1, 2, 0x0800)
    valid = [
        of13_flow_mod(match_of(oxms), apply(struct.pack("!HHIHxxxxxx", 0, 16, 2, 0)), command=3),
        message(4, 13, struct.pack("!IIHxxxxxx", 0xFFFFFFFF, 1, 16)
                + struct.pack("!HHIHxxxxxx", 0, 16, 2, 0) + bytes(60)),
        message(4, 18, struct.pack("!HHxxxxBxxxIIxxxxQQ", 1, 0, 255, 0xFFFFFFFF, 0xFFFFFFFF, 0, 0)
                + EMPTY),
        message(4, 18, struct.pack("!HHxxxxIxxxx", 4, 0, 0xFFFFFFFF)),
    ]  # fmt: skip
    for _ in range(400):
        data = bytearray(rng.choice(valid))
        for _ in range(rng.randrange(1, 4)):
            data[rng.randrange(8, len(data))] = rng.randrange(256)
        with Peer(switch.daemons.rundir / "br0.mgmt") as peer:
            peer.send(message(4, 0) + bytes(data) + message(4, 20, xid=3))
            while (reply := peer.openflow())[1] != 21:
                continue
            assert reply == message(4, 21, xid=3)
    assert no_exception(switch)
