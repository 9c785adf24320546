"""The short road of connection tracking says what the long one says, packet by packet."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "datapath"))
from test_conntrack import ACK, FIN, RST, SYN, A, B, icmp, tcp, udp

from netloom.base.counters import Counters
from netloom.datapath.action_parse import parse_actions
from netloom.datapath.actions import Ct
from netloom.datapath.userspace.conntrack.key import tracked_of, write_tracked
from netloom.datapath.userspace.conntrack.plan import CtPlan
from netloom.datapath.userspace.conntrack.text import format_connection
from netloom.datapath.userspace.conntrack.tracker import ConnTracker
from netloom.flow.extract import extract_key
from netloom.packet.marks import VOUCHED
from netloom.packet.parse import parse

ACTIONS = (
    "ct", "ct(commit)", "ct(commit,zone=3)", "ct(zone=3)", "ct(commit,mark=0x5/0xf)",
    "ct(commit,label=0x7/0xff)", "ct(commit,timeout=short)", "ct(force_commit)",
)  # fmt: skip
PACKETS = 400


def random_packet(rng: random.Random) -> bytes:
    there = rng.random() < 0.6
    src, dst = (A, B) if there else (B, A)
    ports = (rng.randrange(1_000, 1_003), 80)
    sport, dport = ports if there else ports[::-1]
    kind = rng.random()
    if kind < 0.35:
        data = rng.choice((b"", b"x", b"hello"))
        packet = bytearray(udp(src, dst, sport, dport, data))
        if rng.random() < 0.3:
            packet[40:42] = b"\0\0"
    elif kind < 0.9:
        flags = rng.choice((SYN, SYN | ACK, ACK, ACK, FIN | ACK, RST, 0, 0x3F))
        seq, ack = rng.choice((0, 1, 100, 1 << 31)), rng.choice((0, 1, 2, 101))
        packet = bytearray(tcp(src, dst, sport, dport, flags, seq, ack, rng.randrange(3)))
    else:
        packet = bytearray(icmp(src, dst, 8 if there else 0))
    if rng.random() < 0.1:
        # Broken somewhere: in a header, or cut.
        at = rng.randrange(14, len(packet))
        packet[at] ^= 1 << rng.randrange(8)
    if rng.random() < 0.05:
        packet = packet[: rng.randrange(34, len(packet) + 1)]
    return bytes(packet) + bytes(rng.choice((0, 0, 7)))


class Side:
    """A tracker that keeps few connections, so that all limits are met."""

    def __init__(self) -> None:
        self.counters = Counters()
        self.tracker = ConnTracker(self.counters, lambda: 5)
        self.tracker.max_connections = 5
        self.tracker.limits.set(3, 2)
        self.tracker.set_timeout_policy("short", {"udp_first": 1, "tcp_first_packet": 1})

    def told(self, now_ms: int) -> object:
        connections = [format_connection(c, now_ms) for c in self.tracker.connections(now_ms)]
        return connections, [(c.name, c.total) for c in self.counters.all()]


@pytest.mark.parametrize("seed", range(20))
def test_short_and_long_road_of_tracking_agree(seed: int) -> None:
    rng = random.Random(seed)
    long, short = Side(), Side()
    now_ms, n_short = 1_000, 0
    for _ in range(PACKETS):
        now_ms += rng.choice((0, 1, 500, 40_000 if rng.random() < 0.1 else 1))
        packet, known = random_packet(rng), VOUCHED if rng.random() < 0.2 else 0
        headers, key = parse(packet), extract_key(packet, 1)
        for text in rng.choices(ACTIONS, k=rng.choice((1, 2))):
            (ct,) = parse_actions(text)
            assert isinstance(ct, Ct)
            said = short.tracker.track_key(packet, key, CtPlan(ct), now_ms, known)
            n_short += said >= 0
            if said < 0:
                verdict = short.tracker.track(packet, headers, tracked_of(key), ct, now_ms, known)
                said = write_tracked(key, verdict.tracked)
            verdict = long.tracker.track(packet, headers, tracked_of(key), ct, now_ms, known)
            key = write_tracked(key, verdict.tracked)
            assert said == key
            assert short.told(now_ms) == long.told(now_ms)
    assert n_short > PACKETS // 3
