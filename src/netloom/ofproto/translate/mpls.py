"""Labels: `push_mpls`, `pop_mpls`, `dec_mpls_ttl` and the setting of a label's parts (RFC 3032).

A key holds three labels. What is below a last label that is popped cannot be seen before the packet
has come back from the data path: actions that would have to look there make it come back first
(`recirculate_for`).
"""

from __future__ import annotations

from netloom.flow.fields import FIELD, SLOT
from netloom.flow.key import MAX_MPLS_LABELS
from netloom.ofproto.translate.commit import commit
from netloom.ofproto.translate.context import Context
from netloom.ofproto.translate.freeze import trigger_freeze
from netloom.ofproto.translate.labels import BOS, LSES, MPLS_TYPES, with_labels
from netloom.ofproto.translate.output import to_controller
from netloom.openflow import actions as a
from netloom.openflow import messages as m
from netloom.packet.headers import ETH_TYPE_TEB

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_DL_TYPE: Final = SLOT["dl_type"]
_NW_TOS: Final = SLOT["nw_tos"]
_NW_TTL: Final = SLOT["nw_ttl"]
_PACKET_TYPE: Final = SLOT["packet_type"]
_IP: Final = 0x0800
_IPV6: Final = 0x86DD
_DSCP: Final = 0xFC
_DEFAULT_TTL: Final = 64
_IPV6_EXPLICIT_NULL: Final = 2
#: What a packet seems not to have any more below a label.
_BELOW: Final = sum(
    SLOT[name].mask
    for name in (
        *("nw_src", "nw_dst", "nw_proto", "nw_tos", "nw_ttl", "nw_frag", "ipv6_src", "ipv6_dst"),
        *("ipv6_label", "tp_src", "tp_dst", "tcp_flags", "igmp_group", "arp_sha", "arp_tha"),
        *("nd_target", "dp_hash"),
    )
)
_TOO_MANY: Final = "Too many MPLS labels"

#: Actions that do not look below Ethernet, so that they may follow a pop of the last label.
_SHALLOW: Final = (
    a.Output, a.OutputTrunc, a.Enqueue, a.OutputReg, a.SetVlanVid, a.SetVlanPcp, a.SetTunnelId,
    a.SetQueue, a.Group,
)  # fmt: skip
#: From this field of the table on, fields lie below Ethernet.
_FIRST_DEEP: Final = FIELD["mpls_label"].id


def _count_labels(context: Context) -> int:
    """How many labels the packet has; what was looked at to know is un-wildcarded."""
    if _DL_TYPE.get(context.key) not in MPLS_TYPES:
        return 0
    count = 0
    for number, slot in enumerate(LSES):
        context.mask |= BOS << slot.shift
        entry = slot.get(context.key)
        if entry & BOS:
            return number + 1
        count += bool(entry)
    return count


def recirculate_for(context: Context, action: a.Action) -> None:
    """The last label was popped: freeze before an action that looks below it."""
    if isinstance(action, _SHALLOW):
        return
    if isinstance(action, a.SetField) and action.field.id < _FIRST_DEEP:
        return
    trigger_freeze(context)


def push_mpls(context: Context, action: a.PushMpls) -> None:
    """A copy of the outermost label on top or, with no label, one that says "nothing special"."""
    count = _count_labels(context)
    if not count:
        commit(context)
    elif count >= MAX_MPLS_LABELS:
        _refuse(context, "an MPLS push action", "it would have")
        return
    key = context.key
    if count:
        context.mask |= sum(slot.mask for slot in LSES[:count])
        entries = [LSES[number].get(key) for number in range(count)]
        key = with_labels(key, [entries[0] & ~BOS, *entries])
    else:
        key = with_labels(key & ~_BELOW, [_first_entry(context)])
    context.key = _DL_TYPE.put(key, action.ethertype)


