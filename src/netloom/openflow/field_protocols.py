"""In which protocols a field can be matched or set."""

from __future__ import annotations

from netloom.flow.fields import Field
from netloom.openflow import protocol as p

_NXM_OXM = p.P_NXM_ANY | p.P_OXM_ANY
_OF10_STD = p.P_OF10 | p.P_OF10_TID
#: Fields that have no number of their own but are said by another that has.
_SAID_OTHERWISE = frozenset({"dl_vlan", "dl_vlan_pcp", "in_port_oxm", "nw_tos", "ip_dscp"})


def field_protocols(field: Field, mask: int | None = None) -> int:
    """The protocols that can match `field` under `mask` (None: exactly)."""
    if mask == 0:
        return p.P_ANY
    protocols = _NXM_OXM if field.codes or field.name in _SAID_OTHERWISE else 0
    kind = _mask_kind(field, mask)
    if _allows(field.of10, kind):
        protocols |= _OF10_STD
    if _allows(field.of11, kind):
        protocols |= p.P_OF11
    return protocols


def _mask_kind(field: Field, mask: int | None) -> str:
    if mask is None or mask & field.ones == field.ones:
        return "e"
    inverse = field.ones ^ mask
    return "c" if inverse & (inverse + 1) == 0 else "m"


def _allows(support: str, kind: str) -> bool:
    """`e` exact only, `c` prefixes too, `m` any mask."""
    return bool(support) and "ecm".index(kind) <= "ecm".index(support)
