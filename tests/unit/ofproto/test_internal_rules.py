"""The switch's own rules: seen by all, changed by nobody, and counting what nothing matches."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "trace"))
from small_switch import SmallSwitch

from netloom.base.errors import CommandError
from netloom.ofproto.translate import translate
from netloom.openflow import messages as m
from netloom.openflow.errors import OpenFlowError
from netloom.openflow.flow_text import parse_flow_mod


def switch() -> SmallSwitch:
    switch = SmallSwitch()
    switch.add_bridge("br0")
    switch.add_port("br0", "p1", 1, {})
    return switch


def test_dump_lists_the_internal_rules() -> None:
    assert switch().control("bridge/dump-flows", "br0").splitlines() == [
        "table_id=254, duration=0s, n_packets=0, n_bytes=0, priority=2,recirc_id=0,actions=drop",
        "table_id=254, duration=0s, n_packets=0, n_bytes=0, priority=0,reg0=0x1,"
        "actions=controller(reason=)",
        "table_id=254, duration=0s, n_packets=0, n_bytes=0, priority=0,reg0=0x2,actions=drop",
        "table_id=254, duration=0s, n_packets=0, n_bytes=0, priority=0,reg0=0x3,actions=drop",
    ]


@pytest.mark.parametrize("command", [m.OFPFC_ADD, m.OFPFC_MODIFY, m.OFPFC_DELETE])
def test_internal_table_is_read_only(command: int) -> None:
    mod, _ = parse_flow_mod("table=254", m.OFPFC_DELETE)
    tables = switch().backer.bridges["br0"].tables
    with pytest.raises(OpenFlowError, match="OFPBRC_EPERM"):
        tables.apply(m.FlowMod(command, mod.match, priority=1, table_id=254), 0)
    assert len(tables.table(254).classifier) == 4


def test_statistics_of_the_internal_table_are_told_and_not_among_all_tables() -> None:
    tables = switch().backer.bridges["br0"].tables
    assert len(tables.select_loose(m.FlowStatsRequest(table_id=254))) == 4
    assert tables.select_loose(m.FlowStatsRequest(table_id=m.OFPTT_ALL)) == []
    assert len(tables) == 0


def test_packet_that_matches_nothing_is_counted_by_an_internal_rule() -> None:
    stand = switch()
    bridge = stand.backer.bridges["br0"]
    mod, _ = parse_flow_mod("in_port=1", m.OFPFC_DELETE)
    for target in translate(bridge, mod.match.value, 0).credits:
        target.credit(3, 180, 0)
    assert bridge.internal.no_packet_in.n_packets == 3


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("br0", "in_port=1", "goto_table:1"), "goto_table instruction not allowed here"),
        (("br0", "in_port=1", "blah"), "unknown action blah"),
        (("br9", "in_port=1", "drop"), "br9: unknown bridge"),
        (
            ("-consistent", "br0", "in_port=1,arp", "mod_tp_dst:3"),
            "Bad actions: OFPBAC_MATCH_INCONSISTENT",
        ),
    ],
)
def test_trace_of_a_packet_out_refuses_as_open_vswitch_does(
    words: tuple[str, ...], complaint: str
) -> None:
    with pytest.raises(CommandError) as caught:
        switch().control("ofproto/trace-packet-out", *words)
    assert str(caught.value) == complaint
