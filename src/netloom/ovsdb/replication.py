"""The backup server's side of an active-backup pair (ovsdb(7), "Active-Backup Database Service
Model"): it copies the databases that it has in common with the active server, and follows them.

    replication = Replication(server, "tcp:10.0.0.1:6640", Excluded.parse("DB:Table"))
    replication.connected(send)         # whenever a connection comes up; send(request)
    replication.received(message)       # every JSON-RPC message of the active server
    replication.error                   # once set, there is nothing more to hope for

What must hold: a database of the backup shows a state that the active server's had, without the
tables that are excluded, whose rows are the backup's own; rows keep their UUIDs; every state is in
the file. When the connection is lost, the last state stays, and the next connection begins anew.

How: `get_server_id` (a server must not copy itself), `list_dbs`, `get_schema` of the databases that
both have, and for those whose schemas fit a `monitor` of everything, whose reply replaces the
contents. A schema fits if it is the same, or if every table and column of the active server's is in
ours with the same type: ours may have more. An error that a new attempt would meet
again (schemas that do not fit, data that our constraints refuse) ends replication; the server then
takes the active role.
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
    from collections.abc import Callable, Iterable
    from typing import Any

    from netloom.ovsdb.server import Server
    from netloom.rpc.jsonrpc import Message

log = get_logger("replication")
_error_log = get_logger("ovsdb_error")

CONNECTING = "connecting"
REPLICATING = "replicating"


class Excluded:
    """The tables that are not copied, by database."""

    __slots__ = ("tables",)

    def __init__(self, tables: dict[str, set[str]]) -> None:
        self.tables = tables

    @staticmethod
    def parse(text: str) -> Excluded:
        """Read `DB:TABLE[,DB:TABLE]...`."""
        tables: dict[str, set[str]] = {}
        for item in text.split(","):
            if item:
                database, _, table = item.partition(":")
                tables.setdefault(database, set()).add(table)
        return Excluded(tables)

    def of(self, database: str) -> set[str]:
        """The tables of one database."""
        return self.tables.get(database, set())

    def __str__(self) -> str:
        return ",".join(
            f"{database}:{table}"
            for database, tables in sorted(self.tables.items())
            for table in sorted(tables)
        )


class Replication:
    """Following one active server."""

    def __init__(self, server: Server, active: str, excluded: Excluded) -> None:
        self.active = active
        self.excluded = excluded
        self.state = CONNECTING
        #: Why replication ended; None while it goes on.
        self.error: OvsdbError | None = None
        self._server = server
        self._send: Callable[[Request], None] | None = None
        #: Each request without a reply: its method, and what to do with the reply.
        self._expected: dict[int, tuple[str, Callable[[Any], None]]] = {}
        self._next_id = 0
        #: Schemas of the active server's databases; None until each is known.
        self._schemas: dict[str, DatabaseSchema | None] = {}
        #: The databases that are being copied.
        self._copied: list[str] = []

    # -- the connection ------------------------------------------------------------------

    def connected(self, send: Callable[[Request], None]) -> None:
        """A connection is up."""
        self._send = send
        self.state = CONNECTING
        self._expected.clear()
        self._schemas.clear()
        self._copied.clear()
        self._ask("get_server_id", [], self._server_id)
        log.dbg("send server ID request.")

    def disconnected(self) -> None:
        """The connection is gone; the databases stay as they are."""
        self._send = None

    def received(self, message: Message) -> None:
        """Take a message of the active server."""
        if self.error is not None:
            return
        try:
            if isinstance(message, Reply):
                expected = self._expected.pop(message.id, None)
                if expected is None:
                    raise OvsdbError("received unexpected reply")
                expected[1](message.result)
            elif isinstance(message, Error):
                self._refused(message)
            elif isinstance(message, Notify) and message.method == "update":
                self._update(message.params)
        except OvsdbError as error:
            self._fail(error)

    def _ask(self, method: str, params: list[Any], handler: Callable[[Any], None]) -> None:
        assert self._send is not None
        request_id = self._next_id
        self._next_id += 1
        self._expected[request_id] = (method, handler)
        self._send(Request(method, params, request_id))

    def _refused(self, message: Error) -> None:
        expected = self._expected.pop(message.id, None)
        if expected is not None:
            raise OvsdbError(f"{expected[0]} failed", str(message.error))

    def _fail(self, error: OvsdbError) -> None:
        _error_log.err("unexpected ovsdb error: %s", error)
        self.error = error

    # -- from the first request to the contents ------------------------------------------

    def _server_id(self, result: Any) -> None:
        if type(result) is not str or parse_uuid(result) is None:
            raise OvsdbError("get_server_id failed", "Server ID is not valid UUID")
        if result == self._server.id:
            raise OvsdbError("Server ID check failed", "Self replicating is not allowed")
        self._ask("list_dbs", [], self._list_dbs)

    def _list_dbs(self, result: Any) -> None:
        if type(result) is not list:
            raise OvsdbError("list_dbs failed", "list_dbs response is not array")
        for name in result:
            served = self._server.served.get(name)
            if served is not None and served.store is not None:
                self._schemas[name] = None
                self._ask("get_schema", [name], self._get_schema)
        log.dbg("Send schema requests")

    def _get_schema(self, result: Any) -> None:
        schema = DatabaseSchema.from_json(result)
        if schema.name not in self._schemas:
            raise OvsdbError(f"unexpected schema {schema.name}")
        self._schemas[schema.name] = schema
        if all(known is not None for known in self._schemas.values()):
            self._monitor()

    def _monitor(self) -> None:
        for name, schema in self._schemas.items():
            served = self._server.served.get(name)
            if schema is None or served is None:
                continue
            leave_out = self.excluded.of(name)
            if fits(schema, served.database.schema, leave_out):
                self._copied.append(name)
                params = [name, name, monitor_requests(schema, leave_out)]
                self._ask("monitor", params, self._contents(name))
        if self._copied:
            log.dbg("Send monitor requests")
        else:
            log.warn("Nothing to replicate.")
            self.error = OvsdbError("Nothing to replicate.")

    def _contents(self, name: str) -> Callable[[Any], None]:
        def take(result: Any) -> None:
            log.info("Monitor request received. Resetting the database")
            with NoCollection():
                self._apply(name, result, everything=True)
            if not self._expected:
                log.dbg("Listening to monitor updates")
                self.state = REPLICATING

        return take

    # -- changes -------------------------------------------------------------------------

    def _update(self, params: list[Any]) -> None:
        if len(params) == 2 and params[0] in self._copied:
            self._apply(params[0], params[1])

    def _apply(self, name: str, updates: Any, everything: bool = False) -> None:
        served = self._server.served.get(name)
        if served is None:
            return
        txn = Txn(served.database, self._server.new_uuid())
        changes = read_updates(
            served.database,
            updates,
            1,
            txn.version,
            everything=everything,
            keep=self.excluded.of(name),
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
            return f"Replication to ({self.active}) failed\n"
        text = f"{self.state}: {self.active}\n"
        if self.state == REPLICATING:
            text += f"database: {', '.join(self._copied)}\n"
            if self.excluded.tables:
                text += f"exclude: {self.excluded}\n"
        return text


def fits(theirs: DatabaseSchema, ours: DatabaseSchema, leave_out: Iterable[str]) -> bool:
    """Whether a database of the active server's schema can be copied into one of our schema."""
    if theirs.to_json() == ours.to_json():
        return True
    name = ours.name
    log.info("Schema version mismatch, checking if %s can still be replicated or not.", name)
    fault = _misfit(theirs, ours, frozenset(leave_out))
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
