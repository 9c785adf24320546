"""What a role may change: the tables RBAC_Role and RBAC_Permission, row by row."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.support.database_pair import make_server

from netloom.base.clock import ManualClock
from netloom.ovsdb.rbac import Rbac
from netloom.ovsdb.server import Server
from netloom.ovsdb.session import Session

_STRINGS = {"type": {"key": "string", "min": 0, "max": "unlimited"}}
_PERMISSIONS = {
    "key": "string",
    "value": {"type": "uuid", "refTable": "RBAC_Permission", "refType": "weak"},
    "min": 0,
    "max": "unlimited",
}
SCHEMA: dict[str, Any] = {
    "name": "D",
    "tables": {
        "RBAC_Role": {
            "columns": {"name": {"type": "string"}, "permissions": {"type": _PERMISSIONS}}
        },
        "RBAC_Permission": {
            "columns": {
                "table": {"type": "string"},
                "authorization": _STRINGS,
                "insert_delete": {"type": "boolean"},
                "update": _STRINGS,
            }
        },
        "Host": {
            "columns": {
                "name": {"type": "string"},
                "owner": {"type": {"key": "string", "min": 0, "max": 1}},
                "friends": _STRINGS,
                "ids": {"type": {"key": "string", "value": "string", "min": 0, "max": "unlimited"}},
                "n": {"type": "integer"},
            }
        },
        "Open": {"columns": {"name": {"type": "string"}, "n": {"type": "integer"}}},
        "Closed": {"columns": {"name": {"type": "string"}}},
    },
}


def row(table: str, /, **columns: Any) -> dict[str, Any]:
    return {"op": "insert", "table": table, "row": columns}


def change(name: str, /, **columns: Any) -> dict[str, Any]:
    where = [["name", "==", name]]
    return {"op": "update", "table": "Host", "where": where, "row": columns}


def mutate(name: str, *mutation: Any) -> dict[str, Any]:
    where = [["name", "==", name]]
    return {"op": "mutate", "table": "Host", "where": where, "mutations": [list(mutation)]}


def delete(table: str, name: str) -> dict[str, Any]:
    return {"op": "delete", "table": table, "where": [["name", "==", name]]}


RULES = (
    {
        **row("RBAC_Permission", table="Host", insert_delete=True),
        "uuid-name": "p1",
    },
    {**row("RBAC_Permission", table="Open", authorization="", update="name"), "uuid-name": "p2"},
    row("RBAC_Role", name="host", permissions=["map", [["Host", ["named-uuid", "p1"]]]]),
    row("Host", name="mine", owner="me", ids=["map", []]),
    row("Host", name="other", owner="you", friends=["set", ["me", "them"]]),
    row("Host", name="mapped", ids=["map", [["id", "me"], ["you", "x"]]]),
    row("Open", name="o"),
    row("Closed", name="c"),
)
INSERT, DELETE = "row insertion into", "row deletion from"
UPDATE, MUTATE = "modification of", "mutate operation on"


class Client:
    def __init__(self, server: Server, rbac: Rbac | None) -> None:
        self.replies: list[Any] = []
        self.session = Session(
            server, lambda data: self.replies.append(json.loads(data)), lambda reason: None
        )
        self.session.rbac = rbac

    def run(self, *operations: Any) -> Any:
        self.session.request("transact", ["D", *operations], 1)
        return self.replies[-1]["result"]


@pytest.fixture
def server() -> Server:
    made = make_server(ManualClock(1000, 2000), SCHEMA)
    rules: list[Any] = json.loads(json.dumps(RULES))
    rules[0]["row"]["authorization"] = ["set", ["owner", "friends", "ids:id", "nowhere"]]
    rules[0]["row"]["update"] = ["set", ["name", "owner", "friends", "ids:k"]]
    rules[2]["row"]["permissions"][1].append(["Open", ["named-uuid", "p2"]])
    done = Client(made, None).run(*rules)
    assert not any("error" in item for item in done)
    return made


@pytest.mark.parametrize(
    "operation",
    [
        row("Host", name="new", owner="me", n=5),
        row("Host", name="new", ids=["map", [["id", "me"]]]),
        change("mine", owner=["set", []]),
        change("mapped", name="renamed"),
        change("mine"),
        change("nobody", n=3),
        mutate("mine", "friends", "insert", "you"),
        delete("Host", "mine"),
        delete("Host", "mapped"),
        delete("Host", "nobody"),
        {"op": "update", "table": "Open", "where": [], "row": {"name": "p"}},
        {"op": "select", "table": "Closed", "where": []},
    ],
)
def test_role_permits(server: Server, operation: dict[str, Any]) -> None:
    (result,) = Client(server, Rbac("host", "me")).run(operation)
    assert "error" not in result


@pytest.mark.parametrize(
    ("operation", "what", "table"),
    [
        (row("Host", name="new", owner="you"), INSERT, "Host"),
        (row("Host", name="new", ids=["map", [["other", "me"]]]), INSERT, "Host"),
        (row("Host", name="new", friends="me"), INSERT, "Host"),
        (row("Host", name="new", ids=["map", [["me", "me"]]]), INSERT, "Host"),
        (row("Open", name="new"), INSERT, "Open"),
        (row("Closed", name="new"), INSERT, "Closed"),
        (change("mine", n=3), UPDATE, "Host"),
        (change("other", name="x"), UPDATE, "Host"),
        ({"op": "update", "table": "Host", "where": [], "row": {"name": "x"}}, UPDATE, "Host"),
        (change("mine", ids=["map", [["k", "v"]]]), UPDATE, "Host"),
        ({"op": "update", "table": "Open", "where": [], "row": {"n": 4}}, UPDATE, "Open"),
        ({"op": "update", "table": "Closed", "where": [], "row": {}}, UPDATE, "Closed"),
        (mutate("mine", "n", "+=", 1), MUTATE, "Host"),
        (mutate("other", "friends", "insert", "you"), MUTATE, "Host"),
        (mutate("mine", "ids", "insert", ["map", [["k", "v"]]]), MUTATE, "Host"),
        (delete("Host", "other"), DELETE, "Host"),
        (delete("Open", "o"), DELETE, "Open"),
        (delete("Closed", "nobody"), DELETE, "Closed"),
    ],
)
def test_role_refuses(server: Server, operation: dict[str, Any], what: str, table: str) -> None:
    (result,) = Client(server, Rbac("host", "me")).run(operation)
    assert result == {
        "error": "permission error",
        "details": f'RBAC rules for client "me" role "host" prohibit {what} table "{table}".',
    }


@pytest.mark.parametrize("operation", [row("Host", name="n", owner="me"), change("mine", name="x")])
@pytest.mark.parametrize(
    ("rbac", "who"),
    [
        (Rbac("host", None), 'client "(null)" role "host"'),
        (Rbac("nobody", "me"), 'client "me" role "nobody"'),
    ],
)
def test_unknown_role_and_unnamed_client_may_change_nothing(
    server: Server, operation: dict[str, Any], rbac: Rbac, who: str
) -> None:
    (result,) = Client(server, rbac).run(operation)
    assert result["details"].startswith(f"RBAC rules for {who} prohibit ")


def test_whole_transaction_is_refused_with_its_worst_operation(server: Server) -> None:
    results = Client(server, Rbac("host", "me")).run(
        row("Host", name="new", owner="me"), delete("Host", "other")
    )
    assert results[1]["error"] == "permission error"
    assert len(server.served["D"].database.tables["Host"].rows) == 3


def test_what_is_wrong_with_an_operation_goes_before_permissions(server: Server) -> None:
    (result,) = Client(server, Rbac("host", "me")).run(row("Closed", nonsense=1))
    assert result["error"] == "unknown column"


def test_only_the_root_role_converts(server: Server) -> None:
    client = Client(server, Rbac("host", "me"))
    client.session.request("convert", ["D", SCHEMA], 2)
    assert client.replies[-1]["error"] == {
        "error": "permission error",
        "details": 'RBAC rules for client "me" role "host" prohibit "convert" of database D '
        "(only the root role may convert databases)",
    }


def test_database_without_roles_limits_nobody() -> None:
    tables = {"Host": SCHEMA["tables"]["Host"]}
    server = make_server(ManualClock(1000, 2000), {"name": "D", "tables": tables})
    results = Client(server, Rbac("host", None)).run(row("Host", name="x"), delete("Host", "x"))
    assert results[1] == {"count": 1}
