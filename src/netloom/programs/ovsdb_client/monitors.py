"""`monitor`, `monitor-cond`, `monitor-cond-since`: contents of tables, and each change to them.

The old request (RFC 7047, "monitor") tells the old and the new values of a modified row; the newer
two tell differences only.
"""

from __future__ import annotations

import sys

from netloom.base.clock import SystemClock
from netloom.base.errors import CommandError
from netloom.ovsdb.datum import parse_datum
from netloom.ovsdb.errors import OvsdbError
from netloom.ovsdb.hash_order import object_order
from netloom.ovsdb.json_text import format_json
from netloom.ovsdb.table_text import Cell, Table, typed_cell
from netloom.ovsdb.types import diff_type
from netloom.ovsdb.uuids import ZERO_UUID, parse_uuid
from netloom.programs.ovsdb_client.client import parse_json_argument
from netloom.programs.ovsdb_client.data import column_type
from netloom.programs.ovsdb_client.staying import Stay
from netloom.rpc.jsonrpc import Notify

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from netloom.ovsdb.schema import TableSchema
    from netloom.ovsdb.types import ColumnType
    from netloom.programs.ovsdb_client.client import Client
    from netloom.rpc.jsonrpc import Message

#: Request -> (notification, index of the updates in the notification's parameters).
_METHODS = {
    "monitor": ("update", 1),
    "monitor_cond": ("update2", 1),
    "monitor_cond_since": ("update3", 2),
}
_SELECTS = ("initial", "insert", "delete", "modify")
_MONITOR_ID = None


class _Monitored:
    """One table: the columns shown, and the types to read their values with."""

    def __init__(self, schema: TableSchema, columns: list[str]) -> None:
        self.name = schema.name
        self.columns = columns
        self.types = [column_type(schema, name) for name in columns]
        self.diff_types = [diff_type(kind) for kind in self.types]


class _Viewer:
    """Requests one kind of monitor and prints what comes."""

    def __init__(self, client: Client, method: str) -> None:
        self._client = client
        self._method = method
        self._schema = client.schema()
        self._tables: dict[str, _Monitored] = {}
        self.requests: dict[str, list[dict[str, Any]]] = {}

    def table_schema(self, name: str, prefix: str) -> TableSchema:
        table = self._schema.tables.get(name)
        if table is None:
            raise CommandError(
                f'{prefix}{self._client.database} does not have a table named "{name}"'
            )
        return table

    def all_tables(self) -> None:
        for table in self._schema.tables.values():
            self.add_table(table, [], None)

    def add_table(self, table: TableSchema, groups: list[str], condition: Any) -> None:
        """Monitor `table`: `groups` are lists of columns and of `!` words, separated by commas."""
        shown: list[str] = []
        requests = []
        for group in groups or [""]:
            columns, select = self._parse_group(table, group, shown)
            request: dict[str, Any] = {"columns": columns}
            if condition is not None:
                request["where"] = condition
            if select:
                request["select"] = {word: word not in select for word in _SELECTS}
            requests.append(request)
        self.requests[table.name] = requests
        self._tables[table.name] = _Monitored(table, shown)

    def _parse_group(
        self, table: TableSchema, group: str, shown: list[str]
    ) -> tuple[list[str], set[str]]:
        """The columns and deselected events of one group; its columns are added to `shown`."""
        words = [word for word in group.split(",") if word]
        select = {word[1:] for word in words if word[0] == "!" and word[1:] in _SELECTS}
        columns = [word for word in words if word[0] != "!" or word[1:] not in _SELECTS]
        columns = columns or [*table.columns, "_version"]
        server = self._client.server
        for name in columns:
            if name not in table.columns and name != "_version":
                raise CommandError(
                    f'{server}: table "{table.name}" in {self._client.database} does not have a '
                    f'column named "{name}"'
                )
            if name in shown:
                raise CommandError(f'{server}: column "{name}" mentioned multiple times')
            shown.append(name)
        return columns, select

    def run(self, extra: list[Any]) -> None:
        """Print the initial contents, then changes until the program is ended."""
        client = self._client
        client.note_db_changes()
        stay = Stay(client)
        stay.listen(
            (
                ("ovsdb-client/block", "", 0, stay.block),
                ("ovsdb-client/unblock", "", 0, stay.unblock),
                ("ovsdb-client/cond_change", "TABLE COND", 2, self._change_condition),
            )
        )
        params = [client.database, _MONITOR_ID, self.requests, *extra]
        self._show_contents(client.call(self._method, params))
        stay.ready()
        stay.run(self._show_change)

    def _show_contents(self, result: Any) -> None:
        if self._method == "monitor_cond_since":
            found, last_id, result = result
            self._client.print(f"found: {'true' if found else 'false'}, last_id: {last_id}")
        self._print(result, initial=True)

    def _show_change(self, message: Message) -> None:
        if not isinstance(message, Notify):
            return
        client = self._client
        notification, position = _METHODS[self._method]
        if message.method == "monitor_canceled":
            raise CommandError(f"{client.server}: {client.database} database was removed")
        if message.method != notification:
            return
        if self._method == "monitor_cond_since":
            client.print_head(f"last_id: {message.params[1]}")
        self._print(message.params[position], initial=False)

    def _change_condition(self, args: list[str]) -> str:
        table, condition = args
        request = {table: [{"where": parse_json_argument(condition)}]}
        self._client.send("monitor_cond_change", [_MONITOR_ID, _MONITOR_ID, request])
        self._client.link.flush()
        return "condition changed"

    def _print(self, updates: dict[str, Any], initial: bool) -> None:
        stamp = _timestamp() if self._client.settings.timestamp else ""
        for name, monitored in self._tables.items():
            if name not in updates:
                continue
            caption = name if len(self._tables) > 1 else ""
            out = Table(["row", "action", *monitored.columns], caption, stamp)
            for uuid in object_order(updates[name]):
                self._add(out, monitored, uuid, updates[name][uuid], initial)
            self._client.print_table(out)
        sys.stdout.flush()

    def _add(
        self, out: Table, monitored: _Monitored, uuid: str, update: Any, initial: bool
    ) -> None:
        if self._method != "monitor":
            ((action, row),) = update.items()
            types = monitored.diff_types if action == "modify" else monitored.types
            out.add([Cell(uuid), Cell(action), *_cells(monitored, types, row or {})])
            return
        old, new = update.get("old"), update.get("new")
        if old is not None and new is not None:
            out.add([Cell(uuid), Cell("old"), *_cells(monitored, monitored.types, old)])
            out.add([Cell(""), Cell("new"), *_cells(monitored, monitored.types, new)])
            return
        action = "delete" if new is None else "initial" if initial else "insert"
        row = new if new is not None else old
        out.add([Cell(uuid), Cell(action), *_cells(monitored, monitored.types, row)])


