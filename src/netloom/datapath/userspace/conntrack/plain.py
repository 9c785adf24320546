"""The connection of a plain packet, read at once.

Most packets are TCP or UDP on IPv4 without options, whole and right. For these one `struct` and two
divisions do what `tuples.extract` does step by step: the same tuple, the same checks. Whatever is
otherwise in any way is none of theirs: None says so, and `extract` finds out what it is.
"""

from __future__ import annotations

from struct import Struct

from netloom.packet.headers import ETH_TYPE_IP, IPPROTO_TCP, IPPROTO_UDP
from netloom.packet.parse import Headers

#: A `tuples.Tuple`, to look for: zone, dl_type, proto, src, dst, sport, dport.
PlainTuple = tuple[int, int, int, int, int, int, int]

#: From the addresses on: these, ports, length, checksum.
_read_udp = Struct(">IIHHHH").unpack_from
#: These, ports, and where the header's length stands.
_read_tcp = Struct(">IIHH8xB").unpack_from
_IPV4_LEN, _UDP_LEN, _TCP_LEN = 20, 8, 20
_ADDRESSES = 12


def read_plain(
    packet: bytes | bytearray, headers: Headers, zone: int, trusts_checksum: bool
) -> PlainTuple | None:
    """The tuple of a plain packet."""
    l3, l4, end, proto = headers.l3, headers.l4, headers.end, headers.proto
    if headers.dl_type != ETH_TYPE_IP or l4 - l3 != _IPV4_LEN or headers.frag:
        return None
    addresses = l3 + _ADDRESSES
    has_sum = True
    if proto == IPPROTO_UDP:
        if end - l4 < _UDP_LEN:
            return None
        src, dst, sport, dport, length, sum_ = _read_udp(packet, addresses)
        if not _UDP_LEN <= length <= end - l4:
            return None
        has_sum = sum_ != 0
    elif proto == IPPROTO_TCP:
        if end - l4 < _TCP_LEN:
            return None
        src, dst, sport, dport, words = _read_tcp(packet, addresses)
        if not _TCP_LEN <= words >> 4 << 2 <= end - l4:
            return None
    else:
        return None
    if not (sport and dport):
        return None
    if not trusts_checksum:
        # One's complement sums (see `packet.checksum`): right is what is zero modulo 0xffff. The
        # pseudo header's addresses stand right before the segment.
        if int.from_bytes(packet[l3:l4], "big") % 0xFFFF:
            return None
        if has_sum:
            total = int.from_bytes(packet[addresses:end], "big") << (end - l4 & 1) * 8
            if (total + proto + end - l4) % 0xFFFF:
                return None
    return (zone, ETH_TYPE_IP, proto, src, dst, sport, dport)
