"""A database that a cluster keeps, seen by the clients of its servers."""

from __future__ import annotations

import pytest
from tests.support.counter_world import ADD, READ, CounterWorld, DatabaseMember


def calm(n_servers: int = 3) -> tuple[CounterWorld, DatabaseMember, DatabaseMember]:
    """A cluster, its leader, and one that follows."""
    world = CounterWorld(3, n_servers)
    world.run_calmly(4000)
    leader = world.leader
    assert isinstance(leader, DatabaseMember)
    follower = next(member for member in world.members.values() if member is not leader)
    assert isinstance(follower, DatabaseMember)
    return world, leader, follower


def test_answer_comes_after_the_commit() -> None:
    world, leader, follower = calm()
    leader.add()
    assert leader.client.take() == []
    assert leader.value() == 0
    world.settle()
    (answer,) = leader.client.take()
    assert answer["result"] == [{"count": 1}]
    assert leader.value() == follower.value() == 1


def test_transactions_wait_for_each_other_and_all_happen() -> None:
    world, leader, follower = calm()
    for _ in range(5):
        leader.add()
        follower.add()
    world.run_calmly(3000)
    assert leader.value() == follower.value() == 10
    for member in (leader, follower):
        assert [m["result"] for m in member.client.take()] == [[{"count": 1}]] * 5


def test_reads_are_answered_while_changes_wait() -> None:
    world, leader, follower = calm()
    world.crash(leader.raft.id)
    follower.add()
    reply = follower.client.call("transact", "D", READ, request_id="r")
    assert reply["result"] == [{"rows": [{"n": 0}]}]
    world.run_calmly(8000)
    assert follower.value() == 1


def test_change_whose_wait_is_over_does_not_keep_the_server_busy() -> None:
    world, _leader, follower = calm()
    for sid in [sid for sid in world.members if sid != follower.raft.id]:
        world.crash(sid)
    world.run_calmly(5000)
    assert follower.raft.leader is None
    wait = {
        "op": "wait",
        "timeout": 100,
        "table": "T",
        "where": [],
        "columns": ["n"],
        "until": "==",
        "rows": [{"n": 0}],
    }
    follower.client.call("transact", "D", wait, ADD)
    world.now_ms += 1000
    follower.run()
    follower.server.advance(world.now_ms)
    assert follower.server.deadline() is None
    assert follower.client.take() == []
    for sid in list(world.down):
        world.restart(sid)
    world.run_calmly(10_000)
    assert [m["result"] for m in follower.client.take()] == [[{}, {"count": 1}]]
    assert follower.value() == 1


def test_monitors_hear_of_each_transaction_under_its_id() -> None:
    world, leader, follower = calm()
    requests = {"T": [{"columns": ["n"]}]}
    zero = "00000000-0000-0000-0000-000000000000"
    follower.client.call("monitor_cond_since", "D", "m", requests, zero)
    follower.client.take()
    leader.add()
    world.run_calmly(1000)
    (update,) = follower.client.take()
    method, (_monitor, txn_id, _rows) = update["method"], update["params"]
    assert (method, txn_id) == ("update3", leader.raft.state.eid_at(leader.raft.last_applied))
    leader.add()
    world.run_calmly(1000)
    # Who was at one server goes on at another where it was.
    found, _last, rows = leader.client.call("monitor_cond_since", "D", "m", requests, txn_id)[
        "result"
    ]
    assert found
    assert list(rows) == ["T"]


def test_leader_lets_another_one_lead_before_it_compacts(monkeypatch: pytest.MonkeyPatch) -> None:
    world, leader, follower = calm()
    leader.add()
    world.run_calmly(1000)
    monkeypatch.setattr(leader.cluster._schedule, "is_due", lambda log, now_ms: True)
    leader.cluster.compact_if_due(world.now_ms)
    leader.run()
    assert [rpc.kind for _to, rpc in world.in_flight] == ["become_leader"]
    assert leader.raft.state.snapshot.index == 1
    leader.run()
    assert leader.raft.state.snapshot.index == leader.raft.last_applied
    world.settle()
    assert not leader.raft.is_leader
    assert world.leader is not None
    assert world.leader.raft.is_transfer
    assert leader.value() == follower.value() == 1


def test_clients_of_a_server_with_a_broken_disk_are_told() -> None:
    _world, leader, _follower = calm()
    leader.disk.sync_fails = True
    leader.add()
    # Nobody knows whether it happened; the connection says so.
    assert leader.client.disconnected == "nobody knows whether a transaction happened"
    leader.add()
    (answer,) = leader.client.take()
    assert answer["result"][-1]["error"] == "cluster error"
    assert not leader.cluster.row()["connected"]
