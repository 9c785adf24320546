"""Telling a sender that his packet is too long for a tunnel.

A packet that with the tunnel's headers on would not fit into the device that it leaves by is lost
there. If its sender wants no fragments he is told so, as by a router on the way (RFC 1191, RFC
8201), in the name of who the packet was for; and he sends shorter ones. The answer comes in as if
out of the tunnel, so that the flows for what comes out of it decide about it. Linux does the same
for the tunnels of its own Open vSwitch.

Nobody is told about errors, fragments, or what is for many (RFC 1122, 3.2.2; RFC 4443, 2.4).
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from netloom.packet.checksum import checksum, pseudo_sum
from netloom.packet.headers import (
    ETH_TYPE_IP,
    ETH_TYPE_IPV6,
    IPPROTO_ICMP,
    IPPROTO_ICMPV6,
    IPV4_LEN,
    IPV6_LEN,
)
from netloom.packet.parse import Headers

#: Shorter ones than these every host must take: senders are asked for no less.
LEAST_IPV4, LEAST_IPV6 = 576, 1_280
_ICMP_BYTES = 8
_ICMP_ERRORS = frozenset({3, 4, 5, 11, 12})
_FIRST_ICMPV6_QUERY = 128
_DONT_FRAGMENT: Final = b"\x40\0"
#: Version and length, length of all, identification, flags, TTL, protocol, checksum.
_IPV4 = Struct(">BBHHHBBH4s4s")
_IPV6 = Struct(">IHBB16s16s")
#: Type, code, checksum, two bytes that are not used, MTU; and what is 32 bits long in ICMPv6.
_UNREACHABLE, _TOO_BIG = Struct(">BBHHH"), Struct(">BBHI")


def answer(packet: bytes, headers: Headers, mtu: int) -> bytes | None:
    """The frame that tells the sender of `packet` to make its IP packets no longer than `mtu`; None
    if he is not to be told."""
    l3, l4 = headers.l3, headers.l4
    if l3 < 0 or l4 < 0 or packet[0] & 1 or headers.frag:
        return None
    front = packet[6:12] + packet[:6] + packet[12:l3]
    if headers.dl_type == ETH_TYPE_IP:
        told = _answer_ipv4(packet, headers, mtu)
    elif headers.dl_type == ETH_TYPE_IPV6:
        told = _answer_ipv6(packet, headers, mtu)
    else:
        return None
    return front + told if told else None


def _answer_ipv4(packet: bytes, headers: Headers, mtu: int) -> bytes:
    l3 = headers.l3
    source, destination = packet[l3 + 12 : l3 + 16], packet[l3 + 16 : l3 + 20]
    if mtu < LEAST_IPV4 or packet[l3 + 6 : l3 + 8] != _DONT_FRAGMENT:
        return b""
    if not all(0 < end[0] < 224 and end[0] != 127 for end in (source, destination)):
        return b""
    if headers.proto == IPPROTO_ICMP and packet[headers.l4] in _ICMP_ERRORS:
        return b""
    quoted = packet[l3 : min(headers.end, l3 + LEAST_IPV4 - IPV4_LEN - _ICMP_BYTES)]
    body = _UNREACHABLE.pack(3, 4, checksum(_UNREACHABLE.pack(3, 4, 0, 0, mtu) + quoted), 0, mtu)
    total = IPV4_LEN + len(body) + len(quoted)
    words = (0x45, 0, total, 0, 0x4000, packet[l3 + 8], IPPROTO_ICMP)
    header = _IPV4.pack(*words, 0, destination, source)
    return _IPV4.pack(*words, checksum(header), destination, source) + body + quoted


def _answer_ipv6(packet: bytes, headers: Headers, mtu: int) -> bytes:
    l3 = headers.l3
    source, destination = packet[l3 + 8 : l3 + 24], packet[l3 + 24 : l3 + 40]
    if mtu < LEAST_IPV6 or 0xFF in (source[0], destination[0]) or not any(source):
        return b""
    if headers.proto == IPPROTO_ICMPV6 and packet[headers.l4] < _FIRST_ICMPV6_QUERY:
        return b""
    quoted = packet[l3 : min(headers.end, l3 + LEAST_IPV6 - IPV6_LEN - _ICMP_BYTES)]
    length = _ICMP_BYTES + len(quoted)
    pseudo = pseudo_sum(destination, source, IPPROTO_ICMPV6, length)
    total = checksum(_TOO_BIG.pack(2, 0, 0, mtu) + quoted, pseudo)
    header = _IPV6.pack(6 << 28, length, IPPROTO_ICMPV6, packet[l3 + 7], destination, source)
    return header + _TOO_BIG.pack(2, 0, total, mtu) + quoted