def _cells(monitored: _Monitored, types: list[ColumnType], row: dict[str, Any]) -> list[Cell]:
    """The cells of a row; empty where the update does not tell the column."""
    cells = []
    for name, kind in zip(monitored.columns, types):
        if name not in row:
            cells.append(Cell(None))
            continue
        try:
            cells.append(typed_cell(kind, parse_datum(kind, row[name])))
        except OvsdbError:
            cells.append(Cell(row[name], is_json=True))
    return cells


def _timestamp() -> str:
    from netloom.base.clock import format_time

    return format_time("%Y-%m-%d %H:%M:%S.###", SystemClock().wall_ms(), utc=True)


def run_monitor(client: Client) -> None:
    viewer = _Viewer(client, "monitor")
    name, *groups = client.args
    if name == "ALL" and not groups:
        viewer.all_tables()
    else:
        viewer.add_table(viewer.table_schema(name, f"{client.server}: "), groups, None)
    viewer.run([])


def _condition(text: str) -> Any:
    json = parse_json_argument(text)
    if not isinstance(json, list):
        raise CommandError(f"{format_json(json)}: array expected")
    return json


def _run_conditional(client: Client, method: str, extra: list[Any]) -> None:
    condition, name, *groups = client.args
    viewer = _Viewer(client, method)
    if name == "ALL":
        raise CommandError("ALL tables are not allowed with condition")
    table = viewer.table_schema(name, "")
    viewer.add_table(table, groups, _condition(condition))
    viewer.run(extra)


def run_monitor_cond(client: Client) -> None:
    _run_conditional(client, "monitor_cond", [])


def run_monitor_cond_since(client: Client) -> None:
    last_id: str = ZERO_UUID
    if len(client.args) > 2 and parse_uuid(client.args[0]) is not None:
        last_id = client.args.pop(0)
    _run_conditional(client, "monitor_cond_since", [last_id])
