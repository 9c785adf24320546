from __future__ import annotations

import pytest

from netloom.flow.fields import FIELD
from netloom.flow.match import Match
from netloom.ofproto.rules import Rule
from netloom.ofproto.tables import Tables
from netloom.openflow import messages as m
from netloom.openflow.actions import Action, GotoTable, Output, WriteActions
from netloom.openflow.errors import OpenFlowError


def match(**fields: int) -> Match:
    made = Match()
    for name, value in fields.items():
        made = made.with_field(FIELD[name], value)
    return made


def add(
    tables: Tables, made: Match, *actions: Action, priority: int = 10, now_ms: int = 0, **rest: int
) -> Rule:
    mod = m.FlowMod(
        m.OFPFC_ADD, made, priority=priority, actions=actions, new_cookie=rest.pop("cookie", 0),
        table_id=rest.pop("table_id", 0), **rest,
    )  # fmt: skip
    return tables.apply(mod, now_ms)[-1].rule


def test_an_added_flow_is_found() -> None:
    tables = Tables()
    rule = add(tables, match(in_port=1), Output(2))
    found, _ = tables.table(0).classifier.lookup(FIELD["in_port"].put(0, 1))
    assert found is rule


def test_adding_the_same_match_replaces_and_keeps_counters_unless_told() -> None:
    tables = Tables()
    add(tables, match(in_port=1), Output(2)).credit(5, 500, 1)
    again = add(tables, match(in_port=1), Output(3))
    assert (again.n_packets, len(tables)) == (5, 1)
    again.credit(1, 100, 7)
    reset = add(tables, match(in_port=1), Output(3), now_ms=9, flags=m.OFPFF_RESET_COUNTS)
    assert reset.n_packets == 0
    # It is idle for as long as the one before.
    assert (reset.created_ms, reset.used_ms) == (9, 7)


def test_an_overlapping_flow_is_refused_when_asked() -> None:
    tables = Tables()
    add(tables, match(in_port=1))
    with pytest.raises(OpenFlowError, match="OFPFMFC_OVERLAP"):
        add(tables, match(dl_type=0x800), flags=m.OFPFF_CHECK_OVERLAP)
    add(tables, match(dl_type=0x800), priority=11, flags=m.OFPFF_CHECK_OVERLAP)
    add(tables, match(in_port=2), flags=m.OFPFF_CHECK_OVERLAP)
    assert len(tables) == 3


def test_a_loose_delete_takes_all_that_is_narrower() -> None:
    tables = Tables()
    for port in (1, 2):
        add(tables, match(in_port=port, dl_type=0x800), priority=port)
    add(tables, match(dl_type=0x800))
    changes = tables.apply(m.FlowMod(m.OFPFC_DELETE, match(in_port=1)), 0)
    assert [change.reason for change in changes] == [m.OFPRR_DELETE]
    tables.apply(m.FlowMod(m.OFPFC_DELETE, match(dl_type=0x800)), 0)
    assert len(tables) == 0


def test_a_strict_delete_wants_match_and_priority() -> None:
    tables = Tables()
    add(tables, match(in_port=1))
    strict = m.FlowMod(m.OFPFC_DELETE_STRICT, match(in_port=1), priority=9)
    assert tables.apply(strict, 0) == []
    strict = m.FlowMod(m.OFPFC_DELETE_STRICT, match(in_port=1), priority=10)
    assert len(tables.apply(strict, 0)) == 1


def test_a_delete_may_be_restricted_by_output_port_and_cookie() -> None:
    tables = Tables()
    add(tables, match(in_port=1), Output(2), cookie=0x10)
    add(tables, match(in_port=2), WriteActions((Output(3),)), cookie=0x11)
    assert tables.apply(m.FlowMod(m.OFPFC_DELETE, out_port=4), 0) == []
    assert len(tables.apply(m.FlowMod(m.OFPFC_DELETE, out_port=3), 0)) == 1
    none = m.FlowMod(m.OFPFC_DELETE, cookie=0x01, cookie_mask=0x01)
    assert tables.apply(none, 0) == []
    assert len(tables.apply(m.FlowMod(m.OFPFC_DELETE, cookie=0x10, cookie_mask=0xF0), 0)) == 1


