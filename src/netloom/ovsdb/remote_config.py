"""Where the server listens and connects to: `--remote` and the rows that it may point to.

A remote is a stream name, or `db:DB,TABLE,COLUMN`: names in a column of strings, or rows that a
column refers to, such as `Manager` rows, whose columns `target`, `max_backoff`,
`inactivity_probe`, `read_only`, `role` and `other_config:dscp` say how, and whose columns
`is_connected` and `status` tell how it goes. These functions look at a `Server` and return plain
values; sockets are made of them by the program.
"""

from __future__ import annotations

from netloom.base.errors import CommandError
from netloom.base.log import get_logger
from netloom.base.numbers import decimal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from netloom.ovsdb.database import RowData, Table
    from netloom.ovsdb.schema import ColumnSchema
    from netloom.ovsdb.server import Served, Server

log = get_logger("ovsdb_server")
DEFAULT_MAX_BACKOFF_MS = 8000
DEFAULT_PROBE_INTERVAL_MS = 5000
#: The classes of service that there are (RFC 2474).
MAX_DSCP = 63


class RemoteOptions:
    """How one remote is to be kept."""

    __slots__ = ("dscp", "max_backoff_ms", "probe_interval_ms", "read_only", "role")

    def __init__(
        self, max_backoff_ms: int, probe_interval_ms: int, read_only: bool, role: str = ""
    ) -> None:
        self.max_backoff_ms = max_backoff_ms
        self.probe_interval_ms = probe_interval_ms
        self.read_only = read_only
        #: What clients may do (`netloom.ovsdb.rbac`); "" for everything.
        self.role = role
        #: The class of service of its packets (`netloom.transport.dscp`); None for the usual one.
        self.dscp: int | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RemoteOptions) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[Any, ...]:
        return tuple([getattr(self, name) for name in self.__slots__])


def default_options(target: str) -> RemoteOptions:
    """The options of a remote of which nothing is said; local sockets need no probes."""
    is_local = target.startswith(("unix:", "punix:"))
    probe_ms = 0 if is_local else DEFAULT_PROBE_INTERVAL_MS
    return RemoteOptions(DEFAULT_MAX_BACKOFF_MS, probe_ms, False)


def is_db_name(text: str) -> bool:
    """Whether an option's value points into a database."""
    return text.startswith("db:")


def find_column(server: Server, text: str) -> tuple[Served, Table, ColumnSchema]:
    """What `db:DB,TABLE,COLUMN` names; raises `CommandError`."""
    parts = text[len("db:") :].split(",", 2)
    if len(parts) != 3:
        raise CommandError(f'"{text}": invalid syntax')
    database_name, table_name, column_name = parts
    served = server.served.get(database_name)
    if served is None:
        raise CommandError(f'"{text}": no database named {database_name}')
    table = served.database.tables.get(table_name)
    if table is None:
        raise CommandError(f'"{text}": no table named {table_name}')
    column = table.columns.get(column_name)
    if column is None:
        raise CommandError(f'"{text}": table "{table_name}" has no column "{column_name}"')
    return served, table, column


def is_pending(server: Server, text: str) -> bool:
    """Whether `db:DB,TABLE,COLUMN` points into a database whose schema is still to come."""
    served = server.served.get(text[len("db:") :].partition(",")[0])
    return served is not None and not served.is_available


def read_text(server: Server, text: str) -> str | None:
    """An option's value, read from the database if it points there: the first string found."""
    if not is_db_name(text):
        return text
    _served, table, column = find_column(server, text)
    if column.type.key.name != "string" or column.type.is_map:
        raise CommandError(
            f'"{text}": table "{table.name}" column "{column.name}" is not string or set of strings'
        )
    for row in table.rows.values():
        for value in _texts(row[column.index]):
            if value:
                return value
    return None


def _texts(datum: Any) -> Iterable[str]:
    return datum if isinstance(datum, tuple) else (datum,)


