"""A relay shows its source's database, passes on what changes it, and survives the source's end."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from tests.support.database_pair import (
    SCHEMA,
    Client,
    MemoryStore,
    Wire,
    contents,
    insert,
    make_server,
)

from netloom.base.clock import ManualClock
from netloom.ovsdb.database import Database
from netloom.ovsdb.file_store import convert_database
from netloom.ovsdb.relay import GRACE_MS, Relay, empty_schema
from netloom.ovsdb.schema import DatabaseSchema
from netloom.ovsdb.server import Server
from netloom.rpc.jsonrpc import Error, Notify, Reply, Request

KID = {"op": "insert", "table": "Kid", "uuid-name": "k", "row": {"x": 7}}
SELECT = {"op": "select", "table": "Root", "where": [], "columns": ["name"]}
ABOUT = {
    "op": "select",
    "table": "Database",
    "where": [["name", "==", "D"]],
    "columns": ["model", "connected", "leader"],
}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1000, 2000)


@pytest.fixture
def source(clock: ManualClock) -> Server:
    return make_server(clock, SCHEMA)


def clustered(server: Server) -> None:
    """Give the transactions of the database ids, as a cluster's have."""
    database = Database(DatabaseSchema.from_json(SCHEMA), keeps_history=True)
    server.remove_database("D")
    server.add_database(database, MemoryStore())  # type: ignore[arg-type]


def make_relay(clock: ManualClock) -> tuple[Server, Relay]:
    server = make_server(clock)
    relay = Relay(server, "D")
    server.add_database(Database(empty_schema("D")), None, relay)
    return server, relay


def connect(source: Server, relay: Relay) -> Wire:
    wire = Wire(source, relay)
    wire.run()
    return wire


def about(server: Server) -> dict[str, Any]:
    (row,) = Client(server).call("transact", "_Server", ABOUT)["result"][0]["rows"]
    assert isinstance(row, dict)
    return row


def methods(wire: Wire) -> list[str]:
    return [request.method for request in wire.seen]


def test_relay_without_source_has_no_schema(clock: ManualClock) -> None:
    server, _relay = make_relay(clock)
    assert about(server) == {"model": "relay", "connected": False, "leader": False}
    for method, params in (
        ("get_schema", ["D"]),
        ("transact", ["D", SELECT]),
        ("monitor", ["D", 1, {}]),
    ):
        assert Client(server).call(method, *params)["error"] == {
            "error": "database not available",
            "details": f"{method} request specifies database D which is not yet available "
            "because it has not completed joining its cluster",
        }


def test_relay_shows_the_sources_schema_and_rows(clock: ManualClock, source: Server) -> None:
    Client(source).call("transact", "D", KID, insert("a", kids=["named-uuid", "k"], n=3))
    server, relay = make_relay(clock)
    unaware, aware = Client(server), Client(server)
    aware.call("set_db_change_aware", True)
    connect(source, relay)
    assert contents(server) == contents(source)
    assert about(server) == {"model": "relay", "connected": True, "leader": False}
    assert (unaware.disconnected, aware.disconnected) == ("database D schema changed", "")
    schema = Client(source).call("get_schema", "D")["result"]
    assert Client(server).call("get_schema", "D")["result"] == schema


def test_client_may_wait_for_the_relays_connection(clock: ManualClock, source: Server) -> None:
    server, relay = make_relay(clock)
    client = Client(server)
    client.call("set_db_change_aware", True)
    client.take()
    rows = {"columns": ["connected"], "until": "==", "rows": [{"connected": True}]}
    wait = {"op": "wait", "table": "Database", "where": [["name", "==", "D"]], **rows}
    client.call("transact", "_Server", wait, request_id=6)
    assert client.take() == []
    connect(source, relay)
    assert client.take() == [{"id": 6, "result": [{}], "error": None}]


