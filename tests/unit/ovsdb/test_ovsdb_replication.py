"""A backup follows its active server: contents, excluded tables, schemas, errors, roles."""

from __future__ import annotations

import copy
from types import SimpleNamespace
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
from netloom.ovsdb.replication import Replication
from netloom.ovsdb.schema import DatabaseSchema
from netloom.ovsdb.server import Server
from netloom.rpc.jsonrpc import Error, Notify, Reply

KID = {"op": "insert", "table": "Kid", "uuid-name": "k", "row": {"x": 7}}


@pytest.fixture
def active() -> Server:
    return make_server(ManualClock(1000, 2000), SCHEMA)


def make_backup(schema: dict[str, Any] = SCHEMA) -> Server:
    server = make_server(ManualClock(1000, 2000), schema)
    server.served["D"].is_backup = True
    return server


def make_replication(backup: Server, *excluded: str) -> Replication:
    return Replication(backup, "D", "tcp:a", frozenset(excluded))


def follow(active: Server, backup: Server, *excluded: str) -> tuple[Replication, Wire]:
    replication = make_replication(backup, *excluded)
    wire = Wire(active, replication)
    wire.run()
    return replication, wire


def changed_schema(**columns: Any) -> dict[str, Any]:
    schema = copy.deepcopy(SCHEMA)
    schema["tables"]["Kid"]["columns"].update(columns)
    return schema


def test_backup_takes_over_contents_with_their_uuids(active: Server) -> None:
    client = Client(active)
    client.call("transact", "D", KID, insert("a", kids=["named-uuid", "k"], n=["set", [1, 2]]))
    backup = make_backup()
    client_of_backup = Client(backup)
    backup.served["D"].is_backup = False
    client_of_backup.call("transact", "D", insert("gone"))
    backup.served["D"].is_backup = True
    replication, _wire = follow(active, backup)
    assert contents(backup) == contents(active)
    assert replication.status() == "replicating: tcp:a\n"


def test_backup_follows_every_change_and_records_it(active: Server) -> None:
    backup = make_backup()
    _replication, wire = follow(active, backup)
    client = Client(active)
    client.call("transact", "D", KID, insert("a", kids=["named-uuid", "k"]))
    client.call("transact", "D", insert("b", m=["map", [["k", "v"]]]))
    where = [["name", "==", "b"]]
    client.call(
        "transact",
        "D",
        {"op": "update", "table": "Root", "where": where, "row": {"m": ["map", []]}},
    )
    client.call("transact", "D", {"op": "delete", "table": "Root", "where": [["name", "==", "a"]]})
    wire.run()
    assert contents(backup) == contents(active)
    assert not backup.served["D"].database.tables["Kid"].rows
    assert len(backup.served["D"].store.records) == 4  # type: ignore[union-attr]


def test_clients_of_a_backup_hear_of_changes_and_only_of_these(active: Server) -> None:
    Client(active).call("transact", "D", insert("a"))
    backup = make_backup()
    _replication, wire = follow(active, backup)
    client = Client(backup)
    client.call("monitor", "D", "m", {"Root": {"columns": ["name"]}})
    client.take()
    wire.follower.connected(wire.requests.append)
    wire.session.closed()
    again = Wire(active, wire.follower)
    again.run()
    assert client.take() == []
    Client(active).call("transact", "D", insert("b"))
    again.run()
    (update,) = client.take()
    assert [row["new"] for row in update["params"][1]["Root"].values()] == [{"name": "b"}]


def test_backup_lets_no_client_change_anything(active: Server) -> None:
    client = Client(make_backup())
    said = client.call("transact", "D", insert("x"))["result"]
    assert said == [
        {
            "error": "not allowed",
            "details": "insert operation not allowed when database server is in read only mode",
        }
    ]
    text = "lock and unlock methods not allowed, DB server is read only."
    for method in ("lock", "steal", "unlock"):
        assert client.call(method, "l")["error"] == text
    assert client.call("transact", "D", {"op": "comment", "comment": "c"})["result"] == [{}]


