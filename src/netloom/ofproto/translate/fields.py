"""Which fields a packet has, and which actions change what is copied of it."""

from __future__ import annotations

from netloom.flow.fields import FIELD, PREREQUISITES, SLOT, TRANSPORT, Field
from netloom.flow.key import PACKET_MASK
from netloom.ofproto.translate.context import Context
from netloom.openflow import actions as a

#: New, established or reply: one of them has every tracked packet that is not invalid.
_CT_VALID = 0x0B << SLOT["ct_state"].shift

#: Actions that change a packet, whatever they write.
_CHANGING = frozenset({
    a.StripVlan, a.PushVlan, a.SetVlanVid, a.SetVlanPcp, a.PushMpls, a.PopMpls, a.SetMplsLabel,
    a.SetMplsTc, a.SetMplsTtl, a.DecMplsTtl, a.DecNshTtl, a.DecTtl, a.Encap, a.Decap, a.Nat,
})  # fmt: skip
#: What is copied of a packet: its bytes, and what stands in the headers of tunnels.
_COPIED = PACKET_MASK | sum(
    field.mask
    for name, field in FIELD.items()
    if name.startswith("tun_") and not name.startswith("tun_metadata") and name != "tun_erspan_dir"
)


def changes_packet(context: Context, action: a.Action) -> bool:
    """Will a mirror that has got the packet already want it again, as it is after `action`?"""
    if isinstance(action, a.SetField):
        return bool(action.field.mask & _COPIED) and has_field(context, action.field)
    return type(action) in _CHANGING


def has_field(context: Context, field: Field) -> bool:
    """Does the packet have `field`? What was looked at to know, is un-wildcarded."""
    alternatives = PREREQUISITES[field.prerequisite]
    if not alternatives:
        return True
    if field.prerequisite in TRANSPORT and context.is_later_fragment:
        return False
    if field.prerequisite == "ct":
        context.mask |= _CT_VALID
        return bool(context.key & _CT_VALID)
    for alternative in alternatives:
        for name, value, bits in alternative:
            slot = SLOT[name]
            context.mask |= bits << slot.shift
            if context.key >> slot.shift & bits != value:
                break
        else:
            return True
    return False
