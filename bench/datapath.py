"""The data paths side by side: a wire, Linux's bridge, ours in the kernel, Debian's in user space.

Every side is two machines (namespaces) and what joins them. The sides take turns at every figure,
in many short slices and another order each time, so that whatever else the machine does hits all of
them. What counts are the ratios to the wire, slice by slice, of which the median is shown. Sender
and receiver each keep to a processor of their own.
The figures: small UDP packets a second, TCP with one and four streams, the time of a question and
its answer, connections opened and closed a second. Ours and Debian's are measured with more than
NORMAL as well: many megaflows, under many masks, connection tracking; and all through VXLAN.

The peer's packet sockets do not understand checksum offload, so its machines send with `tx off`.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from statistics import median

from rich.console import Console
from rich.table import Table

from netloom.lab.lab import Lab
from netloom.lab.namespace import VirtualMachine
from netloom.lab.peers import debian_programs
from netloom.lab.switch import Programs, Switch, own_programs

SLICES = 9
SECONDS = 0.5
TCP_SECONDS = 1
N_FLOWS = (1, 64, 2_000, 20_000)
#: Masks that so many flows are divided among.
N_MASKS, N_MASKED = (1, 8, 32), 2_000
#: Misses a second that even the slowest answers.
WARM_UP_FLOWS = 4_000
#: Flows stay while others are measured.
MAX_IDLE_MS = 600_000

#: Sends frames of 60 bytes for some ports, many with one system call. The address is nobody's.
SENDER = """
import ctypes, socket, struct, sys, time
seconds, n_ports, batch = float(sys.argv[1]), int(sys.argv[2]), 64
libc = ctypes.CDLL(None)
sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
sock.bind(("eth0", 0))
head = bytes.fromhex("020000000002" "020000000001" "0800"
                     "4500002e000040004011" "2672" "0a000001" "0a00004d")
kept, batches = [], []
for first in range(0, max(n_ports, batch), batch):
    headers = bytearray()
    for port in range(first, first + batch):
        frame = head + struct.pack("!HHHH", 999, 1000 + port % n_ports, 26, 0) + bytes(18)
        data = ctypes.create_string_buffer(frame, len(frame))
        vector = (ctypes.c_uint64 * 2)(ctypes.addressof(data), len(frame))
        kept += [data, vector]
        headers += struct.pack("=QIxxxxQQQQixxxxIxxxx",
                               0, 0, ctypes.addressof(vector), 1, 0, 0, 0, 0)
    batches.append(ctypes.create_string_buffer(bytes(headers), len(headers)))
send, fd, end = libc.sendmmsg, sock.fileno(), time.monotonic() + seconds
while time.monotonic() < end:
    for headers in batches:
        send(fd, headers, batch, 0)
"""
#: Drops what is for the address that SENDER sends to as soon as it comes in at eth0: what a machine
#: does with packets is not what is measured.
SINK = """
import socket, struct
from netloom.datapath.ebpf.attach import Attachments
from netloom.datapath.ebpf.syscall import prog_load
code = b"".join(struct.pack("<BBhi", *row) for row in (
    (0xbf, 0x16, 0, 0), (0x30, 0, 0, 33), (0x15, 0, 2, 77), (0xb7, 0, 0, -1), (0x95, 0, 0, 0),
    (0xb7, 0, 0, 2), (0x95, 0, 0, 0)))
program = prog_load("sink", code, 0, b"")
Attachments(program, None, use_tcx=False).attach(socket.if_nametoindex("eth0"))
"""
ANSWERER = """
import socket, sys, threading
def serve(peer):
    with peer:
        while data := peer.recv(64):
            peer.send(data)
with socket.create_server((sys.argv[1], 7002), backlog=512) as listener:
    print("ready", flush=True)
    while True:
        peer, _ = listener.accept()
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if sys.argv[2] == "many":
            peer.recv(1)
            peer.close()
        else:
            threading.Thread(target=serve, args=(peer,), daemon=True).start()
