"""`learn`: the packet adds a flow, and keeps it from ageing.

A flow that is learned takes part in later translations only: all of one translation sees the tables
as they were when it began. So nothing is learned while the packet is still on its way; the
translation's credits learn, each time that packets are credited to them: once for the first packet,
and again when a sweep finds that more have followed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from netloom.flow.print import SWITCH_OPTION_BITS, format_match
from netloom.ofproto.learned_flows import learned_flow
from netloom.ofproto.translate.context import Context
from netloom.openflow import actions as a
from netloom.openflow import messages as m
from netloom.openflow.action_format import format_actions
from netloom.openflow.action_learn import WRITE_RESULT
from netloom.openflow.subfield_text import format_subfield

if TYPE_CHECKING:
    from netloom.ofproto.bridge import Ofproto
    from netloom.ofproto.rules import Rule


class LearnCredit:
    """Adds a flow, or shows that it is still wanted. `rule` is whose action this is, None for a
    packet-out."""

    __slots__ = ("bridge", "limit", "mod", "rule")

    def __init__(self, bridge: Ofproto, mod: m.FlowMod, limit: int, rule: Rule | None) -> None:
        self.bridge = bridge
        self.mod = mod
        self.limit = limit
        self.rule = rule

    def credit(self, n_packets: int, n_bytes: int, used_ms: int) -> None:
        if self.rule is None or not self.rule.removed:
            self.bridge.learn(self.mod, self.limit, used_ms, again=n_packets > 0)


def learn(context: Context, action: a.Learn) -> None:
    """See the module."""
    for spec in action.specs:
        if isinstance(spec.source, a.Subfield):
            part = spec.source
            ones = (1 << part.n_bits) - 1
            context.mask |= ones << part.field.shift + part.offset & part.field.mask
    if context.recorder is not None and not context.side_effects:
        context.warn("suppressing side effects, so learn action ignored")
        return
    mod = learned_flow(action, context.key)
    if context.recorder is not None:
        context.detail(describe(mod))
    if action.limit:
        # Any flow of that table counts.
        context.tables.add(context.bridge.tables.table(mod.table_id))
        context.blur()
    is_possible = context.bridge.may_learn(mod, action.limit)
    if action.limit and not context.side_effects and not context.bridge.has_learned(mod):
        # What becomes of the packets depends on whether the next one can be learned from.
        context.avoid_caching = True
    if action.flags & WRITE_RESULT and action.result is not None:
        _write_result(context, action.result, is_possible)
    if is_possible:
        context.credits.append(LearnCredit(context.bridge, mod, action.limit, context.rule))
    elif context.side_effects:
        context.detail("Limit exceeded, learn failed")


def _write_result(context: Context, result: a.Subfield, is_possible: bool) -> None:
    bit = 1 << result.field.shift + result.offset
    context.mask |= bit
    context.key = context.key & ~bit | (bit if is_possible else 0)
    context.detail(f"{format_subfield(result)} is now {'0x1' if is_possible else '0'}")


def describe(mod: m.FlowMod) -> str:
    """The flow as a trace shows it."""
    words = [
        f"table={mod.table_id}",
        format_match(mod.match, None, None, SWITCH_OPTION_BITS),
        f"priority={mod.priority}",
    ]
    if mod.new_cookie:
        words.append(f"cookie={mod.new_cookie:#x}")
    if mod.idle_timeout:
        words.append(f"idle={mod.idle_timeout}")
    if mod.hard_timeout:
        words.append(f"hard={mod.hard_timeout}")
    if mod.flags & m.OFPFF_SEND_FLOW_REM:
        words.append("send_flow_rem")
    words.append(f"actions={format_actions(mod.actions)}")
    return " ".join([word for word in words if word])


def perform(context: Context) -> None:
    """Learn what the packet of this translation wants learned."""
    for target in context.credits:
        if isinstance(target, LearnCredit):
            target.credit(0, 0, context.now_ms)
