"""`ct`, `nat`, `ct_clear`: through the connection tracker, and what it said forgotten."""

from __future__ import annotations

from netloom.datapath import actions as dp
from netloom.flow.fields import SLOT
from netloom.flow.key import CT_MASK
from netloom.ofproto.translate.commit import commit
from netloom.ofproto.translate.context import Context
from netloom.ofproto.translate.freeze import FROZEN_MASK, fork
from netloom.openflow import actions as a
from netloom.openflow.action_conntrack import DST, HASH, PERSISTENT, RANDOM, SRC

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_CT_MARK: Final = SLOT["ct_mark"]
_CT_LABEL: Final = SLOT["ct_label"]
_WRITTEN: Final = _CT_MARK.mask | _CT_LABEL.mask
_HELPERS: Final = {21: "ftp", 69: "tftp"}
_NO_FORK: Final = 255
_CT_STATE: Final = SLOT["ct_state"].mask

#: Until a `nat` action is met. (Assigning None says to mypy that it stays so.)
_NO_NAT: a.Nat | None = None


def conntrack(context: Context, action: a.Conntrack) -> None:
    """The packet as it is now goes through the tracker; a copy goes on in a table, knowing what the
    tracker said; the packet itself goes on as one that was never tracked."""
    zone = _zone(context, action.zone)
    # What marks and labels are set is told to the tracker, not to the packet.
    looked_at = context.mask & _WRITTEN
    commit(context)
    context.nat = _NO_NAT
    context.mask &= ~_WRITTEN
    context.walk.run_actions(context, action.actions)
    key, mask = context.key, context.mask
    context.emit(
        dp.Ct(
            commit=action.commit,
            force=action.commit and action.force,
            zone=zone,
            mark=_CT_MARK.get(key & mask),
            mark_mask=_CT_MARK.get(mask),
            label=_CT_LABEL.get(key & mask),
            label_mask=_CT_LABEL.get(mask),
            helper=_HELPERS.get(action.alg, ""),
            timeout=_timeout(context, zone) if action.commit else "",
            nat=_nat_of(context.nat),
        )
    )
    context.mask = mask & ~_WRITTEN | looked_at
    if action.table_id != _NO_FORK:
        context.conntracked = True
        fork(context, action.table_id, zone)
    context.nat = _NO_NAT
    _forget(context)
    context.detail("Sets the packet to an untracked state, and clears all the conntrack fields.")


def _zone(context: Context, zone: a.Subfield | int) -> int:
    if isinstance(zone, int):
        return zone
    shift = zone.field.shift + zone.offset
    bits = ((1 << zone.n_bits) - 1) << shift
    # What was frozen stands for all packets of the recirculation.
    if not (context.first_key & SLOT["recirc_id"].mask and bits & FROZEN_MASK):
        context.mask |= bits
    return (context.key & bits) >> shift


def _timeout(context: Context, zone: int) -> str:
    return context.bridge.backer.zones.policy(zone)


def _nat_of(nat: a.Nat | None) -> dp.Nat | None:
    if nat is None:
        return None
    flags = nat.flags
    if not flags & (SRC | DST):
        return dp.Nat()
    has_range = bool(nat.family)
    return dp.Nat(
        kind="src" if flags & SRC else "dst",
        is_ipv6=nat.family == 6,
        min_addr=nat.address_min if has_range else None,
        max_addr=(nat.address_max or nat.address_min) if has_range else None,
        min_port=nat.proto_min,
        max_port=nat.proto_max or nat.proto_min,
        persistent=bool(flags & PERSISTENT),
        hash=bool(flags & HASH),
        random=bool(flags & RANDOM),
    )


def nat(context: Context, action: a.Nat) -> None:
    """The `ct` around it does it."""
    context.nat = action


def _forget(context: Context) -> None:
    context.conntracked = False
    context.key &= ~CT_MASK


def ct_clear(context: Context, action: a.CtClear) -> None:
    if context.conntracked or context.key & _CT_STATE:
        _forget(context)
        context.emit(dp.CtClear())
