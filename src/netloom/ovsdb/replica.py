"""What another server tells of its database, as changes of our copy of it.

Replication and relays follow another server with a monitor. `read_updates` turns the
`<table-updates>` of its replies and notifications into `Changes`, the form in which this server
commits, records and reports everything else: old and new row, side by side. Nothing is installed
here. The copy keeps the UUIDs of the rows; `_version` is the copy's own.

Both forms are read: version 1 (`monitor`: all new values) and version 2 (`monitor_cond` and
`monitor_cond_since`: values other than the defaults, or differences). What contradicts the copy (a
change of a row that it does not have) or the schema raises `OvsdbError`: the copy is of no use
then, and the caller begins anew.

A first reply describes the whole database. With `everything`, rows that it does not name are
deleted; a row that is as it was does not become a change, so after a reconnection nobody hears of
rows that only were sent again.
"""

from __future__ import annotations

from netloom.ovsdb.datum import apply_diff, parse_datum
from netloom.ovsdb.errors import OvsdbError, syntax_error
from netloom.ovsdb.types import diff_type
from netloom.ovsdb.uuids import parse_uuid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Container
    from typing import Any

    from netloom.ovsdb.database import Changes, Database, RowData, Table
    from netloom.ovsdb.schema import DatabaseSchema
    from netloom.ovsdb.uuids import Uuid

    #: From a table, the row that the copy has, and a `<row-update>`, to the row that it becomes.
    ReadRow = Callable[[Table, RowData | None, Any, Uuid, Uuid], RowData | None]


def monitor_requests(schema: DatabaseSchema, leave_out: Container[str] = ()) -> dict[str, Any]:
    """The `<monitor-requests>` for all tables but those to `leave_out`. Columns are named, since
    a request that names none gets `_version` with every change, which a copy has no use for."""
    return {
        name: [{"columns": list(table.columns)}]
        for name, table in schema.tables.items()
        if name not in leave_out
    }


def read_updates(
    database: Database,
    updates: Any,
    form: int,
    new_version: Callable[[], Uuid],
    *,
    everything: bool = False,
    keep: Container[str] = (),
) -> Changes:
    """The changes that `<table-updates>` of that `form` (1 or 2) mean; `new_version` makes
    the `_version` of each changed row. `keep` names tables that `everything` says nothing about."""
    if type(updates) is not dict:
        raise syntax_error(updates, "<table-updates> is not object")
    changes: Changes = {}
    if everything:
        for table in database.tables.values():
            if table.rows and table.name not in keep:
                changes[table] = {uuid: (row, None) for uuid, row in table.rows.items()}
    read = _read_row1 if form == 1 else _read_row2
    for name, rows in updates.items():
        known = database.tables.get(name)
        if known is None:
            raise OvsdbError("unknown table", f"No table named {name}.")
        _read_table(known, rows, new_version, changes, read, everything)
    return {table: rows for table, rows in changes.items() if rows}


def _read_table(
    table: Table,
    updates: Any,
    new_version: Callable[[], Uuid],
    changes: Changes,
    read: ReadRow,
    fresh: bool,
) -> None:
    if type(updates) is not dict:
        raise syntax_error(updates, "<table-update> is not object")
    into = changes.setdefault(table, {})
    n = table.n_columns
    for text, update in updates.items():
        uuid = parse_uuid(text)
        if uuid is None:
            raise syntax_error(updates, "<table-update> names must be UUIDs")
        if type(update) is not dict:
            raise syntax_error(update, "<row-update> is not object")
        old = table.rows.get(uuid)
        new = read(table, None if fresh else old, update, uuid, new_version())
        if old is not None and new is not None and old[:n] == new[:n]:
            into.pop(uuid, None)
        else:
            into[uuid] = (old, new)


def _read_row1(
    table: Table, old: RowData | None, update: Any, uuid: Uuid, version: Uuid
) -> RowData | None:
    new = update.get("new")
    if new is None:
        if old is None:
            raise _contradiction(table, uuid, "deletes")
        return None
    row: RowData = [*table.schema.defaults, uuid, version] if old is None else old.copy()
    row[table.version_index] = version
    _set_columns(table, row, new)
    return row


def _read_row2(
    table: Table, old: RowData | None, update: Any, uuid: Uuid, version: Uuid
) -> RowData | None:
    for kind, columns in update.items():
        if kind in ("initial", "insert"):
            row: RowData = [*table.schema.defaults, uuid, version]
            _set_columns(table, row, columns)
            return row
        if kind == "delete":
            if old is None:
                raise _contradiction(table, uuid, "deletes")
            return None
        if kind == "modify":
            if old is None:
                raise _contradiction(table, uuid, "modifies")
            return _modified(table, old, columns, version)
    raise syntax_error(update, "<row-update2> has no known member")


def _contradiction(table: Table, uuid: Uuid, verb: str) -> OvsdbError:
    return OvsdbError(
        "consistency violation", f"update {verb} row {uuid} that table {table.name} does not have"
    )


def _set_columns(table: Table, row: RowData, columns: Any) -> None:
    known = table.schema.columns
    if type(columns) is not dict:
        raise syntax_error(columns, "<row> is not object")
    for name, json in columns.items():
        column = known.get(name)
        if column is not None:
            row[column.index] = parse_datum(column.type, json)
        elif not name.startswith("_"):
            raise OvsdbError("unknown column", f"No column {name} in table {table.name}.")


def _modified(table: Table, old: RowData, columns: Any, version: Uuid) -> RowData:
    row = old.copy()
    row[table.version_index] = version
    known = table.schema.columns
    if type(columns) is not dict:
        raise syntax_error(columns, "<row> is not object")
    for name, json in columns.items():
        column = known.get(name)
        if column is not None:
            diff = parse_datum(diff_type(column.type), json)
            row[column.index] = apply_diff(column.type, old[column.index], diff)
        elif not name.startswith("_"):
            raise OvsdbError("unknown column", f"No column {name} in table {table.name}.")
    return row
