"""Writing headers: plain values to bytes, with lengths and checksums right.

Each function returns a header followed by `payload`, so packets are built from the inside out:

    ethernet(dst, src, 0x0800, ipv4(a, b, 17, udp(a, b, 67, 68, data)))

Addresses are bytes (6, 4 or 16), everything else is a number.
"""

from __future__ import annotations

from collections.abc import Sequence

from netloom.packet.checksum import checksum, pseudo_sum, transport_checksum
from netloom.packet.headers import (
    ARP,
    ETHERNET,
    ICMP,
    IPPROTO_ICMPV6,
    IPPROTO_TCP,
    IPPROTO_UDP,
    IPV4,
    IPV4_LEN,
    IPV6,
    TCP,
    UDP,
    UDP_LEN,
    VLAN,
    VLAN_CFI,
)


def ethernet(
    dst: bytes,
    src: bytes,
    eth_type: int,
    payload: bytes = b"",
    tags: Sequence[tuple[int, int]] = (),
) -> bytes:
    """An Ethernet frame; `tags` are (tpid, tci), outermost first. Not padded."""
    header = dst + src
    for tpid, tci in tags:
        header += VLAN.pack(tpid, tci & ~VLAN_CFI)
    return header + eth_type.to_bytes(2, "big") + payload


def ethernet_8023(dst: bytes, src: bytes, payload: bytes) -> bytes:
    """A frame of IEEE 802.3: a length instead of a type. `payload` starts with its LLC header."""
    return ETHERNET.pack(dst, src, len(payload)) + payload


def arp(op: int, sha: bytes, spa: bytes, tha: bytes, tpa: bytes) -> bytes:
    """An ARP packet for Ethernet and IPv4."""
    return ARP.pack(1, 0x0800, 6, 4, op, sha, spa, tha, tpa)


def ipv4(
    src: bytes,
    dst: bytes,
    proto: int,
    payload: bytes = b"",
    *,
    ttl: int = 64,
    tos: int = 0,
    ident: int = 0,
    frag: int = 0,
) -> bytes:
    """An IPv4 packet without options; `frag` is the word of flags and offset."""
    total = IPV4_LEN + len(payload)
    header = IPV4.pack(0x45, tos, total, ident, frag, ttl, proto, 0, src, dst)
    return header[:10] + checksum(header).to_bytes(2, "big") + header[12:] + payload


def ipv6(
    src: bytes,
    dst: bytes,
    proto: int,
    payload: bytes = b"",
    *,
    hlimit: int = 64,
    tclass: int = 0,
    label: int = 0,
) -> bytes:
    """An IPv6 packet; extension headers are part of `payload`, the first being `proto`."""
    first = 6 << 28 | tclass << 20 | label
    return IPV6.pack(first, len(payload), proto, hlimit, src, dst) + payload


def tcp(
    src: bytes,
    dst: bytes,
    sport: int,
    dport: int,
    payload: bytes = b"",
    *,
    flags: int = 0,
    seq: int = 0,
    ack: int = 0,
    window: int = 0,
) -> bytes:
    """A TCP segment between the addresses `src` and `dst`, no options."""
    segment = TCP.pack(sport, dport, seq, ack, 0x5000 | flags, window, 0, 0) + payload
    return _with_checksum(segment, 16, transport_checksum(src, dst, IPPROTO_TCP, segment))


def udp(src: bytes, dst: bytes, sport: int, dport: int, payload: bytes = b"") -> bytes:
    """A UDP datagram between the addresses `src` and `dst`."""
    datagram = UDP.pack(sport, dport, UDP_LEN + len(payload), 0) + payload
    return _with_checksum(datagram, 6, transport_checksum(src, dst, IPPROTO_UDP, datagram))


def icmp(kind: int, code: int, rest: int = 0, payload: bytes = b"") -> bytes:
    """An ICMP message; `rest` is the second word of its header."""
    message = ICMP.pack(kind, code, 0, rest) + payload
    return _with_checksum(message, 2, checksum(message))


def icmpv6(src: bytes, dst: bytes, kind: int, code: int, body: bytes) -> bytes:
    """An ICMPv6 message; `body` is all behind the checksum."""
    message = bytes((kind, code, 0, 0)) + body
    start = pseudo_sum(src, dst, IPPROTO_ICMPV6, len(message))
    return _with_checksum(message, 2, checksum(message, start))


def _with_checksum(data: bytes, offset: int, value: int) -> bytes:
    return data[:offset] + value.to_bytes(2, "big") + data[offset + 2 :]
