"""Packets in tunnels that are to be cut by the headers of the packet inside."""

from __future__ import annotations

from itertools import product

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Raw

from netloom.packet import tunnel as t
from netloom.packet.checksum import checksum
from netloom.packet.encapsulated import find_inside
from netloom.packet.offload import (
    GSO_TCPV4,
    GSO_TCPV6,
    GSO_UDP_L4,
    NEEDS_CSUM,
    Offload,
    finish_offload,
    is_of_tunnel,
    segment_gso,
)
from netloom.packet.parse import parse

ETH = Ether(src="02:00:00:00:00:0a", dst="02:00:00:00:00:0b")
NETWORKS = {4: IP(src="10.0.0.1", dst="10.0.0.2", id=7), 6: IPv6(src="fd00::1", dst="fd00::2")}
PAYLOAD = bytes(range(250)) * 16
SEGMENT = 1_000


def behind_ip(kind: str, has_csum: bool) -> tuple[int, bytes]:
    match kind:
        case "gre":
            return 47, t.build_gre(0x6558, key=7, csum=has_csum)
        case "vxlan":
            return 17, t.build_udp(4789, has_csum, t.build_vxlan(77, gbp=(5, 8)))
    option = t.build_option(0x102, 1, bytes(8))
    return 17, t.build_udp(6081, has_csum, t.build_geneve(77, option))


def outer(kind: str, version: int, has_csum: bool) -> bytes:
    proto, behind = behind_ip(kind, has_csum)
    ethernet = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    if version == 6:
        return bytes(ethernet / IPv6(src="fd01::1", dst="fd01::2", nh=proto)) + behind
    return bytes(ethernet / IP(src="172.16.0.1", dst="172.16.0.2", proto=proto)) + behind


def inner(version: int, is_udp: bool, is_tagged: bool) -> bytes:
    transport = UDP(sport=5, dport=7) if is_udp else TCP(sport=5, dport=7, flags="PA", seq=9)
    tags = [Dot1Q(vlan=9)] if is_tagged else []
    packet = ETH
    for layer in (*tags, NETWORKS[version], transport, Raw(PAYLOAD)):
        packet = packet / layer
    return bytes(packet)


def whole(head: bytes, inside: bytes) -> bytes:
    packet = bytearray(head + inside)
    t.finish_tunnel(packet, 33_333, 0)
    return bytes(packet)


def without_id(packet: bytes) -> bytes:
    """The outer IPv4 identification, and the checksum over it, are the sender's to choose."""
    return packet if packet[14] >> 4 == 6 else packet[:18] + packet[20:24] + packet[26:]


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize(
    ("kind", "has_csum"), list(product(("vxlan", "geneve", "gre"), (False, True)))
)
def test_each_segment_has_headers_of_its_own(kind: str, has_csum: bool, version: int) -> None:
    head = outer(kind, version, has_csum)
    for inside_version, is_udp, is_tagged in product((4, 6), (False, True), (False, True)):
        inside = inner(inside_version, is_udp, is_tagged)
        packet = whole(head, inside)
        l4 = len(head) + parse(inside).l4
        kinds = {4: GSO_TCPV4, 6: GSO_TCPV6}
        gso_type = GSO_UDP_L4 if is_udp else kinds[inside_version]
        offload = Offload(NEEDS_CSUM, gso_type, l4 + 20, SEGMENT, l4, 6 if is_udp else 16)
        assert is_of_tunnel(packet, offload)
        segments = finish_offload(packet, offload)
        expected = [whole(head, part) for part in segment_gso(inside, SEGMENT, is_udp)]
        assert len(segments) == 4
        assert [without_id(part) for part in segments] == [without_id(part) for part in expected]
        if version == 4:
            ids = [int.from_bytes(part[18:20], "big") for part in segments]
            assert ids == [ids[0] + n for n in range(4)]
            assert not any(checksum(part[14:34]) for part in segments)


def test_what_has_no_ethernet_header_is_cut_as_well() -> None:
    gre = t.build_gre(0x0800)
    head = bytes(ETH / IP(src="172.16.0.1", dst="172.16.0.2", proto=47)) + gre
    inside = inner(4, False, False)[14:]
    packet = whole(head, inside)
    assert find_inside(packet, parse(packet)) == (len(head), 0x1_0800)
    l4 = len(head) + 20
    segments = finish_offload(packet, Offload(NEEDS_CSUM, GSO_TCPV4, l4 + 20, SEGMENT, l4, 16))
    assert b"".join(part[l4 + 20 :] for part in segments) == PAYLOAD


@pytest.mark.parametrize("is_udp", [False, True])
@pytest.mark.parametrize("is_tagged", [False, True])
@pytest.mark.parametrize("version", [4, 6])
def test_packets_that_are_in_no_tunnel_are_none(
    version: int, is_tagged: bool, is_udp: bool
) -> None:
    packet = inner(version, is_udp, is_tagged)
    headers = parse(packet)
    assert not is_of_tunnel(packet, Offload(NEEDS_CSUM, GSO_TCPV4, 0, SEGMENT, headers.l4, 16))
    assert find_inside(packet, headers) == (0, 0)


@pytest.mark.parametrize("behind", [
    b"", b"\x08", b"\x08\0\0\0\0\0\1", b"\0\0\x65\x57\0\0\0\0", b"\x08\0\0\0\0\0\1\1",
    b"\x40\0\x65\x58\0\0\0\0",
], ids=bytes.hex)  # fmt: skip
def test_what_only_resembles_a_tunnel_is_none(behind: bytes) -> None:
    packet = bytes(ETH / IP(src="172.16.0.1", dst="172.16.0.2") / UDP(dport=4789) / Raw(behind))
    assert find_inside(packet, parse(packet)) == (0, 0)