"""
#: Prints the median of the microseconds that an answer takes, or connections a second.
ASKER = """
import socket, sys, time
address, kind, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
took, end = [], time.monotonic() + seconds
if kind == "one":
    peer = socket.create_connection((address, 7002))
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while (start := time.monotonic()) < end:
        peer.send(b"x")
        peer.recv(1)
        took.append(time.monotonic() - start)
    print(sorted(took)[len(took) // 2] * 1e6)
else:
    count = 0
    while time.monotonic() < end:
        peer = socket.create_connection((address, 7002))
        peer.send(b"x")
        peer.recv(1)
        peer.close()
        count += 1
    print(count / seconds)
"""


class Side:
    """Two machines and what joins them: here nothing but a wire."""

    title = "veth"
    offloads = True
    scenario = ""
    #: For how many UDP ports the flows are there.
    n_warm = 0

    def __init__(self, stack: ExitStack) -> None:
        self.lab = stack.enter_context(Lab(f"bench-{type(self).__name__}"))
        self.vm1 = self.lab.add_vm("vm1", "vif1", "10.0.0.1/24")
        self.vm2 = self.lab.add_vm("vm2", "vif2", "10.0.0.2/24")
        for number, vm in ((2, self.vm1), (1, self.vm2)):
            vm.ip("neigh", "replace", f"10.0.0.{number}", "lladdr", f"02:00:00:00:00:0{number}",
                  "dev", "eth0", "nud", "permanent")  # fmt: skip
            if not self.offloads:
                vm.run("ethtool", "-K", "eth0", "tx", "off")
        self.join()
        self.add_sink()

    def add_sink(self) -> None:
        """Have the second machine drop what the first sends for nobody."""
        self.vm2.run(sys.executable, "-c", SINK)

    def join(self) -> None:
        """One pair of devices from machine to machine, in place of one each to the host."""
        for vm in (self.vm1, self.vm2):
            vm.ip("link", "del", "eth0")
        self.vm1.run("ip", "link", "add", "eth0", "address", "02:00:00:00:00:01", "type", "veth",
                     "peer", "name", "eth0", "address", "02:00:00:00:00:02",
                     "netns", self.vm2.name)  # fmt: skip
        for number, vm in ((1, self.vm1), (2, self.vm2)):
            vm.ip("addr", "add", f"10.0.0.{number}/24", "dev", "eth0")
            vm.ip("link", "set", "eth0", "up")

    def prepare(self, scenario: str) -> None:
        """Set the scene; only switches have more than one."""


class BridgeSide(Side):
    title = "Linux bridge"

    def join(self) -> None:
        ip = self.lab.host.ip
        ip("link", "add", "br0", "type", "bridge")
        ip("link", "set", "br0", "up")
        for name in ("vif1", "vif2"):
            ip("link", "set", name, "master", "br0")


class SwitchSide(Side):
    """A bridge of a switch."""

    datapath_type = "system"

    def programs(self) -> Programs:
        return own_programs()

    def join(self) -> None:
        self.switch: Switch = self.lab.add_switch(programs=self.programs())
        self.switch.start()
        self.switch.run(
            *("ovs-vsctl", "add-br", "br0", "--", "set", "bridge", "br0"),
            f"datapath_type={self.datapath_type}",
            *("--", "add-port", "br0", "vif1", "--", "add-port", "br0", "vif2"),
            *("--", "set", "Open_vSwitch", ".", f"other_config:max-idle={MAX_IDLE_MS}"),
        )

    def prepare(self, scenario: str) -> None:
        if scenario == self.scenario:
            return
        self.scenario, self.n_warm = scenario, 0
        self.switch.run("ovs-ofctl", "del-flows", "br0")
        self.switch.run("ovs-ofctl", "add-flows", "br0", "-", stdin=flows_of(scenario))


class OwnSide(SwitchSide):
    title = "netloom in the kernel"


class PeerSide(SwitchSide):
    title = "Open vSwitch in user space"
    datapath_type = "netdev"
    offloads = False

    def programs(self) -> Programs:
        return debian_programs()


def flows_of(scenario: str) -> str:
    """The flow table of a scenario, as text."""
    if scenario == "conntrack":
        return (
            "table=0,priority=10,ip,ct_state=-trk,actions=ct(zone=1,table=1)\n"
            "table=0,priority=0,actions=NORMAL\n"
            "table=1,priority=10,ip,ct_state=+new,actions=ct(commit,zone=1),NORMAL\n"
            "table=1,priority=9,ip,ct_state=+est,actions=NORMAL\n"
        )
    if scenario.isdigit():
        return _rules(int(scenario), 1)
    if scenario.startswith("masks-"):
        return _rules(N_MASKED, int(scenario.removeprefix("masks-")))
    return "actions=NORMAL\n"


def _rules(n_flows: int, n_masks: int) -> str:
    """A rule for each UDP port. Those of the n-th mask look at n bits of the source address; as
    they come after those that look at fewer, their flows' masks are as many."""
    rules = [
        f"priority={100 - n % n_masks},udp,in_port=vif1,nw_src=10.0.0.1/{n % n_masks + 1},"
        f"tp_dst={1000 + n},actions=output:vif2"
        for n in range(n_flows)
    ]
    return "\n".join([*rules, "priority=0,actions=NORMAL"]) + "\n"


def received(vm: VirtualMachine) -> int:
    shown = json.loads(vm.run("ip", "-s", "-j", "link", "show", "eth0").stdout)
    return int(shown[0]["stats64"]["rx"]["packets"])


def on_processor(number: int) -> tuple[str, ...]:
    """How a command begins that is to keep to one of the processors."""
    usable = sorted(os.sched_getaffinity(0))
    return ("taskset", "-c", str(usable[number % len(usable)]))


def packets_per_second(side: Side, n_ports: int = 1) -> float:
    def send(seconds: float) -> None:
        side.vm1.run(*on_processor(1), "python3", "-c", SENDER, str(seconds), str(n_ports))

    send(0.1 if side.n_warm >= n_ports else 0.3 + 2 * n_ports / WARM_UP_FLOWS)
    side.n_warm = max(side.n_warm, n_ports)
    before = received(side.vm2)
    send(SECONDS)
    return (received(side.vm2) - before) / SECONDS


def packets_per_cpu_second(side: Side) -> float:
    """By the processor time of the sender, in whose system calls a kernel data path does all that
    it does: how busy the machine is matters little."""
    before, loop = SENDER.split("send, fd, end = ")
    code = f"{before}began = time.process_time()\nsend, fd, end = {loop}"
    code += "print(time.process_time() - began)\n"
    count = received(side.vm2)
    took = side.vm1.run(*on_processor(1), "python3", "-c", code, str(SECONDS), "1").stdout
    return (received(side.vm2) - count) / float(took)


def tcp_gbps(side: Side, n_streams: int, by_cpu: bool = False) -> float:
    """By the clock, or by the processor time of both ends."""
    server = " ".join(on_processor(0)) if n_streams == 1 else ""
    side.vm2.run("sh", "-c", f"{server} iperf3 -s -1 -D >/dev/null 2>&1; sleep 0.2")
    client = on_processor(1) if n_streams == 1 else ()
    argv = ("iperf3", "-c", "10.0.0.2", "-t", str(TCP_SECONDS), "-P", str(n_streams), "-J")
    result = json.loads(side.vm1.run(*client, *argv).stdout)
    rate = float(result["end"]["sum_received"]["bits_per_second"]) / 1e9
    used = result["end"]["cpu_utilization_percent"]
    return rate / ((used["host_total"] + used["remote_total"]) / 100) if by_cpu else rate


def ask(side: Side, kind: str) -> float:
    inside = (*("ip", "netns", "exec", side.vm2.name), *on_processor(0),
              "python3", "-c", ANSWERER, "10.0.0.2", kind)  # fmt: skip
    with subprocess.Popen(inside, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None and server.stdout.readline() == "ready\n"
            asked = side.vm1.run(
                *on_processor(1), "python3", "-c", ASKER, "10.0.0.2", kind, str(SECONDS)
            )
            return float(asked.stdout)
        finally:
            server.kill()


Figure = tuple[str, str, str, tuple[type[Side], ...], Callable[[Side], float]]
#: (figure, unit, scenario, sides that take part, how it is measured); times are better if lower.
_ALL: tuple[type[Side], ...] = (Side, BridgeSide, OwnSide, PeerSide)
_SWITCHES = (Side, OwnSide, PeerSide)
FIGURES: tuple[Figure, ...] = (
    ("UDP, 60 bytes", "packets/s", "", _ALL, packets_per_second),
    ("UDP, 60 bytes, by CPU", "packets/CPU-s", "", (Side, BridgeSide, OwnSide),
     packets_per_cpu_second),
    ("TCP, 1 stream", "Gb/s", "", _ALL, lambda side: tcp_gbps(side, 1)),
    ("TCP, by CPU", "Gb/CPU-s", "", (Side, BridgeSide, OwnSide),
     lambda side: tcp_gbps(side, 1, by_cpu=True)),
    ("TCP, 4 streams", "Gb/s", "", _ALL, lambda side: tcp_gbps(side, 4)),
    ("TCP_RR, median", "us", "", _ALL, lambda side: ask(side, "one")),
    ("TCP_CRR", "connections/s", "", _ALL, lambda side: ask(side, "many")),
    *(
        (f"UDP, {n} megaflows", "packets/s", str(n), _SWITCHES,
         lambda side, n=n: packets_per_second(side, n))
        for n in N_FLOWS
    ),
    *(
        (f"UDP, {N_MASKED} megaflows, {n} masks", "packets/s", f"masks-{n}", _SWITCHES,
         lambda side: packets_per_second(side, N_MASKED))
        for n in N_MASKS
    ),
    ("UDP, conntrack", "packets/s", "conntrack", _SWITCHES, packets_per_second),
    ("TCP, conntrack", "Gb/s", "conntrack", _SWITCHES, lambda side: tcp_gbps(side, 1)),
    ("TCP_CRR, conntrack", "connections/s", "conntrack", _SWITCHES, lambda side: ask(side, "many")),
)  # fmt: skip


def _tunnelled() -> tuple[Figure, ...]:
    """The figures through VXLAN."""
    from bench.tunnels import BridgeTunnel, OwnTunnel, PeerTunnel

    kinds: tuple[type[Side], ...] = (Side, BridgeTunnel, OwnTunnel, PeerTunnel)
    return (
        ("UDP, VXLAN", "packets/s", "", kinds, packets_per_second),
        ("TCP, 1 stream, VXLAN", "Gb/s", "", kinds, lambda side: tcp_gbps(side, 1)),
        ("TCP, 4 streams, VXLAN", "Gb/s", "", kinds, lambda side: tcp_gbps(side, 4)),
        ("TCP_RR, VXLAN", "us", "", kinds, lambda side: ask(side, "one")),
    )


#: Title of a figure -> title of a side -> its slices.
Samples = dict[str, dict[str, list[float]]]


def measure_all(stack: ExitStack, figures: tuple[Figure, ...]) -> Samples:
    """All slices of all figures, of all sides that take part."""
    samples: Samples = {}
    made = dict.fromkeys(kind for _, _, _, kinds, _ in figures for kind in kinds)
    sides = {kind: kind(stack) for kind in made}
    for title, _unit, scenario, kinds, measure in figures:
        for kind in kinds:
            sides[kind].prepare(scenario)
        row: dict[str, list[float]] = {kind.title: [] for kind in kinds}
        samples[title] = row
        for number in range(SLICES):
            at = number % len(kinds)
            for kind in (*kinds[at:], *kinds[:at]):
                side = sides[kind]
                if not any(side.vm1.ping("10.0.0.2", count=2) for _ in range(3)):
                    raise SystemExit(f"{kind.title} forwards nothing")
                row[kind.title].append(measure(side))
    return samples


def ratio(row: dict[str, list[float]], ours: str, theirs: str) -> float:
    """The median of the ratios of what was measured one after the other."""
    return median(a / b for a, b in zip(row[ours], row[theirs], strict=True))


def main(wanted: tuple[str, ...] = ()) -> None:
    """All figures, or those whose titles begin with one of these words."""
    figures = (*FIGURES, *_tunnelled())
    if wanted:
        figures = tuple(figure for figure in figures if figure[0].startswith(wanted))
    with ExitStack() as stack:
        samples = measure_all(stack, figures)
    show(figures, samples)
    show_goals(samples)


def show(figures: tuple[Figure, ...], samples: Samples) -> None:
    table = Table("figure", "unit", *(kind.title for kind in _ALL), title="Data paths (x of veth)")
    for title, unit, _, kinds, _ in figures:
        row = samples[title]
        by_title = {}
        for kind in kinds:
            # Tunnels' sides are columns of the others.
            times = ratio(row, kind.title, Side.title)
            by_title[kind.title] = f"{median(row[kind.title]):.4g} ({times:.2f})"
        table.add_row(title, unit, *(by_title.get(kind.title, "") for kind in _ALL))
    Console(width=140).print(table)


#: (figure, times of which side, at least).
GOALS = (
    ("UDP, 60 bytes", BridgeSide.title, 1.5),
    ("UDP, 60 bytes, by CPU", BridgeSide.title, 1.5),
    ("TCP, 1 stream", Side.title, 0.95),
    ("TCP, by CPU", Side.title, 0.95),
    ("TCP, 4 streams", Side.title, 0.95),
    ("TCP, 1 stream", PeerSide.title, 15.0),
    ("TCP, 4 streams", PeerSide.title, 15.0),
)


def show_goals(samples: Samples) -> None:
    """How far the goals are reached, with the spread of the slices."""
    table = Table("figure", "times of", "ours", "slices", "goal", "reached", title="Goals")
    for title, theirs, goal in GOALS:
        row = samples.get(title)
        if row is None:
            continue
        times = ratio(row, OwnSide.title, theirs)
        slices = sorted(a / b for a, b in zip(row[OwnSide.title], row[theirs], strict=True))
        spread = f"{slices[0]:.2f} to {slices[-1]:.2f}"
        reached = "yes" if times >= goal else "NO"
        table.add_row(title, theirs, f"{times:.2f}", spread, f">= {goal:g}", reached)
    Console(width=140).print(table)


if __name__ == "__main__":
    # `bench.tunnels` shall have the same classes.
    importlib.import_module("bench.datapath").main(tuple(sys.argv[1:]))
