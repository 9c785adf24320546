"""From one bridge into another: through a patch port, or as the carrier of a tunnel."""

from __future__ import annotations

from netloom.ofproto.ports import OfPort, PatchCrossing
from netloom.ofproto.translate.context import Context
from netloom.ofproto.translate.entry import cancel, receives


def cross(context: Context, port: OfPort) -> None:
    """Go on in the bridge at the other end of a patch port, and come back."""
    peer = context.bridge.peer_of(port)
    if peer is None:
        # A wire without another end: Open vSwitch does not mention it either.
        return
    context.credits.append(PatchCrossing(port, peer))
    go_on_at(context, peer)


def go_on_at(context: Context, peer: OfPort) -> None:
    """Have the packet come in at `peer` as well, and come back to here afterwards."""
    saved = (context.bridge, context.key, context.table_id, context.rule, context.action_set,
             context.stack, context.done, context.snaplen, context.mirrored)  # fmt: skip
    conntracked = context.conntracked
    context.enter_bridge(peer.bridge, peer.number)
    context.action_set, context.stack, context.done = [], [], False
    tracking = (conntracked, context.was_mpls)
    context.begin_bridge(peer.bridge)
    if receives(context, peer):
        n_actions = len(context.actions)
        context.walk.enter_table(context, 0, as_clone=True)
        if context.freeze is None:
            context.walk.run_action_set(context)
        if context.freeze is not None:
            context.walk.finish_freezing(context)
        if not peer.forwards:
            cancel(context, n_actions)
    context.end()
    context.conntracked, context.was_mpls = tracking
    (context.bridge, context.key, context.table_id, context.rule, context.action_set,
     context.stack, context.done, context.snaplen, context.mirrored) = saved  # fmt: skip
    # What goes wrong over there is no business of the bridge that sent the packet.
    context.error = ""
