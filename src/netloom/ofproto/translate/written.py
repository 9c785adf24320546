"""What goes along with a field that an action has written."""

from __future__ import annotations

from netloom.flow.fields import SLOT, VLAN_CFI, Field, option_present
from netloom.flow.ports import port_from_of10
from netloom.openflow import actions as a

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_IN_PORT: Final = SLOT["in_port"]
_TCI: Final = SLOT["vlan_tci"]
_TPID: Final = SLOT["vlan_tpid"]


def presence(part: a.Subfield) -> int:
    """Where a key says that the option of a tunnel is there; 0 for other fields."""
    return option_present(part.field) if part.field.dynamic else 0


def completed(key: int, field: Field) -> int:
    """`key`, in which bits of `field` have been written: the option of a tunnel is there, a tag
    that came to be by its TCI is an 802.1Q tag, and a port by its number of OpenFlow 1.0 (the low
    16 bits) is the one that this stands for."""
    if field.dynamic:
        return key | option_present(field)
    if field.slot is _TCI:
        return with_tpid(key)
    if field.slot is _IN_PORT:
        return _IN_PORT.put(key, port_from_of10(_IN_PORT.get(key) & 0xFFFF))
    return key


def with_tpid(key: int) -> int:
    """A tag that has come to be by setting its TCI is an 802.1Q tag."""
    if _TCI.get(key) & VLAN_CFI and not _TPID.get(key):
        return _TPID.put(key, 0x8100)
    return key