def test_excluded_table_keeps_its_own_rows(active: Server) -> None:
    own = {"op": "insert", "table": "Own", "row": {"y": "active's"}}
    Client(active).call("transact", "D", insert("a"), own)
    backup = make_backup()
    backup.served["D"].is_backup = False
    Client(backup).call("transact", "D", {**own, "row": {"y": "mine"}})
    backup.served["D"].is_backup = True
    replication, wire = follow(active, backup, "Own")
    Client(active).call("transact", "D", insert("b"), own)
    wire.run()
    assert contents(backup, ("Own",)) == contents(active, ("Own",))
    assert [row[0] for row in contents(backup)["Own"].values()] == ["mine"]
    assert replication.status() == "replicating: tcp:a\nexclude: D:Own"


def test_excluded_tables_are_shown_in_order(active: Server) -> None:
    replication, _wire = follow(active, make_backup(), "Own", "A")
    assert replication.status() == "replicating: tcp:a\nexclude: D:A,D:Own"


def test_excluding_what_others_refer_to_ends_replication(
    active: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    Client(active).call("transact", "D", KID, insert("a", kids=["named-uuid", "k"]))
    backup = make_backup()
    replication, _wire = follow(active, backup, "Kid")
    assert replication.error is not None
    assert replication.error.tag == "referential integrity violation"
    assert contents(backup)["Root"] == {}
    assert replication.status() == "Replication to (tcp:a) failed"
    assert "ovsdb_error|ERR|unexpected ovsdb error: referential" in capsys.readouterr().err


def test_server_does_not_copy_itself(active: Server) -> None:
    replication, _wire = follow(active, active)
    assert str(replication.error) == "Server ID check failed: D: Self replicating is not allowed"


def test_backup_with_more_columns_is_good_enough(active: Server) -> None:
    backup = make_backup(changed_schema(z={"type": "integer"}))
    Client(active).call("transact", "D", KID, insert("a", kids=["named-uuid", "k"]))
    replication, _wire = follow(active, backup)
    assert replication.error is None
    assert [row[:2] for row in contents(backup)["Kid"].values()] == [[7, 0]]


@pytest.mark.parametrize(
    ("ours", "theirs", "fault"),
    [
        (
            SCHEMA,
            changed_schema(z={"type": "integer"}),
            "Column z not present in the local db schema table Kid.",
        ),
        (
            changed_schema(x={"type": "string"}),
            SCHEMA,
            "Column x mismatch in local db schema table Kid.",
        ),
        (
            {**SCHEMA, "tables": {"Own": SCHEMA["tables"]["Own"]}},
            {**SCHEMA, "tables": {n: SCHEMA["tables"][n] for n in ("Kid", "Own")}},
            "Table Kid not present in the local db schema",
        ),
    ],
)
def test_schema_that_does_not_fit_ends_replication(
    ours: dict[str, Any],
    theirs: dict[str, Any],
    fault: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said: list[str] = []
    recorder = SimpleNamespace(
        dbg=lambda text, *args: None,
        info=lambda text, *args: said.append(text % args),
    )
    monkeypatch.setattr("netloom.ovsdb.replication.log", recorder)
    active = make_server(ManualClock(1000, 2000), theirs)
    replication, _wire = follow(active, make_backup(ours))
    assert str(replication.error) == "get_schema failed: D: the schemas do not fit"
    assert said == [
        "D: Schema version mismatch, checking if D can still be replicated or not.",
        fault,
        "D cannot be replicated.",
    ]


def test_misfit_of_an_excluded_table_does_not_matter() -> None:
    active = make_server(ManualClock(1000, 2000), changed_schema(z={"type": "integer"}))
    replication, _wire = follow(active, make_backup(), "Kid")
    assert replication.error is None


def test_active_server_without_the_database_ends_replication() -> None:
    active = make_server(ManualClock(1000, 2000), {**SCHEMA, "name": "E"})
    replication, _wire = follow(active, make_backup())
    assert str(replication.error) == "list_dbs failed: D: database name is not in the list"


def test_other_databases_of_a_backup_may_be_changed() -> None:
    backup = make_backup()
    other = Database(DatabaseSchema.from_json({**SCHEMA, "name": "E"}))
    backup.add_database(other, MemoryStore())  # type: ignore[arg-type]
    client = Client(backup)
    assert "uuid" in client.call("transact", "E", insert("x"))["result"][0]
    assert client.call("transact", "D", insert("x"))["result"][0]["error"] == "not allowed"
    assert client.call("lock", "l")["result"] == {"locked": True}


def test_backup_is_not_converted() -> None:
    client = Client(make_backup())
    said = client.call("convert", "D", changed_schema(z={"type": "integer"}))["error"]
    assert said["details"] == "convert operation not allowed on database D"


def test_lost_connection_leaves_the_contents_and_the_role(active: Server) -> None:
    Client(active).call("transact", "D", insert("a"))
    backup = make_backup()
    replication, wire = follow(active, backup)
    before = contents(backup)
    wire.session.closed()
    replication.disconnected()
    assert contents(backup) == before
    assert replication.status() == "replicating: tcp:a\n"
    Client(active).call("transact", "D", {"op": "delete", "table": "Root", "where": []})
    again = Wire(active, replication)
    assert replication.status() == "connecting: tcp:a"
    again.run()
    assert contents(backup) == contents(active)


def test_connection_that_ends_before_the_contents_came_changes_nothing(active: Server) -> None:
    Client(active).call("transact", "D", insert("a"))
    backup = make_backup()
    backup.served["D"].is_backup = False
    Client(backup).call("transact", "D", insert("mine"))
    before = contents(backup)
    replication = make_replication(backup)
    wire = Wire(active, replication)
    for _turn in range(3):
        wire.ask()
        answers, wire.answers = wire.answers, []
        for answer in answers:
            replication.received(answer)
    assert [request.method for request in wire.requests] == ["monitor"]
    replication.disconnected()
    assert contents(backup) == before


@pytest.mark.parametrize(
    ("updates", "tag"),
    [
        ({"Root": {"nonsense": {}}}, "syntax error"),
        ({"Nowhere": {}}, "unknown table"),
        ({"Root": {"11111111-1111-1111-1111-111111111111": {"new": {"q": 1}}}}, "unknown column"),
        (
            {"Root": {"11111111-1111-1111-1111-111111111111": {"old": {"name": "x"}}}},
            "consistency violation",
        ),
        ({"Root": []}, "syntax error"),
        ([], "syntax error"),
        ({"Root": {"11111111-1111-1111-1111-111111111111": 5}}, "syntax error"),
    ],
)
def test_nonsense_of_the_active_server_ends_replication(
    active: Server, updates: Any, tag: str
) -> None:
    backup = make_backup()
    replication, _wire = follow(active, backup)
    replication.received(Notify("update", ["D", updates]))
    assert replication.error is not None
    assert replication.error.tag == tag
    assert contents(backup) == contents(active)


def test_refusals_and_odd_replies_end_replication() -> None:
    for message, text in (
        (Error("unknown method", 0), "get_server_id failed: D: unknown method"),
        (Reply("me", 0), "get_server_id failed: D: Server ID is not valid UUID"),
    ):
        replication = make_replication(make_backup())
        replication.connected(lambda request: None)
        replication.received(message)
        assert str(replication.error) == text


def test_reply_that_nobody_waits_for_is_ignored(active: Server) -> None:
    replication, _wire = follow(active, make_backup())
    replication.received(Reply({}, 99))
    assert replication.error is None


def test_update_of_another_database_ends_replication(active: Server) -> None:
    replication, _wire = follow(active, make_backup())
    replication.received(Notify("update", ["E", {}]))
    assert str(replication.error) == "update failed: D: received an update nobody asked for"
