"""What a miss costs: new flows per second of processor time, ours and Open vSwitch's.

Both switches run in labs of their own with `datapath_type=netdev`. A machine sends frames of which
each needs a flow of its own, slowly enough that none is lost; what is measured is the processor
time of the whole daemon, kernel calls included, over the misses that its data path counted.

The second part measures the classifier alone, in this process."""

from __future__ import annotations

import os
import random
import re
import struct
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from bench.report import Report
from netloom.flow.match import Match
from netloom.flow.text import parse_match
from netloom.lab.lab import Lab
from netloom.lab.peers import debian_programs
from netloom.lab.switch import Programs, Switch, own_programs
from netloom.ofproto.classifier import Classifier
from netloom.ofproto.rules import Rule

ROUNDS = 3
FRAMES = 4_000
ACL_FLOWS = 10_000
TABLE_SIZES = (1_000, 10_000, 100_000)
LOOKUPS = 20_000
UPDATES = 2_000

#: Sends the frames of a file (each after its length, 2 bytes), a few at a time.
SENDER = """
import socket, struct, sys, time
data = open(sys.argv[1], "rb").read()
sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
sock.bind(("eth0", 0))
at = n = 0
while at < len(data):
    size, = struct.unpack_from("!H", data, at)
    sock.send(data[at + 2 : at + 2 + size])
    at += 2 + size
    n += 1
    if not n % 20:
        time.sleep(0.004)
"""


def udp_frame(eth_src: int, ip_dst: int, src_port: int) -> bytes:
    """A 60-byte UDP packet from 10.0.0.1; checksums left out, as nobody looks."""
    ethernet = struct.pack(
        "!6s6sH", bytes.fromhex("020000000002"), eth_src.to_bytes(6, "big"), 0x800
    )
    ip = struct.pack("!BBHHHBBHII", 0x45, 0, 46, 0, 0, 64, 17, 0, 0x0A000001, ip_dst)
    total = sum(struct.unpack("!10H", ip))
    total = (total & 0xFFFF) + (total >> 16)
    ip = ip[:10] + struct.pack("!H", ~total & 0xFFFF) + ip[12:]
    return ethernet + ip + struct.pack("!HHHH", src_port, 9, 26, 0) + bytes(18)


def normal_frames(rng: random.Random) -> list[bytes]:
    """Each from an address that the switch has not seen."""
    start = 0x020000000000 | rng.getrandbits(24) << 16
    return [udp_frame(start + n, 0x0A000002, 1_000) for n in range(FRAMES)]


def acl_frames(rng: random.Random) -> list[bytes]:
    """Each to another of the networks that the ACLs name."""
    chosen = rng.sample(range(ACL_FLOWS), FRAMES)
    return [udp_frame(0x020000000001, 0x14000000 + (n << 8) + 7, 1_000) for n in chosen]


def connection_frames(rng: random.Random) -> list[bytes]:
    """Each the first of a connection."""
    start = rng.randrange(1_024, 60_000 - FRAMES)
    return [udp_frame(0x020000000001, 0x0A000002, start + n) for n in range(FRAMES)]


def acl_flows() -> str:
    return "".join(
        f"priority=100,ip,nw_dst=20.{n >> 8}.{n & 255}.0/24,actions=output:2\n"
        for n in range(ACL_FLOWS)
    )


def agent_flows() -> str:
    """Tables as on a Neutron host: anti-spoofing, egress and ingress rules by connection state, and
    some hundred flows of other ports that the packets do not match."""
    others = "".join(
        f"table=60,priority=100,in_port={port},actions=load:{port}->NXM_NX_REG5[],resubmit(,71)\n"
        f"table=71,priority=65,reg5={port},ip,dl_src=02:00:00:00:{port >> 8:02x}:{port & 255:02x},"
        f"nw_src=10.0.{port >> 8}.{port & 255},actions=resubmit(,72)\n"
        f"table=82,priority=70,ct_state=+est-rel-rpl,reg5={port},actions=output:{port}\n"
        for port in range(100, 210)
    )
    return others + (
        "table=0,priority=0,actions=resubmit(,60)\n"
        "table=60,priority=100,in_port=1,actions=load:1->NXM_NX_REG5[],load:7->NXM_NX_REG6[],"
        "resubmit(,71)\n"
        "table=71,priority=65,reg5=1,ip,in_port=1,nw_src=10.0.0.1,actions="
        "ct(table=72,zone=NXM_NX_REG6[0..15])\n"
        "table=72,priority=77,ct_state=+new-est,ip,reg5=1,actions=resubmit(,73)\n"
        "table=72,priority=75,ct_state=+est-rel-rpl,reg5=1,actions=resubmit(,73)\n"
        "table=72,priority=50,ct_state=+inv+trk,actions=drop\n"
        "table=73,priority=90,ct_state=+new-est,ip,reg5=1,actions="
        "ct(commit,zone=NXM_NX_REG6[0..15]),resubmit(,91)\n"
        "table=73,priority=80,reg5=1,actions=resubmit(,91)\n"
        "table=91,priority=1,actions=resubmit(,94)\n"
        "table=94,priority=1,actions=output:2\n"
    )