def test_a_modify_changes_actions_and_keeps_the_rest() -> None:
    tables = Tables()
    rule = add(tables, match(in_port=1), Output(2), cookie=7, idle_timeout=5)
    rule.credit(3, 300, 0)
    changes = tables.apply(m.FlowMod(m.OFPFC_MODIFY, actions=(Output(9),)), 1_000)
    assert [change.kind for change in changes] == ["modified"]
    assert (rule.actions, rule.cookie, rule.idle_timeout_s) == ((Output(9),), 7, 5)
    assert (rule.n_packets, rule.created_ms, rule.modified_ms) == (3, 0, 1_000)


def test_a_modify_that_finds_nothing_adds_only_with_a_cookie_of_openflow_10() -> None:
    tables = Tables()
    mod = m.FlowMod(m.OFPFC_MODIFY_STRICT, match(in_port=1))
    assert tables.apply(mod, 0) == []
    mod = m.FlowMod(m.OFPFC_MODIFY_STRICT, match(in_port=1), new_cookie=5)
    assert [change.kind for change in tables.apply(mod, 0)] == ["added"]


def test_timeouts_expire_rules_with_their_reason() -> None:
    tables = Tables()
    idle = add(tables, match(in_port=1), idle_timeout=10)
    hard = add(tables, match(in_port=2), hard_timeout=15)
    add(tables, match(in_port=3))
    assert tables.deadline() == 10_001
    idle.credit(1, 60, 9_000)
    assert tables.expire(15_000) == []
    assert [(c.rule, c.reason) for c in tables.expire(15_001)] == [(hard, m.OFPRR_HARD_TIMEOUT)]
    assert [(c.rule, c.reason) for c in tables.expire(19_001)] == [(idle, m.OFPRR_IDLE_TIMEOUT)]
    assert tables.deadline() is None
    assert len(tables) == 1


def test_a_modify_of_openflow_11_leaves_cookies_alone() -> None:
    for keeps, expected in ((True, 1), (False, 2)):
        tables = Tables()
        rule = add(tables, match(in_port=1), cookie=1)
        mod = m.FlowMod(m.OFPFC_MODIFY, match(in_port=1), new_cookie=2, keeps_cookies=keeps)
        tables.apply(mod, 0)
        assert rule.cookie == expected


def test_a_table_that_does_not_exist_is_refused() -> None:
    tables = Tables()
    with pytest.raises(OpenFlowError, match="OFPBRC_EPERM"):
        add(tables, match(), GotoTable(3), table_id=254)
    with pytest.raises(OpenFlowError, match="OFPFMFC_BAD_COMMAND"):
        tables.apply(m.FlowMod(9), 0)


def test_hidden_rules_are_neither_shown_nor_deleted() -> None:
    tables = Tables()
    tables.add_hidden(0, match(), 0x10000, (), 0)
    assert tables.rules() == []
    assert tables.apply(m.FlowMod(m.OFPFC_DELETE), 0) == []
    assert len(tables) == 1


def test_only_changes_move_the_generation() -> None:
    tables = Tables()
    before = tables.generation
    tables.apply(m.FlowMod(m.OFPFC_DELETE), 0)
    assert tables.generation == before
    add(tables, match())
    assert tables.generation > before


def test_tables_that_become_empty_at_once_are_as_new() -> None:
    tables = Tables()
    tables.add_hidden(2, match(in_port=1), 70_000, (), 0)

    def fill() -> None:
        for n in range(40):
            for table_id in (0, 1, 2):
                fields = {"dl_type": 0x800, "nw_dst": 0x0A000000 + n}
                add(tables, match(**fields), table_id=table_id, cookie=n & 1)

    fill()
    looked_at = tables.table(0).classifier.lookup(match(dl_type=0x800, nw_dst=0x0B000000).value)
    odd = m.FlowMod(m.OFPFC_DELETE, table_id=1, cookie=1, cookie_mask=1)
    assert len(tables.apply(odd, 0)) == 20
    generation = tables.generation
    gone = tables.apply(m.FlowMod(m.OFPFC_DELETE), 0)
    assert [change.rule.cookie for change in gone if change.rule.table_id == 1] == [0] * 20
    assert len(gone) == 100 and all(change.rule.removed for change in gone)
    assert tables.generation > generation
    assert [rule.priority for rule in tables.rules(hidden=True)] == [70_000]
    assert tables.table(0).classifier.lookup(match(dl_type=0x800).value) == (None, 0)
    fill()
    key = match(dl_type=0x800, nw_dst=0x0B000000).value
    assert tables.table(0).classifier.lookup(key) == looked_at
    tables.undo(tables.apply(m.FlowMod(m.OFPFC_DELETE), 0))
    assert len(tables.rules()) == 120
    assert tables.table(0).classifier.lookup(key) == looked_at
