"""Random transactions must have the same outcome here and in Debian's ovsdb-server.

Every insertion names its UUID (an extension that both know), so that replies are equal to the
letter; only `_version` is left out. The seed is printed with a failure.
"""

from __future__ import annotations

import json
import os
import random
import re
import socket
import subprocess
import uuid
from pathlib import Path
from typing import Any

import pytest
from tests.support.peers import await_path, peer_environment

from netloom.ovsdb.database import Database
from netloom.ovsdb.schema import DatabaseSchema
from netloom.ovsdb.transact import Context, execute
from netloom.ovsdb.uuids import UuidSource

pytestmark = pytest.mark.interop
SCHEMA_FILE = Path(__file__).with_name("ovsdb_variety.ovsschema")
TRANSACTIONS = int(os.environ.get("NETLOOM_OVSDB_TRANSACTIONS", "1500"))


class Peer:
    """Debian's ovsdb-server with one database, and one connection to it."""

    def __init__(self, directory: Path, schema: Path) -> None:
        env = peer_environment(directory)
        database, self.path = directory / "peer.db", directory / "peer.sock"
        subprocess.run(["ovsdb-tool", "create", database, schema], env=env, check=True)
        self.process = subprocess.Popen(
            ["ovsdb-server", f"--remote=punix:{self.path}", f"--unixctl={directory}/c", database],
            env=env,
            stderr=subprocess.DEVNULL,
        )
        await_path(self.path)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(self.path))

    def call(self, method: str, params: list[Any]) -> dict[str, Any]:
        self.socket.sendall(json.dumps({"id": 1, "method": method, "params": params}).encode())
        data = b""
        while True:
            data += self.socket.recv(1 << 20)
            try:
                reply: dict[str, Any] = json.loads(data)
            except ValueError:
                continue
            return reply

    def stop(self) -> None:
        self.socket.close()
        self.process.terminate()
        self.process.wait(60)


class Ours:
    """The same without a wire."""

    def __init__(self, schema: Any) -> None:
        self.database = Database(DatabaseSchema.from_json(schema))
        self.new_uuid = UuidSource()

    def transact(self, operations: list[Any]) -> Any:
        context = Context(self.new_uuid, lambda _name: False)
        outcome = execute(self.database, operations, context)
        self.database.install(outcome.changes)
        return json.loads(json.dumps(outcome.results))


class Generator:
    """Random operations on the tables of a schema, mostly valid, sometimes not."""

    def __init__(self, schema: Any, seed: int) -> None:
        self.random = random.Random(seed)
        self.tables = schema["tables"]
        self.uuids = [str(uuid.UUID(int=self.random.getrandbits(128))) for _ in range(40)]

    def new_uuid(self) -> str:
        value = str(uuid.UUID(int=self.random.getrandbits(128)))
        self.uuids[self.random.randrange(len(self.uuids))] = value
        return value

    def atom(self, base: Any) -> Any:
        pick = self.random
        base = {"type": base} if isinstance(base, str) else base
        if "enum" in base:
            values = base["enum"][1] if base["enum"][0] == "set" else [base["enum"]]
            return pick.choice([*values, *values, *values, "nonsense"])
        if pick.random() < 0.01:
            return pick.choice(["wrong", 3, True, None, 1.5, ["set", []], {}])
        kind = base["type"]
        if kind == "integer":
            return pick.choice([0, 1, 2, 3, 5, 7, 10, -1, 4000, 2**40])
        if kind == "real":
            return pick.choice([0, 1, 1.5, -2.25, 1e10])
        if kind == "boolean":
            return pick.random() < 0.5
        if kind == "string":
            return pick.choice(["", "a", "bb", "c d", "ccc", "true", "x", "é\n", "far too long"])
        return ["uuid", pick.choice(self.uuids)]

    def value(self, column: Any) -> Any:
        kind = column["type"]
        if isinstance(kind, str) or ("min" not in kind and "max" not in kind):
            return self.atom(kind if isinstance(kind, str) else kind["key"])
        n = self.random.choice([0, 1, 1, 2, 3])
        if "value" in kind:
            return ["map", [[self.atom(kind["key"]), self.atom(kind["value"])] for _ in range(n)]]
        if n == 1 and self.random.random() < 0.5:
            return self.atom(kind["key"])
        atoms: list[Any] = []
        for _ in range(n):
            atom = self.atom(kind["key"])
            if atom not in atoms or self.random.random() < 0.1:
                atoms.append(atom)
        return ["set", atoms]

    def row(self, table: str, at_most: int = 6) -> dict[str, Any]:
        columns = self.tables[table]["columns"]
        names = self.random.sample(
            sorted(columns), self.random.randrange(min(at_most, len(columns)))
        )
        if self.random.random() < 0.01:
            return {"no_such": 1}
        return {name: self.value(columns[name]) for name in names}

    def where(self, table: str) -> list[Any]:
        pick = self.random
        if pick.random() < 0.4:
            return [["_uuid", "==", ["uuid", pick.choice(self.uuids)]]]
        columns = self.tables[table]["columns"]
        clauses: list[Any] = []
        for _ in range(pick.choice([0, 1, 1, 2])):
            name = pick.choice(sorted(columns))
            function = pick.choice(["==", "==", "!=", "includes", "excludes", "<", ">="])
            clauses.append([name, function, self.value(columns[name])])
        if pick.random() < 0.05:
            clauses.append(pick.choice([True, False, 3, ["a"], ["nope", "==", 1], ["i", "=~", 1]]))
        return clauses

    def mutation(self, table: str) -> list[Any]:
        columns = self.tables[table]["columns"]
        name = self.random.choice(sorted(columns))
        mutator = self.random.choice(["+=", "-=", "*=", "/=", "%=", *["insert", "delete"] * 4])
        return [name, mutator, self.value(columns[name])]

    def operation(self) -> dict[str, Any]:
        pick = self.random
        table = pick.choice(sorted(self.tables))
        kind = pick.choice(
            ["insert"] * 6 + ["update"] * 4 + ["mutate"] * 4 + ["select", "delete", "wait", "other"]
        )
        if kind == "insert":
            row = self.row(table)
            row["name"] = pick.choice(["a", "b", f"n{pick.randrange(30)}"])
            if table == "A":
                row["i"] = pick.randrange(12)
            return {"op": kind, "table": table, "row": row, "uuid": self.new_uuid()}
        if kind == "other":
            return pick.choice(
                [
                    {"op": "comment", "comment": "text"},
                    {"op": "abort"},
                    {"op": "commit", "durable": False},
                    {"op": "assert", "lock": "l"},
                    {"op": "nothing"},
                    {"op": "select", "table": "Nowhere", "where": []},
                    {"op": "select", "table": "B", "where": [], "odd": 1},
                    {"op": "mutate", "table": "B", "where": [], "mutations": [["name"]]},
                ]
            )
        operation: dict[str, Any] = {"op": kind, "table": table, "where": self.where(table)}
        if kind == "update":
            operation["row"] = self.row(table, 3)
        elif kind == "mutate":
            operation["mutations"] = [self.mutation(table) for _ in range(pick.choice([1, 1, 2]))]
        elif kind == "wait":
            columns = pick.sample(sorted(self.tables[table]["columns"]), 2)
            rows = [{name: value for name, value in self.row(table).items() if name in columns}]
            operation.update(
                columns=columns,
                rows=rows,
                timeout=0,
                until=pick.choice(["==", "!=", "!=", "!="]),
            )
        return operation

    def transaction(self) -> list[Any]:
        return [self.operation() for _ in range(self.random.choice([1, 1, 2, 3, 5]))]


