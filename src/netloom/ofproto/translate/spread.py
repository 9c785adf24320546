"""Outputs to bonds of mode `balance-tcp`: hash the packet, then look it up under the bond's number
(`netloom.ofproto.spreading` has the rules that it meets there).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from netloom.datapath import actions as dp
from netloom.flow import hashes
from netloom.ofproto.translate.commit import commit

if TYPE_CHECKING:
    from netloom.ofproto.bundle import Bundle
    from netloom.ofproto.translate.context import Context


def spread(context: Context, bundle: Bundle) -> int:
    """Have the data path choose a member: -1; or, where members are patch ports and no data path
    sees them, the number of the port by which the packet leaves."""
    bond = bundle.bond
    assert bond is not None
    chosen = bond.choose_by_hash(hashes.hash_five_tuple(context.key, bond.settings.hash_basis))
    port = next((port for port in bundle.members if chosen and port.name == chosen[0]), None)
    recirc_id = context.bridge.spreading.recirc_id(bundle.name)
    if port is None or not recirc_id:
        return -1
    if port.is_patch:
        return port.number
    commit(context)
    if context.bridge.spreading.is_in_datapath(bond):
        context.emit(dp.LbOutput(recirc_id))
        return -1
    context.emit(dp.Hash("l4", bond.settings.hash_basis))
    context.emit(dp.Recirc(recirc_id))
    return -1
