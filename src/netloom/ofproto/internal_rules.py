"""The rules that a switch has for what no rule matches: its internal table.

Open vSwitch shows them in `bridge/dump-flows`, in statistics of table 254 and in traces; packets
that match nothing are counted by one of them.
"""

from __future__ import annotations

from netloom.flow.fields import FIELD
from netloom.flow.match import Match
from netloom.ofproto.rules import Rule
from netloom.ofproto.tables import INTERNAL_TABLE, Tables
from netloom.openflow import actions as a
from netloom.openflow import messages as m

_MISS = (a.Controller(0xFFFF, 0, m.OFPR_IMPLICIT_MISS),)


class InternalRules:
    """`miss`: controllers want the packet; `no_packet_in`: nobody does; `drop_fragments`: it is a
    fragment and those are dropped."""

    __slots__ = ("drop_fragments", "miss", "no_packet_in")

    def __init__(self, tables: Tables, now_ms: int) -> None:
        recirc_id = FIELD["recirc_id"]
        stray = Match().with_field(recirc_id, 0, recirc_id.ones)
        tables.add_hidden(INTERNAL_TABLE, stray, 2, (), now_ms)
        self.miss = _add(tables, 1, _MISS, now_ms)
        self.no_packet_in = _add(tables, 2, (), now_ms)
        self.drop_fragments = _add(tables, 3, (), now_ms)


def _add(tables: Tables, number: int, actions: a.Actions, now_ms: int) -> Rule:
    reg0 = FIELD["reg0"]
    match = Match().with_field(reg0, number, reg0.ones)
    return tables.add_hidden(INTERNAL_TABLE, match, 0, actions, now_ms)
