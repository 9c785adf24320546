"""Flow monitors: who is told of which change, in full or in short, and pauses."""

from __future__ import annotations

import pytest
from tests.support.openflow_bench import Bench, Client, add, settings

from netloom.flow.fields import FIELD
from netloom.flow.match import Match
from netloom.ofproto import flow_monitors
from netloom.openflow import actions as a
from netloom.openflow import messages as m
from netloom.openflow import messages_monitor as w

ALL = w.OFPFMF_ADD | w.OFPFMF_REMOVED | w.OFPFMF_MODIFY | w.OFPFMF_INSTRUCTIONS
IN_PORT_1 = Match().with_field(FIELD["in_port_oxm"], 1)
VERSIONS = pytest.mark.parametrize("version", [1, 4, 5, 6])


def watch(flags: int = ALL, number: int = 1, **rest: object) -> w.FlowMonitorRequest:
    return w.FlowMonitorRequest((w.MonitorRequest(number, flags, **rest),))  # type: ignore[arg-type]


class Pair:
    """A watching controller and another one that changes flows."""

    def __init__(self, version: int = 5, *requests: m.Message) -> None:
        self.bench = Bench(settings("secure"))
        self.watcher = self.bench.join(version)
        self.worker: Client = self.bench.join(5)
        self.first = self.watcher.ask(*(requests or (watch(),)))

    def told(self, *mods: m.Message) -> list[tuple[int, int]]:
        """Event and priority of all updates that follow."""
        assert self.worker.ask(*mods) == []
        return updates(self.watcher.received())


def updates(messages: list[m.Message]) -> list[tuple[int, int]]:
    return [
        (update.event, update.priority)
        for message in messages
        if isinstance(message, w.FlowMonitorReply)
        for update in message.updates
    ]


@VERSIONS
def test_changes_of_others_are_told(version: int) -> None:
    pair = Pair(version)
    assert pair.told(add(a.Output(1), priority=7)) == [(w.OFPFME_ADDED, 7)]
    modify = m.FlowMod(m.OFPFC_MODIFY, actions=(a.Output(2),))
    assert pair.told(modify) == [(w.OFPFME_MODIFIED, 7)]
    assert pair.told(m.FlowMod(m.OFPFC_DELETE)) == [(w.OFPFME_REMOVED, 7)]


def test_a_modification_that_changes_nothing_is_not_told() -> None:
    pair = Pair()
    assert pair.told(add(a.Output(1), priority=7)) == [(w.OFPFME_ADDED, 7)]
    assert pair.told(m.FlowMod(m.OFPFC_MODIFY, actions=(a.Output(1),))) == []


@VERSIONS
def test_flows_that_are_there_come_first_if_asked_for(version: int) -> None:
    bench = Bench(settings("secure"))
    watcher = bench.join(version)
    watcher.ask(add(a.Output(1), priority=7), add(a.Output(2), priority=8))
    told = updates(watcher.ask(watch(ALL | w.OFPFMF_INITIAL)))
    expected = w.OFPFME_INITIAL if version >= 5 else w.OFPFME_ADDED
    assert sorted(told) == [(expected, 7), (expected, 8)]


def test_own_changes_are_told_in_short() -> None:
    pair = Pair()
    (reply,) = pair.watcher.ask(add(a.Output(1)))
    assert isinstance(reply, w.FlowMonitorReply)
    assert [update.event for update in reply.updates] == [w.OFPFME_ABBREV]


def test_own_changes_are_told_in_full_to_who_wants_them() -> None:
    pair = Pair(1, watch(ALL | w.OFPFMF_ONLY_OWN))
    assert updates(pair.watcher.ask(add(a.Output(1), priority=7))) == [(w.OFPFME_ADDED, 7)]


@pytest.mark.parametrize(
    "narrow",
    [
        watch(match=IN_PORT_1),
        watch(table_id=3),
        watch(out_port=5),
        watch(w.OFPFMF_REMOVED | w.OFPFMF_INSTRUCTIONS),
    ],
)
def test_only_what_was_asked_for_is_told(narrow: w.FlowMonitorRequest) -> None:
    assert Pair(5, narrow).told(add(a.Output(1))) == []


def test_actions_come_only_if_asked_for() -> None:
    pair = Pair(5, watch(w.OFPFMF_ADD))
    pair.worker.ask(add(a.Output(1)))
    (reply,) = pair.watcher.received()
    assert isinstance(reply, w.FlowMonitorReply)
    assert reply.updates[0].actions == ()


def test_a_cancelled_monitor_is_silent() -> None:
    pair = Pair(1, watch())
    assert pair.watcher.ask(w.FlowMonitorCancel(1)) == []
    assert pair.told(add(a.Output(1))) == []


def test_wrong_requests_have_their_errors_and_change_nothing() -> None:
    pair = Pair()
    assert pair.watcher.error(watch()) == "OFPMOFC_MONITOR_EXISTS"
    unknown = watch(number=9, command=w.OFPFMC_DELETE)
    assert pair.watcher.error(unknown) == "OFPMOFC_UNKNOWN_MONITOR"
    assert pair.told(add(a.Output(1), priority=7)) == [(w.OFPFME_ADDED, 7)]


@VERSIONS
def test_a_controller_that_does_not_read_is_paused_and_told_the_rest_later(
    version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow_monitors, "PAUSE_BYTES", 0)
    monkeypatch.setattr("netloom.ofproto.sessions.PAUSE_BYTES", 0)
    pair = Pair(version)
    unsent = 1
    pair.watcher.machine.unsent = lambda: unsent
    first = pair.worker.ask(add(a.Output(1), priority=1)) + pair.watcher.received()
    assert updates(first)[0] == (w.OFPFME_ADDED, 1)
    assert _notices(first) == ["paused"]
    # Added and gone while paused: never told. Added: told later. Known and gone: told at once.
    gone = m.FlowMod(m.OFPFC_DELETE_STRICT, priority=2)
    assert pair.told(add(a.Output(1), priority=2), gone) == []
    assert pair.told(add(a.Output(1), priority=3)) == []
    assert pair.told(m.FlowMod(m.OFPFC_DELETE_STRICT, priority=1)) == [(w.OFPFME_REMOVED, 1)]
    unsent = 0
    pair.bench.run()
    last = pair.watcher.received()
    assert updates(last)[0] == (w.OFPFME_ADDED, 3)
    assert _notices(last) == ["resumed"]


def _notices(messages: list[m.Message]) -> list[str]:
    names = {w.FlowMonitorPaused: "paused", w.FlowMonitorResumed: "resumed"}
    events = {w.OFPFME_PAUSED: "paused", w.OFPFME_RESUMED: "resumed"}
    found = [names[type(each)] for each in messages if type(each) in names]
    return found + [events[event] for event, _ in updates(messages) if event in events]
