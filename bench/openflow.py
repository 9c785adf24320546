"""OpenFlow side by side: flow mods, bundles, dumps, packet-ins, memory.

Of what the switch does alone there is a rate, by the clock on the wall, and the time that its
daemon spent on a processor, which others on the machine disturb less.

Both switches run with dummy devices, so that nothing but OpenFlow is measured, and take turns. The
tools' figures are of each side's own `ovs-ofctl` with its own switch; the raw ones of one client
in this process that sends prepared bytes and looks at nothing but lengths, the same to both.
"""

from __future__ import annotations

import shutil
import socket
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.report import Report
from netloom.base.errors import Unsupported
from netloom.flow.fields import FIELD
from netloom.flow.match import Match
from netloom.lab.peers import debian_programs
from netloom.lab.switch import Programs, Switch, own_programs
from netloom.openflow import actions as a
from netloom.openflow import messages as m
from netloom.openflow import messages_bundles as b
from netloom.openflow.codec import encode_message
from netloom.openflow.protocol import P_OF13

ROUNDS = 1
MANY = 100_000
FEW = 10_000
BARRIERS = 2_000
PACKETS = 5_000
#: A daemon rests if it spends less than this part of so many seconds on a processor. It is looked
#: at so often.
RESTING, REST_S, MAX_RESTS = 0.1, 0.1, 100
_BARRIER_REQUEST = encode_message(m.BarrierRequest(), 7, P_OF13)
_HELLO = bytes((4, 0, 0, 8, 0, 0, 0, 1))
_PACKET_IN, _BARRIER_REPLY, _MULTIPART_REPLY = 10, 21, 19


