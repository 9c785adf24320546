"""Rewritten packets are compared with packets that scapy builds with the new values."""

from __future__ import annotations

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    ICMPv6ND_NS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
    IPv6ExtHdrRouting,
)
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.layers.sctp import SCTP
from scapy.packet import Packet, Raw

from netloom.packet import edit
from netloom.packet.parse import Headers, parse

ETH = {"src": "02:00:00:00:00:01", "dst": "02:00:00:00:00:02"}
NEW_SRC, NEW_DST = bytes((192, 168, 7, 9)), bytes((172, 16, 255, 1))
NEW_SRC6, NEW_DST6 = bytes.fromhex("20010db8" + "00" * 11 + "09"), bytes.fromhex("fd" + "11" * 15)


def opened(packet: Packet) -> tuple[bytearray, Headers]:
    data = bytearray(bytes(packet))
    return data, parse(data)


def ip4(src: str = "10.0.0.1", dst: str = "10.0.0.2", **more: int) -> Packet:
    return Ether(**ETH) / IP(src=src, dst=dst, **more)


def ip6(src: str = "fd00::1", dst: str = "fd00::2", **more: int) -> Packet:
    return Ether(**ETH) / IPv6(src=src, dst=dst, **more)


@pytest.mark.parametrize(
    "payload",
    [
        TCP(sport=1, dport=2, flags="S"),
        UDP(sport=1, dport=2) / b"odd",
        ICMP() / b"ping",
        SCTP(sport=1, dport=2) / b"x",
        Raw(b"no header"),
    ],
)
def test_ipv4_rewrite_keeps_all_checksums_right(payload: Packet) -> None:
    data, headers = opened(ip4(tos=0, ttl=64) / payload)
    edit.set_ipv4(data, headers, NEW_SRC, NEW_DST, tos=0x2C, ttl=63)
    expected = ip4("192.168.7.9", "172.16.255.1", tos=0x2C, ttl=63) / payload
    assert bytes(data) == bytes(expected)


@pytest.mark.parametrize(
    "payload", [TCP(sport=1, dport=2), UDP(sport=1, dport=2) / b"odd", ICMPv6EchoRequest()]
)
def test_ipv6_rewrite_keeps_all_checksums_right(payload: Packet) -> None:
    data, headers = opened(ip6() / payload)
    edit.set_ipv6(data, headers, NEW_SRC6, NEW_DST6, tclass=0x12, label=0xABCDE, hlimit=3)
    new = ip6("2001:db8::9", "fd11:1111:1111:1111:1111:1111:1111:1111", tc=0x12, fl=0xABCDE, hlim=3)
    assert bytes(data) == bytes(new / payload)


def test_destination_of_a_source_routed_packet_is_not_in_the_checksum() -> None:
    packet = ip6() / IPv6ExtHdrRouting(addresses=["fd00::3"]) / UDP(sport=1, dport=2)
    data, headers = opened(packet)
    checksum_before = bytes(data[headers.l4 + 6 : headers.l4 + 8])
    edit.set_ipv6(data, headers, dst=NEW_DST6)
    assert bytes(data[headers.l4 + 6 : headers.l4 + 8]) == checksum_before
    edit.set_ipv6(data, headers, src=NEW_SRC6)
    assert bytes(data[headers.l4 + 6 : headers.l4 + 8]) != checksum_before


def test_udp_without_checksum_stays_without() -> None:
    data, headers = opened(ip4() / UDP(sport=1, dport=2, chksum=0) / b"x")
    edit.set_ipv4(data, headers, NEW_SRC)
    edit.set_ports(data, headers, 7, 8)
    assert data[headers.l4 + 6 : headers.l4 + 8] == b"\0\0"


def test_wrong_checksum_stays_wrong_by_the_same_difference() -> None:
    right, headers = opened(ip4() / TCP(sport=1, dport=2))
    wrong = bytearray(right)
    edit.put_word(wrong, headers.l4 + 16, edit.get_word(right, headers.l4 + 16) ^ 0x0101)
    for data in (right, wrong):
        edit.set_ports(data, headers, 99)
    assert right != wrong
    assert right[: headers.l4 + 16] == wrong[: headers.l4 + 16]


@pytest.mark.parametrize("transport", [TCP, UDP, SCTP])
def test_port_rewrite_keeps_the_checksum_right(transport: type[Packet]) -> None:
    data, headers = opened(ip4() / transport(sport=1, dport=2) / b"data")
    edit.set_ports(data, headers, 40000, 443)
    assert bytes(data) == bytes(ip4() / transport(sport=40000, dport=443) / b"data")


def test_ports_of_an_impossible_tcp_header_stay() -> None:
    data, headers = opened(ip4() / TCP(sport=1, dport=2, dataofs=15))
    before = bytes(data)
    edit.set_ports(data, headers, 9, 9)
    assert bytes(data) == before


