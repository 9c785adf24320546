"""Which fields a packet has."""

from __future__ import annotations

from netloom.flow.fields import PREREQUISITES, SLOT, TRANSPORT, Field
from netloom.ofproto.translate.context import Context


def has_field(context: Context, field: Field) -> bool:
    """Does the packet have `field`? What was looked at to know, is un-wildcarded."""
    alternatives = PREREQUISITES[field.prerequisite]
    if not alternatives:
        return True
    if field.prerequisite in TRANSPORT and context.is_later_fragment:
        return False
    for alternative in alternatives:
        for name, value, bits in alternative:
            slot = SLOT[name]
            context.mask |= bits << slot.shift
            if context.key >> slot.shift & bits != value:
                break
        else:
            return True
    return False
