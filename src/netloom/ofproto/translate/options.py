"""Options of tunnels among the fields that actions write: what has been written is there."""

from __future__ import annotations

from netloom.flow.fields import option_present
from netloom.openflow import actions as a


def presence(part: a.Subfield) -> int:
    """Where a key says that the option of a tunnel is there; 0 for other fields."""
    return option_present(part.field) if part.field.dynamic else 0
