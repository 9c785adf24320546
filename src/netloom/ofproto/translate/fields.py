"""Which fields a packet has."""

from __future__ import annotations

from netloom.flow.fields import PREREQUISITES, SLOT, TRANSPORT, Field
from netloom.ofproto.translate.context import Context

#: New, established or reply: one of them has every tracked packet that is not invalid.
_CT_VALID = 0x0B << SLOT["ct_state"].shift


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
