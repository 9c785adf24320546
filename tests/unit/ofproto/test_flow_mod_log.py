"""The line of the log that sums up a connection's flow mods."""

from __future__ import annotations

import pytest

from netloom.base.log import CONSOLE, INFO, WARN, vlog
from netloom.ofproto.flow_mod_log import FlowModLog
from netloom.openflow import messages as m

NAME = "br0<->unix#3"


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str]) -> pytest.CaptureFixture[str]:
    vlog.set_level(INFO, "connmgr", CONSOLE)
    return capsys


def lines(shown: pytest.CaptureFixture[str]) -> list[str]:
    return [line.split("|", 2)[2] for line in shown.readouterr().err.splitlines()]


def test_flow_mods_are_summed_up_ten_seconds_after_the_first(
    shown: pytest.CaptureFixture[str],
) -> None:
    log = FlowModLog()
    for ms, command in ((0, m.OFPFC_ADD), (100, m.OFPFC_ADD), (200, m.OFPFC_DELETE_STRICT),
                        (300, m.OFPFC_MODIFY), (10_000, m.OFPFC_DELETE)):  # fmt: skip
        log.note(command, ms)
    log.run(NAME, 9_999)
    assert lines(shown) == []
    assert log.deadline() == 10_000
    log.run(NAME, 10_000)
    counts = "(2 adds, 2 deletes, 1 modifications)"
    assert lines(shown) == [f"connmgr|INFO|{NAME}: 5 flow_mods in the last 10 s {counts}"]


def test_when_they_came_is_told_if_it_is_a_while_ago(shown: pytest.CaptureFixture[str]) -> None:
    log = FlowModLog()
    log.note(m.OFPFC_ADD, 0)
    log.run(NAME, 10_000)
    log.note(m.OFPFC_ADD, 20_000)
    log.note(m.OFPFC_ADD, 23_000)
    log.run(NAME, 69_999)
    log.run(NAME, 70_000)
    assert lines(shown) == [
        f"connmgr|INFO|{NAME}: 1 flow_mods 10 s ago (1 adds)",
        f"connmgr|INFO|{NAME}: 2 flow_mods in the 3 s starting 50 s ago (2 adds)",
    ]


def test_a_connection_that_ends_tells_at_once_and_nothing_twice(
    shown: pytest.CaptureFixture[str],
) -> None:
    log = FlowModLog()
    log.note(m.OFPFC_ADD, 0)
    log.report(NAME, 500)
    log.report(NAME, 600)
    assert lines(shown) == [f"connmgr|INFO|{NAME}: 1 flow_mods in the last 0 s (1 adds)"]


def test_warnings_only_show_none(capsys: pytest.CaptureFixture[str]) -> None:
    vlog.set_level(WARN, "connmgr", CONSOLE)
    log = FlowModLog()
    log.note(m.OFPFC_ADD, 0)
    log.report(NAME, 500)
    assert capsys.readouterr().err == ""
