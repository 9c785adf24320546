"""ovs-testcontroller says to a switch what Debian's says, message by message.

The switch is this test: it greets, lists its ports, sends packets that it has no flow for, and
notes what it is told.
"""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.peers import await_path, peer_tools, wait_until
from tests.support.switches import own_tools

from netloom.flow.fields import FIELD
from netloom.flow.match import Match
from netloom.lab.switch import Programs
from netloom.openflow import messages as m
from netloom.openflow.codec import encode_message
from netloom.openflow.message_text import Style, format_message
from netloom.openflow.protocol import INITIAL

pytestmark = pytest.mark.interop

PORTS = tuple(m.PhyPort(n, 0xAA0000000000 + n, f"p{n}") for n in (1, 2, 3))
A, B, C = "0200000000aa", "0200000000bb", "0200000000cc"
IP = "0800 45000028000040004006000a0a0000010a000002"
TCP = "04d20050 00000000 00000000 50020000 00000000"
IPV6 = "86dd 6000000000143a40 fe800000000000000000000000000001 fe800000000000000000000000000002"
#: (input port, buffer, packet): what is unknown, what is known by then, groups, and all layers.
PACKETS = [
    (1, None, f"{B} {A} {IP} {TCP}"),
    (2, None, f"{A} {B} {IP} {TCP}"),
    (1, 7, f"{B} {A} {IP} {TCP}"),
    (1, 8, f"{C} {A} {IP} {TCP}"),
    (2, None, f"{A} {B} 0806 0001080006040002 {B} 0a000002 {A} 0a000001"),
    (2, None, f"{A} {B} 8100 a00a {IP} {TCP}"),
    (2, None, f"{A} {B} {IPV6} 8000000000010001{'00' * 12}"),
    (2, None, f"{A} {B} {IPV6.replace('143a', '1411')} 0035003500140000{'00' * 12}"),
    (1, None, f"ffffffffffff {A} 0806 0001080006040001 {A} 0a000001 000000000000 0a000002"),
    (1, None, f"01005e000001 {A} {IP} {TCP}"),
    (1, None, f"0180c2000000 {A} 0026 424203{'00' * 35}"),
    (1, 9, f"0180c200000e {A} 88cc {'00' * 40}"),
    (2, None, f"{B} {A} {IP.replace('4006', '4011')} 0035003500140000{'00' * 12}"),
    (2, None, f"{A} {B} {IP.replace('4006', '4001')} 0800000000010001{'00' * 12}"),
    (3, None, f"{A} {C} 88b5 {'00' * 46}"),
    (3, 10, f"{C} {C} 88b5 {'00' * 46}"),
    (0xFFFFFFFE, None, f"{B} {A} 88b5 {'00' * 46}"),
    (1, None, f"{A} {B} 88b5 {'00' * 46}"),
]


