"""Who sent what is too long for a tunnel is told in the words of RFC 1191 and RFC 8201."""

from __future__ import annotations

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, ICMPv6PacketTooBig, IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Packet, Raw

from netloom.datapath.userspace.too_long import answer
from netloom.packet.offload import NEEDS_CSUM, Offload, with_header
from netloom.packet.parse import parse

ETHER = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
DATA = Raw(bytes(1_400))
IPV4 = IP(src="10.0.0.1", dst="10.0.0.2", flags="DF", ttl=9)
IPV6 = IPv6(src="fd00::1", dst="fd00::2", hlim=9)


def told(packet: Packet, mtu: int) -> Packet | None:
    data = bytes(packet)
    found = answer(data, parse(data), mtu)
    return Ether(found) if found is not None else None


def is_right(packet: Packet) -> bool:
    """By scapy's reckoning; what is quoted stays."""
    again = Ether(bytes(packet))
    for layer, field in ((IP, "chksum"), (ICMP, "chksum"), (ICMPv6PacketTooBig, "cksum")):
        if layer in again:
            again.getlayer(layer).delfieldval(field)
    return bytes(again) == bytes(packet)


@pytest.mark.parametrize("tags", [(), (Dot1Q(vlan=5, prio=3),)])
def test_a_sender_over_ipv4_is_told_the_mtu(tags: tuple[Packet, ...]) -> None:
    packet = ETHER
    for layer in (*tags, IPV4, TCP(), DATA):
        packet = packet / layer
    found = told(packet, 1_300)
    assert found is not None and is_right(found)
    assert (found.src, found.dst) == (packet.dst, packet.src)
    assert (found[IP].src, found[IP].dst, found[IP].ttl) == ("10.0.0.2", "10.0.0.1", 9)
    assert (found[ICMP].type, found[ICMP].code, found[ICMP].nexthopmtu) == (3, 4, 1_300)
    assert found[IP].len == 576
    assert bytes(found).endswith(bytes(packet[IP])[: 576 - 28])
    assert found.haslayer(Dot1Q) == bool(tags)


def test_a_sender_over_ipv6_is_told_the_mtu() -> None:
    packet = ETHER / IPV6 / UDP() / DATA
    found = told(packet, 1_300)
    assert found is not None and is_right(found)
    assert (found[IPv6].src, found[IPv6].dst, found[IPv6].hlim) == ("fd00::2", "fd00::1", 9)
    assert found[ICMPv6PacketTooBig].mtu == 1_300
    assert len(bytes(found[IPv6])) == 1_280
    assert bytes(found).endswith(bytes(packet[IPv6])[: 1_280 - 48])


@pytest.mark.parametrize(
    ("packet", "mtu"),
    [
        (ETHER / IP(src="10.0.0.1", dst="10.0.0.2") / UDP() / DATA, 1_300),
        (ETHER / IP(src="10.0.0.1", dst="10.0.0.2", flags="MF") / UDP() / DATA, 1_300),
        (ETHER / IPV4 / ICMP(type=3, code=1) / DATA, 1_300),
        (ETHER / IPV4 / UDP() / DATA, 575),
        (ETHER / IP(src="10.0.0.1", dst="239.0.0.1", flags="DF") / UDP() / DATA, 1_300),
        (ETHER / IP(src="0.0.0.0", dst="10.0.0.2", flags="DF") / UDP() / DATA, 1_300),
        (Ether(dst="ff:ff:ff:ff:ff:ff") / IPV4 / UDP() / DATA, 1_300),
        (ETHER / IPV6 / ICMPv6PacketTooBig() / DATA, 1_300),
        (ETHER / IPv6(src="fd00::1", dst="ff02::1") / UDP() / DATA, 1_300),
        (ETHER / IPv6(src="::", dst="fd00::2") / UDP() / DATA, 1_300),
        (ETHER / IPV6 / UDP() / DATA, 1_279),
        (ETHER / ARP() / DATA, 1_300),
        (ETHER / Raw(b"\x08\x00\x45"), 1_300),
    ],
)
def test_nobody_is_told_what_no_router_would_tell(packet: Packet, mtu: int) -> None:
    assert told(packet, mtu) is None


def test_questions_are_answered_as_other_packets_are() -> None:
    assert told(ETHER / IPV4 / ICMP(type=8) / DATA, 1_300) is not None
    assert told(ETHER / IPV6 / ICMPv6EchoRequest() / DATA, 1_300) is not None


def test_the_kernel_is_not_asked_for_a_checksum_that_it_does_not_know() -> None:
    data = bytes(range(60))
    plain = Offload(NEEDS_CSUM, csum_start=34, csum_offset=16)
    assert with_header(data, plain) == plain.encode() + data
    done = with_header(data, plain._replace(csum_offset=8))
    assert done[:10] == bytes(10) and len(done) == 70
    assert done[10:52] == data[:42] and done[52:56] != data[42:46] and done[56:] == data[46:]
