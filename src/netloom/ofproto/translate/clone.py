"""Actions on a copy of the packet: `clone`, and the bridge behind a patch port.

Most actions can be undone by the next commit, which writes the headers again as they were; then
the copy needs no copy in the data path. What the tracker or a meter does cannot: such actions
become a `clone(...)` there, unless nothing follows.
"""

from __future__ import annotations

from netloom.datapath import actions as dp
from netloom.ofproto.translate.commit import commit
from netloom.ofproto.translate.context import Context
from netloom.openflow import actions as a

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_IRREVERSIBLE: Final = (
    a.Conntrack, a.Meter, a.Nat, a.OutputTrunc, a.Encap, a.Decap, a.DecNshTtl,
)  # fmt: skip


def run_as_clone(context: Context, actions: a.Actions) -> None:
    """See the module."""
    is_last = context.is_last
    saved = (context.key, context.action_set, context.stack)
    context.action_set, context.stack = list(context.action_set), list(context.stack)
    if is_last or not any(isinstance(action, _IRREVERSIBLE) for action in actions):
        _run(context, actions)
    else:
        _run_in_clone(context, actions)
    context.key, context.action_set, context.stack = saved


def _run(context: Context, actions: a.Actions) -> None:
    context.walk.run_actions(context, actions)
    if context.freeze is None:
        context.walk.run_action_set(context)
    if context.freeze is not None:
        context.walk.finish_freezing(context)


def _run_in_clone(context: Context, actions: a.Actions) -> None:
    commit(context)
    outer, context.actions = context.actions, []
    saved = (context.base, context.was_mpls, context.conntracked)
    context.is_last = True
    _run(context, actions)
    inner, context.actions = tuple(context.actions), outer
    context.base, context.was_mpls, context.conntracked = saved
    if inner and context.bridge.backer.features.has("clone"):
        context.emit(dp.Clone(inner))
    elif inner:
        context.emit(dp.Sample(0xFFFFFFFF, inner))


def clone(context: Context, action: a.Clone) -> None:
    """What ends the processing in there (`exit`, a freeze) ends it here too, as in Open vSwitch."""
    run_as_clone(context, action.actions)
