"""What one translation did, so that others of its kind can do it again (see `ofproto.shortcuts`).

A `WalkLog` in a context notes each look into a table and each NORMAL. Whatever depends on bits of
the packet in another way (a hash of addresses, a header that is rewritten) calls `give_up`: such a
walk cannot be repeated for another packet.

While a log is kept, `Context.mask` has only what actions look at; what lookups look at is
collected here. A repetition asks the tables again and adds up their answers of then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from netloom.flow.fields import SLOT
from netloom.flow.key import CT_MASK
from netloom.openflow import actions as a

if TYPE_CHECKING:
    from netloom.ofproto.bundle import Bundle
    from netloom.ofproto.mac_table import MacTable
    from netloom.ofproto.rules import Rule
    from netloom.ofproto.table import Table
    from netloom.ofproto.translate.context import Context

#: Where packets of one kind may differ from one another: addresses, ports, and the like.
_VARYING: Final = (
    "dl_src", "dl_dst", "nw_src", "nw_dst", "nw_ttl", "tp_src", "tp_dst", "tcp_flags", "ipv6_src",
    "ipv6_dst", "ipv6_label", "arp_sha", "arp_tha", "nd_target",
)  # fmt: skip
_TUPLE: Final = ("ct_nw_src", "ct_nw_dst", "ct_tp_src", "ct_tp_dst", "ct_ipv6_src", "ct_ipv6_dst")
#: The first packet of a connection, which a walk may forget.
TUPLE_MASK: Final = sum(SLOT[name].mask for name in _TUPLE)
FREE_MASK: Final = sum(SLOT[name].mask for name in _VARYING) | TUPLE_MASK
assert CT_MASK & TUPLE_MASK == TUPLE_MASK

#: Actions that do the same to all packets of a kind, if the fields that they name are not free.
_REPEATABLE: Final = frozenset({
    a.Output, a.SetField, a.Move, a.Push, a.Pop, a.Resubmit, a.GotoTable, a.Conntrack, a.Nat,
    a.CtClear, a.SetVlanVid, a.SetVlanPcp, a.PushVlan, a.StripVlan, a.Exit, a.Note,
    a.SetQueue, a.PopQueue, a.WriteMetadata, a.OutputReg,
})  # fmt: skip


class LookupStep:
    """A look into `table` with `key` (less the free bits) at the places that `free` leaves; `bits`
    is what actions had looked at up to then."""

    __slots__ = ("bits", "free", "key", "rule", "table")

    def __init__(self, table: Table, key: int, free: int, bits: int, rule: Rule | None) -> None:
        self.table = table
        self.key = key
        self.free = free
        self.bits = bits
        self.rule = rule


class NormalStep:
    """NORMAL learned a source on `bundle`, and found the destination at `target` (None: nowhere)
    in `macs`, those of the bridge `name`."""

    __slots__ = ("bits", "bundle", "macs", "name", "target", "vlan")

    def __init__(
        self,
        name: str,
        macs: MacTable[Bundle],
        vlan: int,
        bundle: Bundle,
        target: Bundle | None,
        bits: int,
    ) -> None:
        self.name = name
        self.macs = macs
        self.vlan = vlan
        self.bundle = bundle
        self.target = target
        self.bits = bits


class WalkLog:
    """The steps of one translation; `gave_up` after something that cannot be repeated."""

    __slots__ = ("gave_up", "looked", "steps")

    def __init__(self) -> None:
        self.steps: list[LookupStep | NormalStep] = []
        self.gave_up = False
        #: What lookups have looked at.
        self.looked = 0

    def give_up(self) -> None:
        self.gave_up = True

    def check_action(self, action: a.Action) -> None:
        """Give up if this action may do other things to other packets."""
        with_tuple = isinstance(action, a.Resubmit) and action.with_ct
        if type(action) not in _REPEATABLE or with_tuple or _fields_of(action) & FREE_MASK:
            self.gave_up = True

    def lookup(self, context: Context, table: Table, key: int) -> Rule | None:
        """Look `key` up in `table`, and note that."""
        bits = context.mask
        rule, mask = table.classifier.lookup(key, bits | self.looked)
        self.looked |= mask
        free = FREE_MASK
        if (key ^ context.first_key) & free:
            free &= ~TUPLE_MASK
            if (key ^ context.first_key) & free or key & TUPLE_MASK:
                self.gave_up = True
        if not self.gave_up:
            self.steps.append(LookupStep(table, key & ~FREE_MASK, free, bits, rule))
        return rule

    def normal(self, context: Context, bundle: Bundle, vlan: int, target: Bundle | None) -> None:
        """Note what NORMAL found for a packet that came in at `bundle`."""
        if len(bundle.members) != 1 or bundle.bond is not None:
            # A bond lets packets in by what it has seen; a packet may come from nowhere, too.
            self.gave_up = True
        if not self.gave_up:
            bridge = context.bridge
            step = NormalStep(bridge.name, bridge.macs, vlan, bundle, target, context.mask)
            self.steps.append(step)


def _fields_of(action: a.Action) -> int:
    """The bits of a key that an action names."""
    if isinstance(action, a.SetField):
        return action.field.mask
    if isinstance(action, a.Move):
        return action.source.field.mask | action.destination.field.mask
    if isinstance(action, a.Push | a.OutputReg):
        return action.source.field.mask
    if isinstance(action, a.Pop):
        return action.destination.field.mask
    if isinstance(action, a.Conntrack) and isinstance(action.zone, a.Subfield):
        return action.zone.field.mask
    return 0
