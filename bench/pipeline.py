"""What a miss costs: new flows per second of processor time, ours and Open vSwitch's.

Both switches run in labs of their own with `datapath_type=netdev`. A machine sends frames of which
each needs a flow of its own, slowly enough that none is lost; what is measured is the processor
time of the whole daemon, kernel calls included, over the misses that its data path counted.

Tables of growing size show what a lookup and an update cost there: misses on prefix rules, and
flow mods that add rules. The last part measures our classifier alone, in this process."""

from __future__ import annotations

import random
import re
import struct
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

from bench.agent_flows import address_of, agent_flows, mac_of
from bench.report import Report
from netloom.flow.match import Match
from netloom.flow.text import parse_match
from netloom.lab.lab import Lab
from netloom.lab.peers import debian_programs
from netloom.lab.switch import Programs, Switch, own_programs
from netloom.ofproto.classifier import Classifier
from netloom.ofproto.rules import Rule

T = TypeVar("T")

ROUNDS = 3
FRAMES = 4_000
ACL_FLOWS = 10_000
TABLE_SIZES = (1_000, 10_000, 100_000)
LOOKUPS = 20_000
UPDATES = 2_000

#: Sends the frames of a file (each after its length, 2 bytes), so many at a time.
SENDER = """
import socket, struct, sys, time
data = open(sys.argv[1], "rb").read()
sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
sock.bind(("eth0", 0))
at = n = 0
burst = int(sys.argv[2])
while at < len(data):
    size, = struct.unpack_from("!H", data, at)
    sock.send(data[at + 2 : at + 2 + size])
    at += 2 + size
    n += 1
    if not n % burst:
        time.sleep(burst * 0.0002)
"""
#: Frames that are sent at once: 5,000 a second in all.
BURST = 20


def udp_frame(
    eth_src: int,
    ip_dst: int,
    src_port: int,
    *,
    eth_dst: int = 0x020000000002,
    ip_src: int = 0x0A000001,
) -> bytes:
    """A 60-byte UDP packet, which needs no checksum."""
    ethernet = eth_dst.to_bytes(6, "big") + eth_src.to_bytes(6, "big") + b"\x08\0"
    ip = struct.pack("!BBHHHBBHII", 0x45, 0, 46, 0, 0, 64, 17, 0, ip_src, ip_dst)
    total = sum(struct.unpack("!10H", ip))
    total = (total & 0xFFFF) + (total >> 16)
    ip = ip[:10] + struct.pack("!H", ~total & 0xFFFF) + ip[12:]
    return ethernet + ip + struct.pack("!HHHH", src_port, 9, 26, 0) + bytes(18)


def normal_frames(rng: random.Random) -> list[bytes]:
    """Each from an address that the switch has not seen, to one that does not answer."""
    start = 0x020000000000 | rng.getrandbits(24) << 16
    return [udp_frame(start + n, 0x0A00004D, 1_000) for n in range(FRAMES)]


def acl_frames(rng: random.Random, n_flows: int = ACL_FLOWS) -> list[bytes]:
    """Each to another of the networks that the ACLs name."""
    chosen = rng.sample(range(n_flows), min(FRAMES, n_flows))
    return [udp_frame(0x020000000001, 0x14000000 + (n << 8) + 7, 1_000) for n in chosen]


def connection_frames(rng: random.Random) -> list[bytes]:
    """Each the first of a connection, to a machine of its own: NORMAL, which the tables end in,
    tells them apart by the address. All but one come back from the tracker and miss then."""
    port, start = rng.randrange(1_024, 60_000 - FRAMES), 0x060000000000 | rng.getrandbits(24) << 16
    source = int(mac_of(1).replace(":", ""), 16)
    address = int.from_bytes(map(int, address_of(1).split(".")), "big")
    return [
        udp_frame(source, 0x0A0C0000 + n, port + n, eth_dst=start + n, ip_src=address)
        for n in range(FRAMES)
    ]


def acl_flows(n_flows: int = ACL_FLOWS, first: int = 20) -> str:
    """Rules for the networks from `first`.0.0.0/24 on."""
    return "".join(
        f"priority=100,ip,nw_dst={first + (n >> 16)}.{n >> 8 & 255}.{n & 255}.0/24,"
        "actions=output:2\n"
        for n in range(n_flows)
    )


#: Name of the figure -> flows, frames.
CASES: dict[str, tuple[Callable[[], str], Callable[[random.Random], list[bytes]]]] = {
    "NORMAL": (lambda: "actions=NORMAL\n", normal_frames),
    "br-int, conntrack": (agent_flows, connection_frames),
    "10,000 prefixes": (acl_flows, acl_frames),
}


