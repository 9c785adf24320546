"""What servers of a cluster say to one another, word by word, and what they refuse."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.raft_world import (
    CLUSTER,
    FIRST_EID,
    MemoryDisk,
    World,
    address_of,
    founder,
    joiner,
    server_id,
)

from netloom.ovsdb.errors import OvsdbError
from netloom.ovsdb.raft.entry import Entry, Snapshot
from netloom.ovsdb.raft.machine import Raft
from netloom.ovsdb.raft.rpc import Rpc, parse_rpc
from netloom.ovsdb.raft.state import Store, read_state
from netloom.ovsdb.uuids import ZERO_UUID

ONE, TWO = server_id(1), server_id(2)
EID = "22222222-2222-4222-8222-222222222222"
HEAD = {"from": TWO, "to": ONE, "cluster": CLUSTER}


def make(n_servers: int = 3) -> Raft:
    """Server 1 of so many, at time 0."""
    state = founder(list(range(1, n_servers + 1)), 1)
    return Raft(Store(state, MemoryDisk(state)), 0, lambda limit: 0)


def hear(raft: Raft, kind: str, now_ms: int = 0, **body: Any) -> list[tuple[str, Any]]:
    """What a server answers to a message of server 2."""
    raft.receive(parse_rpc(kind, [{**HEAD, **body}]), now_ms)
    return [(rpc.kind, rpc.params()[0]) for rpc in raft.flush(now_ms)]


def append(**changes: Any) -> dict[str, Any]:
    return {
        "term": 2,
        "prev_log_index": 1,
        "prev_log_term": 1,
        "leader_commit": 1,
        "log": [],
        **changes,
    }


MESSAGES: list[tuple[str, dict[str, Any]]] = [
    ("hello_request", {"address": "unix:s2.raft"}),
    ("append_request", append(log=[{"term": 2}, {"term": 2, "data": [None, {}], "eid": EID}])),
    ("append_request", append(log=[{"term": 2, "servers": {ONE: "unix:s1.raft"}}])),
    ("append_request", append(log=[{"term": 2, "election_timer": 2000}], comment="heartbeat")),
    ("vote_request", {"term": 2, "last_log_index": 1, "last_log_term": 1}),
    (
        "vote_request",
        {"term": 2, "last_log_index": 1, "last_log_term": 1, "leadership_transfer": True},
    ),
    ("vote_reply", {"term": 2, "vote": ONE}),
    ("add_server_request", {"address": "unix:s4.raft"}),
    ("add_server_reply", {"success": False, "remote_addresses": ["unix:s1.raft"]}),
    ("remove_server_request", {"server_id": TWO}),
    ("remove_server_reply", {"success": True, "target_server": TWO}),
    ("install_snapshot_reply", {"term": 1, "last_index": 4, "last_term": 1}),
    ("become_leader", {"term": 1}),
    ("execute_command_request", {"data": [None, {}], "prereq": EID, "result": EID}),
    ("execute_command_reply", {"result": EID, "status": "success", "commit_index": 3}),
]


@pytest.mark.parametrize(("kind", "body"), MESSAGES)
def test_messages_are_read_and_written_alike(kind: str, body: dict[str, Any]) -> None:
    params = [{**HEAD, **body}]
    assert parse_rpc(kind, params).params() == params


@pytest.mark.parametrize(
    ("kind", "body", "text"),
    [
        ("no_request", {}, "unknown method no_request"),
        ("vote_reply", {"term": 1}, "Required 'vote' member is missing"),
        ("vote_reply", {"term": 1, "vote": "x"}, "'vote' is not a valid UUID"),
        ("vote_reply", {"term": -1, "vote": ONE}, "term must not be negative"),
        ("become_leader", {"term": 1, "more": 1}, "Member 'more' is present but not allowed"),
        ("append_request", append(log=[{}]), "Required 'term' member is missing"),
        ("append_request", append(log=[{"term": 1, "eid": EID}]), "must be present both"),
        ("append_request", append(log=[{"term": 1, "servers": {}}]), "one or more members"),
    ],
)
def test_messages_that_are_none_are_refused(kind: str, body: dict[str, Any], text: str) -> None:
    with pytest.raises(OvsdbError, match=text):
        parse_rpc(kind, [{**HEAD, **body}])


def test_follower_answers_its_leader() -> None:
    raft = make()
    ((kind, reply),) = hear(raft, "append_request", **append(log=[{"term": 2}]))
    assert kind == "append_reply"
    assert reply == {
        "from": ONE,
        "to": TWO,
        "cluster": CLUSTER,
        "comment": "log updated",
        "term": 2,
        "log_end": 3,
        "prev_log_index": 1,
        "prev_log_term": 1,
        "n_entries": 1,
        "result": "OK",
    }
    assert raft.leader == TWO
    ((_, reply),) = hear(raft, "append_request", **append(prev_log_index=5, prev_log_term=2))
    assert (reply["result"], reply["log_end"]) == ("inconsistency", 3)
    ((_, reply),) = hear(raft, "append_request", **append(term=1))
    assert (reply["result"], reply["term"], reply["comment"]) == ("inconsistency", 2, "stale term")


def test_one_vote_a_term_and_none_for_a_shorter_log() -> None:
    raft = make()
    ask = {"last_log_index": 1, "last_log_term": 1}
    assert hear(raft, "vote_request", term=2, **ask)[0][1]["vote"] == TWO
    three = parse_rpc(
        "vote_request", [{"from": server_id(3), "cluster": CLUSTER, "term": 2, **ask}]
    )
    raft.receive(three, 0)
    (reply,) = raft.flush(0)
    assert reply.body == {"term": 2, "vote": TWO}
    ((_, refusal),) = hear(raft, "vote_request", term=3, last_log_index=0, last_log_term=1)
    assert (refusal["term"], refusal["vote"]) == (3, ZERO_UUID)


def test_candidates_are_not_heard_while_a_leader_is_there() -> None:
    raft = make()
    hear(raft, "append_request", **append())
    ask = {"term": 3, "last_log_index": 9, "last_log_term": 2}
    assert hear(raft, "vote_request", 999, **ask) == []
    assert raft.state.term == 2
    assert hear(raft, "vote_request", 999, **ask, leadership_transfer=True)[0][1]["vote"] == TWO


def test_prevotes_are_answered_and_bind_nobody() -> None:
    raft = make()
    ask = {"term": 1, "last_log_index": 1, "last_log_term": 1, "is_prevote": True}
    ((kind, reply),) = hear(raft, "vote_request", **ask)
    assert (kind, reply["vote"], reply["is_prevote"]) == ("vote_reply", TWO, True)
    assert raft.state.vote is None
    ((_, reply),) = hear(raft, "vote_request", **{**ask, "last_log_index": 0})
    assert reply["vote"] == ZERO_UUID


def asked(raft: Raft, now_ms: int) -> set[tuple[int, bool]]:
    """Term and kind of the votes that are asked for now."""
    raft.advance(now_ms)
    requests = [rpc for rpc in raft.flush(now_ms) if rpc.kind == "vote_request"]
    return {(rpc.body["term"], rpc.body.get("is_prevote", False)) for rpc in requests}


def test_an_election_begins_with_prevotes_that_change_nothing() -> None:
    raft = make()
    assert asked(raft, 5000) == {(1, True)}
    assert (raft.role, raft.state.term, raft.state.vote) == ("candidate", 1, None)
    # A vote is no prevote, and a prevote no vote.
    assert hear(raft, "vote_reply", 5000, term=1, vote=ONE) == []
    requests = hear(raft, "vote_reply", 5000, term=1, vote=ONE, is_prevote=True)
    assert [(kind, body["term"], "is_prevote" in body) for kind, body in requests] == (
        [("vote_request", 2, False)] * 2
    )
    assert raft.state.vote == ONE
    hear(raft, "vote_reply", 5000, term=2, vote=ONE, is_prevote=True)
    assert not raft.is_leader
    hear(raft, "vote_reply", 5000, term=2, vote=ONE)
    assert raft.is_leader


def test_prevotes_that_are_not_answered_are_asked_for_again() -> None:
    raft = make()
    for now_ms in (5000, 10_000, 15_000):
        assert asked(raft, now_ms) == {(1, True)}


def test_servers_that_know_no_prevotes_are_asked_for_votes() -> None:
    raft = make()
    hear(raft, "vote_request", term=2, last_log_index=0, last_log_term=0)
    assert asked(raft, 5000) == {(2, True)}
    assert asked(raft, 10_000) == {(3, False)}
    # The next one begins with prevotes again.
    assert asked(raft, 15_000) == {(3, True)}
    # One that was heard to know them is not asked so.
    hear(raft, "vote_reply", 15_000, term=3, vote=ZERO_UUID, is_prevote=True)
    assert asked(raft, 20_000) == {(3, True)}


def test_prevotes_are_left_out_where_hardly_anybody_knows_them() -> None:
    raft = make(2)
    hear(raft, "vote_request", term=2, last_log_index=0, last_log_term=0)
    assert asked(raft, 5000) == {(3, False)}


def test_newer_term_is_learnt_from_prevotes() -> None:
    raft = make()
    ask = {"term": 4, "last_log_index": 1, "last_log_term": 1, "is_prevote": True}
    ((_, reply),) = hear(raft, "vote_request", **ask)
    assert (reply["term"], reply["vote"]) == (4, TWO)
    assert (raft.state.term, raft.state.vote) == (4, None)


def test_messages_of_other_clusters_are_ignored() -> None:
    raft = make()
    foreign = append() | {"cluster": EID}
    assert hear(raft, "append_request", **foreign) == []
    assert raft.leader is None


def test_nothing_is_sent_before_it_is_on_the_disk() -> None:
    state = founder([1, 2, 3], 1)
    disk = MemoryDisk(state)
    raft = Raft(Store(state, disk), 0, lambda limit: 0)
    raft.receive(parse_rpc("append_request", [{**HEAD, **append(log=[{"term": 2}])}]), 0)
    assert disk.pending
    assert raft.flush(0)
    assert not disk.pending
    assert read_state(map(load, disk.safe)).log_end == 3


def load(line: str) -> dict[str, Any]:
    import json

    record = json.loads(line)
    assert isinstance(record, dict)
    return record


def test_server_that_joins_asks_for_it_until_it_is_a_member() -> None:
    world = World(1, 1)
    member = world.start(2, joiner(2, [address_of(1)]))
    assert member.raft.membership.greeting()[0] == "add_server_request"
    assert not member.raft.is_connected
    world.run_calmly(3000)
    assert member.raft.membership.greeting()[0] == "hello_request"
    assert member.raft.is_connected
    assert member.raft.state.cid == CLUSTER
    assert set(member.raft.servers) == {ONE, TWO}


def test_last_server_does_not_leave() -> None:
    raft = make(1)
    with pytest.raises(OvsdbError, match="the last server of a cluster cannot leave it"):
        raft.membership.leave(0)


def test_a_server_that_leaves_leads_on_if_the_others_cannot_and_then_gives_it_away() -> None:
    raft = make()
    raft.membership.leave(0)
    raft.flush(0)
    now_ms = raft.deadline() or 0
    while raft.role != "candidate":
        raft.advance(now_ms)
        now_ms = raft.deadline() or 0
    hear(raft, "vote_reply", now_ms, term=raft.state.term, vote=ONE, is_prevote=True)
    hear(raft, "vote_reply", now_ms, term=raft.state.term, vote=ONE)
    assert raft.is_leader
    kinds: list[str] = []
    while raft.is_leader:
        now_ms = raft.deadline() or 0
        raft.advance(now_ms)
        kinds += [rpc.kind for rpc in raft.flush(now_ms)]
    assert "become_leader" in kinds
    raft.advance(raft.deadline() or 0)
    assert "remove_server_request" in [rpc.kind for rpc in raft.flush(now_ms)]


def test_election_timers_have_limits() -> None:
    raft = make(1)
    raft.flush(0)
    for timer_ms, text in (
        (99, "must be between 100 and 600000"),
        (600_001, "must be between"),
        (2001, "should not exceed the current value x 2"),
    ):
        with pytest.raises(OvsdbError, match=text):
            raft.change_election_timer(timer_ms)
    raft.change_election_timer(2000)
    with pytest.raises(OvsdbError, match="pending"):
        raft.change_election_timer(1500)
    raft.flush(0)
    assert raft.election_timer == 2000


def test_transaction_upon_old_data_is_refused() -> None:
    raft = make(1)
    raft.flush(0)
    raft.commands.execute([None, {"a": 1}], FIRST_EID, server_id(7), 0)
    raft.commands.execute([None, {"b": 1}], FIRST_EID, server_id(8), 0)
    raft.flush(0)
    assert raft.commands.results == [
        (server_id(8), "prerequisite check failed"),
        (server_id(7), "success"),
    ]
    assert raft.state.entry(3) == Entry(2, [None, {"a": 1}], server_id(7))


def test_follower_does_not_lead_transactions() -> None:
    raft = make()
    body = {"data": [None, {}], "prereq": FIRST_EID, "result": EID}
    assert hear(raft, "execute_command_request", **body)[0][1]["status"] == "not leader"
    ((_, reply),) = hear(raft, "add_server_request", address="unix:s9.raft")
    assert (reply["success"], reply["comment"]) == (False, "not leader")
    ((_, reply),) = hear(raft, "remove_server_request", server_id=TWO)
    assert (reply["success"], reply["comment"]) == (False, "not leader")


def test_rpc_without_receiver_names_none() -> None:
    assert "to" not in Rpc("hello_request", {"address": "x"}, sender=ONE).params()[0]


def test_servers_and_timers_are_those_of_the_log_that_is_left() -> None:
    state = founder([1], 1)
    first = state.snapshot.servers
    two = {ONE: "unix:s1.raft", TWO: "unix:s2.raft"}
    state.put(2, Entry(1, [None, {}], EID))
    state.put(3, Entry(1, servers=two))
    state.put(4, Entry(1, election_timer=2000))
    state.put(5, Entry(1, [None, {}], EID))
    assert [state.servers_at(index) for index in (2, 3, 5)] == [first, two, two]
    assert [state.election_timer_at(index) for index in (3, 4, 5)] == [1000, 2000, 2000]
    assert state.later_servers() == [two]
    store = Store(state, MemoryDisk(state))
    store.install(Snapshot(3, 1, two, [], EID), CLUSTER)
    assert [store.state.election_timer_at(index) for index in (3, 4)] == [1000, 2000]
    # Another leader's entries take the place of some.
    state.put(3, Entry(2, [None, {}], EID))
    assert (state.servers_at(3), state.election_timer_at(3)) == (first, 1000)
    assert state.later_servers() == []


def test_a_cluster_begins_in_no_term() -> None:
    state = founder([1], 1)
    records = [state.header()]
    assert read_state(records).term == 0
    assert read_state([*records, {"term": 1, "vote": ONE}]).term == 1