def referenced_rows(server: Server, text: str) -> tuple[Table | None, list[RowData]]:
    """The rows that configure remotes, and their table; None if the column holds strings."""
    _served, table, column = find_column(server, text)
    target_name = column.type.key.ref_table
    if target_name is None or column.type.is_map:
        return None, []
    target = _served.database.tables[target_name]
    uuids = {uuid for row in table.rows.values() for uuid in _texts(row[column.index])}
    return target, [target.rows[uuid] for uuid in sorted(uuids) if uuid in target.rows]  # type: ignore[index]


def desired_remotes(
    server: Server, remotes: Mapping[str, RemoteOptions]
) -> dict[str, RemoteOptions]:
    """All targets, with their options, that the configured remotes lead to."""
    wanted: dict[str, RemoteOptions] = {}
    for remote, options in sorted(remotes.items()):
        if not is_db_name(remote):
            wanted[remote] = options
            continue
        if is_pending(server, remote):
            continue
        try:
            _served, table, column = find_column(server, remote)
        except CommandError as error:
            log.warn_rl("%s", error)
            continue
        if column.type.key.name == "string" and not column.type.is_map:
            for row in table.rows.values():
                for target in _texts(row[column.index]):
                    if target:
                        wanted[target] = default_options(target)
            continue
        rows_table, rows = referenced_rows(server, remote)
        if rows_table is not None:
            for row in rows:
                _add_row(wanted, rows_table, row)
    return wanted


def _add_row(wanted: dict[str, RemoteOptions], table: Table, row: RowData) -> None:
    target = _read(table, row, "target", "string")
    if not target:
        log.warn_rl("Table `%s' has missing or invalid `target' column", table.name)
        return
    options = default_options(target)
    max_backoff = _read(table, row, "max_backoff", "integer")
    if max_backoff is not None:
        options.max_backoff_ms = max_backoff
    probe_interval = _read(table, row, "inactivity_probe", "integer")
    if probe_interval is not None:
        options.probe_interval_ms = probe_interval
    options.read_only = bool(_read(table, row, "read_only", "boolean"))
    options.role = _read(table, row, "role", "string") or ""
    options.dscp = _read_dscp(table, row)
    wanted[target] = options


def _read(table: Table, row: RowData, name: str, type_name: str) -> Any:
    """The value of a column that holds at most one atom of that type; None without it."""
    column = table.columns.get(name)
    if column is None or column.type.key.name != type_name or column.type.max != 1:
        return None
    datum = row[column.index]
    if isinstance(datum, tuple):
        return datum[0] if datum else None
    return datum


def _read_dscp(table: Table, row: RowData) -> int | None:
    """The class of service in `other_config`; None if it has none that there is."""
    column = table.columns.get("other_config")
    if column is None or column.type.value is None:
        return None
    text = row[column.index].get("dscp", "")  # type: ignore[union-attr]
    dscp = decimal(text) if isinstance(text, str) else None
    return dscp if dscp is not None and dscp <= MAX_DSCP else None


def status_operations(
    server: Server, remote: str, statuses: Mapping[str, tuple[bool, dict[str, str]]]
) -> tuple[str, list[Any]]:
    """The database and operations that bring `is_connected` and `status` of the rows of one
    `db:` remote up to date; `statuses` maps targets to what is to be written."""
    try:
        served, _table, _column = find_column(server, remote)
        table, rows = referenced_rows(server, remote)
    except CommandError:
        return "", []
    if table is None or served.relay is not None or served.is_backup:
        # A copy shows what the server says that it was copied from.
        return "", []
    operations: list[Any] = []
    for row in rows:
        target = _read(table, row, "target", "string")
        is_connected, status = statuses.get(target or "", (False, {}))
        columns: dict[str, Any] = {}
        column = table.columns.get("is_connected")
        if column is not None and row[column.index] != is_connected:
            columns["is_connected"] = is_connected
        column = table.columns.get("status")
        if column is not None and column.type.is_map and row[column.index] != status:
            columns["status"] = ["map", [[key, value] for key, value in sorted(status.items())]]
        if columns:
            where = [["_uuid", "==", ["uuid", row[table.uuid_index]]]]
            operations.append({"op": "update", "table": table.name, "where": where, "row": columns})
    return served.database.name, operations
