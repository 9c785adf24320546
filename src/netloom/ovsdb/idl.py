"""The client's replica of a database.

    idl = Idl("Open_vSwitch", {"Bridge": None, "Port": ("name", "tag")})
    idl.connected()                         # whenever a connection comes up, the first or the tenth
    for message in idl.take_messages(): ... # JSON-RPC objects to send, in order
    idl.receive(message)                    # every JSON-RPC object from the server
    idl.disconnected()
    if idl.synced: ...                      # tables are complete
    for table, changes in idl.take_changes().items(): ...

What must hold: the tables always show the state after some transaction, never half of one, once
`synced` has been true (a reconnect keeps showing the old state until the new one is there); every
difference between two states is told by `take_changes` exactly once; a transaction given to
`idl_txn` ends in exactly one status, `TRY_AGAIN` if the connection went away in between.

How: on every connection, `get_schema` tells which of the wanted tables and columns the server has
(an older server lacks some; that is no error), then `monitor_cond_since` with the last transaction
id asks for what was missed, or for everything. Servers that do not know that request are asked
with `monitor_cond`, then `monitor`. The order of messages does the rest: Open vSwitch sends the
update that a transaction causes before its reply.

Sans-IO: a blocking tool and the asyncio daemon use the same object. It does not answer `echo`;
that is the connection's business.
"""

from __future__ import annotations

from netloom.base.errors import ProtocolError
from netloom.ovsdb.datum import apply_diff, parse_datum
from netloom.ovsdb.errors import OvsdbError
from netloom.ovsdb.row import Row
from netloom.ovsdb.schema import DatabaseSchema
from netloom.ovsdb.types import diff_type
from netloom.ovsdb.uuids import ZERO_UUID, Uuid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from netloom.ovsdb.idl_txn import Transaction
    from netloom.ovsdb.schema import TableSchema
    from netloom.ovsdb.types import ColumnType, Datum

INSERT = "insert"
MODIFY = "modify"
DELETE = "delete"
#: Monitor requests from the best to the oldest, with the notification that each leads to.
MONITORS = (("monitor_cond_since", "update3"), ("monitor_cond", "update2"), ("monitor", "update"))


class Change:
    """What happened to one row since the last look: `old` and `new` data, None for no row."""

    __slots__ = ("new", "old", "row")

    def __init__(self, row: Row, old: dict[str, Datum] | None, new: dict[str, Datum] | None):
        self.row = row
        self.old = old
        self.new = new

    @property
    def kind(self) -> str:
        if self.old is None:
            return INSERT
        return DELETE if self.new is None else MODIFY

    def columns(self) -> set[str]:
        """Names of the columns that differ."""
        old, new = self.old or {}, self.new or {}
        return {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}


class _Table:
    """The replica of one table."""

    __slots__ = ("columns", "diff_types", "name", "rows", "schema")

    def __init__(self, name: str, schema: TableSchema, columns: tuple[str, ...]) -> None:
        self.name = name
        self.schema = schema
        self.columns = columns
        self.rows: dict[Uuid, Row] = {}
        self.diff_types: dict[str, ColumnType] = {
            column: diff_type(schema.columns[column].type) for column in columns
        }

    def defaults(self) -> dict[str, Datum]:
        columns = self.schema.columns
        return {name: columns[name].type.default for name in self.columns}


