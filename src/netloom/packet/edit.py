"""Rewriting a packet in place: what the actions of a data path do to bytes.

A packet being rewritten is a `bytearray` with the `Headers` that `parse` found. Every function
leaves both right: lengths, offsets, and the checksums, which are updated by the difference
(RFC 1624), so that a packet that came with a wrong checksum leaves with a wrong one, and a
checksum that a sender left to its network card (the pseudo header's sum alone) stays as
wanted. A value of None means "as it is". A header that is not there, or whose fixed part is cut
off, is left alone: a flow can only match what `parse` finds.

Later fragments hold no transport header; their data is never taken for one.
"""

from __future__ import annotations

from struct import pack_into

from netloom.packet.checksum import sctp_checksum, update_checksum, update_checksum_word
from netloom.packet.headers import (
    ARP_LEN,
    ETH_LEN,
    ICMP_LEN,
    IPPROTO_ICMP,
    IPPROTO_ICMPV6,
    IPPROTO_ROUTING,
    IPPROTO_SCTP,
    IPPROTO_TCP,
    IPPROTO_UDP,
    IPV4_LEN,
    IPV6_LEN,
    MPLS_LEN,
    ND_LEN,
    ND_LLA_OPT_LEN,
    ND_OPT_SOURCE_LINKADDR,
    ND_OPT_TARGET_LINKADDR,
    SCTP_LEN,
    TCP_LEN,
    UDP_LEN,
    VLAN_CFI,
    VLAN_LEN,
)
from netloom.packet.parse import FRAG_LATER, Headers, parse


def get_word(packet: bytes | bytearray, offset: int) -> int:
    """The 16-bit word at `offset`."""
    return packet[offset] << 8 | packet[offset + 1]


def put_word(packet: bytearray, offset: int, value: int) -> None:
    packet[offset : offset + 2] = value.to_bytes(2, "big")


# Ethernet and tags


def set_eth(packet: bytearray, src: bytes | None = None, dst: bytes | None = None) -> None:
    """Sets the addresses of the Ethernet header (6 bytes each)."""
    if len(packet) < ETH_LEN:
        return
    if dst is not None:
        packet[0:6] = dst
    if src is not None:
        packet[6:12] = src


def push_vlan(packet: bytearray, headers: Headers, tpid: int, tci: int) -> None:
    """Inserts a tag before all others; the CFI bit that `tci` has in keys is not written."""
    packet[12:12] = tpid.to_bytes(2, "big") + (tci & ~VLAN_CFI).to_bytes(2, "big")
    headers.n_vlans += 1
    _shift(headers, VLAN_LEN)


def pop_vlan(packet: bytearray, headers: Headers) -> None:
    """Removes the outer tag, if there is one."""
    if headers.n_vlans:
        del packet[12:16]
        headers.n_vlans -= 1
        _shift(headers, -VLAN_LEN)


def set_vlan_tci(packet: bytearray, headers: Headers, tci: int) -> None:
    """Sets VID and priority of the outer tag; keeps the bit (DEI) that is CFI in keys."""
    if headers.n_vlans:
        put_word(packet, 14, tci & ~VLAN_CFI | get_word(packet, 14) & VLAN_CFI)


def _shift(headers: Headers, by: int) -> None:
    """All headers behind Ethernet's addresses moved `by` bytes."""
    headers.type_offset += by
    headers.end += by
    for name in ("l2_5", "l3", "l4"):
        if (offset := getattr(headers, name)) >= 0:
            setattr(headers, name, offset + by)


def push_eth(packet: bytearray, headers: Headers, src: bytes, dst: bytes) -> None:
    """Puts an Ethernet header before a packet that starts at layer 3."""
    packet[0:0] = dst + src + headers.dl_type.to_bytes(2, "big")
    _shift(headers, ETH_LEN)
    headers.type_offset = 12


