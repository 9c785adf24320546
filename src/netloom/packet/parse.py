"""Where the headers of a packet lie.

`parse` is for code that rewrites or measures a packet: it gives offsets, not values. It accepts
any bytes and never raises; a layer that is not there has offset -1.
"""

from __future__ import annotations

from netloom.packet.headers import (
    ETH_LEN,
    ETH_TYPE_MIN,
    IPV6_EXTENSIONS,
    LLC_SNAP_LEN,
    MPLS_BOS,
    SNAP_ETHERNET,
)

_TAGS = (b"\x81\x00", b"\x88\xa8")
#: dl_type of 802.3 without SNAP.
_TYPE_NONE = 0x05FF

#: More tags than any packet has.
ALL_VLANS = 65_535
FRAG_ANY = 1
FRAG_LATER = 2


class Headers:
    """Offsets of one packet's headers, in bytes from its start; -1 for what it has not.

    `dl_type` is the type of what is at `l3` (or of the labels at `l2_5`), `type_offset` where it
    stands, `n_vlans` how many tags (any number) precede it, `l3_len` the length of the IP header
    with its options or extension headers, `l4` where the transport header is, also for a later
    fragment (whose data is there), `proto` its protocol, `frag` nw_frag of ovs-fields(7), `end`
    where the IP packet ends and padding begins (the packet's length if it is not IP).
    """

    __slots__ = (
        "dl_type", "end", "frag", "l2_5", "l3", "l4", "n_vlans", "proto", "type_offset",
    )  # fmt: skip

    def __init__(self) -> None:
        self.dl_type = 0
        self.type_offset = -1
        self.n_vlans = 0
        self.l2_5 = -1
        self.l3 = -1
        self.l4 = -1
        self.proto = -1
        self.frag = 0
        self.end = 0

    def __repr__(self) -> str:
        return f"Headers({', '.join(f'{name}={getattr(self, name)}' for name in self.__slots__)})"


def parse(packet: bytes | bytearray, packet_type: int = 0, max_vlans: int = ALL_VLANS) -> Headers:
    """The offsets of `packet`. A `packet_type` other than 0 (Ethernet) says what its layer 3 is,
    at offset 0. No more than `max_vlans` tags are read: what is behind them is not known."""
    headers = Headers()
    headers.end = size = len(packet)
    if size >= 34 and packet[12] == 8 and not (packet[13] or packet_type):
        # Untagged IPv4, as most packets are.
        headers.dl_type, headers.type_offset, headers.l3 = 0x0800, 12, ETH_LEN
        _parse_ipv4(packet, headers)
        return headers
    if packet_type:
        headers.dl_type, offset = packet_type & 0xFFFF, 0
    elif size < ETH_LEN:
        return headers
    else:
        offset = _parse_ethernet(packet, headers, max_vlans)
    if headers.dl_type in (0x8847, 0x8848):
        headers.l2_5 = offset
        offset = _skip_labels(packet, offset)
        headers.l3 = offset
    else:
        headers.l3 = offset
        if headers.dl_type == 0x0800:
            _parse_ipv4(packet, headers)
        elif headers.dl_type == 0x86DD:
            _parse_ipv6(packet, headers)
    return headers


def _parse_ethernet(packet: bytes | bytearray, headers: Headers, max_vlans: int) -> int:
    offset = 12
    while (
        packet[offset : offset + 2] in _TAGS
        and len(packet) >= offset + 6
        and headers.n_vlans < max_vlans
    ):
        offset += 4
        headers.n_vlans += 1
    dl_type = packet[offset] << 8 | packet[offset + 1]
    headers.type_offset = offset
    offset += 2
    if dl_type < ETH_TYPE_MIN:
        dl_type = _TYPE_NONE
        if len(packet) - offset >= LLC_SNAP_LEN and packet.startswith(SNAP_ETHERNET, offset):
            snap_type = packet[offset + 6] << 8 | packet[offset + 7]
            headers.type_offset = offset + 6
            offset += LLC_SNAP_LEN
            dl_type = snap_type if snap_type >= ETH_TYPE_MIN else _TYPE_NONE
    headers.dl_type = dl_type
    return offset


def _skip_labels(packet: bytes | bytearray, offset: int) -> int:
    while len(packet) >= offset + 4:
        offset += 4
        if packet[offset - 2] & (MPLS_BOS >> 8):
            break
    return offset


def _parse_ipv4(packet: bytes | bytearray, headers: Headers) -> None:
    l3 = headers.l3
    size = len(packet) - l3
    if size < 20:
        return
    header = (packet[l3] & 0xF) * 4
    total = packet[l3 + 2] << 8 | packet[l3 + 3]
    if not 20 <= header <= total <= size:
        return
    headers.l4 = l3 + header
    headers.end = l3 + total
    headers.proto = packet[l3 + 9]
    word = packet[l3 + 6] << 8 | packet[l3 + 7]
    if word & 0x3FFF:
        headers.frag = FRAG_ANY | FRAG_LATER if word & 0x1FFF else FRAG_ANY


def _parse_ipv6(packet: bytes | bytearray, headers: Headers) -> None:
    l3 = headers.l3
    size = len(packet) - l3
    if size < 40:
        return
    payload = packet[l3 + 4] << 8 | packet[l3 + 5]
    if payload > size - 40:
        return
    end = l3 + 40 + payload
    found = walk_extensions(packet, l3 + 40, end, packet[l3 + 6])
    if found is not None:
        headers.l4, headers.proto, headers.frag = found
        headers.end = end


def walk_extensions(
    packet: bytes | bytearray, offset: int, end: int, proto: int
) -> tuple[int, int, int] | None:
    """Walks over IPv6's extension headers (RFC 8200) from `offset`, the first being of kind
    `proto`: (where the transport header is, its protocol, nw_frag), or None if one is cut off. A
    later fragment has the protocol 44: what is inside cannot be told."""
    frag = 0
    while proto in IPV6_EXTENSIONS:
        if end - offset < 8:
            return None
        kind, proto, length = proto, packet[offset], packet[offset + 1]
        if kind == 44:
            word = packet[offset + 2] << 8 | packet[offset + 3]
            offset += 8
            if word:
                frag = FRAG_ANY
                if word & 0xFFF8:
                    return offset, 44, FRAG_ANY | FRAG_LATER
        else:
            offset += (length + 2) * 4 if kind == 51 else (length + 1) * 8
            if offset > end:
                return None
    return offset, proto, frag
