"""Bundles: all of their messages, or none. Errors as Debian's ovs-vswitchd answers them."""

from __future__ import annotations

import pytest
from tests.support.openflow_bench import FRAME, KEY, Bench, Client, add, settings

from netloom.flow.match import Match
from netloom.openflow import actions as a
from netloom.openflow import messages as m
from netloom.openflow import messages_bundles as b
from netloom.openflow import messages_groups as g
from netloom.openflow.codec import encode_message
from netloom.openflow.protocol import INITIAL

OPEN, CLOSE, COMMIT, DISCARD = 0, 2, 4, 6
BOTH = b.OFPBF_ATOMIC | b.OFPBF_ORDERED


class Bundler:
    """A client that puts messages into bundle 1."""

    def __init__(self, version: int = 5, flags: int = BOTH) -> None:
        self.bench = Bench(settings("secure"))
        self.version = version
        self.flags = flags
        self.client: Client = self.bench.join(version)
        self.xid = 100

    def control(self, kind: int, flags: int | None = None) -> list[str]:
        message = b.BundleControl(1, kind, self.flags if flags is None else flags)
        return self.told(self.client.ask(message))

    def put(self, message: m.Message, flags: int | None = None) -> list[str]:
        self.xid += 1
        protocol = INITIAL[self.version]
        data = encode_message(message, self.xid, protocol)
        outer = b.BundleAdd(1, self.flags if flags is None else flags, data)
        return self.told(self.client.ask(encode_message(outer, self.xid, protocol)))

    def told(self, replies: list[m.Message]) -> list[str]:
        return [
            reply.name
            if isinstance(reply, m.Error)
            else str(reply.type)
            if isinstance(reply, b.BundleControl)
            else type(reply).__name__
            for reply in replies
        ]

    def priorities(self) -> list[int]:
        return sorted(rule.priority for rule in self.bench.switch.tables.rules())


def flow(priority: int, **rest: int) -> m.FlowMod:
    return add(a.Output(1), priority=priority, **rest)


@pytest.mark.parametrize("version", [4, 5, 6])
def test_nothing_happens_before_the_commit_and_all_at_it(version: int) -> None:
    bundler = Bundler(version)
    assert bundler.control(OPEN) == ["1"]
    assert bundler.put(flow(1)) == bundler.put(flow(2)) == []
    assert bundler.control(CLOSE) == ["3"]
    assert bundler.priorities() == []
    assert bundler.control(COMMIT) == ["5"]
    assert bundler.priorities() == [1, 2]


def test_one_failure_undoes_all_before_it() -> None:
    bundler = Bundler()
    tables = bundler.bench.switch.tables
    bundler.client.ask(flow(1), flow(2, idle_timeout=5), flow(3))
    before = [(rule, rule.state()) for rule in tables.rules()]
    bundler.control(OPEN)
    bundler.put(add(a.Output(9), priority=1, idle_timeout=7))
    bundler.put(add(a.Output(9), priority=1, flags=m.OFPFF_RESET_COUNTS))
    bundler.put(m.FlowMod(m.OFPFC_MODIFY, actions=(a.Output(7),)))
    bundler.put(g.GroupMod(g.OFPGC_ADD, 1))
    bundler.put(m.FlowMod(m.OFPFC_DELETE))
    bundler.put(flow(8))
    bundler.put(g.GroupMod(g.OFPGC_ADD, 1))
    assert bundler.control(COMMIT) == ["OFPGMFC_GROUP_EXISTS", "OFPBFC_MSG_FAILED"]
    assert {id(rule): state for rule, state in before} == {
        id(rule): rule.state() for rule in tables.rules()
    }
    assert bundler.bench.switch.groups.get(1) is None
    assert tables.deadline() == 6_001


def test_a_message_that_is_wrong_by_itself_is_left_out_at_once() -> None:
    bundler = Bundler()
    bundler.control(OPEN)
    bundler.put(flow(1))
    assert bundler.put(flow(4, table_id=254)) == ["OFPBRC_EPERM"]
    assert bundler.put(m.BarrierRequest()) == ["OFPBFC_MSG_UNSUP"]
    assert bundler.control(COMMIT) == ["5"]
    assert bundler.priorities() == [1]


def test_port_changes_are_no_part_of_an_atomic_bundle() -> None:
    bundler = Bundler()
    bundler.put(m.PortMod(1, 0, 0, 0))
    assert bundler.control(COMMIT) == ["OFPBFC_MSG_FAILED", "OFPBFC_MSG_FAILED"]
    relaxed = Bundler(flags=b.OFPBF_ORDERED)
    relaxed.put(m.PortMod(77, 0, 0, 0))
    assert relaxed.control(COMMIT) == ["OFPPMFC_BAD_PORT", "OFPBFC_MSG_FAILED"]


def test_packets_leave_when_all_is_done() -> None:
    bundler = Bundler()
    out = m.PacketOut(FRAME, Match(KEY, KEY), (a.Output(1),))
    bundler.put(out)
    bundler.put(flow(1))
    assert bundler.bench.switch.calls == []
    assert bundler.control(COMMIT) == ["5"]
    assert [type(call) for call in bundler.bench.switch.calls] == [m.PacketOut]


def test_the_states_of_a_bundle() -> None:
    bundler = Bundler()
    assert bundler.control(COMMIT) == ["OFPBFC_BAD_ID"]
    assert bundler.control(OPEN) == ["1"]
    assert bundler.control(OPEN) == ["OFPBFC_BAD_ID"]
    assert bundler.control(CLOSE) == ["OFPBFC_BAD_ID"]
    assert bundler.put(flow(1)) == []
    assert bundler.put(flow(1), flags=1) == ["OFPBFC_BAD_FLAGS"]
    assert bundler.control(OPEN) == ["1"]
    assert bundler.control(CLOSE, flags=0) == ["OFPBFC_BAD_FLAGS"]
    bundler.control(OPEN)
    assert bundler.control(CLOSE) == ["3"]
    assert bundler.put(flow(1)) == ["OFPBFC_BUNDLE_CLOSED"]
    bundler.control(OPEN)
    bundler.control(CLOSE)
    assert bundler.control(CLOSE) == ["OFPBFC_BUNDLE_CLOSED"]
    bundler.control(OPEN)
    assert bundler.control(DISCARD, flags=0) == ["7"]
    assert bundler.control(1) == ["OFPBFC_BAD_TYPE"]


def test_a_bundle_that_is_left_alone_is_forgotten() -> None:
    bundler = Bundler()
    bundler.control(OPEN)
    assert bundler.bench.manager.deadline() == 11_000
    bundler.bench.run(9_999)
    assert bundler.told(bundler.client.received()) == []
    bundler.bench.run(1)
    assert bundler.told(bundler.client.received()) == ["OFPBFC_TIMEOUT"]
    assert bundler.control(COMMIT) == ["OFPBFC_BAD_ID"]
