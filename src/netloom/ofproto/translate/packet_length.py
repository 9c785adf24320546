"""`check_pkt_larger`: only the data path knows a packet's length.

So what follows the action is translated twice, once with the bit set and once without, and the data
path has a branch for each.
"""

from __future__ import annotations

from netloom.datapath import actions as dp
from netloom.ofproto.translate.commit import commit
from netloom.ofproto.translate.context import Context
from netloom.openflow import actions as a


def check_pkt_larger(context: Context, action: a.CheckPktLarger, rest: a.Actions = ()) -> None:
    """Run `rest`, the actions behind this one, for packets of both kinds."""
    commit(context)
    saved = (context.key, context.base, context.action_set, context.stack, context.done)
    outer = context.actions
    branches = []
    for bit in (1, 0):
        context.actions = []
        context.action_set, context.stack = list(saved[2]), list(saved[3])
        context.key, context.base, context.done = saved[0], saved[1], False
        place = 1 << action.destination.field.shift + action.destination.offset
        context.key = context.key & ~place | (place if bit else 0)
        context.walk.run_actions(context, rest)
        context.walk.run_action_set(context)
        branches.append(tuple(context.actions))
    context.actions = outer
    (context.key, context.base, context.action_set, context.stack, context.done) = saved
    context.action_set = []
    context.emit(dp.CheckPktLen(action.size, branches[0], branches[1]))
    context.done = context.done or bool(context.error)
