"""An OVSDB server and its clients in one process, wired by bytes: no sockets, no threads."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from netloom.base.clock import Clock
from netloom.ovsdb.database import Database
from netloom.ovsdb.idl import Idl
from netloom.ovsdb.schema import DatabaseSchema
from netloom.ovsdb.server import Server
from netloom.ovsdb.session import Session


def _schema(name: str) -> DatabaseSchema:
    text = files("netloom.ovsdb").joinpath(f"schemas/{name}.ovsschema").read_text()
    return DatabaseSchema.from_json(json.loads(text))


class Wire:
    """One client's connection; `cut` loses it, `connect` makes it anew."""

    def __init__(self, server: Server, idl: Idl) -> None:
        self.idl = idl
        self._server = server
        self._received: list[bytes] = []
        self._session: Session | None = None

    def connect(self) -> None:
        self._session = Session(self._server, self._received.append, lambda reason: self.cut())
        self.idl.connected()

    def cut(self) -> None:
        session, self._session = self._session, None
        self._received.clear()
        if session is not None:
            session.closed()
            self.idl.disconnected()

    def step(self) -> bool:
        """Carry what waits, both ways; whether there was anything."""
        sent = self.idl.take_messages() if self._session is not None else []
        for message in sent:
            assert self._session is not None
            decoded = json.loads(json.dumps(message))
            self._session.request(decoded["method"], decoded["params"], decoded["id"])
        received, self._received[:] = list(self._received), []
        for data in received:
            self._take(data)
        return bool(sent or received)

    def _take(self, data: bytes) -> None:
        decoder, text = json.JSONDecoder(), data.decode()
        while text.strip():
            message, end = decoder.raw_decode(text.lstrip())
            text = text.lstrip()[end:]
            self.idl.receive(message)


class MemoryDatabase:
    """The Open_vSwitch database, with its one root row."""

    def __init__(self, clock: Clock) -> None:
        self.server = Server(
            _schema("_server"), clock, lambda message: json.dumps(message).encode()
        )
        self.server.add_database(Database(_schema("vswitch")), None)
        self.transact({"op": "insert", "table": "Open_vSwitch", "row": {}})

    def wire(self, idl: Idl) -> Wire:
        return Wire(self.server, idl)

    def transact(self, *operations: dict[str, Any]) -> list[Any]:
        """Run a transaction as some other client; its results. Fails on errors."""
        results: list[Any] = []
        served = self.server.served["Open_vSwitch"]
        self.server.transact(served, None, list(operations), results.extend)
        errors = [item for item in results if item is not None and "error" in item]
        assert not errors, errors
        return results

    def reconfigure(self, *operations: dict[str, Any]) -> int:
        """A transaction that also increments next_cfg, as ovs-vsctl makes it; the new number."""
        increment = {
            "op": "mutate",
            "table": "Open_vSwitch",
            "where": [],
            "mutations": [["next_cfg", "+=", 1]],
        }
        self.transact(*operations, increment)
        return int(self.select("Open_vSwitch")[0]["next_cfg"])

    def select(self, table: str, **where: Any) -> list[dict[str, Any]]:
        conditions = [[column, "==", value] for column, value in where.items()]
        result = self.transact({"op": "select", "table": table, "where": conditions})
        rows: list[dict[str, Any]] = result[0]["rows"]
        return [{name: plain(value) for name, value in row.items()} for row in rows]

    def add_bridge(self, name: str, **columns: Any) -> int:
        """Add a bridge with its local port."""
        return self.reconfigure(
            *port_operations("local", name, {"type": "internal"}, {}),
            {
                "op": "insert",
                "table": "Bridge",
                "row": {"name": name, "ports": ["named-uuid", "port_local"], **columns},
                "uuid-name": "bridge",
            },
            _add("Open_vSwitch", [], "bridges", "bridge"),
        )

    def add_port(
        self, bridge: str, name: str, interface: dict[str, Any] | None = None, **port: Any
    ) -> int:
        return self.reconfigure(
            *port_operations("new", name, interface or {}, port),
            _add("Bridge", [["name", "==", bridge]], "ports", "port_new"),
        )

    def delete_port(self, bridge: str, name: str) -> int:
        uuid = self.select("Port", name=name)[0]["_uuid"]
        return self.reconfigure(
            {
                "op": "mutate",
                "table": "Bridge",
                "where": [["name", "==", bridge]],
                "mutations": [["ports", "delete", ["uuid", uuid]]],
            }
        )

    def set(self, table: str, name: str, **columns: Any) -> int:
        where = [["name", "==", name]]
        operation = {"op": "update", "table": table, "where": where, "row": columns}
        return self.reconfigure(operation)


def port_operations(
    label: str, name: str, interface: dict[str, Any], port: dict[str, Any]
) -> list[dict[str, Any]]:
    """Inserts of a Port (named-uuid `port_LABEL`) and its Interface."""
    return [
        {
            "op": "insert",
            "table": "Interface",
            "row": {"name": name, **interface},
            "uuid-name": f"interface_{label}",
        },
        {
            "op": "insert",
            "table": "Port",
            "row": {"name": name, "interfaces": ["named-uuid", f"interface_{label}"], **port},
            "uuid-name": f"port_{label}",
        },
    ]


def _add(table: str, where: list[Any], column: str, name: str) -> dict[str, Any]:
    mutation = [column, "insert", ["set", [["named-uuid", name]]]]
    return {"op": "mutate", "table": table, "where": where, "mutations": [mutation]}


def plain(value: Any) -> Any:
    """An OVSDB value as Python would have it: sets as lists, maps as dicts, UUIDs as text."""
    if isinstance(value, list) and len(value) == 2:
        kind, content = value
        if kind == "set":
            return [plain(item) for item in content]
        if kind == "map":
            return {plain(key): plain(item) for key, item in content}
        if kind == "uuid":
            return content
    return value
