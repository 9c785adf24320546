"""Packets in tunnels, of which it is the packet inside that a device is still to finish or to cut.

A machine that is itself the end of a tunnel (VXLAN, Geneve or GRE of Linux's own, or of another
data path) leaves the packet inside to its devices, whose checksum is undone then, and which may be
longer than anything that fits onto a wire. Whoever looks at such a packet sees the outer headers,
and has to finish each segment with headers of its own.
"""

from __future__ import annotations

from netloom.packet.checksum import checksum, transport_checksum
from netloom.packet.headers import ETH_TYPE_NSH, ETH_TYPE_TEB, IPPROTO_UDP
from netloom.packet.nsh import header_length
from netloom.packet.parse import Headers, parse
from netloom.packet.types import PT_IPV4, PT_IPV6, PT_NSH, type_of_nsh_protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

#: No transport header of a packet in a tunnel starts before: IPv4, GRE, IPv4.
LEAST_INSIDE: Final = 14 + 20 + 4 + 20
_GRE_PROTO: Final = 47
#: Of GRE's flags: a checksum, a key, a sequence number, four bytes each.
_GRE_WORDS, _GRE_CHECKSUM = 0xB0, 0x80
#: Ethernet types of headers that have others behind them.
LAYERS: Final = (ETH_TYPE_NSH, 0x8847, 0x8848)
_MAX_LAYERS: Final = 8
#: By the first bits behind a label.
_BY_VERSION: Final = {0: PT_NSH, 4: PT_IPV4, 6: PT_IPV6}
_IP_TYPES: Final = (0x0800, 0x86DD)
_UDP_LEN: Final = 8
_FIXED_LEN: Final = 8


def find_inside(packet: bytes, headers: Headers) -> tuple[int, int]:
    """Where the packet in the tunnel starts, and its type (0: Ethernet, else that of the network
    header it starts with); (0, 0) if `packet`, whose own headers are given, is no tunnel's."""
    at = headers.l4
    if at < 0 or headers.frag:
        return 0, 0
    if headers.proto == _GRE_PROTO:
        return _behind_gre(packet, at)
    if headers.proto != IPPROTO_UDP or len(packet) < at + _UDP_LEN + _FIXED_LEN:
        return 0, 0
    at += _UDP_LEN
    if not packet[at] >> 6 and packet[at + 2 : at + 4] == b"\x65\x58":
        return at + _FIXED_LEN + (packet[at] & 0x3F) * 4, 0
    # VXLAN, with a group policy or without.
    is_vxlan = packet[at] & 0x7F == 0x08 and not packet[at + 7]
    return (at + _FIXED_LEN, 0) if is_vxlan else (0, 0)


def _behind_gre(packet: bytes, at: int) -> tuple[int, int]:
    if len(packet) < at + 4 or packet[at] & ~_GRE_WORDS or packet[at + 1]:
        return 0, 0
    start = at + 4 + 4 * (packet[at] & _GRE_WORDS).bit_count()
    kind = packet[at + 2] << 8 | packet[at + 3]
    if kind == ETH_TYPE_TEB:
        return start, 0
    return (start, 1 << 16 | kind) if kind in _IP_TYPES else (0, 0)


def find_behind_layers(packet: bytes, headers: Headers) -> list[tuple[int, int]]:
    """What may be behind the labels and service headers of `packet`, as `find_inside` says it:
    labels do not tell what follows."""
    found: list[tuple[int, int]] = []
    waiting = [(0, headers)]
    while waiting and len(found) < _MAX_LAYERS:
        start, outside = waiting.pop()
        for at, kind in _behind_layer(packet, start + outside.l3, outside.dl_type):
            found.append((at, kind))
            waiting.append((at, parse(packet[at:], kind)))
    return found


def _behind_layer(packet: bytes, at: int, dl_type: int) -> list[tuple[int, int]]:
    if dl_type not in LAYERS or len(packet) <= at:
        return []
    if dl_type != ETH_TYPE_NSH:
        kind = _BY_VERSION.get(packet[at] >> 4)
        return [(at, 0)] if kind is None else [(at, 0), (at, kind)]
    length = header_length(packet, at)
    behind = type_of_nsh_protocol(packet[at + 3]) if length else None
    return [] if behind is None else [(at + length, behind)]


def encapsulate(head: bytes, headers: Headers, inside: bytes, number: int) -> bytes:
    """`inside` behind `head`, the headers in front of what it is a segment of (number `number`),
    with lengths and checksums of its own. `headers` are those of the whole."""
    data = bytearray(head + inside)
    l3, l4 = headers.l3, headers.l4
    if headers.dl_type == 0x0800:
        _put(data, l3 + 2, len(data) - l3)
        _put(data, l3 + 4, (data[l3 + 4] << 8 | data[l3 + 5]) + number & 0xFFFF)
        _put(data, l3 + 10, 0)
        _put(data, l3 + 10, checksum(data[l3:l4]))
        ends = l3 + 12, l3 + 16, l3 + 20
    else:
        _put(data, l3 + 4, len(data) - l3 - 40)
        ends = l3 + 8, l3 + 24, l3 + 40
    if headers.proto == IPPROTO_UDP:
        _put(data, l4 + 4, len(data) - l4)
        if data[l4 + 6] | data[l4 + 7]:
            _put(data, l4 + 6, 0)
            source, destination = bytes(data[ends[0] : ends[1]]), bytes(data[ends[1] : ends[2]])
            value = transport_checksum(source, destination, IPPROTO_UDP, data[l4:])
            _put(data, l4 + 6, value)
    elif data[l4] & _GRE_CHECKSUM:
        _put(data, l4 + 4, 0)
        _put(data, l4 + 4, checksum(data[l4:]))
    return bytes(data)


def _put(data: bytearray, offset: int, value: int) -> None:
    data[offset : offset + 2] = value.to_bytes(2, "big")
