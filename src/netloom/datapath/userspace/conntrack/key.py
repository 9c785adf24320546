"""What tracking said of a packet, in its flow key and out of it.

The original tuple of an IPv4 connection stands in ct_nw_src and so on, of an IPv6 connection in
ct_ipv6_src and so on; an ICMP query shows type and code in place of ports.
"""

from __future__ import annotations

from netloom.datapath.userspace.conntrack.tracker import Tracked
from netloom.datapath.userspace.conntrack.tuples import tuple_bits, tuple_in
from netloom.flow.key import (
    CT_LABEL_MASK,
    CT_LABEL_SHIFT,
    CT_MARK_SHIFT,
    CT_MASK,
    CT_STATE_MASK,
    CT_STATE_SHIFT,
    CT_ZONE_SHIFT,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_ALL_32: Final = (1 << 32) - 1
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
        tuple_in(key, zone),
    )


def write_tracked(key: int, tracked: Tracked) -> int:
    """The key with all its ct fields replaced by what `tracked` says."""
    key &= ~CT_MASK
    key |= tracked.state << CT_STATE_SHIFT | tracked.zone << CT_ZONE_SHIFT
    key |= tracked.mark << CT_MARK_SHIFT | tracked.label << CT_LABEL_SHIFT
    original = tracked.original
    return key if original is None else key | tuple_bits(original)
