"""Which connection a packet belongs to: its tuple, and the checks that come before.

A `Tuple` is both directions' key of the table. For ICMP queries the two "ports" hold identifier,
type and code (16, 8 and 8 bits), the second with the type of the answer, so that for every
protocol reversing is exchanging source and destination.

`extract` refuses (and says why, as a counter's name) what no connection can own: a fragment, a
header that is cut off or contradicts its length, a wrong checksum, an ICMP message that is neither
query nor error. An ICMP error belongs to the connection of the packet that it quotes: its tuple is
the reverse of the quoted one, with `related` set (RFC 792, RFC 4443).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from netloom.flow.key import shift_of
from netloom.packet.checksum import checksum, pseudo_sum, sctp_checksum
from netloom.packet.headers import (
    ETH_TYPE_IP,
    ETH_TYPE_IPV6,
    IPPROTO_ICMP,
    IPPROTO_ICMPV6,
    IPPROTO_SCTP,
    IPPROTO_TCP,
    IPPROTO_UDP,
)
from netloom.packet.marks import ICMP_GOOD, IP_BAD, IP_GOOD, L4_BAD, L4_GOOD, L4_PARTIAL
from netloom.packet.parse import FRAG_LATER, Headers, parse

INVALID_FRAGMENT: Final = "conntrack_invalid_fragment"
INVALID_L3: Final = "conntrack_l3csum_err"
INVALID_L4_CHECKSUM: Final = "conntrack_l4csum_err"
INVALID_HEADER: Final = "conntrack_invalid_header"
INVALID_ICMP: Final = "conntrack_invalid_icmp"
INVALID_REASONS: Final = (
    INVALID_FRAGMENT, INVALID_L3, INVALID_L4_CHECKSUM, INVALID_HEADER, INVALID_ICMP,
)  # fmt: skip

#: Type of an ICMP query -> type of the other direction's message.
_ICMP_QUERIES: Final = {8: 0, 0: 8, 13: 14, 14: 13, 15: 16, 16: 15}
_ICMP_ERRORS: Final = frozenset({3, 4, 5, 11, 12})
_ICMPV6_QUERIES: Final = {128: 129, 129: 128}
_ICMPV6_ERRORS: Final = frozenset({1, 2, 3, 4})
_ICMP_TYPES: Final = {
    IPPROTO_ICMP: (_ICMP_QUERIES, _ICMP_ERRORS),
    IPPROTO_ICMPV6: (_ICMPV6_QUERIES, _ICMPV6_ERRORS),
}
#: Messages that may open a connection: the questions.
ICMP_OPENERS: Final = frozenset({8, 13, 15})
ICMPV6_OPENERS: Final = frozenset({128})
_CHECKSUMMED: Final = frozenset(
    {IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_SCTP, IPPROTO_TCP, IPPROTO_UDP}
)
_LEAST: Final = {IPPROTO_TCP: 20, IPPROTO_UDP: 8, IPPROTO_SCTP: 12}


class Tuple(NamedTuple):
    """One direction of a connection; `dl_type` tells the family of the addresses."""

    zone: int
    dl_type: int
    proto: int
    src: int
    dst: int
    sport: int
    dport: int

    def reversed(self) -> Tuple:
        zone, dl_type, proto, src, dst, sport, dport = self
        return tuple.__new__(Tuple, (zone, dl_type, proto, dst, src, dport, sport))


def with_numbers_of(original: Tuple, now: Tuple) -> Tuple:
    """`original`, of which keys tell no identifier if it is ICMP's, with that of the packet as it
    is `now`: it is the same in both directions, translated or not."""
    if not is_icmp(original):
        return original
    id_ = now.sport >> 16 << 16
    kinds = {now.sport & 0xFFFF, now.dport & 0xFFFF}
    kinds.discard(original.sport)
    other = kinds.pop() if kinds else original.sport
    return original._replace(sport=id_ | original.sport, dport=id_ | other)


class Checked:
    """How many checksums were looked at here, as no device had done so."""

    __slots__ = ("n_ip", "n_l4")

    def __init__(self) -> None:
        self.n_ip = 0
        self.n_l4 = 0


class Found(NamedTuple):
    """What `extract` found: the tuple, and for an ICMP error where the quoted packet starts."""

    key: Tuple
    related: bool = False
    inner: int = -1


def is_icmp(key: Tuple) -> bool:
    return key.proto in (IPPROTO_ICMP, IPPROTO_ICMPV6)


def identifier(query: Tuple) -> int:
    """That of an ICMP query."""
    return query.sport >> 16


def with_identifier(query: Tuple, number: int) -> Tuple:
    """The same with another identifier."""
    sport, dport = (number << 16 | port & 0xFFFF for port in (query.sport, query.dport))
    return query._replace(sport=sport, dport=dport)


_NW_SRC: Final = shift_of("ct_nw_src")
_NW_DST: Final = shift_of("ct_nw_dst")
_IPV6_SRC: Final = shift_of("ct_ipv6_src")
_IPV6_DST: Final = shift_of("ct_ipv6_dst")
_PROTO: Final = shift_of("ct_nw_proto")
_SPORT: Final = shift_of("ct_tp_src")
_DPORT: Final = shift_of("ct_tp_dst")
_ALL_32: Final = (1 << 32) - 1
_ALL_128: Final = (1 << 128) - 1


def tuple_bits(original: Tuple) -> int:
    """What a flow key says of the tuple of a connection, in place; an ICMP query shows type and
    code as its ports."""
    sport, dport = original.sport, original.dport
    if is_icmp(original):
        sport, dport = sport >> 8 & 0xFF, sport & 0xFF
    bits = original.proto << _PROTO | sport << _SPORT | dport << _DPORT
    if original.dl_type == ETH_TYPE_IP:
        return bits | original.src << _NW_SRC | original.dst << _NW_DST
    return bits | original.src << _IPV6_SRC | original.dst << _IPV6_DST


def plain_bits(ends: tuple[int, ...]) -> int:
    """The same of a connection of TCP or UDP on IPv4, whose members stand side by side in a key."""
    _, _, proto, src, dst, sport, dport = ends
    return ((src << 32 | dst) << 40 | (sport << 16 | dport) << 8 | proto) << _PROTO


# The layout that this relies on.
assert _DPORT == _PROTO + 8 and _SPORT == _PROTO + 24 and (_NW_DST, _NW_SRC) == (
    _PROTO + 40, _PROTO + 72,
)  # fmt: skip


def tuple_in(key: int, zone: int) -> Tuple | None:
    """The tuple of which a flow key says that, without an ICMP identifier, as the key has none."""
    proto = key >> _PROTO & 0xFF
    src, dst = key >> _NW_SRC & _ALL_32, key >> _NW_DST & _ALL_32
    dl_type = ETH_TYPE_IP
    if not src and not dst:
        src, dst = key >> _IPV6_SRC & _ALL_128, key >> _IPV6_DST & _ALL_128
        dl_type = ETH_TYPE_IPV6
    if not src and not dst:
        return None
    sport, dport = key >> _SPORT & 0xFFFF, key >> _DPORT & 0xFFFF
    if proto in (IPPROTO_ICMP, IPPROTO_ICMPV6):
        sport, dport = sport << 8 | dport, 0
    return Tuple(zone, dl_type, proto, src, dst, sport, dport)


def extract(
    packet: bytes | bytearray,
    headers: Headers,
    zone: int,
    known: int = 0,
    checked: Checked | None = None,
) -> Found | str:
    """The tuple of `packet`, or the reason why it has none. `known` is what others say of its
    checksums (`packet.marks`); looks at them are counted in `checked`."""
    if headers.dl_type not in (ETH_TYPE_IP, ETH_TYPE_IPV6) or headers.l4 < 0:
        return INVALID_HEADER
    if headers.frag:
        return INVALID_FRAGMENT
    l3, l4 = headers.l3, headers.l4
    if headers.dl_type == ETH_TYPE_IP and not known & IP_GOOD:
        if known & IP_BAD:
            return INVALID_L3
        if checked is not None:
            checked.n_ip += 1
        if checksum(packet[l3:l4]):
            return INVALID_L3
    is_icmp_here = headers.proto in (IPPROTO_ICMP, IPPROTO_ICMPV6)
    if not known & (ICMP_GOOD if is_icmp_here else L4_GOOD):
        if known & L4_PARTIAL == L4_BAD:
            return INVALID_L4_CHECKSUM
        if checked is not None and _has_checksum(packet, headers):
            checked.n_l4 += 1
        if _is_checksum_wrong(packet, headers):
            return INVALID_L4_CHECKSUM
    return _extract_transport(packet, headers, zone, is_quoted=False)


def _has_checksum(packet: bytes | bytearray, headers: Headers) -> bool:
    """Is there one in the transport header that can be looked at?"""
    if headers.proto != IPPROTO_UDP or headers.dl_type == ETH_TYPE_IPV6:
        return headers.proto in _CHECKSUMMED
    return any(packet[headers.l4 + 6 : headers.l4 + 8])


def _addresses(packet: bytes | bytearray, headers: Headers) -> tuple[bytes, bytes]:
    l3 = headers.l3
    if headers.dl_type == ETH_TYPE_IP:
        return bytes(packet[l3 + 12 : l3 + 16]), bytes(packet[l3 + 16 : l3 + 20])
    return bytes(packet[l3 + 8 : l3 + 24]), bytes(packet[l3 + 24 : l3 + 40])


def _is_checksum_wrong(packet: bytes | bytearray, headers: Headers) -> bool:
    proto, l4 = headers.proto, headers.l4
    segment = bytes(packet[l4 : headers.end])
    if proto == IPPROTO_ICMP:
        return bool(checksum(segment))
    if proto == IPPROTO_UDP and segment[6:8] == b"\0\0":
        return headers.dl_type == ETH_TYPE_IPV6
    if proto == IPPROTO_SCTP:
        zeroed = segment[:8] + b"\0\0\0\0" + segment[12:]
        return sctp_checksum(zeroed) != segment[8:12]
    if proto not in (IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMPV6):
        return False
    src, dst = _addresses(packet, headers)
    return bool(checksum(segment, pseudo_sum(src, dst, proto, len(segment))))


def _extract_transport(
    packet: bytes | bytearray, headers: Headers, zone: int, is_quoted: bool
) -> Found | str:
    proto, l4 = headers.proto, headers.l4
    source, destination = _addresses(packet, headers)
    src, dst = int.from_bytes(source, "big"), int.from_bytes(destination, "big")
    size = headers.end - l4
    sport = dport = 0
    if proto in _LEAST:
        # A quoted packet is cut behind eight bytes of its transport header (RFC 792).
        if size < (8 if is_quoted else _LEAST[proto]):
            return INVALID_HEADER
        if not is_quoted and not _is_length_right(packet, proto, l4, size):
            return INVALID_HEADER
        sport = packet[l4] << 8 | packet[l4 + 1]
        dport = packet[l4 + 2] << 8 | packet[l4 + 3]
        if proto != IPPROTO_SCTP and not (sport and dport):
            return INVALID_HEADER
    elif proto == (IPPROTO_ICMP if headers.dl_type == ETH_TYPE_IP else IPPROTO_ICMPV6):
        return _extract_icmp(packet, headers, zone, is_quoted, (src, dst))
    return Found(Tuple(zone, headers.dl_type, proto, src, dst, sport, dport))


def _is_length_right(packet: bytes | bytearray, proto: int, l4: int, size: int) -> bool:
    if proto == IPPROTO_TCP:
        return 20 <= packet[l4 + 12] >> 4 << 2 <= size
    if proto == IPPROTO_UDP:
        return 8 <= packet[l4 + 4] << 8 | packet[l4 + 5] <= size
    return True


def _extract_icmp(
    packet: bytes | bytearray,
    headers: Headers,
    zone: int,
    is_quoted: bool,
    addresses: tuple[int, int],
) -> Found | str:
    l4, proto = headers.l4, headers.proto
    if headers.end - l4 < 8:
        return INVALID_HEADER
    kind, code = packet[l4], packet[l4 + 1]
    queries, errors = (
        (_ICMP_QUERIES, _ICMP_ERRORS)
        if proto == IPPROTO_ICMP
        else (_ICMPV6_QUERIES, _ICMPV6_ERRORS)
    )
    if kind in queries:
        if code:
            return INVALID_ICMP
        id_ = (packet[l4 + 4] << 8 | packet[l4 + 5]) << 16
        src, dst = addresses
        sport, dport = id_ | kind << 8, id_ | queries[kind] << 8
        return Found(Tuple(zone, headers.dl_type, proto, src, dst, sport, dport))
    if kind not in errors or is_quoted:
        return INVALID_ICMP
    at = l4 + 8
    quoted = parse_quoted(packet, at, headers)
    if quoted.l4 < 0 or quoted.frag & FRAG_LATER:
        return INVALID_ICMP
    found = _extract_transport(packet, quoted, zone, is_quoted=True)
    if isinstance(found, str):
        return found
    # The error must go to the one that sent the quoted packet.
    if found.key.src != addresses[1]:
        return INVALID_ICMP
    return Found(found.key.reversed(), True, at)


def parse_quoted(packet: bytes | bytearray, at: int, outer: Headers) -> Headers:
    """The headers of the packet quoted at `at` in an ICMP error, offsets from the start of
    `packet`. The quotation is usually cut, so its length fields are not believed."""
    quoted = bytearray(packet[at : outer.end])
    if outer.dl_type == ETH_TYPE_IP and len(quoted) >= 20:
        quoted[2:4] = len(quoted).to_bytes(2, "big")
    elif len(quoted) >= 40:
        quoted[4:6] = (len(quoted) - 40).to_bytes(2, "big")
    headers = parse(quoted, 0x10000 | outer.dl_type)
    headers.l3 = at
    headers.end = outer.end
    if headers.l4 >= 0:
        headers.l4 += at
    return headers


def is_opener(proto: int, icmp_type: int) -> bool:
    """May a message of ICMP open a connection? Packets of other protocols may."""
    openers = {IPPROTO_ICMP: ICMP_OPENERS, IPPROTO_ICMPV6: ICMPV6_OPENERS}.get(proto)
    return openers is None or icmp_type in openers