def pop_eth(packet: bytearray, headers: Headers) -> None:
    """Removes the Ethernet header (with tags) before layer 3 or the labels."""
    length = headers.l2_5 if headers.l2_5 >= 0 else headers.l3
    if headers.type_offset < 0 or length < 0:
        return
    del packet[:length]
    _shift(headers, -length)
    headers.type_offset = -1
    headers.n_vlans = 0


# MPLS


def push_mpls(packet: bytearray, headers: Headers, eth_type: int, lse: int) -> None:
    """Inserts a label stack entry before layer 3 or the labels that are there."""
    at = headers.l2_5 if headers.l2_5 >= 0 else headers.l3
    if at < 0:
        return
    packet[at:at] = lse.to_bytes(4, "big")
    _set_eth_type(packet, headers, eth_type)
    _reparse(packet, headers)


def pop_mpls(packet: bytearray, headers: Headers, eth_type: int) -> None:
    """Removes the outer label stack entry; what follows is of type `eth_type`."""
    at = headers.l2_5
    if at < 0 or len(packet) < at + MPLS_LEN:
        return
    del packet[at : at + MPLS_LEN]
    _set_eth_type(packet, headers, eth_type)
    _reparse(packet, headers)


def set_mpls_lse(packet: bytearray, headers: Headers, lse: int) -> None:
    """Writes the outer label stack entry, bottom-of-stack bit included."""
    if headers.l2_5 >= 0 and len(packet) >= headers.l2_5 + MPLS_LEN:
        pack_into(">I", packet, headers.l2_5, lse)


def _set_eth_type(packet: bytearray, headers: Headers, eth_type: int) -> None:
    headers.dl_type = eth_type
    if headers.type_offset >= 0:
        put_word(packet, headers.type_offset, eth_type)


def _reparse(packet: bytearray, headers: Headers) -> None:
    packet_type = 0 if headers.type_offset >= 0 else 0x10000 | headers.dl_type
    found = parse(packet, packet_type)
    for name in Headers.__slots__:
        setattr(headers, name, getattr(found, name))


# IP


def set_ipv4(
    packet: bytearray,
    headers: Headers,
    src: bytes | None = None,
    dst: bytes | None = None,
    tos: int | None = None,
    ttl: int | None = None,
) -> None:
    """Sets fields of the IPv4 header (addresses of 4 bytes) with both checksums."""
    l3 = headers.l3
    if headers.dl_type != 0x0800 or headers.l4 < 0:
        return
    old = bytes(packet[l3 : l3 + IPV4_LEN])
    if src is not None:
        packet[l3 + 12 : l3 + 16] = src
    if dst is not None:
        packet[l3 + 16 : l3 + 20] = dst
    if tos is not None:
        packet[l3 + 1] = tos
    if ttl is not None:
        packet[l3 + 8] = ttl
    new = bytes(packet[l3 : l3 + IPV4_LEN])
    if new == old:
        return
    put_word(packet, l3 + 10, update_checksum(get_word(old, 10), old, new))
    if new[12:] != old[12:]:
        _update_transport(packet, headers, old[12:], new[12:], pseudo=True)


def set_ipv6(
    packet: bytearray,
    headers: Headers,
    src: bytes | None = None,
    dst: bytes | None = None,
    tclass: int | None = None,
    label: int | None = None,
    hlimit: int | None = None,
) -> None:
    """Sets fields of the IPv6 header (addresses of 16 bytes) with the transport checksum. With a
    routing header, the destination that the checksum covers is not the one in this header."""
    l3 = headers.l3
    if headers.dl_type != 0x86DD or headers.l3 < 0 or len(packet) < l3 + IPV6_LEN:
        return
    old = bytes(packet[l3 + 8 : l3 + 40])
    if src is not None:
        packet[l3 + 8 : l3 + 24] = src
    if dst is not None:
        packet[l3 + 24 : l3 + 40] = dst
    first = int.from_bytes(packet[l3 : l3 + 4], "big")
    if tclass is not None:
        first = first & ~0x0FF00000 | tclass << 20
    if label is not None:
        first = first & ~0xFFFFF | label
    pack_into(">I", packet, l3, first)
    if hlimit is not None:
        packet[l3 + 7] = hlimit
    covered = 16 if _has_routing_header(packet, headers) else 32
    new = bytes(packet[l3 + 8 : l3 + 40])
    if new[:covered] != old[:covered]:
        _update_transport(packet, headers, old[:covered], new[:covered], pseudo=True)