#: Name of the figure -> flows, frames.
CASES: dict[str, tuple[Callable[[], str], Callable[[random.Random], list[bytes]]]] = {
    "NORMAL": (lambda: "actions=NORMAL\n", normal_frames),
    "10,000 prefixes": (acl_flows, acl_frames),
    "br-int with conntrack": (agent_flows, connection_frames),
}


class Side:
    """One implementation: a lab with one bridge and two machines."""

    def __init__(self, lab: Lab, programs: Programs) -> None:
        self.switch: Switch = lab.add_switch(programs=programs)
        self.vm1 = lab.add_vm("vm1", "vif1", "10.0.0.1/24")
        lab.add_vm("vm2", "vif2", "10.0.0.2/24")
        self.switch.start()
        self.switch.run(
            *("ovs-vsctl", "add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev"),
            *(
                "--",
                "add-port",
                "br0",
                "vif1",
                "--",
                "set",
                "interface",
                "vif1",
                "ofport_request=1",
            ),
            *(
                "--",
                "add-port",
                "br0",
                "vif2",
                "--",
                "set",
                "interface",
                "vif2",
                "ofport_request=2",
            ),
        )

    def _cpu_seconds(self) -> float:
        pid = (self.switch.rundir / "ovs-vswitchd.pid").read_text().strip()
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _misses(self) -> int:
        shown = self.switch.run("ovs-appctl", "dpctl/show").stdout
        found = re.search(r"missed:(\d+)", shown)
        assert found is not None, shown
        return int(found[1])

    def set_flows(self, flows: str) -> None:
        path = self.switch.rundir / "flows"
        path.write_text(flows)
        self.switch.run("ovs-ofctl", "del-flows", "br0")
        self.switch.run("ovs-ofctl", "add-flows", "br0", str(path))

    def misses_per_cpu_second(self, frames: list[bytes]) -> float:
        self.switch.run("ovs-appctl", "fdb/flush", "br0")
        self.switch.run("ovs-appctl", "revalidator/purge")
        path = self.switch.rundir / "frames"
        path.write_bytes(b"".join(struct.pack("!H", len(frame)) + frame for frame in frames))
        misses, cpu = self._misses(), self._cpu_seconds()
        self.vm1.run("python3", "-c", SENDER, str(path))
        misses, cpu = self._misses() - misses, self._cpu_seconds() - cpu
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


def bench_classifier() -> None:
    """Lookups and updates of a table of 8 masks, by its size; without a peer to compare with."""
    rng = random.Random(2)
    print("classifier: 8 masks, microseconds")
    for size in TABLE_SIZES:
        table: Classifier[Rule] = Classifier()
        for n in range(size):
            table.insert(_rule(n))
        values = [_match(rng.getrandbits(29), 32).value for _ in range(LOOKUPS)]
        lookup = _cpu_us(lambda values=values, table=table: [table.lookup(v) for v in values])
        more = [_rule(size + n) for n in range(UPDATES)]
        update = _cpu_us(lambda more=more, table=table: [table.insert(rule) for rule in more])
        print(f"  {size:7,} rules: lookup {lookup / LOOKUPS:.2f}, insertion {update / UPDATES:.2f}")


def _match(number: int, length: int) -> Match:
    address = ".".join(map(str, number.to_bytes(4, "big")))
    return parse_match(f"ip,nw_dst={address}/{length}")


def _rule(n: int) -> Rule:
    """One of 8 prefix lengths, none twice."""
    length = 24 - (n & 7)
    return Rule(n, 0, _match(n >> 3 << 32 - length, length), 100 - (n & 7), (), 0)


def _cpu_us(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return (time.process_time() - started) * 1e6


def main() -> None:
    report = Report("Pipeline: the cost of a miss")
    bench_misses(report)
    report.print()
    bench_classifier()