def test_changes_at_the_source_reach_clients_of_the_relay(
    clock: ManualClock, source: Server
) -> None:
    server, relay = make_relay(clock)
    wire = connect(source, relay)
    client = Client(server)
    client.call("monitor_cond", "D", "m", {"Root": {"columns": ["name", "m"]}})
    client.take()
    Client(source).call("transact", "D", insert("a", m=["map", [["k", "v"], ["l", "w"]]]))
    change = {"op": "mutate", "table": "Root", "where": [], "mutations": [["m", "delete", "k"]]}
    change["mutations"] = [["m", "delete", ["set", ["k"]]]]
    Client(source).call("transact", "D", change)
    wire.run()
    updates = [next(iter(message["params"][1]["Root"].values())) for message in client.take()]
    assert updates == [
        {"insert": {"name": "a", "m": ["map", [["k", "v"], ["l", "w"]]]}},
        {"modify": {"m": ["map", [["k", "v"]]]}},
    ]
    assert contents(server) == contents(source)


def test_transaction_is_passed_on_and_its_update_comes_first(
    clock: ManualClock, source: Server
) -> None:
    server, relay = make_relay(clock)
    wire = connect(source, relay)
    client = Client(server)
    client.call("monitor", "D", "m", {"Root": {"columns": ["name"]}})
    client.take()
    client.call("transact", "D", insert("a"), request_id="mine")
    assert client.take() == []
    wire.run()
    update, reply = client.take()
    assert update["method"] == "update"
    assert reply["id"] == "mine"
    assert reply["result"][0]["uuid"][1] in contents(source)["Root"]


def test_what_only_reads_is_answered_by_the_relay(clock: ManualClock, source: Server) -> None:
    Client(source).call("transact", "D", insert("a"))
    server, relay = make_relay(clock)
    wire = connect(source, relay)
    reply = Client(server).call("transact", "D", SELECT, {"op": "comment", "comment": "c"})
    assert reply["result"] == [{"rows": [{"name": "a"}]}, {}]
    assert "transact" not in methods(wire)
    assert wire.requests == []


@pytest.mark.parametrize(
    ("operations", "error"),
    [
        ([insert("a"), {"op": "foo"}], "syntax error"),
        ([{"op": "insert", "table": "Root", "row": {"zz": 1}}], "unknown column"),
        ([insert("a"), {"op": "abort"}], "aborted"),
        ([{"op": "assert", "lock": "l"}, insert("a")], "not owner"),
    ],
)
def test_what_fails_here_does_not_bother_the_source(
    clock: ManualClock, source: Server, operations: list[Any], error: str
) -> None:
    server, relay = make_relay(clock)
    wire = connect(source, relay)
    result = Client(server).call("transact", "D", *operations)["result"]
    assert [item["error"] for item in result if item and "error" in item] == [error]
    assert wire.requests == []


def test_constraints_are_the_sources_business(clock: ManualClock, source: Server) -> None:
    Client(source).call("transact", "D", insert("a"))
    server, relay = make_relay(clock)
    wire = connect(source, relay)
    client = Client(server)
    client.call("transact", "D", insert("a"))
    wire.run()
    (reply,) = client.take()
    assert reply["result"][1]["error"] == "constraint violation"


def test_wait_runs_at_the_relay_and_is_passed_on_when_it_is_over(
    clock: ManualClock, source: Server
) -> None:
    server, relay = make_relay(clock)
    wire = connect(source, relay)
    client = Client(server)
    rows = {"columns": ["name"], "until": "==", "rows": [{"name": "x"}]}
    wait = {"op": "wait", "table": "Root", "where": [["name", "==", "x"]], **rows}
    client.call("transact", "D", wait, insert("later"), request_id=5)
    assert wire.requests == []
    Client(source).call("transact", "D", insert("x"))
    wire.run()
    assert [reply["id"] for reply in client.take()] == [5]
    assert len(contents(source)["Root"]) == 2


def test_locks_are_the_relays_own(clock: ManualClock, source: Server) -> None:
    server, relay = make_relay(clock)
    wire = connect(source, relay)
    first, second = Client(server), Client(server)
    assert first.call("lock", "l")["result"] == {"locked": True}
    assert second.call("lock", "l")["result"] == {"locked": False}
    assert first.call("transact", "D", {"op": "assert", "lock": "l"})["result"] == [{}]
    assert wire.requests == []