def _has_routing_header(packet: bytearray, headers: Headers) -> bool:
    """Whether a routing header with segments left precedes the transport header."""
    offset = headers.l3 + IPV6_LEN
    proto = packet[headers.l3 + 6]
    while headers.l4 >= 0 and offset + 8 <= headers.l4 and proto != headers.proto:
        if proto == IPPROTO_ROUTING:
            return packet[offset + 3] > 0
        length = packet[offset + 1]
        step = 8 if proto == 44 else (length + 2) * 4 if proto == 51 else (length + 1) * 8
        proto = packet[offset]
        offset += step
    return False


# Transport


#: protocol -> (offset of the checksum, least length of the header, whether it covers the addresses)
_TRANSPORT = {
    IPPROTO_TCP: (16, TCP_LEN, True),
    IPPROTO_UDP: (6, UDP_LEN, True),
    IPPROTO_ICMPV6: (2, 4, True),
    IPPROTO_ICMP: (2, ICMP_LEN, False),
}


def has_transport(headers: Headers, length: int) -> bool:
    """Whether a transport header of at least `length` bytes is in the packet."""
    return (
        headers.l4 >= 0
        and not headers.frag & FRAG_LATER
        and headers.end - headers.l4 >= length
    )  # fmt: skip


def _update_transport(
    packet: bytearray, headers: Headers, old: bytes, new: bytes, pseudo: bool
) -> None:
    """Updates the transport checksum for bytes that changed from `old` to `new`, in the pseudo
    header or in the packet."""
    offset, length, covers_addresses = _TRANSPORT.get(headers.proto, (0, 0, False))
    if not length or not has_transport(headers, length) or (pseudo and not covers_addresses):
        return
    at = headers.l4 + offset
    current = get_word(packet, at)
    is_udp = headers.proto == IPPROTO_UDP
    if is_udp and not current:
        return
    updated = update_checksum(current, old, new)
    put_word(packet, at, 0xFFFF if is_udp and not updated else updated)


def set_ports(
    packet: bytearray, headers: Headers, src: int | None = None, dst: int | None = None
) -> None:
    """Sets the ports of TCP (if the length of its header is possible), UDP or SCTP."""
    length = {IPPROTO_TCP: TCP_LEN, IPPROTO_UDP: UDP_LEN, IPPROTO_SCTP: SCTP_LEN}
    if headers.proto not in length or not has_transport(headers, length[headers.proto]):
        return
    l4 = headers.l4
    if headers.proto == IPPROTO_TCP and not 20 <= packet[l4 + 12] >> 4 << 2 <= headers.end - l4:
        return
    old = bytes(packet[l4 : l4 + 4])
    wrong = _sctp_difference(packet, headers) if headers.proto == IPPROTO_SCTP else 0
    if src is not None:
        put_word(packet, l4, src)
    if dst is not None:
        put_word(packet, l4 + 2, dst)
    new = bytes(packet[l4 : l4 + 4])
    if new == old:
        return
    if headers.proto == IPPROTO_SCTP:
        _put_sctp_checksum(packet, headers, wrong)
    else:
        _update_transport(packet, headers, old, new, pseudo=False)


def _sctp_sum(packet: bytearray, headers: Headers) -> int:
    segment = packet[headers.l4 : headers.end]
    segment[8:12] = b"\0\0\0\0"
    return int.from_bytes(sctp_checksum(segment), "big")


def _sctp_difference(packet: bytearray, headers: Headers) -> int:
    """How the CRC in the packet differs from the right one: a wrong one stays wrong."""
    at = headers.l4 + 8
    return int.from_bytes(packet[at : at + 4], "big") ^ _sctp_sum(packet, headers)


