"""The backup's side of an active-backup pair (ovsdb(7), "Active-Backup Database Service Model"): it
copies a database of the active server into ours of the same name, and follows it.

    replication = Replication(server, "Net", "tcp:10.0.0.1:6640", frozenset({"Table"}))
    replication.connected(send)         # whenever a connection comes up; send(request)
    replication.received(message)       # every JSON-RPC message of the active server
    replication.disconnected()
    replication.error                   # once set, there is nothing more to hope for

What must hold: the database of the backup shows a state that the active server's had, without the
tables that are excluded, whose rows are the backup's own; rows keep their UUIDs; every state is in
the file. When the connection is lost, the last state stays, and the next connection begins anew.

How: `get_server_id` (a server must not copy itself), `list_dbs`, `get_schema`, and if the schema
fits a `monitor` of everything, whose reply replaces the contents. A schema fits if it is the same,
or if every table and column of the active server's is in ours with the same type: ours may have
more. An error that a new attempt would meet again (schemas that do not fit, data that our
constraints refuse) ends replication; the database then takes the active role.
"""

from __future__ import annotations

from netloom.base.log import get_logger
from netloom.ovsdb.collector import NoCollection
from netloom.ovsdb.commit import prepare
from netloom.ovsdb.errors import OvsdbError
from netloom.ovsdb.replica import monitor_requests, read_updates
from netloom.ovsdb.schema import DatabaseSchema
from netloom.ovsdb.txn import Txn
from netloom.ovsdb.uuids import parse_uuid
from netloom.rpc.jsonrpc import Error, Notify, Reply, Request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from netloom.ovsdb.server import Served, Server
    from netloom.rpc.jsonrpc import Message

log = get_logger("replication")
_error_log = get_logger("ovsdb_error")


