"""The first side-by-side: packets and TCP through both userspace data paths, and ovs-vsctl.

Both switches run in labs of their own, one bridge with two machines, `datapath_type=netdev`, and
take turns, so that whatever else the machine does hits both. The peer's packet sockets do not
understand checksum offload (its TCP would stand still), so its machines send with `tx off`.
"""

from __future__ import annotations

import json
import time
from contextlib import ExitStack

from bench.report import Report
from netloom.lab.lab import Lab
from netloom.lab.namespace import VirtualMachine
from netloom.lab.peers import debian_programs
from netloom.lab.switch import Programs, Switch, own_programs

ROUNDS = 5
PPS_SECONDS = 2.0
TCP_SECONDS = 2
VSCTL_REPEATS = 10

#: Sends 60-byte UDP packets as fast as it can for the given time, and prints how many.
SENDER = """
import socket, sys, time
address, seconds = sys.argv[1], float(sys.argv[2])
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.connect((address, 9))
send, data, sent, end = sock.send, bytes(18), 0, time.monotonic() + seconds
while time.monotonic() < end:
    for _ in range(200):
        try:
            send(data)
            sent += 1
        except OSError:
            pass
print(sent)
"""

#: The ten commands that a script calls most.
VSCTL_COMMANDS = (
    ("--version",),
    ("show",),
    ("list-br",),
    ("br-exists", "br0"),
    ("list-ports", "br0"),
    ("get", "Interface", "vif1", "ofport"),
    ("--no-wait", "set", "Bridge", "br0", "external-ids:bench=1"),
    ("--columns=name,ofport", "list", "Interface"),
    ("add-port", "br0", "bench0", "--", "set", "Interface", "bench0", "type=internal"),
    ("del-port", "br0", "bench0"),
)


class Side:
    """One implementation: a lab with one bridge and two machines."""

    def __init__(self, lab: Lab, programs: Programs, offloads: bool) -> None:
        self.switch: Switch = lab.add_switch(programs=programs)
        self.vm1: VirtualMachine = lab.add_vm("vm1", "vif1", "10.0.0.1/24")
        self.vm2: VirtualMachine = lab.add_vm("vm2", "vif2", "10.0.0.2/24")
        if not offloads:
            for vm in (self.vm1, self.vm2):
                vm.run("ethtool", "-K", "eth0", "tx", "off")
        self.switch.start()
        self.switch.run(
            *("ovs-vsctl", "add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev"),
            *("--", "add-port", "br0", "vif1", "--", "add-port", "br0", "vif2"),
        )
        self.vm2.run("ip", "neigh", "replace", "10.0.0.1", "lladdr", "02:00:00:00:00:01",
                     "dev", "eth0", "nud", "permanent")  # fmt: skip

    def received(self) -> int:
        shown = json.loads(self.vm2.run("ip", "-s", "-j", "link", "show", "eth0").stdout)
        return int(shown[0]["stats64"]["rx"]["packets"])

    def packets_per_second(self) -> float:
        before, started = self.received(), time.monotonic()
        self.vm1.run("python3", "-c", SENDER, self.vm2.ip_address, str(PPS_SECONDS))
        return (self.received() - before) / (time.monotonic() - started)

    def tcp_gbps(self) -> float:
        self.vm2.run("sh", "-c", "iperf3 -s -1 -D >/dev/null 2>&1; sleep 0.3")
        argv = ("iperf3", "-c", self.vm2.ip_address, "-t", str(TCP_SECONDS), "-J")
        result = json.loads(self.vm1.run(*argv).stdout)
        return float(result["end"]["sum_received"]["bits_per_second"]) / 1e9

    def vsctl_ms(self, argv: tuple[str, ...]) -> float:
        started = time.monotonic()
        self.switch.run("ovs-vsctl", *argv)
        return (time.monotonic() - started) * 1e3


def main() -> None:
    report = Report("First light: userspace data path and ovs-vsctl")
    with ExitStack() as stack:
        labs = [stack.enter_context(Lab("bench-own")), stack.enter_context(Lab("bench-peer"))]
        sides = [
            Side(labs[0], own_programs(), offloads=True),
            Side(labs[1], debian_programs(), offloads=False),
        ]
        for _ in range(ROUNDS):
            for number, side in enumerate(sides):
                if not side.vm1.ping("10.0.0.2", count=3):
                    raise SystemExit(f"{report.sides[number]} forwards nothing")
                report.add("UDP, 60 bytes", "packets/s", number, side.packets_per_second())
                report.add("TCP, one stream", "Gb/s", number, side.tcp_gbps())
        for _ in range(VSCTL_REPEATS):
            for argv in VSCTL_COMMANDS:
                for number, side in enumerate(sides):
                    title = "ovs-vsctl " + " ".join(argv)[:40]
                    report.add(title, "ms", number, side.vsctl_ms(argv), lower=True)
    report.print()
