"""What tracking said of a packet, in its flow key and out of it.

The original tuple of an IPv4 connection stands in ct_nw_src and so on, of an IPv6 connection in
ct_ipv6_src and so on; an ICMP query shows type and code in place of ports.
"""

from __future__ import annotations

from netloom.datapath.userspace.conntrack.tracker import Tracked
from netloom.datapath.userspace.conntrack.tuples import Tuple, tuple_bits
from netloom.flow.key import (
    CT_LABEL_MASK,
    CT_LABEL_SHIFT,
    CT_MARK_SHIFT,
    CT_MASK,
    CT_STATE_MASK,
    CT_STATE_SHIFT,
    CT_ZONE_SHIFT,
    shift_of,
)
from netloom.packet.headers import ETH_TYPE_IP, ETH_TYPE_IPV6, IPPROTO_ICMP, IPPROTO_ICMPV6

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_NW_SRC: Final = shift_of("ct_nw_src")
_NW_DST: Final = shift_of("ct_nw_dst")
_IPV6_SRC: Final = shift_of("ct_ipv6_src")
_IPV6_DST: Final = shift_of("ct_ipv6_dst")
_PROTO: Final = shift_of("ct_nw_proto")
_SPORT: Final = shift_of("ct_tp_src")
_DPORT: Final = shift_of("ct_tp_dst")
_ALL_32: Final = (1 << 32) - 1
_ALL_128: Final = (1 << 128) - 1
_STATES: Final = 0xFF
_UNTRACKED: Final = Tracked()


def tracked_of(key: int) -> Tracked:
    """What a flow key says of its packet; the tuple has no ICMP identifier, as the key has none."""
    if not key & CT_STATE_MASK:
        return _UNTRACKED
    zone = key >> CT_ZONE_SHIFT & 0xFFFF
    return Tracked(
        key >> CT_STATE_SHIFT & _STATES,
        zone,
        key >> CT_MARK_SHIFT & _ALL_32,
        (key & CT_LABEL_MASK) >> CT_LABEL_SHIFT,
        _tuple_of(key, zone),
    )


def _tuple_of(key: int, zone: int) -> Tuple | None:
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


def write_tracked(key: int, tracked: Tracked) -> int:
    """The key with all its ct fields replaced by what `tracked` says."""
    key &= ~CT_MASK
    key |= tracked.state << CT_STATE_SHIFT | tracked.zone << CT_ZONE_SHIFT
    key |= tracked.mark << CT_MARK_SHIFT | tracked.label << CT_LABEL_SHIFT
    original = tracked.original
    return key if original is None else key | tuple_bits(original)