class Replication:
    """Following one database of one active server."""

    def __init__(self, server: Server, name: str, active: str, excluded: frozenset[str]) -> None:
        self.name = name
        self.active = active
        #: The tables that are not copied.
        self.excluded = excluded
        #: Why replication ended; None while it goes on.
        self.error: OvsdbError | None = None
        self._server = server
        self._send: Callable[[Request], None] | None = None
        #: The request without a reply: its id and method, and what to do with the reply.
        self._expected: tuple[int, str, Callable[[Any], None]] | None = None
        self._next_id = 0
        #: Whether the contents have come over this connection, or the last one.
        self._is_replicating = False

    @property
    def _served(self) -> Served:
        return self._server.served[self.name]

    # -- the connection ------------------------------------------------------------------

    def connected(self, send: Callable[[Request], None]) -> None:
        """A connection is up."""
        self._send = send
        self._is_replicating = False
        self._ask("get_server_id", [], self._server_id)
        log.dbg("%s: send server ID request.", self.name)

    def disconnected(self) -> None:
        """The connection is gone; the database stays as it is."""
        self._send = None

    def received(self, message: Message) -> None:
        """Take a message of the active server."""
        if self.error is not None:
            return
        try:
            if isinstance(message, (Reply, Error)):
                self._answered(message)
            elif isinstance(message, Notify) and message.method == "update":
                self._update(message.params)
        except OvsdbError as error:
            _error_log.err("unexpected ovsdb error: %s", error)
            self.error = error

    def _ask(self, method: str, params: list[Any], handler: Callable[[Any], None]) -> None:
        assert self._send is not None
        self._expected = (self._next_id, method, handler)
        self._send(Request(method, params, self._next_id))
        self._next_id += 1

    def _answered(self, message: Reply | Error) -> None:
        expected = self._expected
        if expected is None or message.id != expected[0]:
            log.warn("%s: received unexpected reply.", self.name)
            return
        _request_id, method, handler = expected
        self._expected = None
        if isinstance(message, Error):
            raise OvsdbError(f"{method} failed", f"{self.name}: {message.error}")
        handler(message.result)

    # -- from the first request to the contents ------------------------------------------

    def _server_id(self, result: Any) -> None:
        if type(result) is not str or parse_uuid(result) is None:
            raise OvsdbError("get_server_id failed", f"{self.name}: Server ID is not valid UUID")
        if result == self._server.id:
            raise OvsdbError(
                "Server ID check failed", f"{self.name}: Self replicating is not allowed"
            )
        self._ask("list_dbs", [], self._list_dbs)

    def _list_dbs(self, result: Any) -> None:
        if type(result) is not list:
            raise OvsdbError("list_dbs failed", f"{self.name}: list_dbs response is not array")
        if self.name not in result:
            text = f"{self.name}: database name is not in the list"
            raise OvsdbError("list_dbs failed", text)
        self._ask("get_schema", [self.name], self._get_schema)
        log.dbg("%s: send schema request.", self.name)

    def _get_schema(self, result: Any) -> None:
        schema = DatabaseSchema.from_json(result)
        if schema.name != self.name:
            raise OvsdbError("get_schema failed", f"{self.name}: unexpected schema {schema.name}")
        if not fits(schema, self._served.database.schema, self.excluded):
            raise OvsdbError("get_schema failed", f"{self.name}: the schemas do not fit")
        params = [self.name, self.name, monitor_requests(schema, self.excluded)]
        self._ask("monitor", params, self._contents)
        log.dbg("%s: send monitor request.", self.name)

    def _contents(self, result: Any) -> None:
        log.info("%s: Monitor reply received. Resetting the database.", self.name)
        with NoCollection():
            self._apply(result, everything=True)
        log.dbg("%s: Listening to monitor updates.", self.name)
        self._is_replicating = True

    # -- changes -------------------------------------------------------------------------

    def _update(self, params: list[Any]) -> None:
        if len(params) != 2 or params[0] != self.name:
            raise OvsdbError("update failed", f"{self.name}: received an update nobody asked for")
        self._apply(params[1])

    def _apply(self, updates: Any, everything: bool = False) -> None:
        served = self._served
        txn = Txn(served.database, self._server.new_uuid)
        changes = read_updates(
            served.database,
            updates,
            1,
            txn.new_version,
            everything=everything,
            keep=self.excluded,
        )
        txn.changed = {
            table: {uuid: new for uuid, (_old, new) in rows.items()}
            for table, rows in changes.items()
        }
        self._server.commit_copy(served, prepare(txn))

    # -- state ---------------------------------------------------------------------------

    def status(self) -> str:
        """What `ovsdb-server/sync-status` says of it."""
        if self.error is not None:
            return f"Replication to ({self.active}) failed"
        if not self._is_replicating:
            return f"connecting: {self.active}"
        text = f"replicating: {self.active}\n"
        if self.excluded:
            text += f"exclude: {','.join([f'{self.name}:{t}' for t in sorted(self.excluded)])}"
        return text


def fits(theirs: DatabaseSchema, ours: DatabaseSchema, leave_out: frozenset[str]) -> bool:
    """Whether a database of the active server's schema can be copied into one of our schema."""
    if theirs.to_json() == ours.to_json():
        return True
    name = ours.name
    text = "%s: Schema version mismatch, checking if %s can still be replicated or not."
    log.info(text, name, name)
    fault = _misfit(theirs, ours, leave_out)
    if fault is None:
        log.info("%s can be replicated.", name)
        return True
    log.info("%s", fault)
    log.info("%s cannot be replicated.", name)
    return False


def _misfit(theirs: DatabaseSchema, ours: DatabaseSchema, leave_out: frozenset[str]) -> str | None:
    for name, table in theirs.tables.items():
        if name in leave_out:
            continue
        known = ours.tables.get(name)
        if known is None:
            return f"Table {name} not present in the local db schema"
        for column_name, column in table.columns.items():
            local = known.columns.get(column_name)
            if local is None:
                return f"Column {column_name} not present in the local db schema table {name}."
            if local.to_json() != column.to_json():
                return f"Column {column_name} mismatch in local db schema table {name}."
    return None
