"""The end of a translation: what stays in the mask, and what was the packet's error."""

from __future__ import annotations

from netloom.flow.fields import SLOT, VLAN_CFI
from netloom.flow.key import FRAG_LATER, METADATA_ALL_MASK
from netloom.ofproto.translate.context import Context, Translated

#: Metadata that a data path knows; registers and the like exist in translation only.
_DATAPATH_METADATA = (
    METADATA_ALL_MASK
    & ~SLOT["metadata"].mask
    & ~sum(SLOT[f"reg{n}"].mask for n in range(32))
    & ~SLOT["actset_output"].mask
    & ~SLOT["conj_id"].mask
)
_NOT_DATAPATH = METADATA_ALL_MASK & ~_DATAPATH_METADATA
_PORTS = SLOT["tp_src"].mask | SLOT["tp_dst"].mask
_TCIS = (SLOT["vlan_tci"], SLOT["vlan1_tci"])
_ICMP = frozenset({(0x0800, 1), (0x86DD, 58)})


def finish(context: Context) -> Translated:
    """The result; a packet that failed is dropped whole."""
    mask = context.mask & ~_NOT_DATAPATH
    key = context.first_key
    for tci in _TCIS:
        if mask & tci.mask:
            if tci.get(key) & VLAN_CFI:
                mask |= VLAN_CFI << tci.shift
            else:
                # That there is no tag is part of every data-path flow; bits of none say nothing.
                mask &= ~tci.mask
    if SLOT["nw_frag"].get(key) & FRAG_LATER:
        # Later fragments have no ports; a match on ports alone may have looked at them.
        mask &= ~_PORTS
    actions = () if context.error else tuple(context.actions)
    return Translated(actions, mask, context.key, context.credits, context.error)
