"""Ingress policing: what comes in at a port faster than it may is dropped."""

from __future__ import annotations

import pytest

from netloom.datapath.userspace.policer import Policer, count_segments
from netloom.netdev.device import Packet
from netloom.netdev.qos import Policing
from netloom.packet.offload import GSO_TCPV4, NEEDS_CSUM, Offload


def admitted(policer: Policer, n: int, length: int, now_ms: int) -> int:
    return len(policer.admit([Packet(bytes(length))] * n, now_ms))


def test_a_full_bucket_lets_a_burst_in_and_then_the_rate() -> None:
    # 8 kbit at once are 1000 bytes; 80 kbit/s are 10 bytes a millisecond.
    policer = Policer(Policing(kbps=80, burst_kbit=8), 0)
    assert admitted(policer, 12, 100, 0) == 10
    assert policer.dropped == 2
    assert admitted(policer, 1, 100, 9) == 0
    assert admitted(policer, 2, 100, 10) == 1


def test_the_bucket_holds_no_more_than_a_burst() -> None:
    policer = Policer(Policing(kbps=80, burst_kbit=8), 0)
    assert admitted(policer, 20, 100, 3_600_000) == 10


def test_packets_count_whatever_their_length() -> None:
    policer = Policer(Policing(kpps=1, burst_kpkts=1), 0)
    assert admitted(policer, 1_001, 1, 0) == 1_000
    assert admitted(policer, 3, 9_000, 2) == 2


def test_both_limits_hold_and_what_is_dropped_takes_nothing() -> None:
    policer = Policer(Policing(kbps=8, burst_kbit=8, kpps=1, burst_kpkts=1), 0)
    assert admitted(policer, 1, 2_000, 0) == 0
    assert admitted(policer, 2, 500, 0) == 2
    assert admitted(policer, 1, 500, 0) == 0


@pytest.mark.parametrize(
    ("policing", "buckets"),
    [
        (Policing(kbps=1), (8_000_000, 16_000)),
        (Policing(kpps=1, burst_kpkts=3), (8_000_000, 3_000)),
        (Policing(kbps=1, burst_kbit=2), (2_000, 16_000)),
    ],
)
def test_buckets_have_the_sizes_of_the_manual(policing: Policing, buckets: tuple[int, int]) -> None:
    assert policing.buckets() == buckets


def test_a_packet_to_be_cut_counts_as_its_segments() -> None:
    offload = Offload(NEEDS_CSUM, GSO_TCPV4, 54, 1_000, 34, 16)
    assert count_segments(Packet(bytes(54 + 2_001), offload)) == 3
    assert count_segments(Packet(bytes(9_000))) == 1
