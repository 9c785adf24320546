"""The end of a translation: what stays in the mask, and what was the packet's error."""

from __future__ import annotations

from netloom.datapath import actions as dp
from netloom.datapath.action_size import MAX_BYTES
from netloom.datapath.actions import DpActions
from netloom.datapath.drop_reasons import drop_number
from netloom.flow.fields import (
    KEY_MASK,
    SLOT,
    TUN_METADATA,
    TUN_PRESENT_SHIFT,
    VLAN_CFI,
)
from netloom.flow.key import FRAG_LATER, METADATA_ALL_MASK, TUNNEL_MASK
from netloom.ofproto.translate.context import FEW_ACTIONS, SLOW_REASONS, Context, Translated
from netloom.ofproto.translate.labels import LABELS_MASK, MPLS_TYPES
from netloom.ofproto.translate.output import metered
from netloom.openflow.messages_meters import OFPM_SLOWPATH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

#: Metadata that a data path knows; registers and the like exist in translation only.
_DATAPATH_METADATA: Final = (
    METADATA_ALL_MASK
    & ~SLOT["metadata"].mask
    & ~sum(SLOT[f"reg{n}"].mask for n in range(32))
    & ~SLOT["actset_output"].mask
    & ~SLOT["conj_id"].mask
)
#: What flows of a data path can match.
DATAPATH_MASK: Final = KEY_MASK & ~(METADATA_ALL_MASK & ~_DATAPATH_METADATA)
_TUNNEL_DST: Final = SLOT["tun_dst"].mask | SLOT["tun_ipv6_dst"].mask
#: Which options a packet has.
_PRESENT: Final = ((1 << len(TUN_METADATA)) - 1) << TUN_PRESENT_SHIFT
_ADDRESSES: Final = SLOT["dl_src"].mask | SLOT["dl_dst"].mask
#: More outputs than this are too many for one flow.
MAX_OUTPUTS: Final = 1_000
_VLAN_TCI: Final = SLOT["vlan_tci"].mask
_VLAN_ID: Final = 0x1FFF << SLOT["vlan_tci"].shift
_PORTS: Final = SLOT["tp_src"].mask | SLOT["tp_dst"].mask
_TAGS: Final = (
    (SLOT["vlan_tpid"], SLOT["vlan_tci"]),
    (SLOT["vlan1_tpid"], SLOT["vlan1_tci"]),
)
_INNER_CFI: Final = VLAN_CFI << SLOT["vlan1_tci"].shift
#: Type and code of ICMP have eight bits where ports have sixteen; so has the type of an option
#: where TCP has its flags.
_ABOVE_ICMP: Final = sum(0xFF00 << SLOT[name].shift for name in ("tp_src", "tp_dst", "tcp_flags"))
_ICMP: Final = frozenset({(0x0800, 1), (0x86DD, 58)})


def finish(context: Context) -> Translated:
    """The result; a packet that failed is dropped whole."""
    key = context.first_key
    trail = context.bridge.backer.trails.trail(context.tables, context.changed)
    if context.error:
        return Translated(
            _failure(context.error), context.mask, context.key, context.credits, context.error,
            mac_lookups=tuple(context.mac_lookups), recirc_ids=tuple(context.recirc_ids),
            trail=trail, avoid_caching=context.avoid_caching,
        )  # fmt: skip
    options = context.mask >> TUN_PRESENT_SHIFT
    mask = context.mask & DATAPATH_MASK
    if options and key & _TUNNEL_DST:
        mask |= context.first_bridge.tlv_table.raw_mask(key, context.mask)
        mask |= context.mask & (_present_options(key) | _PRESENT)
    if len(context.actions) > FEW_ACTIONS:
        _note_size(context)
    mask &= shape_mask(key, context.key)
    for _, tci in _TAGS:
        if mask & tci.mask:
            mask |= VLAN_CFI << tci.shift
    return Translated(
        _without_last_clone(context.actions), mask, context.key, context.credits, "",
        slow=slow_path(context), mac_lookups=tuple(context.mac_lookups),
        recirc_ids=tuple(context.recirc_ids),
        slow_reasons=tuple(reason for reason in SLOW_REASONS if reason in context.slow),
        trail=trail, avoid_caching=context.avoid_caching,
    )  # fmt: skip


def _note_size(context: Context) -> None:
    """What is too much for one flow is done packet by packet."""
    events = context.bridge.backer.events
    if context.n_bytes() > MAX_BYTES:
        events.oversize.add()
    elif sum(isinstance(action, dp.Output) for action in context.actions) > MAX_OUTPUTS:
        events.too_many_outputs.add()
    else:
        return
    context.slow.add("action")


def shape_mask(key: int, final: int) -> int:
    """The bits that a packet of this key has, which becomes `final`; what else was looked at says
    nothing of it."""
    mask = -1
    if not key & _TUNNEL_DST:
        # What an action sets is no property of a packet that came in without a tunnel.
        mask &= ~TUNNEL_MASK
    if SLOT["packet_type"].get(key):
        mask &= ~_ADDRESSES
    for (tpid, tci), said in zip(_TAGS, (0, _INNER_CFI), strict=True):
        if not tci.get(key) & VLAN_CFI:
            # That there is no tag is part of every data-path flow, that there is no second one only
            # of those that looked for it; bits of none say nothing.
            mask &= ~(tpid.mask | tci.mask) | said
    dl_type = SLOT["dl_type"].get(key)
    if dl_type not in MPLS_TYPES:
        # What was said of labels was said of those that actions pushed.
        mask &= ~LABELS_MASK
    if (SLOT["dl_type"].get(final), SLOT["nw_proto"].get(final)) in _ICMP:
        # As the packet is in the end, which is what Open vSwitch asks.
        mask &= ~_ABOVE_ICMP
    if SLOT["nw_frag"].get(key) & FRAG_LATER:
        # Later fragments have no ports; a match on ports alone may have looked at them.
        mask &= ~_PORTS
    return mask


def _failure(error: str) -> DpActions:
    """Actions that drop, and say why if the data path counts that."""
    number = drop_number(error)
    return (dp.DropReason(number),) if number else ()


def _without_last_clone(actions: list[dp.DpAction]) -> DpActions:
    """What comes last needs no copy of the packet."""
    if actions and isinstance(actions[-1], dp.Clone):
        return (*actions[:-1], *actions[-1].actions)
    return tuple(actions)


def _present_options(key: int) -> int:
    """The bits of the tunnel options that a packet has."""
    present = key >> TUN_PRESENT_SHIFT
    return sum(field.mask for n, field in enumerate(TUN_METADATA) if present >> n & 1)


def datapath_mask(mask: int) -> int:
    """The mask that a flow has in the data path: whether there is a VLAN tag is never left open,
    for data paths cannot express that (nor can their text); nor is then which VLAN it is."""
    mask &= DATAPATH_MASK
    return mask if mask & _VLAN_TCI else mask | _VLAN_ID


def slow_path(context: Context) -> DpActions:
    """What a flow does whose packets each go up; nothing if none need to."""
    if not context.slow:
        return ()
    reason = next(reason for reason in SLOW_REASONS if reason in context.slow)
    upcall = dp.Userspace("slow_path", (reason,))
    return (metered(upcall, context.first_bridge, OFPM_SLOWPATH),)