def test_lost_connection_is_shown_after_a_while(clock: ManualClock, source: Server) -> None:
    Client(source).call("transact", "D", insert("a"))
    server, relay = make_relay(clock)
    connect(source, relay)
    relay.disconnected()
    assert server.deadline() == clock.now_ms() + GRACE_MS
    clock.advance(GRACE_MS - 1)
    server.advance(clock.now_ms())
    assert about(server)["connected"]
    clock.advance(1)
    server.advance(clock.now_ms())
    assert not about(server)["connected"]
    assert Client(server).call("transact", "D", SELECT)["result"] == [{"rows": [{"name": "a"}]}]
    connect(source, relay)
    assert about(server)["connected"]
    assert server.deadline() is None


def test_transaction_without_source_is_kept_until_there_is_one(
    clock: ManualClock, source: Server
) -> None:
    server, relay = make_relay(clock)
    connect(source, relay)
    relay.disconnected()
    client, gone = Client(server), Client(server)
    client.call("transact", "D", insert("kept"), request_id=3)
    client.call("transact", "D", insert("dropped"), request_id=4)
    gone.call("transact", "D", insert("of a client that left"))
    gone.session.closed()
    client.session.notify("cancel", [4])
    assert client.take() == [{"id": 4, "error": "canceled"}]
    connect(source, relay)
    assert [reply["id"] for reply in client.take()] == [3]
    assert [row[3] for row in contents(source)["Root"].values()] == ["kept"]


def test_transaction_whose_answer_was_lost_is_canceled(clock: ManualClock, source: Server) -> None:
    server, relay = make_relay(clock)
    connect(source, relay)
    client = Client(server)
    client.call("transact", "D", insert("a"), request_id=8)
    relay.disconnected()
    assert client.take() == [{"id": 8, "error": "canceled"}]


def test_error_of_the_source_is_the_clients(clock: ManualClock, source: Server) -> None:
    server, relay = make_relay(clock)
    wire = connect(source, relay)
    client = Client(server)
    client.call("transact", "D", insert("a"), request_id=8)
    relay.received(Error({"error": "unknown database"}, wire.requests[0].id))
    assert client.take() == [{"id": 8, "error": {"error": "unknown database"}}]


def test_removed_relay_answers_what_it_owes(clock: ManualClock, source: Server) -> None:
    server, relay = make_relay(clock)
    connect(source, relay)
    client = Client(server)
    client.call("set_db_change_aware", True)
    client.call("transact", "D", insert("a"), request_id=8)
    relay.disconnected()
    client.call("transact", "D", insert("a"), request_id=9)
    client.take()
    server.remove_database("D")
    assert {"id": 9, "error": "canceled"} in client.take()


def test_relay_of_a_cluster_asks_for_what_it_missed(clock: ManualClock, source: Server) -> None:
    clustered(source)
    Client(source).call("transact", "D", insert("a"))
    server, relay = make_relay(clock)
    connect(source, relay)
    follower = Client(server)
    seen = follower.call("monitor_cond_since", "D", 1, {"Root": {}}, "0" * 8)["error"]
    assert seen["details"] == "last-txn-id must be UUID format."
    relay.disconnected()
    Client(source).call("transact", "D", insert("b"))
    again = connect(source, relay)
    (request,) = [r for r in again.seen if r.method == "monitor_cond_since"]
    assert request.params[3] != "00000000-0000-0000-0000-000000000000"
    assert contents(server) == contents(source)
    assert server.served["D"].database.last_txn_id == source.served["D"].database.last_txn_id


def test_clients_of_a_clusters_relay_may_come_back_too(clock: ManualClock, source: Server) -> None:
    clustered(source)
    Client(source).call("transact", "D", insert("a"))
    server, relay = make_relay(clock)
    wire = connect(source, relay)
    zero = "00000000-0000-0000-0000-000000000000"
    first = Client(server).call("monitor_cond_since", "D", 1, {"Root": {"columns": ["name"]}}, zero)
    Client(source).call("transact", "D", insert("b"))
    wire.run()
    request = {"Root": {"columns": ["name"]}}
    found, _last, updates = Client(server).call(
        "monitor_cond_since", "D", 1, request, first["result"][1]
    )["result"]
    assert found
    assert list(updates["Root"].values()) == [{"insert": {"name": "b"}}]


