"""The spanning tree of a bridge, of either protocol, and what the database is told of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netloom.base.record import Record
from netloom.ofproto.rapid_tree import RapidTree
from netloom.ofproto.spanning_tree import SpanningTree

if TYPE_CHECKING:
    from netloom.ofproto.bridge import Ofproto
    from netloom.ofproto.settings import BridgeSettings

Pairs = tuple[tuple[str, str], ...]
Counts = tuple[tuple[str, int], ...]
Tree = SpanningTree | RapidTree


class PortTreeStatus(Record):
    """A Port row's `status`, `statistics`, `rstp_status`, `rstp_statistics`, as sorted pairs."""

    status: Pairs = ()
    statistics: Counts = ()
    rstp_status: Pairs = ()
    rstp_statistics: Counts = ()


class BridgeTreeStatus(Record):
    """A Bridge row's `status` and `rstp_status`, as sorted pairs."""

    status: Pairs = ()
    rstp_status: Pairs = ()


def configured_tree(bridge: Ofproto, settings: BridgeSettings, now_ms: int) -> Tree | None:
    """The tree that the bridge is to have from now on, configured. One of the other protocol ends
    first."""
    tree = bridge.tree
    kind = RapidTree if settings.rstp is not None else SpanningTree
    is_wanted = settings.rstp is not None or settings.stp is not None
    if tree is not None and not (is_wanted and isinstance(tree, kind)):
        tree.destroy()
        tree = None
    if settings.rstp is not None:
        if not isinstance(tree, RapidTree):
            return RapidTree(bridge, settings.rstp, now_ms)
        tree.configure(settings.rstp, now_ms)
    elif settings.stp is not None:
        if not isinstance(tree, SpanningTree):
            return SpanningTree(bridge, settings.stp, now_ms)
        tree.configure(settings.stp, now_ms)
    return tree


def port_tree_status(bridge: Ofproto, bundle: str, now_ms: int) -> PortTreeStatus:
    """How a port fares."""
    found, tree = bridge.bundles.get(bundle), bridge.tree
    if tree is None or found is None or len(found.members) != 1:
        return PortTreeStatus()
    shown, counts = tree.port_status(found.members[0], now_ms)
    pairs, numbers = tuple(sorted(shown.items())), tuple(sorted(counts.items()))
    if isinstance(tree, RapidTree):
        return PortTreeStatus(rstp_status=pairs, rstp_statistics=numbers)
    return PortTreeStatus(pairs, numbers)


def bridge_tree_status(bridge: Ofproto) -> BridgeTreeStatus:
    """How the bridge fares."""
    tree = bridge.tree
    pairs = () if tree is None else tuple(sorted(tree.bridge_status().items()))
    if isinstance(tree, RapidTree):
        return BridgeTreeStatus(rstp_status=pairs)
    return BridgeTreeStatus(pairs)