def test_later_fragment_is_not_taken_for_a_transport_header() -> None:
    data, headers = opened(ip4(frag=10, proto=17) / Raw(bytes(range(40))))
    edit.set_ipv4(data, headers, NEW_SRC)
    edit.set_ports(data, headers, 9, 9)
    assert bytes(data) == bytes(ip4("192.168.7.9", frag=10, proto=17) / Raw(bytes(range(40))))


def test_icmp_rewrite_keeps_the_checksum_right() -> None:
    data, headers = opened(ip4() / ICMP(type=8, code=0) / b"ping")
    edit.set_icmp(data, headers, 3, 1)
    packet = ip4() / ICMP(type=3, code=1) / b"ping"
    packet[ICMP].id = 0
    assert bytes(data)[:36] == bytes(packet)[:36]
    assert edit.get_word(data, 36) == edit.get_word(bytes(packet), 36)


def test_neighbour_rewrite_changes_target_and_the_options_that_exist() -> None:
    def solicit(target: str, address: str) -> Packet:
        return ip6() / ICMPv6ND_NS(tgt=target) / ICMPv6NDOptSrcLLAddr(lladdr=address)

    data, headers = opened(solicit("fd00::5", "02:00:00:00:00:05"))
    edit.set_nd(data, headers, NEW_SRC6, sll=b"\2\0\0\0\0\6", tll=b"\2\0\0\0\0\7")
    assert bytes(data) == bytes(solicit("2001:db8::9", "02:00:00:00:00:06"))


def test_neighbour_rewrite_finds_an_option_behind_another() -> None:
    def solicit(address: str) -> Packet:
        return (
            ip6()
            / ICMPv6ND_NS(tgt="fd00::5")
            / ICMPv6NDOptDstLLAddr(lladdr="02:00:00:00:00:08")
            / ICMPv6NDOptSrcLLAddr(lladdr=address)
        )

    data, headers = opened(solicit("02:00:00:00:00:05"))
    edit.set_nd(data, headers, sll=b"\2\0\0\0\0\6")
    assert bytes(data) == bytes(solicit("02:00:00:00:00:06"))


def test_arp_rewrite() -> None:
    data, headers = opened(Ether(**ETH) / ARP(op=1, psrc="10.0.0.1", pdst="10.0.0.2"))
    edit.set_arp(data, headers, 2, b"\2\0\0\0\0\6", NEW_SRC, b"\2\0\0\0\0\7", NEW_DST)
    expected = Ether(**ETH) / ARP(
        op=2,
        hwsrc="02:00:00:00:00:06",
        psrc="192.168.7.9",
        hwdst="02:00:00:00:00:07",
        pdst="172.16.255.1",
    )
    assert bytes(data) == bytes(expected)


def test_tags_are_pushed_set_and_popped_with_offsets_following() -> None:
    plain = ip4() / UDP(sport=1, dport=2)
    data, headers = opened(plain)
    edit.push_vlan(data, headers, 0x8100, 0x1000 | 7 | 3 << 13)
    eth = Ether(**ETH)
    assert bytes(data) == bytes(eth / Dot1Q(vlan=7, prio=3) / plain[IP])
    assert (headers.l3, headers.l4, headers.n_vlans) == (18, 38, 1)
    edit.set_vlan_tci(data, headers, 0x1000 | 8)
    assert bytes(data) == bytes(eth / Dot1Q(vlan=8, prio=0) / plain[IP])
    edit.set_ports(data, headers, 5, 6)
    edit.pop_vlan(data, headers)
    assert bytes(data) == bytes(ip4() / UDP(sport=5, dport=6))
    edit.pop_vlan(data, headers)
    assert bytes(data) == bytes(ip4() / UDP(sport=5, dport=6))


def test_pushed_and_popped_label_restores_the_packet() -> None:
    data, headers = opened(ip4() / UDP(sport=1, dport=2))
    before = bytes(data)
    edit.push_mpls(data, headers, 0x8847, 0x00005140)
    assert edit.get_word(data, 12) == 0x8847
    assert (headers.l2_5, headers.l3, headers.l4) == (14, 18, -1)
    edit.set_mpls_lse(data, headers, 0x0000613F)
    assert data[14:18] == bytes.fromhex("0000613f")
    edit.pop_mpls(data, headers, 0x0800)
    assert bytes(data) == before
    assert headers.l4 == 34


def test_ethernet_header_comes_and_goes() -> None:
    data, headers = opened(ip4() / UDP(sport=1, dport=2))
    before = bytes(data)
    edit.pop_eth(data, headers)
    assert bytes(data) == before[14:]
    assert (headers.l3, headers.l4) == (0, 20)
    edit.push_eth(data, headers, before[6:12], before[0:6])
    assert bytes(data) == before
    assert (headers.type_offset, headers.l3, headers.l4) == (12, 14, 34)


def test_tcp_flags_rewrite_keeps_the_checksum_right() -> None:
    data, headers = opened(ip4() / TCP(sport=1, dport=2, flags="S"))
    edit.set_tcp_flags(data, headers, 0x12)
    assert bytes(data) == bytes(ip4() / TCP(sport=1, dport=2, flags="SA"))