class FakeSwitch:
    """The switch's end of a connection to the controller at `path`."""

    def __init__(self, path: Path, version: int) -> None:
        self._protocol = INITIAL[version]
        self._version = version
        self._sock = socket.socket(socket.AF_UNIX)
        self._sock.settimeout(40)
        assert wait_until(lambda: self._sock.connect_ex(str(path)) == 0)
        self._data = b""
        self.hello = self._next()
        self.send(m.Hello((version,)), 1)

    def close(self) -> None:
        self._sock.close()

    def send(self, message: m.Message, xid: int = 0) -> None:
        self._sock.sendall(encode_message(message, xid, self._protocol))

    def _next(self) -> bytes:
        while len(self._data) < 8 or len(self._data) < self._size():
            more = self._sock.recv(65536)
            assert more, "the controller hung up"
            self._data += more
        size = self._size()
        message, self._data = self._data[:size], self._data[size:]
        return message

    def _size(self) -> int:
        return int.from_bytes(self._data[2:4], "big")

    def told(self, answer: Callable[[bytes], m.Message | None] = lambda data: None) -> list[str]:
        """What the controller has said by now, answering its questions."""
        said = []
        self.send(m.EchoRequest(b"?"), 99)
        while True:
            data = self._next()
            if data[1] == 3 and data[4:8] == bytes((0, 0, 0, 99)):
                return said
            text = format_message(data, Style(3))
            text = text.replace(f"(xid=0x{int.from_bytes(data[4:8], 'big'):x})", "")
            said.append(f"{text}{data[:4].hex()} {data[8:].hex()}")
            reply = answer(data)
            if reply is not None:
                self.send(reply, int.from_bytes(data[4:8], "big"))
                self.send(m.EchoRequest(b"?"), 98)

    def features(self, data: bytes) -> m.Message | None:
        """The answer to a question about this switch."""
        if data[1] == 5:
            ports = PORTS if self._version < 4 else ()
            return m.FeaturesReply(0x1234, n_buffers=256, ports=ports)
        if data[1] == 18 and data[8:10] == bytes((0, 13)):
            return m.PortDescReply(PORTS)
        return None

    def packet_in(self, port: int, buffer: int | None, packet: str) -> list[str]:
        data = bytes.fromhex(packet)
        match = Match().with_field(FIELD["in_port_oxm"], port)
        kept = m.NO_BUFFER if buffer is None else buffer
        self.send(m.PacketIn(data, match, 0, len(data), kept))
        return self.told()


def run_dialogue(
    tools: Programs, folder: Path, version: int, options: list[str]
) -> Iterator[tuple[str, list[str]]]:
    """(what happened, what the controller said to it) for each event."""
    folder.mkdir()
    env = {
        **tools.env,
        "OVS_RUNDIR": str(folder),
        "OVS_LOGDIR": str(folder),
        "PATH": "/usr/bin:/bin",
    }
    program = next(p for part in tools.path if (p := Path(part, "ovs-testcontroller")).exists())
    process = subprocess.Popen(
        [program, "punix:c.sock", *options], env=env, stderr=subprocess.PIPE, cwd=folder
    )
    try:
        await_path(folder / "c.sock")
        switch = FakeSwitch(folder / "c.sock", version)
        yield "hello", [format_message(switch.hello, Style(3)).partition(":")[2]]
        yield "features", switch.told(switch.features)
        yield "more", switch.told(switch.features)
        for packet in PACKETS:
            yield str(packet), switch.packet_in(*packet)
        switch.close()
    finally:
        process.terminate()
        process.wait(60)


CASES = [
    *((version, "") for version in (1, 2, 3, 4, 5, 6)),
    (1, "-n"), (4, "--noflow"), (1, "-H"), (4, "--hub"), (1, "-H -n"),
    (1, "-w"), (4, "-w"), (1, "--wildcards=2000EC"), (4, "-w2000ec"), (1, "-q 3"), (4, "-q 3"),
    (1, "-Q p1:5 --queue=2"), (4, "--queue=7 -O OpenFlow13,OpenFlow14"),
    (1, "--max-idle=permanent"),
    (4, "--max-idle=7"), (1, "--with-flows=flows"), (4, "--with-flows=flows"),
    (1, "--with-flows=tables"), (1, "--with-flows=nxm"), (2, "--with-flows=nxm"),
]  # fmt: skip


@pytest.mark.parametrize(("version", "options"), CASES, ids=[f"{v}{o}" for v, o in CASES])
def test_both_controllers_say_the_same(tmp_path: Path, version: int, options: str) -> None:
    peer = peer_tools()
    for name, text in (
        ("flows", "# some\nip actions=1\n\npriority=7,arp idle_timeout=9 actions=drop\n"),
        ("tables", "table=1 tcp,tp_dst=80 actions=output:2\n"),
        ("nxm", "reg1=5 actions=load:1->NXM_NX_REG2[],resubmit(,2)\n"),
    ):
        (tmp_path / name).write_text(text)
    words = options.replace("flows=", f"flows={tmp_path}/").split()
    own = list(run_dialogue(own_tools(tmp_path / "tools"), tmp_path / "own", version, words))
    theirs = list(run_dialogue(peer, tmp_path / "peer", version, words))
    assert own == theirs
