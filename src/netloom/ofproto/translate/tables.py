"""Looking a packet up in a table, and what a miss means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from netloom.flow.fields import SLOT
from netloom.flow.key import FRAG_ANY
from netloom.flow.print import SWITCH_OPTION_BITS, format_match
from netloom.ofproto.table import MISS_CONTINUE, MISS_DEFAULT, MISS_DROP
from netloom.ofproto.tables import N_TABLES
from netloom.ofproto.translate.context import (
    FEW_ACTIONS,
    MAX_DEPTH,
    MAX_RESUBMITS,
    RECURSION,
    RESUBMITS,
    Context,
)
from netloom.ofproto.translate.entry import enter
from netloom.ofproto.translate.freeze import trigger_freeze
from netloom.ofproto.translate.tunnel import receive
from netloom.openflow.messages import OFPC_FRAG_DROP, OFPC_FRAG_NX_MATCH, OFPPC_NO_PACKET_IN

if TYPE_CHECKING:
    from netloom.ofproto.rules import Rule
    from netloom.ofproto.table import Table

_NW_FRAG: Final = SLOT["nw_frag"]
_PORTS_MASK: Final = SLOT["tp_src"].mask | SLOT["tp_dst"].mask
_IP_TYPES: Final = frozenset({0x0800, 0x86DD})
_DL_TYPE_SHIFT: Final = SLOT["dl_type"].shift

#: Values that are pushed and not popped.
MAX_STACK_BYTES = 65_536
#: So few never come to that.
FEW_PUSHED = 100


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


def enter_table(
    context: Context,
    table_id: int,
    in_port: int | None = None,
    may_packet_in: bool = True,
    is_entry: bool = False,
    with_ct: bool = False,
    as_clone: bool = False,
) -> None:
    """Run the rule of `table_id` that matches; with `in_port`, as if from that port (which the
    actions do not notice: NORMAL and IN_PORT mean the real one). `may_packet_in`: does a packet
    that matches nothing go to the controllers (that want it)? `is_entry`: the packet has just come
    in from outside. `with_ct`: it is looked up by the tuple of its connection. `as_clone`: nothing
    of what the rule does outlives it."""
    if context.was_mpls:
        trigger_freeze(context)
        return
    if not may_go_deeper(context):
        return
    if with_ct and not _swap_tuple(context):
        return
    real_port = context.in_port
    if in_port is not None:
        context.set_in_port(in_port)
    parts: list[Rule] | None = None if context.recorder is None else []
    found = _lookup(context, table_id, parts)
    first_id = table_id
    if found is None and may_packet_in:
        table_id, found = _continue(context, table_id, parts)
    rule = found or _internal(context, may_packet_in, table_id)
    context.set_in_port(real_port)
    if with_ct:
        _swap_tuple(context)
    if context.recorder is not None:
        context.recorder.enter("table", f"{table_id:2d}. {_describe(context, rule)}")
        for part in parts or ():
            # Open vSwitch has this since 3.3.
            text = format_match(part.match, context.port_names(), part.priority, SWITCH_OPTION_BITS)
            context.detail(f"conj. {text}")
    saved = (context.table_id, context.rule, context.depth, context.cookie, context.in_bucket)
    context.in_bucket = False
    is_first = not context.has_begun
    if not is_first:
        context.n_resubmits += 1
        context.depth += first_id <= context.table_id
    context.has_begun = True
    context.table_id, context.rule, context.cookie = table_id, rule, rule.cookie
    context.credits.append(rule)
    if as_clone:
        context.walk.run_as_clone(context, rule.actions)
    elif not is_entry or (receive(context) and enter(context)):
        context.walk.run_actions(context, rule.actions)
    if not is_first:
        # The action set of the first bridge belongs to its first rule, also in a trace.
        (context.table_id, context.rule, context.depth, context.cookie,
         context.in_bucket) = saved  # fmt: skip
        context.end()


def _continue(context: Context, table_id: int, parts: list[Rule] | None) -> tuple[int, Rule | None]:
    """Look in the tables behind one without a match, as long as those say so in which there is
    none; the last one of them, and what was found in it."""
    tables = context.bridge.tables
    found: Rule | None = None
    while (
        found is None
        and table_id < N_TABLES - 1
        and tables.table(table_id).miss == MISS_CONTINUE
        and not _drops_fragment(context)
    ):
        table_id += 1
        found = _lookup(context, table_id, parts)
    return table_id, found


def _internal(context: Context, may_packet_in: bool, table_id: int) -> Rule:
    """The switch's own rule for a packet that none of the table matches."""
    rules = context.bridge.internal
    if _drops_fragment(context):
        return rules.drop_fragments
    asks = may_packet_in and _wants_packet_in(context, table_id)
    return rules.miss if asks else rules.no_packet_in