class Side:
    """One implementation: a lab with one bridge and two machines."""

    def __init__(self, lab: Lab, programs: Programs, datapath_type: str = "netdev") -> None:
        self.switch: Switch = lab.add_switch(programs=programs)
        self.vm1 = lab.add_vm("vm1", "vif1", "10.0.0.1/24")
        lab.add_vm("vm2", "vif2", "10.0.0.2/24")
        self.switch.start()
        command = f"ovs-vsctl add-br br0 -- set bridge br0 datapath_type={datapath_type}"
        for number in (1, 2):
            command += (
                f" -- add-port br0 vif{number} -- set interface vif{number} ofport_request={number}"
            )
        self.switch.run(*command.split())

    def cpu_seconds(self) -> float:
        """Of all threads of the daemon, in the kernel too."""
        pid = (self.switch.rundir / "ovs-vswitchd.pid").read_text().strip()
        threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
        return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9

    def _misses(self) -> int:
        shown = self.switch.run("ovs-appctl", "dpctl/show").stdout
        found = re.search(r"missed:(\d+)", shown)
        assert found is not None, shown
        return int(found[1])

    def set_flows(self, flows: str) -> None:
        self.switch.run("ovs-ofctl", "del-flows", "br0")
        self.add_flows(flows)

    def add_flows(self, flows: str) -> float:
        """CPU seconds that the daemon takes for these flows."""
        path = self.switch.rundir / "flows"
        path.write_text(flows)
        # The data path's flows, which a change of tables has translated again, are another matter.
        self.switch.run("ovs-appctl", "revalidator/purge")
        before = self.cpu_seconds()
        self.switch.run("ovs-ofctl", "add-flows", "br0", str(path))
        return self.cpu_seconds() - before

    def forget(self) -> None:
        """Have neither flows in the data path nor addresses learned."""
        self.switch.run("ovs-appctl", "fdb/flush", "br0")
        self.switch.run("ovs-appctl", "revalidator/purge")

    def send(self, frames: list[bytes], burst: int = BURST) -> None:
        """Have the machine send frames, so many at once."""
        path = self.switch.rundir / "frames"
        path.write_bytes(b"".join(struct.pack("!H", len(frame)) + frame for frame in frames))
        self.vm1.run("python3", "-c", SENDER, str(path), str(burst))

    def misses_per_cpu_second(self, frames: list[bytes]) -> float:
        self.forget()
        misses, cpu = self._misses(), self.cpu_seconds()
        self.send(frames)
        misses, cpu = self._misses() - misses, self.cpu_seconds() - cpu
        if misses < len(frames) // 2:
            raise SystemExit(f"only {misses} of {len(frames)} frames were misses")
        return misses / cpu


def bench_misses(report: Report) -> None:
    rng = random.Random(1)
    with ExitStack() as stack:
        labs = [stack.enter_context(Lab("bench-own")), stack.enter_context(Lab("bench-peer"))]
        sides = [Side(labs[0], own_programs()), Side(labs[1], debian_programs())]
        for name, (flows, make_frames) in CASES.items():
            for side in sides:
                side.set_flows(flows())
            for _ in range(ROUNDS):
                frames = make_frames(rng)
                for number, side in enumerate(sides):
                    rate = side.misses_per_cpu_second(frames)
                    report.add(f"misses: {name}", "/CPU-s", number, rate)
        for size in TABLE_SIZES:
            _bench_table(report, sides, size, rng)


def _bench_table(report: Report, sides: list[Side], size: int, rng: random.Random) -> None:
    """Lookups and updates in a table of `size` prefix rules: misses and flow mods, whole."""
    for number, side in enumerate(sides):
        side.set_flows(acl_flows(size))
        for turn in range(ROUNDS):
            added = side.add_flows(acl_flows(UPDATES, 40 + turn))
            report.add(f"flow mods that add among {size:,}", "/CPU-s", number, UPDATES / added)
            rate = side.misses_per_cpu_second(acl_frames(rng, size))
            report.add(f"misses among {size:,} prefixes", "/CPU-s", number, rate)


def bench_classifier() -> None:
    """Lookups and updates of a table of 8 masks, by its size; without a peer to compare with."""
    rng = random.Random(2)
    print("classifier: 8 masks, microseconds")
    for size in TABLE_SIZES:
        table: Classifier[Rule] = Classifier()
        for n in range(size):
            table.insert(_rule(n))
        values = [_match(rng.getrandbits(29), 32).value for _ in range(LOOKUPS)]
        lookup = _cpu_us(table.lookup, values)
        more = [_rule(size + n) for n in range(UPDATES)]
        update = _cpu_us(table.insert, more)
        print(f"  {size:7,} rules: lookup {lookup:.2f}, insertion {update:.2f}")


def _match(number: int, length: int) -> Match:
    address = ".".join(map(str, number.to_bytes(4, "big")))
    return parse_match(f"ip,nw_dst={address}/{length}")


def _rule(n: int) -> Rule:
    """One of 8 prefix lengths, none twice."""
    length = 24 - (n & 7)
    return Rule(n, 0, _match(n >> 3 << 32 - length, length), 100 - (n & 7), (), 0)


def _cpu_us(work: Callable[[T], object], arguments: Sequence[T]) -> float:
    """What one call costs."""
    started = time.process_time()
    for argument in arguments:
        work(argument)
    return (time.process_time() - started) * 1e6 / len(arguments)


def main() -> None:
    report = Report("Pipeline: the cost of a miss")
    bench_misses(report)
    report.print()
    bench_classifier()