class Idl:
    """A replica of the wanted tables of one database; `wanted` maps each table to the names of the
    columns to follow, or to None for all of them."""

    def __init__(
        self, database: str, wanted: Mapping[str, Iterable[str] | None] | None = None
    ) -> None:
        self.database = database
        self._wanted = (
            None
            if wanted is None
            else {
                name: None if columns is None else tuple(columns)
                for name, columns in wanted.items()
            }
        )
        #: The server's schema; None until it is known.
        self.schema: DatabaseSchema | None = None
        self._schema_json: Any = None
        #: What `assume_schema` was given, until the server contradicts it.
        self._assumed: DatabaseSchema | None = None
        self._tables: dict[str, _Table] = {}
        #: Whether the replica is complete and its connection up.
        self.synced = False
        #: Counts states: changes when, and only when, the replica's contents may have changed.
        self.seqno = 0
        #: Why the server cannot serve this replica ("unknown database"), until it can.
        self.problem: str | None = None
        self._outgoing: list[dict[str, Any]] = []
        self._next_id = 1
        self._expected: dict[int, str] = {}
        self._transactions: dict[int, Transaction] = {}
        self._up = False
        self._monitor = 0
        self._last_txn_id: str = ZERO_UUID
        self._changes: dict[str, dict[Uuid, Change]] = {}
        self._lock_name: str | None = None
        self._lock_request: int | None = None
        #: Whether this client owns the lock of `set_lock`, or somebody else is known to.
        self.has_lock = False
        self.is_lock_contended = False

    # -- the connection ------------------------------------------------------------------

    def connected(self) -> None:
        """A new connection is up: ask for whatever the replica lacks."""
        self._reset_session()
        self._up = True
        self._monitor = 0
        if self._assumed is not None:
            self._schema_json = None
            self.schema = self._assumed
            self._adopt_schema(self._assumed)
            self._send_monitor()
        else:
            self._request("get_schema", [self.database])
        self._send_lock()

    def assume_schema(self, schema: DatabaseSchema) -> None:
        """Take the server's schema to be this one, for a client that lives for one command.

        Saves the transfer of the server's own, which is asked for after all if the server does not
        know what is then to be monitored."""
        self._assumed = schema

    def disconnected(self) -> None:
        """The connection is gone: unfinished transactions end with `TRY_AGAIN`."""
        self._reset_session()

    def _reset_session(self) -> None:
        self._up = False
        self.synced = False
        self._outgoing.clear()
        self._expected.clear()
        self.has_lock = False
        self.is_lock_contended = False
        self._lock_request = None
        unfinished, self._transactions = self._transactions, {}
        for transaction in unfinished.values():
            transaction.connection_lost()

    def take_messages(self) -> list[dict[str, Any]]:
        """What to send now; each message is returned once."""
        messages, self._outgoing = self._outgoing, []
        return messages

    def _request(self, method: str, params: list[Any]) -> int:
        number = self._next_id
        self._next_id += 1
        self._expected[number] = method
        self._outgoing.append({"method": method, "params": params, "id": number})
        return number

    def receive(self, message: Mapping[str, Any]) -> bool:
        """Take one JSON-RPC object; False if it is none of this replica's business.

        Raises `ProtocolError` if the server's data do not fit: drop the connection then."""
        method = message.get("method")
        if method is not None:
            if message.get("id") is not None:
                return False
            return self._notification(method, message.get("params"))
        number = message.get("id")
        expected = self._expected.pop(number, None) if type(number) is int else None
        if expected is None:
            return False
        self._reply(expected, number, message)  # type: ignore[arg-type]
        return True

    def _reply(self, method: str, number: int, message: Mapping[str, Any]) -> None:
        error, result = message.get("error"), message.get("result")
        if method == "transact":
            transaction = self._transactions.pop(number, None)
            if transaction is not None:
                transaction.reply(result, error)
        elif method == "lock":
            if number == self._lock_request:
                self._lock_request = None
                self._got_lock(type(result) is dict and result.get("locked") is True)
        elif method == "get_schema":
            self._got_schema(result, error)
        elif method == MONITORS[self._monitor][0]:
            self._got_snapshot(result, error)

    def _notification(self, method: str, params: Any) -> bool:
        if method == MONITORS[self._monitor][1]:
            if type(params) is not list or params[:1] != [self._monitor_id()] or not self._up:
                return False
            self._got_update(params)
            return True
        if method in ("locked", "stolen") and params == [self._lock_name]:
            if self._lock_request is None:
                self._got_lock(method == "locked")
            return True
        if method == "monitor_canceled" and params == [self._monitor_id()]:
            self.synced = False
            self._request("get_schema", [self.database])
            return True
        return False

    # -- schema and contents -------------------------------------------------------------

    def _monitor_id(self) -> list[str]:
        return ["monid", self.database]

    def _got_schema(self, result: Any, error: Any) -> None:
        if error is not None:
            self.problem = f"{self.database} database cannot be served: {_error_text(error)}"
            return
        self.problem = None
        if result != self._schema_json or self.schema is None:
            try:
                self.schema = DatabaseSchema.from_json(result)
            except OvsdbError as exc:
                raise ProtocolError(f"error parsing database schema: {exc}") from exc
            self._schema_json = result
            self._last_txn_id = ZERO_UUID
            self._adopt_schema(self.schema)
        self._send_monitor()

    def _adopt_schema(self, schema: DatabaseSchema) -> None:
        old, self._tables = self._tables, {}
        wanted = self._wanted if self._wanted is not None else dict.fromkeys(schema.tables)
        for name, columns in wanted.items():
            table_schema = schema.tables.get(name)
            if table_schema is None:
                continue
            names = table_schema.columns if columns is None else columns
            present = tuple([column for column in names if column in table_schema.columns])
            self._tables[name] = _Table(name, table_schema, present)
            if name in old:
                self._tables[name].rows = old[name].rows

    def _send_monitor(self) -> None:
        method = MONITORS[self._monitor][0]
        requests: dict[str, Any] = {}
        for table in self._tables.values():
            request = {"columns": list(table.columns)}
            requests[table.name] = request if method == "monitor" else [request]
        params = [self.database, self._monitor_id(), requests]
        if method == "monitor_cond_since":
            params.append(self._last_txn_id)
        self._request(method, params)

    def _got_snapshot(self, result: Any, error: Any) -> None:
        if error is not None:
            if self._assumed is not None:
                self._assumed = None
                self._request("get_schema", [self.database])
            elif self._monitor + 1 < len(MONITORS):
                self._monitor += 1
                self._send_monitor()
            else:
                self.problem = f"cannot monitor {self.database}: {_error_text(error)}"
            return
        is_difference = False
        updates = result
        if self._monitor == 0:
            if type(result) is not list or len(result) != 3:
                raise ProtocolError("bad monitor_cond_since reply format")
            is_difference, self._last_txn_id, updates = result
        if not is_difference:
            self._drop_absent(updates)
        self._apply(updates)
        self.problem = None
        self.synced = True
        self.seqno += 1

    def _drop_absent(self, updates: Any) -> None:
        """Before a whole snapshot is applied: delete the rows that it does not have."""
        for table in self._tables.values():
            present = updates.get(table.name, {}) if type(updates) is dict else {}
            for uuid in [uuid for uuid in table.rows if uuid not in present]:
                self._replace(table, uuid, None)

    def _got_update(self, params: list[Any]) -> None:
        if len(params) != (3 if self._monitor == 0 else 2):
            raise ProtocolError(f"{self.database}: bad number of parameters in update")
        if self._monitor == 0:
            self._last_txn_id = params[1]
        self._apply(params[-1])
        self.seqno += 1

    def _apply(self, updates: Any) -> None:
        if type(updates) is not dict:
            raise ProtocolError("<table-updates> is not an object")
        try:
            for name, rows in updates.items():
                table = self._tables.get(name)
                if table is None:
                    continue
                for uuid, update in rows.items():
                    if self._monitor == 2:
                        self._apply_old_style(table, uuid, update)
                    else:
                        self._apply_row(table, uuid, update)
        except (OvsdbError, AttributeError, ValueError, TypeError) as exc:
            raise ProtocolError(f"{self.database}: bad update from server: {exc}") from exc

    def _apply_row(self, table: _Table, uuid: Uuid, update: dict[str, Any]) -> None:
        if len(update) != 1:
            raise ValueError(f"<row-update2> has {len(update)} members instead of expected 1")
        ((kind, columns),) = update.items()
        if kind == DELETE:
            self._replace(table, uuid, None)
        elif kind in ("initial", INSERT):
            self._replace(table, uuid, self._parse_row(table, table.defaults(), columns))
        elif kind == MODIFY:
            row = table.rows.get(uuid)
            if row is None:
                raise ValueError(f"cannot modify missing row {uuid} in table {table.name}")
            data = dict(row.data)
            for name, json in columns.items():
                if name in data:
                    diff = parse_datum(table.diff_types[name], json)
                    column_type = table.schema.columns[name].type
                    data[name] = apply_diff(column_type, data[name], diff)
            self._replace(table, uuid, data)
        else:
            raise ValueError(f'<row-update2> has unknown member "{kind}"')

    def _apply_old_style(self, table: _Table, uuid: Uuid, update: dict[str, Any]) -> None:
        new = update.get("new")
        if new is None:
            self._replace(table, uuid, None)
            return
        row = table.rows.get(uuid)
        base = dict(row.data) if row is not None else table.defaults()
        self._replace(table, uuid, self._parse_row(table, base, new))

    def _parse_row(
        self, table: _Table, data: dict[str, Datum], columns: dict[str, Any]
    ) -> dict[str, Datum]:
        for name, json in columns.items():
            if name in data:
                data[name] = parse_datum(table.schema.columns[name].type, json)
        return data

    def _replace(self, table: _Table, uuid: Uuid, new: dict[str, Datum] | None) -> None:
        row = table.rows.get(uuid)
        old = None if row is None else row.data
        if old == new:
            return
        if row is None:
            assert new is not None
            row = table.rows[uuid] = Row(table.name, uuid, new)
        elif new is None:
            del table.rows[uuid]
        else:
            row.data = new
        changes = self._changes.setdefault(table.name, {})
        earlier = changes.get(uuid)
        first = old if earlier is None else earlier.old
        if first is None and new is None:
            del changes[uuid]
        else:
            changes[uuid] = Change(row, first, new)

    # -- what the user reads -------------------------------------------------------------

    def take_changes(self) -> dict[str, dict[Uuid, Change]]:
        """All rows that changed since the last call, by table and UUID."""
        changes, self._changes = self._changes, {}
        return {name: rows for name, rows in changes.items() if rows}

    def table_schema(self, table: str) -> TableSchema:
        """The schema of a table of the server; KeyError if it has none of that name."""
        assert self.schema is not None
        return self.schema.tables[table]

    def rows(self, table: str) -> list[Row]:
        """All rows of a table, in no particular order; none if the table is not replicated."""
        found = self._tables.get(table)
        return [] if found is None else list(found.rows.values())

    def n_cells(self) -> int:
        """How many values the replica would have if it had all columns of its rows, as
        `memory/show` counts."""
        return sum(len(t.schema.columns) * len(t.rows) for t in self._tables.values())

    def row(self, table: str, uuid: str) -> Row | None:
        found = self._tables.get(table)
        return None if found is None else found.rows.get(uuid)  # type: ignore[call-overload]

    def refs(self, row: Row, column: str) -> list[Row]:
        """The rows that a column refers to, in the column's order; missing ones left out."""
        target = self.table_schema(row.table).columns[column].type.key.ref_table
        if target is None:
            return []
        rows = [self.row(target, uuid) for uuid in row.uuids(column)]
        return [found for found in rows if found is not None]

    # -- locks and transactions ----------------------------------------------------------

    @property
    def lock_name(self) -> str | None:
        return self._lock_name

    def set_lock(self, name: str | None) -> None:
        """Try to get and keep the server's lock `name`, or give up the one held for None."""
        if name == self._lock_name:
            return
        if self._lock_name is not None and self._up:
            self._request("unlock", [self._lock_name])
        self._lock_name = name
        self.has_lock = self.is_lock_contended = False
        self._lock_request = None
        if self._up:
            self._send_lock()

    def _send_lock(self) -> None:
        if self._lock_name is not None:
            self._lock_request = self._request("lock", [self._lock_name])

    def _got_lock(self, has_lock: bool) -> None:
        self.has_lock = has_lock
        self.is_lock_contended = not has_lock
        self.seqno += 1

    def send_transaction(self, transaction: Transaction, operations: list[Any]) -> bool:
        """Send `operations` for `transaction`, which gets the reply; False if not connected."""
        if not self.synced:
            return False
        number = self._request("transact", [self.database, *operations])
        self._transactions[number] = transaction
        return True

    def forget_transaction(self, transaction: Transaction) -> None:
        """The user is no longer interested in the outcome."""
        for number, other in list(self._transactions.items()):
            if other is transaction:
                del self._transactions[number]


def _error_text(error: Any) -> str:
    if type(error) is dict:
        return ": ".join([str(error[key]) for key in ("error", "details") if key in error])
    return str(error)
