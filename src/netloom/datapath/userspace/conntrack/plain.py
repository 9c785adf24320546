"""The connection of a plain packet, read at once.

Most packets are untagged TCP or UDP on IPv4 without options, whole and right. For these one
`struct` and two divisions do what `packet.parse` and `tuples.extract` do step by step: the same
tuple, the same checks. Whatever is otherwise in any way is none of theirs: None says so, and the
others find out what it is.
"""

from __future__ import annotations

from struct import Struct

from netloom.packet.headers import ETH_LEN, ETH_TYPE_IP, IPPROTO_TCP, IPPROTO_UDP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

#: A `tuples.Tuple`, to look for: zone, dl_type, proto, src, dst, sport, dport.
PlainTuple = tuple[int, ...]

#: From dl_type on: this; version and header length; total length; fragment; protocol; addresses,
#: Packets that are remembered until they come back: two batches.
MAX_SEEN: Final = 64
#: ports, and length and checksum of UDP.
_read: Final = Struct(">HBxHxxHxBxxIIHHHH").unpack_from
_TYPE_AT: Final = 12
_ADDRESSES_AT: Final = ETH_LEN + 12
_L4: Final = ETH_LEN + 20
_UDP_LEN: Final = 8
_TCP_LEN: Final = 20
#: Where a TCP header has its own length.
_OFFSET_AT: Final = _L4 + 12
_LEAST: Final = _L4 + _UDP_LEN


def read_plain(
    packet: bytes | bytearray, zone: int, trusts_checksum: bool
) -> tuple[PlainTuple, int] | None:
    """The tuple of a plain packet, which starts with Ethernet, and where it ends."""
    if len(packet) < _LEAST:
        return None
    dl_type, version, total, frag, proto, src, dst, sport, dport, length, sum_ = _read(
        packet, _TYPE_AT
    )
    end = ETH_LEN + total
    size = end - _L4
    if dl_type != ETH_TYPE_IP or version & 0xF != 5 or frag & 0x3FFF or end > len(packet):
        return None
    if proto == IPPROTO_UDP:
        if not _UDP_LEN <= length <= size:
            return None
        is_summed = sum_ != 0
    elif proto == IPPROTO_TCP:
        if size < _TCP_LEN or not _TCP_LEN <= packet[_OFFSET_AT] >> 4 << 2 <= size:
            return None
        is_summed = True
    else:
        return None
    if not (sport and dport):
        return None
    if not trusts_checksum:
        # One's complement sums (see `packet.checksum`): right is what is zero modulo 0xffff. The
        # pseudo header's addresses stand right before the segment.
        if int.from_bytes(packet[ETH_LEN:_L4], "big") % 0xFFFF:
            return None
        if is_summed:
            sum_ = int.from_bytes(packet[_ADDRESSES_AT:end], "big") << (size & 1) * 8
            if (sum_ + proto + size) % 0xFFFF:
                return None
    return (zone, dl_type, proto, src, dst, sport, dport), end


class PlainReader:
    """`read_plain`, once for a packet that comes back."""

    __slots__ = ("_seen",)

    def __init__(self) -> None:
        #: By the identity of packets: these, zone, trust, what was read of them.
        self._seen: dict[int, tuple[bytes, int, bool, tuple[PlainTuple, int] | None]] = {}

    def read(
        self, packet: bytes, zone: int, trusts_checksum: bool
    ) -> tuple[PlainTuple, int] | None:
        seen = self._seen.get(id(packet))
        if seen is not None and seen[0] is packet:
            _, seen_zone, trusted, read = seen
            if seen_zone == zone and trusted == trusts_checksum:
                return read
        read = read_plain(packet, zone, trusts_checksum)
        if len(self._seen) >= MAX_SEEN:
            self._seen.clear()
        self._seen[id(packet)] = (packet, zone, trusts_checksum, read)
        return read
