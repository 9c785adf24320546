"""`check_pkt_larger`: only the data path knows a packet's length.

So what follows the action is translated twice, once with the bit set and once without, and the data
path has a branch for each. If it is not to be asked, each packet comes up and is measured here.
"""

from __future__ import annotations

from netloom.datapath import actions as dp
from netloom.ofproto.translate.commit import commit
from netloom.ofproto.translate.context import Context
from netloom.ofproto.translate.written import presence
from netloom.openflow import actions as a


def check_pkt_larger(context: Context, action: a.CheckPktLarger, rest: a.Actions = ()) -> bool:
    """Run `rest`, the actions behind this one, for packets of both kinds; false if it is yet to
    be run, for one."""
    place = 1 << action.destination.field.shift + action.destination.offset
    if not context.bridge.backer.features.has("check_pkt_len"):
        context.slow.add("action")
        packet = context.packet
        is_larger = packet is not None and len(packet) > action.size
        bit = place if is_larger else 0
        context.key = context.key & ~place | bit | presence(action.destination)
        return False
    commit(context)
    saved = _state(context)
    outer = context.actions
    branches = []
    for bit in (1, 0):
        context.actions = []
        _restore(context, saved)
        context.done, context.is_last = False, True
        context.key = context.key & ~place | (place if bit else 0) | presence(action.destination)
        context.walk.run_actions(context, rest)
        if context.freeze is None:
            context.walk.run_action_set(context)
        if context.freeze is not None:
            context.walk.finish_freezing(context)
        branches.append(tuple(context.actions))
    context.actions = outer
    _restore(context, saved)
    context.action_set = []
    context.emit(dp.CheckPktLen(action.size, branches[0], branches[1]))
    context.done = bool(context.error)
    return True


_State = tuple[int, int, list[a.Action], list[tuple[int, int]], bool, bool]


def _state(context: Context) -> _State:
    return (context.key, context.base, context.action_set, context.stack, context.was_mpls,
            context.conntracked)  # fmt: skip


def _restore(context: Context, state: _State) -> None:
    """Both branches begin alike."""
    context.key, context.base = state[0], state[1]
    context.action_set, context.stack = list(state[2]), list(state[3])
    context.was_mpls, context.conntracked = state[4], state[5]
