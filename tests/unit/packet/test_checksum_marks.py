"""What is known of checksums, and what is put off until a packet is sent."""

from __future__ import annotations

import pytest

from netloom.packet import build, edit
from netloom.packet import tunnel as t
from netloom.packet.checksum import checksum
from netloom.packet.marks import (
    IP_BAD,
    IP_GOOD,
    IP_PARTIAL,
    L4_BAD,
    L4_GOOD,
    L4_PARTIAL,
    TX_IP,
    TX_OUTER_IP,
    TX_OUTER_UDP,
    TX_TCP,
    TX_UDP,
    describe,
    finish_marks,
    pushed_marks,
    put_off,
)
from netloom.packet.offload import NO_OFFLOAD, Offload, fill_checksums, known_sums
from netloom.packet.parse import parse

A, B = bytes.fromhex("02000000000a"), bytes.fromhex("02000000000b")
IP_A, IP_B, IP_C = bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2)), bytes((10, 9, 9, 9))
IP_AT, TCP_AT = slice(24, 26), slice(50, 52)


def tcp(payload: bytes = b"data", dst: bytes = IP_B) -> bytes:
    header = bytes((4, 210, 0, 80)) + bytes(8) + b"\x50\x10" + bytes(6)
    return fill_checksums(build.ethernet(B, A, 0x0800, build.ipv4(IP_A, dst, 6, header + payload)))


def udp(has_sum: bool = True) -> bytes:
    datagram = build.udp(IP_A, IP_B, 1000, 53, b"data")
    packet = bytearray(build.ethernet(B, A, 0x0800, build.ipv4(IP_A, IP_B, 17, datagram)))
    if not has_sum:
        packet[40:42] = b"\0\0"
    return bytes(packet)


def spoilt(packet: bytes) -> bytes:
    """With other bytes in both checksums."""
    data = bytearray(packet)
    data[IP_AT] = b"\xde\xad"
    data[TCP_AT] = b"\xbe\xef"
    return bytes(data)


def encapsulated(inside: bytes, marks: int, csum: int, puts_off: bool = True) -> tuple[bytes, int]:
    """In VXLAN, behind headers whose sums are put off, and the marks."""
    outer = t.build_udp(4789, bool(csum), t.build_vxlan(5))
    packet = bytearray(build.ethernet(B, A, 0x0800, build.ipv4(IP_A, IP_B, 17, outer)) + inside)
    t.finish_tunnel(packet, 40_000, 0, puts_off=puts_off)
    return bytes(packet), pushed_marks(marks, "vxlan", True, bool(csum))


@pytest.mark.parametrize("marks", [IP_GOOD | L4_GOOD, IP_PARTIAL | L4_PARTIAL])
def test_what_is_good_is_put_off_when_it_is_written(marks: int) -> None:
    before = spoilt(tcp())
    packet = bytearray(before)
    headers = parse(before)
    edit.set_ipv4(packet, headers, dst=IP_C)
    now = put_off(before, packet, headers, marks)
    assert now == IP_PARTIAL | L4_PARTIAL
    assert (packet[IP_AT], packet[TCP_AT]) == (before[IP_AT], before[TCP_AT])
    assert finish_marks(bytes(packet), now) == (tcp(dst=IP_C), IP_GOOD | L4_GOOD)


@pytest.mark.parametrize("marks", [0, IP_BAD | L4_BAD])
def test_what_is_bad_or_unknown_stays_so(marks: int) -> None:
    before = spoilt(tcp())
    packet = bytearray(before)
    edit.set_ipv4(packet, parse(before), dst=IP_C)
    updated = bytes(packet)
    assert put_off(before, packet, parse(before), marks) == marks
    assert (bytes(packet), marks) == finish_marks(updated, marks)
    assert updated[IP_AT] not in (before[IP_AT], tcp(dst=IP_C)[IP_AT])


def test_only_the_header_that_was_written_is_put_off() -> None:
    before = tcp()
    for write, marks in (
        (lambda packet, headers: edit.set_ipv4(packet, headers, ttl=9), IP_PARTIAL | L4_GOOD),
        (lambda packet, headers: edit.set_ports(packet, headers, dst=9), IP_GOOD | L4_PARTIAL),
        (lambda packet, headers: edit.set_eth(packet, src=B), IP_GOOD | L4_GOOD),
    ):
        packet = bytearray(before)
        write(packet, parse(before))
        assert put_off(before, packet, parse(before), IP_GOOD | L4_GOOD) == marks


def test_a_device_fills_what_it_can() -> None:
    marks = IP_PARTIAL | L4_PARTIAL
    for able, ip, l4 in (
        (TX_IP, b"\xde\xad", None),
        (TX_TCP, None, b"\xbe\xef"),
        (TX_UDP, None, None),
    ):
        data, _ = finish_marks(spoilt(tcp()), marks, able)
        right = tcp()
        assert data[IP_AT] == (ip or right[IP_AT])
        assert data[TCP_AT] == (l4 or right[TCP_AT])


def test_udp_without_a_checksum_gets_none() -> None:
    assert finish_marks(udp(False), L4_PARTIAL) == (udp(False), L4_GOOD)


@pytest.mark.parametrize("csum", [0, 1])
@pytest.mark.parametrize("able", [0, TX_TCP, TX_TCP | TX_IP, TX_OUTER_IP, TX_OUTER_UDP, TX_IP])
def test_in_a_tunnel_all_is_right_in_the_end(csum: int, able: int) -> None:
    """Whatever part of it the device does."""
    whole, _ = encapsulated(tcp(), 0, csum, puts_off=False)
    packet, marks = encapsulated(spoilt(tcp()), IP_PARTIAL | L4_PARTIAL, csum)
    data, marks = finish_marks(packet, marks, able)
    assert finish_marks(data, marks)[0] == whole


def test_the_outer_sum_foresees_what_a_device_fills_inside() -> None:
    packet, marks = encapsulated(spoilt(tcp()), IP_PARTIAL | L4_PARTIAL, 1)
    data, marks = finish_marks(packet, marks, TX_TCP | TX_IP)
    right, _ = encapsulated(tcp(), 0, 1, puts_off=False)
    assert data[:50] == right[:50]
    assert data[50:][TCP_AT] == b"\xbe\xef"
    assert describe(marks) == ("good", "good", "vxlan", "partial", "partial")


def test_without_a_sum_inside_the_outer_one_waits_for_nobody() -> None:
    """Of UDP without a checksum nobody knows what its data adds."""
    packet, marks = encapsulated(udp(False), IP_PARTIAL | L4_PARTIAL, 1)
    right, _ = encapsulated(udp(False), 0, 1, puts_off=False)
    assert finish_marks(packet, marks, TX_UDP | TX_IP)[0] == right


def test_what_others_say_of_checksums() -> None:
    assert known_sums(None) == 0
    assert known_sums(NO_OFFLOAD._replace(marks=IP_BAD)) == IP_BAD
    assert known_sums(NO_OFFLOAD) & (IP_GOOD | L4_GOOD) == IP_GOOD | L4_GOOD
    assert not Offload(marks=IP_GOOD).is_none
    assert len(Offload(marks=IP_GOOD).encode()) == 10


def test_checksums_of_ipv4_with_options_are_filled() -> None:
    options = bytes((7, 3, 4, 0))
    packet = bytearray(tcp())
    packet[14] = 0x46
    packet[34:34] = options
    packet[16:18] = (len(packet) - 14).to_bytes(2, "big")
    data, _ = finish_marks(bytes(packet), IP_PARTIAL)
    assert not checksum(data[14:38])