def normal(reply: Any) -> Any:
    """A reply without what may differ: order of rows, versions, which duplicate came first."""
    if isinstance(reply, dict):
        reply = {name: normal(value) for name, value in reply.items() if name != "_version"}
        if "rows" in reply:
            reply["rows"].sort(key=lambda row: json.dumps(row, sort_keys=True))
        if "details" in reply:
            reply["details"] = normal_details(reply["details"])
        return reply
    return [normal(item) for item in reply] if isinstance(reply, list) else reply


def normal_details(details: str) -> str:
    if details.startswith("Transaction causes multiple rows"):
        return details.split(" to have ")[0]
    # Any one of several wrong references may be reported.
    details = re.sub(r"^Table \w+ column \w+ row .*", "dangling reference", details)
    return re.sub(r"^cannot delete .*", "still referenced", details)


def agree(mine: Any, theirs: Any, operations: list[Any]) -> bool:
    """Whether two replies are equal. Of several errors in one row, either side may tell any."""
    mine, theirs = normal(mine), normal(theirs)
    if mine == theirs:
        return True
    if not isinstance(mine, list) or not isinstance(theirs, list) or len(mine) != len(theirs):
        return False
    for operation, a, b in zip([*operations, {}], mine, theirs, strict=False):
        if a != b:
            several = len(operation.get("row", ())) > 1 or len(operation.get("rows", ())) > 0
            return several and "error" in (a or {}) and "error" in (b or {})
    return False


def dump(call: Any, tables: Any) -> Any:
    operations = [{"op": "select", "table": name, "where": []} for name in sorted(tables)]
    return normal(call(operations))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_random_transactions_have_the_peers_outcome(tmp_path: Path, seed: int) -> None:
    schema = json.loads(SCHEMA_FILE.read_text())
    peer = Peer(tmp_path, SCHEMA_FILE)
    try:
        ours = Ours(schema)
        generator = Generator(schema, seed)
        name = schema["name"]
        committed = 0
        for number in range(TRANSACTIONS):
            operations = generator.transaction()
            theirs = peer.call("transact", [name, *operations])["result"]
            mine = ours.transact(operations)
            context = f"seed {seed}, {number}: {operations}\n{mine}\n{theirs}"
            assert agree(mine, theirs, operations), context
            committed += all("error" not in (item or {"error": 1}) for item in mine)
            if number % 100 == 0:
                everything = dump(
                    lambda ops: peer.call("transact", [name, *ops])["result"], schema["tables"]
                )
                assert dump(ours.transact, schema["tables"]) == everything, f"seed {seed}, {number}"
        assert committed > TRANSACTIONS // 10
    finally:
        peer.stop()


def test_schema_is_served_as_the_peer_serves_it(tmp_path: Path) -> None:
    schema = json.loads(SCHEMA_FILE.read_text())
    peer = Peer(tmp_path, SCHEMA_FILE)
    try:
        theirs = peer.call("get_schema", [schema["name"]])["result"]
    finally:
        peer.stop()
    assert DatabaseSchema.from_json(schema).to_json() == theirs