def test_conversion_at_the_source_reaches_the_relay(clock: ManualClock, source: Server) -> None:
    Client(source).call("transact", "D", insert("a"))
    server, relay = make_relay(clock)
    wire = connect(source, relay)
    aware = Client(server)
    aware.call("set_db_change_aware", True)
    aware.call("monitor", "D", "m", {"Root": {}})
    aware.take()
    schema = copy.deepcopy(SCHEMA)
    schema["tables"]["Root"]["columns"]["extra"] = {"type": "integer"}
    database = convert_database(source.served["D"].database, DatabaseSchema.from_json(schema))
    source.replace_database("D", database)
    wire.run()
    assert {"id": None, "method": "monitor_canceled", "params": ["m"]} in aware.take()
    assert "extra" in server.served["D"].database.tables["Root"].columns
    assert contents(server) == contents(source)
    Client(source).call("transact", "D", insert("b", extra=5))
    wire.run()
    assert contents(server) == contents(source)


def test_relay_of_a_relay_that_is_not_connected_tries_another_server(clock: ManualClock) -> None:
    middle, _none = make_relay(clock)
    _server, relay = make_relay(clock)
    connect(middle, relay)
    assert relay.unfit == "relay database server has not yet connected to the relay source"


def test_relays_can_be_chained(clock: ManualClock, source: Server) -> None:
    middle, middle_relay = make_relay(clock)
    first = connect(source, middle_relay)
    server, relay = make_relay(clock)
    second = connect(middle, relay)
    client = Client(server)
    client.call("transact", "D", insert("a"))
    for wire in (second, first, second):
        wire.run()
    assert contents(server) == contents(source) != {}
    middle_relay.disconnected()
    clock.advance(GRACE_MS)
    middle.advance(clock.now_ms())
    second.run()
    assert relay.unfit == "relay database server is disconnected from the relay source"


def test_source_without_the_database_is_unfit(clock: ManualClock) -> None:
    _server, relay = make_relay(clock)
    connect(make_server(clock), relay)
    assert relay.unfit == "server does not have D database"


@pytest.mark.parametrize("known", ["monitor_cond", "monitor"])
def test_old_sources_are_asked_as_they_know(clock: ManualClock, known: str) -> None:
    """A source without `_Server`, and with older monitors only."""
    server, relay = make_relay(clock)
    sent: list[Request] = []
    relay.connected(sent.append)
    rows = {"11111111-1111-1111-1111-111111111111": {"name": "a", "n": 4}}
    form = "initial" if known == "monitor_cond" else "new"
    while sent:
        request = sent.pop(0)
        if request.method == "get_schema" and request.params == ["D"]:
            relay.received(Reply(SCHEMA, request.id))
        elif request.method == known:
            updates = {"Root": {uuid: {form: row} for uuid, row in rows.items()}}
            relay.received(Reply(updates, request.id))
        else:
            relay.received(Error("unknown method", request.id))
    assert about(server)["connected"]
    ((n, name),) = [(row[2], row[3]) for row in contents(server)["Root"].values()]
    assert (n, name) == ((4,), "a")


@pytest.mark.parametrize(
    "notice",
    [
        Notify("update3", [["monid", "D"], "x", {"Root": {"?": {}}}]),
        Notify("update3", [["monid", "D"], "x", {"Nowhere": {}}]),
        Notify(
            "update3",
            [
                ["monid", "D"],
                "x",
                {"Root": {"11111111-1111-1111-1111-111111111111": {"modify": {}}}},
            ],
        ),
        Notify("update2", [["monid", "_Server"], {"Database": {"u": 5}}]),
    ],
)
def test_nonsense_of_the_source_costs_the_connection_and_heals(
    clock: ManualClock, source: Server, notice: Notify
) -> None:
    clustered(source)
    Client(source).call("transact", "D", insert("a"))
    server, relay = make_relay(clock)
    connect(source, relay)
    relay.received(notice)
    assert relay.unfit is not None
    relay.disconnected()
    again = connect(source, relay)
    (request,) = [r for r in again.seen if r.method == "monitor_cond_since"]
    assert request.params[3] == "00000000-0000-0000-0000-000000000000"
    assert relay.unfit is None
    assert contents(server) == contents(source)


def test_relay_is_not_converted(clock: ManualClock, source: Server) -> None:
    server, relay = make_relay(clock)
    connect(source, relay)
    assert Client(server).call("convert", "D", SCHEMA)["error"]["error"] == "not allowed"