def _put_sctp_checksum(packet: bytearray, headers: Headers, wrong: int) -> None:
    pack_into(">I", packet, headers.l4 + 8, _sctp_sum(packet, headers) ^ wrong)


def set_icmp(
    packet: bytearray, headers: Headers, kind: int | None = None, code: int | None = None
) -> None:
    """Sets type and code of ICMP or ICMPv6."""
    if headers.proto not in (IPPROTO_ICMP, IPPROTO_ICMPV6) or not has_transport(headers, 4):
        return
    l4 = headers.l4
    old = bytes(packet[l4 : l4 + 2])
    if kind is not None:
        packet[l4] = kind
    if code is not None:
        packet[l4 + 1] = code
    _update_transport(packet, headers, old, bytes(packet[l4 : l4 + 2]), pseudo=False)


def set_nd(
    packet: bytearray,
    headers: Headers,
    target: bytes | None = None,
    sll: bytes | None = None,
    tll: bytes | None = None,
) -> None:
    """Sets target (16 bytes) and link-layer addresses (6 bytes) of a neighbour discovery message;
    an option that the message does not have is not added."""
    if headers.proto != IPPROTO_ICMPV6 or not has_transport(headers, ND_LEN):
        return
    if target is not None:
        _put_in_segment(packet, headers, headers.l4 + 8, target)
    offset = headers.l4 + ND_LEN
    wanted = {ND_OPT_SOURCE_LINKADDR: sll, ND_OPT_TARGET_LINKADDR: tll}
    while headers.end - offset >= ND_LLA_OPT_LEN:
        length = packet[offset + 1] * 8
        if not length or length > headers.end - offset:
            break
        address = wanted.get(packet[offset])
        if address is not None and length == ND_LLA_OPT_LEN:
            _put_in_segment(packet, headers, offset + 2, address)
        offset += length


def _put_in_segment(packet: bytearray, headers: Headers, at: int, new: bytes) -> None:
    """Writes `new` at an even distance from the transport header, and updates its checksum."""
    old = bytes(packet[at : at + len(new)])
    packet[at : at + len(new)] = new
    if old != new:
        _update_transport(packet, headers, old, new, pseudo=False)


def set_nd_extensions(
    packet: bytearray, headers: Headers, reserved: int | None = None, option: int | None = None
) -> None:
    """Sets the reserved word and the type of the first option of a neighbour message."""
    if headers.proto != IPPROTO_ICMPV6 or not has_transport(headers, ND_LEN):
        return
    if reserved is not None:
        _put_in_segment(packet, headers, headers.l4 + 4, reserved.to_bytes(4, "big"))
    at = headers.l4 + ND_LEN
    if option is not None and headers.end - at >= ND_LLA_OPT_LEN:
        _put_in_segment(packet, headers, at, bytes((option, packet[at + 1])))


# ARP


def set_arp(
    packet: bytearray,
    headers: Headers,
    op: int | None = None,
    sha: bytes | None = None,
    spa: bytes | None = None,
    tha: bytes | None = None,
    tpa: bytes | None = None,
) -> None:
    """Sets fields of an ARP or RARP packet for Ethernet and IPv4."""
    l3 = headers.l3
    if headers.dl_type not in (0x0806, 0x8035) or len(packet) < l3 + ARP_LEN:
        return
    if op is not None:
        put_word(packet, l3 + 6, op)
    for offset, value in ((8, sha), (14, spa), (18, tha), (24, tpa)):
        if value is not None:
            packet[l3 + offset : l3 + offset + len(value)] = value


def set_tcp_flags(packet: bytearray, headers: Headers, flags: int) -> None:
    """Sets the twelve flag bits of a TCP header."""
    if headers.proto != IPPROTO_TCP or not has_transport(headers, TCP_LEN):
        return
    at = headers.l4 + 12
    old = get_word(packet, at)
    new = old & 0xF000 | flags & 0x0FFF
    put_word(packet, at, new)
    checksum_at = headers.l4 + 16
    updated = update_checksum_word(get_word(packet, checksum_at), old, new)
    put_word(packet, checksum_at, updated)
