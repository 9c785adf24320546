"""Hashes of flows are Open vSwitch's, number for number (the numbers are from a running switch)."""

from __future__ import annotations

import pytest

from netloom.flow import hashes
from netloom.flow.text import parse_flow

ADDRESSES = "nw_src=192.168.0.1,nw_dst=192.168.0.2,tcp_src=8"
ETHERNET = "in_port=1,dl_src=50:54:00:00:00:05,dl_dst=50:54:00:00:00:07"
ARP = f"{ETHERNET},arp,arp_spa=1.2.3.4,arp_tpa=4.3.2.1,arp_op=1"


@pytest.mark.parametrize(
    ("flow", "expected"),
    [
        (f"{ETHERNET},tcp,{ADDRESSES},tcp_dst=16", 0x1236B9FD),
        (f"{ETHERNET},tcp,{ADDRESSES},tcp_dst=17", 0xA910D1DE),
        (ARP, 0xB8DA7868),
    ],
)
def test_symmetric_hash_of_layers_3_and_4(flow: str, expected: int) -> None:
    assert hashes.hash_symmetric_l3l4(parse_flow(flow), 0) == expected


@pytest.mark.parametrize(
    ("flow", "expected"),
    [
        (f"{ETHERNET},tcp,{ADDRESSES},tcp_dst=16", 0x218F95C),
        (f"{ETHERNET},tcp,{ADDRESSES},tcp_dst=17", 0x457FF85D),
        (ARP, 0x99496095),
    ],
)
def test_hash_that_spreads_received_packets(flow: str, expected: int) -> None:
    assert hashes.hash_pair(hashes.hash_five_tuple(parse_flow(flow), 0), 9) == expected


@pytest.mark.parametrize("number", [1, 2, 3, 6])
@pytest.mark.parametrize("proto", ["tcp", "udp"])
def test_symmetric_hashes_are_the_same_in_both_directions(number: int, proto: str) -> None:
    there = parse_flow(
        f"{proto},dl_src=00:00:00:00:00:01,dl_dst=00:00:00:00:00:02,nw_src=10.0.0.1,"
        f"nw_dst=10.0.0.2,{proto}_src=5,{proto}_dst=80"
    )
    back = parse_flow(
        f"{proto},dl_src=00:00:00:00:00:02,dl_dst=00:00:00:00:00:01,nw_src=10.0.0.2,"
        f"nw_dst=10.0.0.1,{proto}_src=80,{proto}_dst=5"
    )
    hash_flow = hashes.FIELD_HASHES[number]
    assert hash_flow(there, 7) == hash_flow(back, 7)
    assert hash_flow(there, 7) != hash_flow(there, 8)


@pytest.mark.parametrize("number", range(7))
def test_bits_that_are_not_hashed_do_not_change_the_hash(number: int) -> None:
    key = parse_flow("tcp,nw_src=10.0.0.1,nw_dst=10.0.0.2,tcp_src=5,tcp_dst=80,nw_ttl=9")
    hash_flow = hashes.FIELD_HASHES[number]
    mask = hashes.hashed_bits(key, number) | parse_flow("dl_type=0xffff") | 0xFFFFFFFF
    other = parse_flow("tcp,nw_src=10.0.0.1,nw_dst=10.0.0.2,tcp_src=5,tcp_dst=80,nw_ttl=77")
    assert not (key ^ other) & mask
    assert hash_flow(key, 3) == hash_flow(other, 3)


def test_bytes_beyond_a_word_count_too() -> None:
    assert len({hashes.jenkins(bytes(n), 0) for n in range(40)}) == 40
    assert len({hashes.hash_bytes(bytes(n), 0) for n in range(40)}) == 40
