from __future__ import annotations

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6
from scapy.layers.l2 import ARP, Dot1AD, Dot1Q, Ether

from netloom.packet import build

MAC_A, MAC_B = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
IP_A, IP_B = bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2))
IP6_A, IP6_B = bytes.fromhex("fd" + "00" * 14 + "01"), bytes.fromhex("fd" + "00" * 14 + "02")
ETH = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")


def test_tagged_tcp_over_ipv4() -> None:
    segment = build.tcp(IP_A, IP_B, 1, 2, b"data", flags=0x18, seq=3, ack=4, window=5)
    packet = build.ipv4(IP_A, IP_B, 6, segment, ttl=9, tos=8, ident=7, frag=0x4000)
    frame = build.ethernet(MAC_B, MAC_A, 0x0800, packet, [(0x88A8, 0x1000 | 7), (0x8100, 6 << 13)])
    expected = (
        ETH
        / Dot1AD(vlan=7)
        / Dot1Q(prio=6, vlan=0)
        / IP(src="10.0.0.1", dst="10.0.0.2", ttl=9, tos=8, id=7, flags="DF")
        / TCP(sport=1, dport=2, flags="PA", seq=3, ack=4, window=5)
        / b"data"
    )
    assert frame == bytes(expected)


def test_udp_over_ipv6() -> None:
    packet = build.ipv6(IP6_A, IP6_B, 17, build.udp(IP6_A, IP6_B, 1, 2, b"x"), tclass=3, label=5)
    expected = IPv6(src="fd00::1", dst="fd00::2", tc=3, fl=5) / UDP(sport=1, dport=2) / b"x"
    assert packet == bytes(expected)


def test_icmp_messages() -> None:
    assert build.icmp(8, 0, 0x00010002, b"ping") == bytes(ICMP(id=1, seq=2) / b"ping")
    echo = build.icmpv6(IP6_A, IP6_B, 128, 0, b"\0\1\0\2ping")
    expected = IPv6(src="fd00::1", dst="fd00::2") / ICMPv6EchoRequest(id=1, seq=2, data=b"ping")
    assert build.ipv6(IP6_A, IP6_B, 58, echo) == bytes(expected)


def test_arp_request() -> None:
    expected = ARP(hwsrc="02:00:00:00:00:01", psrc="10.0.0.1", pdst="10.0.0.2")
    assert build.arp(1, MAC_A, IP_A, bytes(6), IP_B) == bytes(expected)


def test_8023_frame_carries_its_length() -> None:
    assert build.ethernet_8023(MAC_B, MAC_A, b"\x42\x42\x03")[12:14] == b"\0\x03"
