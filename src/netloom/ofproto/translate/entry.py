"""Packets that come in: those that the switch keeps to itself, and ports that do not let them in.

A BPDU on a bridge with a spanning tree is for the switch, whatever the tables say. A port that
neither forwards nor learns drops all others; one that learns lets the tables look at the packet,
and what they would do is dropped (`receives`, then `cancel`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from netloom.flow.fields import SLOT
from netloom.openflow import messages as m
from netloom.packet.headers import ETH_TYPE_LACP

if TYPE_CHECKING:
    from netloom.ofproto.ports import OfPort
    from netloom.ofproto.translate.context import Context

_DL_DST: Final = SLOT["dl_dst"]
_DL_TYPE: Final = SLOT["dl_type"]
_BRIDGES: Final = 0x0180C2000000
_NO_TYPE: Final = 0x05FF


def is_bpdu(context: Context) -> bool:
    """Is the packet, as it is now, one of bridges to one another?"""
    key = context.key
    return _DL_DST.get(key) == _BRIDGES and _DL_TYPE.get(key) == _NO_TYPE


def enter(context: Context) -> bool:
    """The packet has come in from outside: does the bridge run what its tables say? Mirrors get
    it, too."""
    port = context.bridge.ports_by_number.get(context.in_port)
    if port is not None and _is_special(context, port):
        return False
    if context.sampling is not None:
        # Whether the port lets them in or not.
        context.walk.sample_entering(context)
    if port is not None and not _lets_in(context, port):
        return False
    return context.walk.mirror_entering(context)


def receives(context: Context, port: OfPort) -> bool:
    """May tables have a look at what came in here?"""
    return not _is_special(context, port) and _lets_in(context, port)


def _lets_in(context: Context, port: OfPort) -> bool:
    refuses = m.OFPPC_NO_RECV_STP if is_bpdu(context) else m.OFPPC_NO_RECV
    return not port.config & refuses and (port.forwards or port.learns)


def _is_special(context: Context, port: OfPort) -> bool:
    """Is this a packet of a protocol that the switch speaks here? If so, it gets it."""
    bridge = context.bridge
    if bridge.faults.takes(context, port) or bridge.monitoring.takes(context, port):
        return True
    if _is_slow_protocol(context, port) or bridge.neighbours.takes(context, port):
        return True
    tree = context.bridge.tree
    if tree is None or tree.is_disabled:
        return False
    context.cannot_repeat()
    context.mask |= _DL_DST.mask
    if not is_bpdu(context):
        return False
    if context.packet and context.side_effects:
        tree.receive(port, context.packet, context.now_ms)
    context.slow.add("stp")
    return True


def _is_slow_protocol(context: Context, port: OfPort) -> bool:
    """Is it of LACP, on a port that speaks it?"""
    aggregation = context.bridge.aggregation
    if not aggregation.speaks(port) or _DL_TYPE.get(context.key) != ETH_TYPE_LACP:
        return False
    if context.packet and context.side_effects:
        aggregation.receive(port, context.packet, context.now_ms)
    context.slow.add("lacp")
    return True


def skips_output(context: Context, port: OfPort) -> bool:
    """Does the spanning tree keep this packet from leaving here?"""
    context.cannot_repeat()
    if is_bpdu(context):
        if not port.relays_bpdus:
            context.warn("STP not in listening state, skipping bpdu output")
        return not port.relays_bpdus
    bridge = context.bridge
    if bridge.faults.knows(context, port) or bridge.monitoring.knows(context, port):
        # A tree that blocks a link must not blind those who watch whether it is there.
        return False
    if not port.forwards:
        tree = context.bridge.tree
        protocol = "STP" if tree is None else tree.protocol
        context.warn(f"{protocol} not in forwarding state, skipping output")
    return not port.forwards


def cancel(context: Context, n_actions: int) -> None:
    """Take back what the tables did with a packet that was only to be looked at."""
    del context.actions[n_actions:]
    context.freeze = None
    context.action_set = []
