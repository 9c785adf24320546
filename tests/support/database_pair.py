"""Two database servers in one process: one keeps a database, the other copies or relays it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Protocol

from netloom.base.clock import ManualClock
from netloom.ovsdb import schemas_directory
from netloom.ovsdb.database import Database
from netloom.ovsdb.schema import DatabaseSchema
from netloom.ovsdb.server import Server
from netloom.ovsdb.session import Session
from netloom.rpc.json_codec import LightJson
from netloom.rpc.jsonrpc import Message, Request, parse_message

SCHEMA: dict[str, Any] = {
    "name": "D",
    "version": "1.0.0",
    "tables": {
        "Root": {
            "columns": {
                "name": {"type": "string"},
                "n": {"type": {"key": "integer", "min": 0, "max": "unlimited"}},
                "m": {"type": {"key": "string", "value": "string", "min": 0, "max": "unlimited"}},
                "kids": {
                    "type": {
                        "key": {"type": "uuid", "refTable": "Kid"},
                        "min": 0,
                        "max": "unlimited",
                    }
                },
            },
            "isRoot": True,
            "indexes": [["name"]],
        },
        "Kid": {"columns": {"x": {"type": "integer"}}},
        "Own": {"columns": {"y": {"type": "string"}}, "isRoot": True},
    },
}


class MemoryStore:
    """What stands for a database's file."""

    def __init__(self) -> None:
        self.records: list[Any] = []

    def record(self, changes: Any, comment: str, date_ms: int, durable: bool) -> None:
        self.records.append(changes)

    def compaction_due(self, now_ms: int) -> bool:
        return False

    def close(self) -> None:
        self.records.clear()


def make_server(clock: ManualClock, schema: dict[str, Any] | None = None) -> Server:
    """A server, with an empty database if a schema is given."""
    codec = LightJson()
    with open(f"{schemas_directory()}/_server.ovsschema", "rb") as file:
        server_schema = DatabaseSchema.from_json(codec.decode(file.read()))
    server = Server(server_schema, clock, codec.encode)
    if schema is not None:
        database = Database(DatabaseSchema.from_json(schema))
        server.add_database(database, MemoryStore())  # type: ignore[arg-type]
    return server


class Follower(Protocol):
    """A `Replication` or a `Relay`."""

    def connected(self, send: Callable[[Request], None]) -> None: ...

    def received(self, message: Message) -> None: ...


class Wire:
    """The connection of a follower to a server: what is sent waits until `run`."""

    def __init__(self, server: Server, follower: Follower) -> None:
        self.server = server
        self.follower = follower
        self.requests: list[Request] = []
        self.answers: list[Message] = []
        #: Every request that went over the wire.
        self.seen: list[Request] = []
        self.closed = ""
        self.session = Session(server, self._take, self._close)
        follower.connected(self.requests.append)

    def _take(self, data: bytes) -> None:
        self.answers.append(parse_message(json.loads(data)))

    def _close(self, reason: str) -> None:
        self.closed = reason

    def ask(self) -> None:
        """Have the server take the requests; its answers wait."""
        requests = self.requests[:]
        self.requests.clear()
        for request in requests:
            self.seen.append(request)
            request = parse_message(json.loads(json.dumps(_plain(request))))  # type: ignore[assignment]
            self.session.request(request.method, request.params, request.id)

    def run(self) -> None:
        """Carry messages both ways until both sides are silent."""
        while self.requests or self.answers:
            self.ask()
            answers, self.answers = self.answers, []
            for answer in answers:
                self.follower.received(answer)


def _plain(request: Request) -> dict[str, Any]:
    return {"method": request.method, "params": request.params, "id": request.id}


class Client:
    """A client of a server, whose messages are kept."""

    def __init__(self, server: Server) -> None:
        self.received: list[Any] = []
        self.disconnected = ""
        self.session = Session(server, self._take, self._disconnect)

    def _take(self, data: bytes) -> None:
        self.received.append(json.loads(data))

    def _disconnect(self, reason: str) -> None:
        self.disconnected = reason

    def call(self, method: str, *params: Any, request_id: Any = 1) -> Any:
        """The last message after a request: its reply, unless that has to wait."""
        self.session.request(method, list(params), request_id)
        return self.received[-1] if self.received else None

    def take(self) -> list[Any]:
        messages, self.received = self.received, []
        return messages


def contents(server: Server, leave_out: tuple[str, ...] = ()) -> dict[str, dict[str, Any]]:
    """All rows of database `D` by table and UUID, without `_version`."""
    return {
        table.name: {uuid: row[: table.n_columns] for uuid, row in table.rows.items()}
        for table in server.served["D"].database.tables.values()
        if table.name not in leave_out
    }


def insert(name: str, **columns: Any) -> dict[str, Any]:
    return {"op": "insert", "table": "Root", "row": {"name": name, **columns}}
