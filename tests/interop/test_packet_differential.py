"""The same frames into Debian's switch and ours: the same frames out of every port, in order.

Random tables, groups and VLAN modes (`random_flows`) and random frames (`random_packets`) with
connections, translations, fragments, labels and tags. Both switches run with dummy devices and
clocks that stand still; what leaves is read from the captures that the devices write.

NETLOOM_PACKET_ROUNDS and NETLOOM_PACKET_SEED make more of it, or others.
"""

from __future__ import annotations

import os
import random
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "trace"))
from random_flows import GROUPS, SETUP, Generator
from random_packets import Packets
from trace_cases import TraceCase, fdb_entries, vsctl_lines
from trace_peers import TracePeer

pytestmark = pytest.mark.interop
ROUNDS = int(os.environ.get("NETLOOM_PACKET_ROUNDS", "6"))
SEED = int(os.environ.get("NETLOOM_PACKET_SEED", "20261121"))
PACKETS = 60
OURS = (sys.executable, "-m", "netloom.programs.vswitchd")
#: What nobody can foresee: which address is taken first, and random numbers.
UNFORESEEN = ("random", "10.9.9.1-", "group:8")


class Port:
    """A dummy and its capture in a switch."""

    def __init__(self, switch: TracePeer, name: str) -> None:
        self.path = switch.directory / f"{name}.pcap"
        self._read = 24
        switch.vsctl(f"set interface {name} options:tx_pcap={self.path}")

    def sent(self) -> list[bytes]:
        """The frames that left since the last call."""
        data = self.path.read_bytes() if self.path.exists() else b""
        frames, at = [], self._read
        while at + 16 <= len(data):
            size = struct.unpack_from("=I", data, at + 8)[0]
            frames.append(data[at + 16 : at + 16 + size])
            at += 16 + size
        self._read = max(at, 24)
        return frames


class Side:
    """One switch with what is recorded of it."""

    def __init__(self, directory: Path, daemon: tuple[str, ...] = ("ovs-vswitchd",)) -> None:
        self.switch = switch = TracePeer(directory, daemon)
        case = TraceCase(f"=== setup\n{SETUP}")
        for line in vsctl_lines(case):
            switch.vsctl(line)
        for words in fdb_entries(case):
            switch.control("fdb/add", *words)
        switch.control("time/stop")
        switch.replace_groups("br0", GROUPS)
        switch.replace_flows("br1", "priority=0 actions=NORMAL")
        names = [words[2] for line in SETUP.splitlines() if (words := line.split())[0] == "port"]
        self.ports = {name: Port(switch, name) for name in names}

    def begin(self, flows: str) -> None:
        """Forget connections and fragments; other flows."""
        self.switch.replace_flows("br0", flows)
        self.switch.control("time/warp", "200000", "20000")
        self.switch.control("dpctl/flush-conntrack")
        self.switch.control("dpctl/ct-set-maxconns", "3000000")
        self.sent()

    def sent(self) -> dict[str, list[bytes]]:
        return {name: port.sent() for name, port in self.ports.items()}

    def receive(self, port: str, frames: list[bytes]) -> dict[str, list[bytes]]:
        for frame in frames:
            self.switch.control("netdev-dummy/receive", port, frame.hex())
            self.switch.control("time/warp", "20")
        self.switch.control("revalidator/wait")
        return self.sent()


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Side, Side]]:
    base = tmp_path_factory.mktemp("packets")
    made = [Side(base / "theirs"), Side(base / "ours", OURS)]
    yield made[0], made[1]
    for side in made:
        side.switch.close()


def usable(side: Side, flows: list[str]) -> list[str]:
    taken = []
    for flow in flows:
        if any(word in flow for word in UNFORESEEN):
            continue
        done = side.switch.run(
            "ovs-ofctl", "-O", "OpenFlow13", "add-flow", "br0", flow, check=False
        )
        if not done.returncode:
            taken.append(flow)
    return taken


def told(port: str, frames: list[bytes], flows: list[str], sides: tuple[Side, Side]) -> str:
    """What explains a difference."""
    dumps = [side.switch.appctl("dpctl/dump-flows", "--names", "-m") for side in sides]
    sent = "\n".join([f"ovs-appctl netdev-dummy/receive {port} {frame.hex()}" for frame in frames])
    return "\n".join(
        ["", *flows, "--- received", sent, "--- theirs", dumps[0], "--- ours", dumps[1]]
    )


@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", [SEED + n for n in range(ROUNDS)])
def test_equal_frames_leave_by_every_port(sides: tuple[Side, Side], seed: int) -> None:
    rng = random.Random(seed)
    flows = usable(sides[0], Generator(rng).flows())
    for side in sides:
        side.begin("\n".join(flows))
    packets = Packets(rng)
    n_sent = 0
    for _ in range(PACKETS):
        port = rng.choice(["p1", "p1", "p2", "p3", "p4", "p5"])
        frames = packets.some()
        theirs, ours = (side.receive(port, frames) for side in sides)
        assert ours == theirs, told(port, frames, flows, sides)
        n_sent += sum(map(len, theirs.values()))
    assert n_sent > PACKETS // 4, "hardly anything gets through these tables"
