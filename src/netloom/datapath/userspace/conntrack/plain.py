"""The connection of a plain packet, read at once.

Most packets are untagged TCP or UDP on IPv4 without options, whole and right. For these one
`struct` and two divisions do what `packet.parse` and `tuples.extract` do step by step: the same
tuple, the same checks. Whatever is otherwise in any way is none of theirs: None says so, and the
others find out what it is.
"""

from __future__ import annotations

from struct import Struct

from netloom.datapath.userspace.conntrack.tuples import Checked
from netloom.packet.headers import ETH_LEN, ETH_TYPE_IP, IPPROTO_TCP, IPPROTO_UDP
from netloom.packet.marks import IP_GOOD, L4_GOOD

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

#: A `tuples.Tuple`, to look for: zone, dl_type, proto, src, dst, sport, dport.
PlainTuple = tuple[int, ...]

#: Packets that are remembered until they come back: two batches.
MAX_SEEN: Final = 64
#: From dl_type on: this; version and header length; total length; fragment; protocol; addresses,
#: ports, and length and checksum of UDP.
_read: Final = Struct(">HBxHxxHxBxxIIHHHH").unpack_from
_TYPE_AT: Final = 12
_ADDRESSES_AT: Final = ETH_LEN + 12
_L4: Final = ETH_LEN + 20
_UDP_LEN: Final = 8
_UDP_SUM_AT: Final = _L4 + 6
_BOTH_GOOD: Final = IP_GOOD | L4_GOOD
_TCP_LEN: Final = 20
#: Where a TCP header has its own length.
_OFFSET_AT: Final = _L4 + 12
_LEAST: Final = _L4 + _UDP_LEN


def read_plain(packet: bytes | bytearray, zone: int, known: int) -> tuple[PlainTuple, int] | None:
    """The tuple of a plain packet, which starts with Ethernet, and where it ends; `known` as
    `tuples.extract` has it."""
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
    if known & _BOTH_GOOD != _BOTH_GOOD:
        if known:
            return None
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

    __slots__ = ("_last", "_n_right", "_n_unsummed", "_seen", "checked")

    def __init__(self) -> None:
        #: By the identity of packets: these, zone, what was known, what was read of them.
        self._seen: dict[int, tuple[bytes, int, int, tuple[PlainTuple, int] | None]] = {}
        #: The last packet that others found to be right.
        self._last: bytes = b""
        #: What others look at is counted here.
        self.checked = Checked()
        #: Packets that were looked at here, and those of them without a transport checksum.
        self._n_right = self._n_unsummed = 0

    @property
    def n_ip_checked(self) -> int:
        """How many checksums of IP were looked at."""
        return self.checked.n_ip + self._n_right

    @property
    def n_l4_checked(self) -> int:
        """How many checksums of transport headers were."""
        return self.checked.n_l4 + self._n_right - self._n_unsummed

    def read(self, packet: bytes, zone: int, known: int) -> tuple[PlainTuple, int] | None:
        seen = self._seen.get(id(packet))
        was_right = False
        if seen is not None and seen[0] is packet:
            _, seen_zone, seen_known, read = seen
            if seen_zone == zone and seen_known == known:
                return read
            was_right = read is not None
        read = read_plain(packet, zone, known)
        if read is not None and not (known or was_right or packet is self._last):
            self._n_right += 1
            if read[0][2] != IPPROTO_TCP and not packet[_UDP_SUM_AT] | packet[_UDP_SUM_AT + 1]:
                self._n_unsummed += 1
        if len(self._seen) >= MAX_SEEN:
            self._seen.clear()
        self._seen[id(packet)] = (packet, zone, known, read)
        return read

    def has_checked(self, packet: bytes | bytearray) -> bool:
        """Are the checksums of this packet right, as somebody looked at them before?"""
        if packet is self._last:
            return True
        seen = self._seen.get(id(packet))
        return seen is not None and seen[0] is packet and seen[3] is not None

    def vouch(self, packet: bytes | bytearray) -> None:
        """Others looked at the checksums of this packet, which are right."""
        if isinstance(packet, bytes):
            self._last = packet