class Client:
    """A controller that counts messages. `kinds` counts those that came, by type."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))
        self._buffer = b""
        self._socket.sendall(_HELLO)
        self.take(0)

    def close(self) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def take(self, kind: int, last: bool = False) -> None:
        """Read up to a message of that type; with `last`, one without the flag "more"."""
        while True:
            data = self._buffer
            size = int.from_bytes(data[2:4], "big") if len(data) >= 8 else 0
            if not size or len(data) < size:
                self._buffer += self._socket.recv(1 << 16)
                continue
            self._buffer = data[size:]
            if data[1] == kind and not (last and data[11] & 1):
                return

    def barrier(self) -> None:
        self.send(_BARRIER_REQUEST)
        self.take(_BARRIER_REPLY)


def flow_mods(count: int) -> list[bytes]:
    """Flow mods of an ACL: five fields, one output."""
    fields = {"dl_type": 0x0800, "nw_proto": 6, "tcp_dst": 80, "in_port_oxm": 1}
    value = mask = 0
    for name, number in fields.items():
        field = FIELD[name]
        value, mask = field.put(value, number), field.put(mask, field.ones)
    nw_dst = FIELD["nw_dst"]
    mask = nw_dst.put(mask, nw_dst.ones)
    return [
        encode_message(
            m.FlowMod(
                m.OFPFC_ADD, Match(nw_dst.put(value, 0x0A000000 + number), mask), 100, 0,
                (a.Output(2),), new_cookie=number,
            ),
            number + 1,
            P_OF13,
        )
        for number in range(count)
    ]  # fmt: skip


def flow_file(path: Path, count: int) -> None:
    """The same flows as text."""
    path.write_text(
        "".join(
            f"priority=100,in_port=1,tcp,nw_dst=10.{n >> 16}.{n >> 8 & 255}.{n & 255},tp_dst=80,"
            f"actions=output:2\n"
            for n in range(count)
        )
    )


class Side:
    """One switch with a bridge and two dummy ports."""

    def __init__(self, directory: Path, programs: Programs) -> None:
        self.switch = Switch(directory, programs=programs, vswitchd_options=("--enable-dummy",))
        self.switch.start()
        self.switch.run(
            *("ovs-vsctl", "add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy"),
            *("fail_mode=secure", "--", "add-port", "br0", "p1", "--", "set", "interface", "p1"),
            *("type=dummy", "--", "add-port", "br0", "p2", "--", "set", "interface", "p2"),
            "type=dummy",
        )
        self.management = directory / "br0.mgmt"

    def tool(self, *argv: str) -> float:
        """Seconds that a command of ovs-ofctl takes."""
        started = time.monotonic()
        self.switch.run("ovs-ofctl", "-O", "OpenFlow13", "--timeout=300", *argv)
        return time.monotonic() - started

    def cpu_us(self) -> float:
        """What the daemon has spent on processors so far, with all of its threads."""
        tasks = Path(f"/proc/{self._pid()}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1_000

    def rest(self) -> None:
        """Wait until the daemon has done all that it has to do."""
        before_us = self.cpu_us()
        for _ in range(MAX_RESTS):
            time.sleep(REST_S)
            now_us = self.cpu_us()
            if now_us - before_us < REST_S * RESTING * 1e6:
                return
            before_us = now_us
        raise Unsupported("a daemon that does not come to rest")

    def _pid(self) -> str:
        return (self.switch.rundir / "ovs-vswitchd.pid").read_text().strip()

    def memory_kb(self) -> int:
        """What the daemon has resident."""
        pid = self._pid()
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1])
        return 0


def measure_tools(report: Report, number: int, side: Side, files: dict[int, Path]) -> None:
    """add-flows and dump-flows as people call them."""
    for count, path in files.items():
        side.tool("del-flows", "br0")
        took = side.tool("add-flows", "br0", str(path))
        report.add(f"add-flows of {count:,}", "flows/s", number, count / took)
        side.tool("del-flows", "br0")
        took = side.tool("--bundle", "add-flows", "br0", str(path))
        report.add(f"add-flows --bundle of {count:,}", "flows/s", number, count / took)
    took = side.tool("dump-flows", "br0")
    report.add(f"dump-flows of {MANY:,}", "flows/s", number, MANY / took)
    side.tool("del-flows", "br0")


def measure(
    report: Report, number: int, side: Side, what: str, count: int, work: Callable[[], None]
) -> None:
    """Rate, and processor time of the daemon, of `work`, which is `count` things. The time has what
    the daemon leaves for later: Open vSwitch has another thread free what is no longer used."""
    side.rest()
    cpu_us, started = side.cpu_us(), time.monotonic()
    work()
    took = time.monotonic() - started
    side.rest()
    cpu_us = side.cpu_us() - cpu_us
    report.add(what, "1/s", number, count / took)
    report.add(f"{what}: daemon", "us", number, cpu_us / count, lower=True)


def bundle(mods: list[bytes]) -> bytes:
    """All flow mods in one bundle, with its commit."""

    def control(kind: int) -> bytes:
        return encode_message(b.BundleControl(1, kind, b.OFPBF_ATOMIC), 1, P_OF13)

    added = [
        encode_message(b.BundleAdd(1, b.OFPBF_ATOMIC, mod), int.from_bytes(mod[4:8], "big"), P_OF13)
        for mod in mods
    ]
    parts = [control(b.OFPBCT_OPEN_REQUEST), *added, control(b.OFPBCT_COMMIT_REQUEST)]
    return b"".join(parts)


def measure_switch(report: Report, number: int, side: Side, mods: list[bytes]) -> None:
    """The switch alone."""
    client = Client(side.management)
    client.barrier()

    def send(data: bytes) -> None:
        client.send(data)
        client.barrier()

    def dump() -> None:
        client.send(encode_message(m.FlowStatsRequest(), 9, P_OF13))
        client.take(_MULTIPART_REPLY, last=True)

    def in_turn() -> None:
        for mod in mods[:BARRIERS]:
            send(mod)

    before = side.memory_kb()
    everything = b"".join(mods)
    measure(report, number, side, "raw flow mods", MANY, lambda: send(everything))
    grown = (side.memory_kb() - before) * 1024 / MANY
    report.add("memory per flow", "bytes", number, grown, lower=True)
    measure(report, number, side, "raw dump", MANY, dump)
    measure(report, number, side, "flow mod and barrier, in turn", BARRIERS, in_turn)
    everything = encode_message(m.FlowMod(m.OFPFC_DELETE), 9, P_OF13)
    measure(report, number, side, "raw deletion of all", MANY, lambda: send(everything))
    everything = bundle(mods)
    measure(report, number, side, "raw bundle", MANY, lambda: send(everything))
    client.close()
    side.tool("del-flows", "br0")


def measure_packets(report: Report, number: int, side: Side) -> None:
    """A packet-out that comes back as packet-in."""
    client = Client(side.management)
    client.send(encode_message(m.SetConfig(miss_send_len=0xFFFF), 1, P_OF13))
    controller = FIELD["in_port_oxm"].put(0, 0xFFFFFFFD)
    packet_out = encode_message(
        m.PacketOut(bytes(12) + b"\x08\x06" + bytes(46), Match(controller, controller),
                    (a.Output(0xFFFFFFFD, 0xFFFF),)),
        3,
        P_OF13,
    )  # fmt: skip

    def rounds(at_once: int) -> None:
        for _ in range(PACKETS // at_once):
            client.send(packet_out * at_once)
            for _ in range(at_once):
                client.take(_PACKET_IN)

    for at_once in (1, 50):
        what = f"packet-out and packet-in, {at_once} at once"
        measure(report, number, side, what, PACKETS, lambda: rounds(at_once))  # noqa: B023
    client.close()


def main() -> None:
    """Measure both sides in turns and print the table."""
    try:
        programs = (own_programs(), debian_programs())
    except Unsupported as error:
        print(f"openflow: {error}")
        return
    directory = Path(tempfile.mkdtemp(prefix="nlb"))
    sides: list[Side] = []
    report = Report("OpenFlow")
    try:
        for number, each in enumerate(programs):
            sides.append(Side(directory / str(number), each))
        files = {count: directory / f"flows{count}" for count in (FEW, MANY)}
        for count, path in files.items():
            flow_file(path, count)
        mods = flow_mods(MANY)
        for _ in range(ROUNDS):
            for number, side in enumerate(sides):
                measure_switch(report, number, side, mods)
                measure_tools(report, number, side, files)
                measure_packets(report, number, side)
    finally:
        for side in sides:
            side.switch.stop()
        shutil.rmtree(directory, ignore_errors=True)
    report.print()
