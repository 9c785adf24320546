"""Looking a packet up in a table, and what a miss means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netloom.flow.fields import SLOT
from netloom.flow.key import FRAG_ANY
from netloom.flow.print import format_match
from netloom.ofproto.translate.context import MAX_DEPTH, MAX_RESUBMITS, Context
from netloom.openflow import actions as a
from netloom.openflow import messages as m
from netloom.openflow.messages import OFPC_FRAG_DROP, OFPC_FRAG_NX_MATCH

if TYPE_CHECKING:
    from netloom.ofproto.rules import Rule
    from netloom.ofproto.tables import Table

_NW_FRAG = SLOT["nw_frag"]
_PORTS_MASK = SLOT["tp_src"].mask | SLOT["tp_dst"].mask
_IP_TYPES = frozenset({0x0800, 0x86DD})
_DL_TYPE_SHIFT = SLOT["dl_type"].shift


class TableCredit:
    """Counts the packets that looked a table up."""

    __slots__ = ("matched", "table")

    def __init__(self, table: Table, matched: bool) -> None:
        self.table = table
        self.matched = matched

    def credit(self, n_packets: int, n_bytes: int, used_ms: int) -> None:
        self.table.n_lookups += n_packets
        if self.matched:
            self.table.n_matches += n_packets


def enter_table(context: Context, table_id: int, in_port: int | None = None) -> None:
    """Run the rule of `table_id` that matches; with `in_port`, as if from that port (which the
    actions do not notice: NORMAL and IN_PORT mean the real one)."""
    if not _may_go_deeper(context):
        return
    real_port = context.in_port
    if in_port is not None:
        context.set_in_port(in_port)
    rule = _lookup(context, table_id)
    context.set_in_port(real_port)
    _record(context, table_id, rule)
    old_table, old_rule, old_depth = context.table_id, context.rule, context.depth
    deepens = table_id <= old_table
    context.table_id, context.rule = table_id, rule
    context.n_resubmits += 1
    context.depth += deepens
    if rule is not None:
        context.credits.append(rule)
        context.walk.run_actions(context, rule.actions)
    elif context.bridge.wants_packet_in_on_miss:
        context.walk.run_actions(context, (a.Controller(0xFFFF, 0, m.OFPR_NO_MATCH),))
    else:
        context.walk.run_actions(context, ())
    context.table_id, context.rule, context.depth = old_table, old_rule, old_depth
    context.end()


def _may_go_deeper(context: Context) -> bool:
    if context.error:
        return False
    if context.depth >= MAX_DEPTH:
        context.fail("Recursion too deep", f"over max translation depth {MAX_DEPTH}")
    elif context.n_resubmits >= MAX_RESUBMITS:
        context.fail("Too many resubmits", f"over {MAX_RESUBMITS} resubmit actions")
    return not context.error


def _lookup(context: Context, table_id: int) -> Rule | None:
    key = context.key
    is_fragment = key >> _NW_FRAG.shift & FRAG_ANY
    if is_fragment:
        mode = context.bridge.frag_mode
        if mode == OFPC_FRAG_DROP:
            return None
        if mode != OFPC_FRAG_NX_MATCH:
            # Only the first fragment has ports: none of them may be told apart by ports.
            key &= ~_PORTS_MASK
    table = context.bridge.tables.table(table_id)
    rule, mask = table.classifier.lookup(key)
    if is_fragment and key != context.key:
        mask &= ~_PORTS_MASK
    context.mask |= mask
    context.credits.append(TableCredit(table, rule is not None))
    return rule


def _record(context: Context, table_id: int, rule: Rule | None) -> None:
    if context.recorder is None:
        return
    context.recorder.enter("table", f"{table_id:2d}. {_describe(context, rule)}")


def _describe(context: Context, rule: Rule | None) -> str:
    if rule is None:
        if context.key >> _NW_FRAG.shift & FRAG_ANY and context.bridge.frag_mode == OFPC_FRAG_DROP:
            return 'Packets are IP fragments and the fragment handling mode is "drop".'
        if context.bridge.wants_packet_in_on_miss:
            return 'No match, and a "packet-in" is called for.'
        return "No match."
    text = format_match(rule.match)
    text = f"{text}, priority {rule.priority}" if text else f"priority {rule.priority}"
    return f"{text}, cookie {rule.cookie:#x}" if rule.cookie else text