def encap(context: Context, packet_type: int) -> None:
    """A label in front of the packet as it is, which tells little of what is behind it. Labels in
    a frame are not among those in front of it."""
    key = context.key
    count = _count_labels(context)
    if not count:
        label = _IPV6_EXPLICIT_NULL if _DL_TYPE.get(key) == _IPV6 else 0
        key = with_labels(key & ~_BELOW, [label << 12 | BOS | _DEFAULT_TTL])
    elif not _PACKET_TYPE.get(key):
        key = with_labels(key, [])
    elif count >= MAX_MPLS_LABELS:
        _refuse(context, "an encap MPLS action", "it would have")
        return
    else:
        context.mask |= sum(slot.mask for slot in LSES[:count])
        entries = [slot.get(key) for slot in LSES[:count]]
        key = with_labels(key, [entries[0] & ~BOS, *entries])
    context.key = _PACKET_TYPE.put(_DL_TYPE.put(key, packet_type & 0xFFFF), packet_type)
    _may_need_help(context)


def decap(context: Context, packet_type: int) -> None:
    """The first label off a packet that starts with one; `packet_type` is what is behind."""
    count = _count_labels(context)
    _pop(context, packet_type & 0xFFFF if packet_type else ETH_TYPE_TEB, "an MPLS decap")
    context.was_mpls = False
    context.key = _PACKET_TYPE.put(context.key, packet_type)
    context.pending_decap = True
    _may_need_help(context)
    if count == 1:
        trigger_freeze(context, resumes_behind=True)


def _may_need_help(context: Context) -> None:
    """Not every data path has labels in front of whole packets."""
    if not context.bridge.backer.features.has("add_mpls"):
        context.slow.add("action")


def _first_entry(context: Context) -> int:
    """What a first label says: explicit null, and class and TTL of the packet below."""
    key = context.key
    dl_type = _DL_TYPE.get(key)
    label = _IPV6_EXPLICIT_NULL if dl_type == _IPV6 else 0
    traffic_class, ttl = 0, _DEFAULT_TTL
    if dl_type in (_IP, _IPV6):
        context.mask |= _DSCP << _NW_TOS.shift | _NW_TTL.mask
        traffic_class = _NW_TOS.get(key) >> 2 & 7
        ttl = _NW_TTL.get(key) or _DEFAULT_TTL
    return label << 12 | traffic_class << 9 | BOS | ttl


def pop_mpls(context: Context, action: a.PopMpls) -> None:
    """The outermost label off; what is below is of the type that the action says."""
    _pop(context, action.ethertype, "an MPLS pop action")


def _pop(context: Context, ethertype: int, what: str) -> None:
    count = _count_labels(context)
    if not count:
        return
    if count == MAX_MPLS_LABELS and not LSES[count - 1].get(context.key) & BOS:
        _refuse(context, what, "it has")
        return
    context.mask |= sum(slot.mask for slot in LSES[1:count])
    entries = [slot.get(context.key) for slot in LSES[1:count]]
    context.key = _DL_TYPE.put(with_labels(context.key, entries), ethertype)
    if ethertype not in MPLS_TYPES:
        context.was_mpls = True


def _refuse(context: Context, what: str, why: str) -> None:
    text = (
        f"dropping packet on which {what} can't be performed as {why} more MPLS LSEs than the "
        f"{MAX_MPLS_LABELS} supported."
    )
    if context.has_packet:
        context.report_error(text)
    context.error = _TOO_MANY
    context.done = True


def _set_part(context: Context, value: int, shift: int, bits: int) -> None:
    if _DL_TYPE.get(context.key) in MPLS_TYPES:
        in_place = bits << shift + LSES[0].shift
        context.mask |= in_place
        context.key = context.key & ~in_place | value << shift + LSES[0].shift & in_place


def set_mpls_label(context: Context, action: a.SetMplsLabel) -> None:
    _set_part(context, action.label, 12, 0xFFFFF)


def set_mpls_tc(context: Context, action: a.SetMplsTc) -> None:
    _set_part(context, action.tc, 9, 7)


def set_mpls_ttl(context: Context, action: a.SetMplsTtl) -> None:
    _set_part(context, action.ttl, 0, 0xFF)


def dec_mpls_ttl(context: Context, action: a.DecMplsTtl) -> bool:
    """True: the packet expires, which ends this list of actions."""
    if _DL_TYPE.get(context.key) in MPLS_TYPES:
        ttl = LSES[0].get(context.key) & 0xFF
        context.mask |= 0xFF << LSES[0].shift
        if ttl > 1:
            context.key -= 1 << LSES[0].shift
            return False
        to_controller(context, 0xFFFF, m.OFPR_INVALID_TTL, 0)
    context.warn("MPLS decrement TTL exception")
    return True
