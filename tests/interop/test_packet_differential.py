"""The same frames into Debian's switch and ours: the same frames out of every port.

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
from tests.support.peers import wait_until
from trace_cases import TraceCase, fdb_entries, vsctl_lines
from trace_peers import TracePeer

from netloom.packet.parse import FRAG_LATER, parse

pytestmark = pytest.mark.interop
ROUNDS = int(os.environ.get("NETLOOM_PACKET_ROUNDS", "6"))
SEED = int(os.environ.get("NETLOOM_PACKET_SEED", "20261121"))
PACKETS = 60
OURS = (sys.executable, "-m", "netloom.programs.vswitchd")
#: What nobody can foresee: which address is taken first, and random numbers.
UNFORESEEN = ("random", "10.9.9.1-", "group:8")


def comparable(frame: bytes) -> bytes:
    """The frame, without two bytes of a later fragment: where a whole packet has its checksum, 3.1
    adjusts what is data here when an address changes."""
    headers = parse(frame)
    at = headers.l4 + {6: 16, 17: 6}.get(headers.proto, 0)
    if headers.frag & FRAG_LATER and at > headers.l4 and at + 2 <= headers.end:
        return frame[:at] + b"--" + frame[at + 2 :]
    return frame


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
        # Which copy of a packet leaves first is not promised: one that comes back may be faster.
        return sorted(map(comparable, frames))


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
        self.may_learn = True
        names = [words[2] for line in SETUP.splitlines() if (words := line.split())[0] == "port"]
        self.ports = {name: Port(switch, name) for name in names}

    def begin(self, flows: str) -> None:
        """Forget connections and fragments; other flows."""
        self.may_learn = "NORMAL" in flows
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
            self.switch.control("time/warp", "20", "10")
        if self.may_learn:
            # When counters of flows are pushed, and with them learning, is a matter of threads.
            self.switch.control("revalidator/purge")
        return self.sent()


@pytest.fixture
def sides(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Side, Side]]:
    # Each test has switches of its own: Debian's ends at some tables (an assertion fails).
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
    # Flows that are fine one by one may need different protocols.
    text = "\n".join(taken)
    done = side.switch.run("ovs-ofctl", "-O", "OpenFlow13", "add-flows", "br0", "-", stdin=text,
                           check=False)  # fmt: skip
    return [] if done.returncode else taken


def told(port: str, frames: list[bytes], sent: tuple[dict[str, list[bytes]], ...]) -> str:
    """What was received, and the first frame of each port that differs."""
    lines = [f"netdev-dummy/receive {port} {frame.hex()}" for frame in frames]
    for name, theirs in sent[0].items():
        ours = sent[1][name]
        if theirs != ours:
            lines.append(f"{name}: {len(theirs)} frames, of ours {len(ours)}")
            pairs = zip(theirs, ours, strict=False)
            lines += next(([t.hex(), o.hex()] for t, o in pairs if t != o), [])
    return "\n".join(["", *lines])


def _agree_later(
    sides: tuple[Side, Side], theirs: dict[str, list[bytes]], ours: dict[str, list[bytes]]
) -> bool:
    """Whether what leaves is equal in the end: a busy switch may answer before it forwards."""

    def agree() -> bool:
        for side, sent in zip(sides, (theirs, ours), strict=True):
            side.switch.control("time/warp", "1")
            for name, frames in side.sent().items():
                sent[name] = sorted(sent[name] + frames)
        return ours == theirs

    return wait_until(agree)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", [SEED + n for n in range(ROUNDS)])
def test_equal_frames_leave_by_every_port(sides: tuple[Side, Side], seed: int) -> None:
    rng = random.Random(seed)
    generator = Generator(rng)
    flows = usable(sides[0], generator.flows()) or usable(sides[0], generator.flows())
    if seed % 2:
        # What megaflows are hit can only be foreseen if nothing is learned.
        flows = [flow.replace("NORMAL", "output:3") for flow in flows]
    for side in sides:
        side.begin("\n".join(flows))
    packets = Packets(rng)
    for _ in range(PACKETS):
        port = rng.choice(["p1", "p1", "p2", "p3", "p4", "p5"])
        frames = packets.some()
        try:
            theirs = sides[0].receive(port, frames)
        except (OSError, AssertionError):
            pytest.skip("the peer died")
        ours = sides[1].receive(port, frames)
        if ours != theirs and not _agree_later(sides, theirs, ours):
            pytest.fail("\n".join([*flows, told(port, frames, (theirs, ours))]), pytrace=False)