def _drops_fragment(context: Context) -> bool:
    is_fragment = context.key >> _NW_FRAG.shift & FRAG_ANY
    return bool(is_fragment) and context.bridge.frag_mode == OFPC_FRAG_DROP


def _wants_packet_in(context: Context, table_id: int) -> bool:
    """Do controllers want packets that match nothing in this table, and of this port?"""
    port = context.bridge.ports_by_number.get(context.in_port)
    if port is not None and port.config & OFPPC_NO_PACKET_IN:
        return False
    miss = context.bridge.tables.table(table_id).miss
    if miss == MISS_DEFAULT:
        return context.bridge.wants_packet_in_on_miss
    # Where a table says what is wanted, that is of packets from ports that are there.
    return miss != MISS_DROP and port is not None


def may_go_deeper(context: Context) -> bool:
    """May there be one more resubmit? If not, the walk ends, mostly with the packet dropped."""
    if context.error:
        return False
    if context.depth >= MAX_DEPTH:
        context.fail(RECURSION, f"over max translation depth {MAX_DEPTH}")
    elif context.n_resubmits >= MAX_RESUBMITS:
        context.fail(RESUBMITS, f"over {MAX_RESUBMITS} resubmit actions")
    elif len(context.actions) > FEW_ACTIONS and context.n_bytes() > 0xFFFF:
        # What there is of it is done, packet by packet.
        context.report_error("resubmits yielded over 64 kB of actions")
        context.done = True
        return False
    elif len(context.stack) > FEW_PUSHED and _n_pushed(context) >= MAX_STACK_BYTES:
        context.fail("Stack too deep", "resubmits yielded over 64 kB of stack")
    return not context.error


def _n_pushed(context: Context) -> int:
    """Bytes of the stack: each value has its length beside it."""
    return sum((n_bits + 7) // 8 + 1 for _, n_bits in context.stack)


#: Fields of a packet, and those of its connection's first packet.
_TUPLE: Final = [
    (SLOT[name].mask, SLOT[f"ct_{name}"].shift - SLOT[name].shift)
    for name in ("nw_proto", "nw_src", "nw_dst", "ipv6_src", "ipv6_dst", "tp_src", "tp_dst")
]
_TUPLE_MASK: Final = sum(mask | mask << by for mask, by in _TUPLE)
_CT_NW_PROTO: Final = SLOT["ct_nw_proto"].mask


def _swap_tuple(context: Context) -> bool:
    """Exchange the packet's addresses, protocol and ports with those of its connection; False if it
    has none."""
    if not context.key & _CT_NW_PROTO or context.key >> _DL_TYPE_SHIFT & 0xFFFF not in _IP_TYPES:
        context.report_error("resubmit(ct) with non-tracked or non-IP packet!")
        return False
    context.key, context.mask = _swapped(context.key), _swapped(context.mask)
    context.blur()
    return True


def _swapped(key: int) -> int:
    swapped = key & ~_TUPLE_MASK
    for mask, by in _TUPLE:
        swapped |= (key & mask) << by | key >> by & mask
    return swapped


def _lookup(context: Context, table_id: int, parts: list[Rule] | None) -> Rule | None:
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
    context.tables.add(table)
    context.changed |= key ^ context.first_key
    log = context.log
    if log is None:
        rule, mask = table.classifier.lookup(key, context.mask, parts)
        context.mask |= mask
    else:
        rule = log.lookup(context, table, key)
    context.credits.append(TableCredit(table, rule is not None))
    return rule


def _describe(context: Context, rule: Rule) -> str:
    # Beyond a patch port Open vSwitch shows its internal rules as they are.
    if context.bridge is context.first_bridge:
        internal = context.bridge.internal
        if rule is internal.drop_fragments:
            return 'Packets are IP fragments and the fragment handling mode is "drop".'
        if rule is internal.miss:
            return 'No match, and a "packet-in" is called for.'
        if rule is internal.no_packet_in:
            return "No match."
    text = format_match(rule.match, context.port_names(), None, SWITCH_OPTION_BITS)
    text = f"{text}, priority {rule.priority}" if text else f"priority {rule.priority}"
    return f"{text}, cookie {rule.cookie:#x}" if rule.cookie else text
