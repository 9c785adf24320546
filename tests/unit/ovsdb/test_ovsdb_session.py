"""The server's side of the wire, without sockets: order, waiting, locks, errors, conversion."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.support.database_pair import Client, make_server

from netloom.base.clock import ManualClock
from netloom.ovsdb.database import Database
from netloom.ovsdb.errors import OvsdbError
from netloom.ovsdb.file_store import FileStore
from netloom.ovsdb.schema import DatabaseSchema
from netloom.ovsdb.server import Server

SCHEMA = {
    "name": "D",
    "tables": {
        "Root": {
            "columns": {
                "name": {"type": "string"},
                "kids": {
                    "type": {
                        "key": {"type": "uuid", "refTable": "Kid"},
                        "min": 0,
                        "max": "unlimited",
                    }
                },
            },
            "isRoot": True,
        },
        "Kid": {"columns": {"name": {"type": "string"}}, "indexes": [["name"]]},
    },
}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1000, 2000)


@pytest.fixture
def server(clock: ManualClock) -> Server:
    made = make_server(clock)
    made.add_database(Database(DatabaseSchema.from_json(SCHEMA)), None)
    return made


def keep_history(server: Server) -> None:
    """Serve the database as a clustered one is, whose clients come back to what they know."""
    database = Database(DatabaseSchema.from_json(SCHEMA), keeps_history=True)
    server.remove_database("D")
    server.add_database(database, None)


def insert(name: str) -> dict[str, Any]:
    return {"op": "insert", "table": "Root", "row": {"name": name}}


def wait_for(name: str, timeout: int | None = None) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "op": "wait",
        "table": "Root",
        "where": [["name", "==", name]],
        "columns": ["name"],
        "until": "==",
        "rows": [{"name": name}],
    }
    return operation if timeout is None else {**operation, "timeout": timeout}


def test_own_update_comes_before_the_reply(server: Server) -> None:
    client = Client(server)
    client.call("monitor", "D", "m", {"Root": {"columns": ["name"]}})
    client.take()
    client.call("transact", "D", insert("a"), request_id=7)
    update, reply = client.take()
    assert (update["method"], update["params"][0]) == ("update", "m")
    assert reply["id"] == 7


def test_wait_is_answered_when_another_client_commits(server: Server) -> None:
    waiter, writer = Client(server), Client(server)
    waiter.call("transact", "D", wait_for("x"), {"op": "comment", "comment": "c"}, request_id=1)
    writer.call("transact", "D", insert("y"))
    assert waiter.take() == []
    writer.call("transact", "D", insert("x"))
    assert waiter.take() == [{"id": 1, "result": [{}, {}], "error": None}]


def test_wait_times_out_at_its_deadline(server: Server, clock: ManualClock) -> None:
    client = Client(server)
    client.call("transact", "D", wait_for("x", 30))
    assert server.deadline() == 1030
    clock.advance(29)
    server.advance(clock.now_ms())
    assert client.take() == []
    clock.advance(1)
    server.advance(clock.now_ms())
    (reply,) = client.take()
    assert reply["result"] == [{"error": "timed out", "details": '"wait" timed out after 30 ms'}]
    assert server.deadline() is None


def test_waiting_transaction_can_be_cancelled_and_its_id_used_again(server: Server) -> None:
    client = Client(server)
    client.call("transact", "D", wait_for("x"), request_id="k")
    duplicate = client.call("transact", "D", wait_for("x"), request_id="k")
    assert duplicate["error"]["details"] == "transact: duplicate request ID"
    client.take()
    client.session.notify("cancel", ["k"])
    assert client.take() == [{"id": "k", "error": "canceled"}]
    client.call("transact", "D", request_id="k")
    assert client.take()[0]["result"] == []


def test_closed_session_leaves_nothing_behind(server: Server) -> None:
    client, other = Client(server), Client(server)
    client.call("monitor", "D", "m", {"Root": {}})
    client.call("transact", "D", wait_for("x"), request_id=5)
    client.call("lock", "l")
    assert other.call("lock", "l")["result"] == {"locked": False}
    other.take()
    client.session.closed()
    served = server.served["D"]
    assert (served.triggers, served.monitors) == ([], {})
    assert other.take() == [{"id": None, "method": "locked", "params": ["l"]}]


def test_lock_is_stolen_and_comes_back(server: Server) -> None:
    first, second = Client(server), Client(server)
    first.call("lock", "l")
    assert second.call("steal", "l")["result"] == {"locked": True}
    assert first.take()[-1] == {"id": None, "method": "stolen", "params": ["l"]}
    denied = first.call("transact", "D", {"op": "assert", "lock": "l"})
    assert denied["result"] == [{"error": "not owner", "details": "Asserted lock l not held."}]
    second.call("unlock", "l")
    assert first.take()[-1] == {"id": None, "method": "locked", "params": ["l"]}
    assert first.call("transact", "D", {"op": "assert", "lock": "l"})["result"] == [{}]


def test_failed_write_is_the_clients_error_and_changes_nothing(server: Server) -> None:
    class Full(FileStore):
        def __init__(self) -> None:
            self.failed = False

        def record(self, *args: Any, **kwargs: Any) -> None:
            raise OvsdbError("I/O error", "db: write failed", io_error="No space left on device")

    server.served["D"].store = Full()
    client = Client(server)
    client.call("monitor", "D", "m", {"Root": {}})
    client.take()
    client.call("transact", "D", insert("a"))
    (reply,) = client.take()
    assert reply["result"][-1] == {
        "error": "I/O error",
        "details": "db: write failed",
        "io-error": "No space left on device",
    }
    assert server.served["D"].database.tables["Root"].rows == {}


def test_client_of_a_standalone_database_that_comes_back_gets_all_rows(server: Server) -> None:
    requests = {"Root": [{"columns": ["name"]}]}
    zero = "00000000-0000-0000-0000-000000000000"
    client = Client(server)
    client.call("monitor_cond_since", "D", "m", requests, zero)
    client.call("transact", "D", insert("a"))
    (last_id,) = [m["params"][1] for m in client.take() if m.get("method") == "update3"]
    assert last_id == zero
    found, latest, updates = Client(server).call("monitor_cond_since", "D", "m", requests, last_id)[
        "result"
    ]
    assert (found, latest) == (False, zero)
    assert [list(row) for row in updates["Root"].values()] == [["initial"]]


def test_rows_are_told_after_the_rows_that_they_refer_to(server: Server) -> None:
    client = Client(server)
    requests = {name: [{"columns": ["name"]}] for name in ("Root", "Kid")}
    client.call("monitor_cond", "D", "m", requests)
    kid = {"op": "insert", "table": "Kid", "row": {"name": "k"}, "uuid-name": "k"}
    root = {"op": "insert", "table": "Root", "row": {"name": "r", "kids": ["named-uuid", "k"]}}
    client.call("transact", "D", root, kid)
    (update,) = [m["params"][1] for m in client.take() if m.get("method") == "update2"]
    assert list(update) == ["Kid", "Root"]
    reply = Client(server).call("monitor_cond", "D", "m", requests)
    assert list(reply["result"]) == ["Kid", "Root"]


def test_client_that_comes_back_gets_only_what_it_missed(server: Server) -> None:
    keep_history(server)
    client = Client(server)
    requests = {"Root": [{"columns": ["name"]}]}
    zero = "00000000-0000-0000-0000-000000000000"
    client.call("monitor_cond_since", "D", "m", requests, zero)
    client.call("transact", "D", insert("a"))
    (last_id,) = [m["params"][1] for m in client.take() if m.get("method") == "update3"]
    client.session.closed()
    Client(server).call("transact", "D", insert("b"))
    found, _latest, updates = Client(server).call(
        "monitor_cond_since", "D", "m", requests, last_id
    )["result"]
    assert found
    assert [list(row.values()) for row in updates["Root"].values()] == [[{"name": "b"}]]
    unknown = "11111111-0000-0000-0000-000000000000"
    found, _latest, updates = Client(server).call(
        "monitor_cond_since", "D", "m", requests, unknown
    )["result"]
    assert not found
    assert len(updates["Root"]) == 2


def test_removed_database_disconnects_all_but_aware_clients(server: Server) -> None:
    plain, aware = Client(server), Client(server)
    aware.call("set_db_change_aware", True)
    for client in (plain, aware):
        client.call("monitor", "D", "m", {"Root": {}})
        client.take()
    server.remove_database("D")
    assert plain.disconnected
    assert not aware.disconnected
    assert aware.take() == [{"id": None, "method": "monitor_canceled", "params": ["m"]}]
    assert aware.call("list_dbs")["result"] == ["_Server"]


def test_read_only_session_may_look_but_not_write(server: Server) -> None:
    client = Client(server)
    client.session.read_only = True
    refused = client.call("transact", "D", insert("a"))["result"][0]
    assert refused["error"] == "not allowed"
    looked = client.call("transact", "D", {"op": "select", "table": "Root", "where": []})
    assert looked["result"] == [{"rows": []}]


def test_row_that_nothing_refers_to_is_collected(server: Server) -> None:
    client = Client(server)
    kid = {"op": "insert", "table": "Kid", "uuid-name": "k", "row": {"name": "k"}}
    root = {"op": "insert", "table": "Root", "row": {"kids": ["named-uuid", "k"]}}
    client.call("transact", "D", kid, root)
    table = server.served["D"].database.tables["Kid"]
    assert len(table.rows) == 1
    client.call("transact", "D", {"op": "delete", "table": "Root", "where": []})
    assert (table.rows, table.ref_counts, table.indexes) == ({}, {}, [{}])


def test_long_chain_of_waits_wakes_link_by_link(server: Server) -> None:
    client = Client(server)
    for i in range(500, 0, -1):
        client.call("transact", "D", wait_for(str(i - 1)), insert(str(i)), request_id=i)
    assert client.take() == []
    client.call("transact", "D", insert("0"), request_id=0)
    assert sorted(message["id"] for message in client.take()) == list(range(501))


def test_deeply_nested_request_is_refused(server: Server) -> None:
    value: Any = []
    for _ in range(800):
        value = [value]
    client = Client(server)
    operation = {"op": "insert", "table": "Root", "row": {"name": value}}
    reply = client.call("transact", "D", operation)
    assert "error" in json.dumps(reply)
    assert client.call("list_dbs")["result"] == ["D", "_Server"]


def test_each_row_has_a_version_of_its_own_which_changes_with_the_row(server: Server) -> None:
    client = Client(server)
    select = {"op": "select", "table": "Root", "where": [], "columns": ["name", "_version"]}

    def versions(*operations: dict[str, Any]) -> dict[str, str]:
        result = client.call("transact", "D", *operations, select)["result"]
        return {row["name"]: row["_version"][1] for row in result[-1]["rows"]}

    first = versions(insert("a"), insert("b"))
    assert len(set(first.values())) == 2
    update = {"op": "update", "table": "Root", "where": [["name", "==", "a"]]}
    update["row"] = {"name": "c"}
    versions(update)
    later = versions()
    assert later["b"] == first["b"]
    assert later["c"] not in first.values()


def test_a_row_that_only_refers_to_itself_is_collected(server: Server) -> None:
    schema = json.loads(json.dumps(SCHEMA).replace('"D"', '"Self"'))
    schema["tables"]["Kid"]["columns"]["me"] = schema["tables"]["Root"]["columns"]["kids"]
    server.add_database(Database(DatabaseSchema.from_json(schema)), None)
    client = Client(server)
    row = {"name": "k", "me": ["set", [["named-uuid", "own"]]]}
    own = {"op": "insert", "table": "Kid", "uuid-name": "own", "row": row}
    client.call("transact", "Self", own)
    assert server.served["Self"].database.tables["Kid"].rows == {}
    root = {"op": "insert", "table": "Root", "row": {"kids": row["me"]}}
    client.call("transact", "Self", root, own)
    assert len(server.served["Self"].database.tables["Kid"].rows) == 1
    client.call("transact", "Self", {"op": "delete", "table": "Root", "where": []})
    assert server.served["Self"].database.tables["Kid"].rows == {}


def test_of_two_rows_that_are_one_too_many_the_greater_is_told_first(server: Server) -> None:
    schema = json.loads(json.dumps(SCHEMA).replace('"D"', '"Two"'))
    schema["tables"]["Kid"]["isRoot"] = True
    schema["tables"]["Kid"]["columns"]["n"] = {"type": "integer"}
    server.add_database(Database(DatabaseSchema.from_json(schema)), None)
    client = Client(server)
    rows = [{"op": "insert", "table": "Kid", "row": {"name": "x", "n": n}} for n in (1, 3)]
    for pair in (rows, rows[::-1]):
        *made, error = client.call("transact", "Two", *pair)["result"]
        uuids = [result["uuid"][1] for result in made]
        greater = uuids[pair.index(rows[1])]
        assert f"First row, with UUID {greater}, was" in error["details"]


def test_conversion_cancels_what_waits_after_it_disconnects_unaware_clients(
    server: Server,
) -> None:
    aware, unaware = Client(server), Client(server)
    aware.call("set_db_change_aware", True)
    for client in (aware, unaware):
        client.call("transact", "D", wait_for("x"), request_id="w")
        client.take()
    server.replace_database("D", Database(DatabaseSchema.from_json(SCHEMA)))
    assert [m["error"] for m in aware.take() if m.get("id") == "w"] == ["canceled"]
    assert unaware.disconnected
