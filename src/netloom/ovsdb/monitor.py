"""Monitors: telling clients what changed (RFC 7047 section 4.1.5, ovsdb-server(7) 4.1.12 to 16).

A `Monitor` is what one request asked for: tables, columns, kinds of change, conditions, and the
form of the answer (version 1 for `monitor`, 2 for `monitor_cond`, 3 for `monitor_cond_since`). It
is a pure function from changes to `<table-updates>`. Many clients ask for the same: `key` is equal
for monitors that answer alike, so a server composes and encodes once per distinct key.

What must hold: the initial contents with all later updates applied are the contents of the
database under the monitor's conditions (a property test replays them); an update names no row
whose monitored part did not change.
"""

from __future__ import annotations

from netloom.ovsdb.condition import Condition, parse_condition
from netloom.ovsdb.datum import datum_to_json, diff_datum
from netloom.ovsdb.errors import OvsdbError, syntax_error
from netloom.ovsdb.json_text import format_json
from netloom.ovsdb.members import ARRAY, BOOLEAN, OBJECT, Members

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from netloom.ovsdb.database import Changes, Database, RowData, Table
    from netloom.ovsdb.schema import ColumnSchema

#: Kinds of change, as bits of a column's or table's selection.
INITIAL, INSERT, DELETE, MODIFY = 1, 2, 4, 8
_ALL = INITIAL | INSERT | DELETE | MODIFY
_SELECT = (("initial", INITIAL), ("insert", INSERT), ("delete", DELETE), ("modify", MODIFY))
#: The notification method of each version.
METHODS = {1: "update", 2: "update2", 3: "update3"}
_TRUE = Condition((), True, False)


class MonitoredColumn:
    """One column, and the kinds of change in which it appears."""

    __slots__ = ("column", "index", "name", "select", "type")

    def __init__(self, column: ColumnSchema, select: int) -> None:
        self.column = column
        self.name = column.name
        self.index = column.index
        self.type = column.type
        self.select = select


class MonitoredTable:
    """What a monitor shows of one table."""

    __slots__ = ("columns", "condition", "condition_json", "select", "table")

    def __init__(self, table: Table) -> None:
        self.table = table
        self.columns: list[MonitoredColumn] = []
        self.select = 0
        self.condition = _TRUE
        self.condition_json: list[Any] | None = None

    def add_request(self, json: Any, version: int) -> None:
        """Take one `<monitor-request>` or `<monitor-cond-request>`."""
        table = self.table
        parser = Members(json, f"table {table.name}")
        where = parser.get("where", ARRAY, optional=True) if version > 1 else None
        columns_json = parser.get("columns", ARRAY, optional=True)
        select_json = parser.get("select", OBJECT, optional=True)
        parser.finish()
        select = _ALL
        if select_json is not None:
            select = _parse_select(table.name, select_json)
        self.select |= select
        self._add_columns(columns_json, select)
        if version > 1:
            self._add_condition(where)

    def _add_columns(self, json: Any, select: int) -> None:
        table = self.table
        if json is None:
            chosen = [c for name, c in table.columns.items() if name != "_uuid"]
        else:
            chosen = []
            for name in json:
                if type(name) is not str:
                    raise syntax_error(json, "array of column names expected")
                column = table.columns.get(name)
                if column is None:
                    raise syntax_error(json, f"{name} is not a valid column name")
                chosen.append(column)
        present = {column.name for column in self.columns}
        for column in chosen:
            if column.name in present:
                raise syntax_error(json, f"column {column.name} mentioned more than once")
            present.add(column.name)
            self.columns.append(MonitoredColumn(column, select))

    def _add_condition(self, where: list[Any] | None) -> None:
        """Conditions of several requests for one table are alternatives."""
        if self.condition_json is None:
            joined = where or [True]
        else:
            joined = [*self.condition_json, *(where or [True])]
        self.set_condition(joined)

    def set_condition(self, where: list[Any]) -> None:
        self.condition = parse_condition(self.table.name, self.table.columns, where)
        self.condition_json = where


def _parse_select(table_name: str, json: Any) -> int:
    parser = Members(json, f"table {table_name} select")
    select = 0
    for name, bit in _SELECT:
        if parser.get(name, BOOLEAN, optional=True) is not False:
            select |= bit
    parser.finish()
    return select


class Monitor:
    """One monitor of one client."""

    __slots__ = ("database", "id", "id_text", "key", "tables", "version")

    def __init__(self, database: Database, monitor_id: Any, version: int) -> None:
        self.database = database
        self.version = version
        self.tables: dict[Table, MonitoredTable] = {}
        self.key = ""
        self.set_id(monitor_id)

    def set_id(self, monitor_id: Any) -> None:
        self.id = monitor_id
        #: The id as JSON text: what a client's monitors are found by.
        self.id_text = format_json(monitor_id)

    @staticmethod
    def from_json(database: Database, monitor_id: Any, requests: Any, version: int) -> Monitor:
        """Parse the requests of a monitor method; raises `OvsdbError`."""
        if type(requests) is not dict:
            raise syntax_error(requests, "monitor-requests must be object")
        monitor = Monitor(database, monitor_id, version)
        for name, table_json in requests.items():
            table = database.tables.get(name)
            if table is None:
                raise OvsdbError("syntax error", f"no table named {name}")
            monitored = MonitoredTable(table)
            # A single request instead of an array of them is allowed for old clients' sake.
            for json in table_json if type(table_json) is list else [table_json]:
                monitored.add_request(json, version)
            monitor.tables[table] = monitored
        monitor.tables = dict(sorted(monitor.tables.items(), key=_rank))
        monitor._rekey()
        return monitor

    @property
    def watched(self) -> frozenset[tuple[str, str, int]]:
        """Tables and columns with the kinds of change, whatever the conditions: Open vSwitch counts
        what differs in these."""
        return frozenset(
            (table.table.name, column.name, column.select)
            for table in self.tables.values()
            for column in table.columns
        )

    def _rekey(self) -> None:
        parts: list[Any] = [self.database.name, self.version]
        for table in self.tables.values():
            columns = [[column.name, column.select] for column in table.columns]
            parts.append([table.table.name, table.select, columns, table.condition_json])
        self.key = format_json(parts)

    def change_conditions(self, requests: Any) -> dict[str, Any]:
        """Apply a `monitor_cond_change`; the `<table-updates2>` that leads to the new view."""
        if type(requests) is not dict:
            raise OvsdbError("syntax error", "monitor-cond-change-requests must be object")
        conditions = {}
        for name, json in requests.items():
            table = self.database.tables.get(name)
            if table is None:
                raise OvsdbError("syntax error", f"no table named {name}")
            if table not in self.tables:
                raise OvsdbError("syntax error", f"no table named {name} in monitor session")
            if type(json) is not list:
                raise OvsdbError("syntax error", f"table {name} no monitor-cond-change JSON array")
            conditions[table] = [part for item in json for part in _parse_where(name, item)]
            parse_condition(name, table.columns, conditions[table])
        updates: dict[str, Any] = {}
        for table, where in conditions.items():
            rows = self._change_condition(self.tables[table], where)
            if rows:
                updates[table.name] = rows
        self._rekey()
        return updates

    def _change_condition(self, monitored: MonitoredTable, where: list[Any]) -> dict[str, Any]:
        before = monitored.condition
        monitored.set_condition(where)
        after = monitored.condition
        rows: dict[str, Any] = {}
        for uuid, row in monitored.table.rows.items():
            had, has = before.matches_any(row), after.matches_any(row)
            if had != has:
                kind = INSERT if has else DELETE
                update = _compose2(monitored, kind, None, row)
                if update is not None:
                    rows[uuid] = update
        return rows

    def initial(self) -> dict[str, Any]:
        """The `<table-updates>` of the reply: all rows that the monitor selects."""
        updates: dict[str, Any] = {}
        for table, monitored in self.tables.items():
            if not monitored.select & INITIAL:
                continue
            matches = monitored.condition.matches_any
            compose = _compose1 if self.version == 1 else _compose2
            rows: dict[str, Any] = {}
            for uuid, row in table.rows.items():
                if matches(row):
                    update = compose(monitored, INITIAL, None, row)
                    if update is not None:
                        rows[uuid] = update
            if rows:
                updates[table.name] = rows
        return updates

    def compose(self, changes: Changes) -> dict[str, Any]:
        """The `<table-updates>` for one transaction; empty if it does not concern the monitor."""
        updates: dict[str, Any] = {}
        compose = _compose1 if self.version == 1 else _compose2
        for table, rows in sorted(changes.items(), key=_rank):
            monitored = self.tables.get(table)
            if monitored is None:
                continue
            composed: dict[str, Any] = {}
            for uuid, (old, new) in rows.items():
                kind = _kind(monitored, old, new)
                if kind & monitored.select:
                    update = compose(monitored, kind, old, new)
                    if update is not None:
                        composed[uuid] = update
            if composed:
                updates[table.name] = composed
        return updates


def _rank(item: tuple[Table, Any]) -> int:
    return item[0].rank


def _parse_where(table_name: str, json: Any) -> list[Any]:
    parser = Members(json, f"table {table_name}")
    columns = parser.get("columns", ARRAY, optional=True)
    where = parser.get("where", ARRAY, optional=True)
    parser.finish()
    if columns is not None:
        raise syntax_error(json, "changing columns is unsupported")
    return where or [True]


def _kind(monitored: MonitoredTable, old: RowData | None, new: RowData | None) -> int:
    """What a change of a row is to this monitor; 0 for nothing. A row that comes to match the
    condition is inserted, one that ceases to is deleted."""
    condition = monitored.condition
    if not condition.is_true:
        if old is not None and not condition.matches_any(old):
            old = None
        if new is not None and not condition.matches_any(new):
            new = None
    if old is None:
        return 0 if new is None else INSERT
    return DELETE if new is None else MODIFY


def _changed(monitored: MonitoredTable, old: RowData, new: RowData) -> set[int]:
    """Places of the monitored columns that differ."""
    changed = set()
    for column in monitored.columns:
        i = column.index
        if old[i] is not new[i] and old[i] != new[i]:
            changed.add(i)
    return changed


def _compose1(
    monitored: MonitoredTable, kind: int, old: RowData | None, new: RowData | None
) -> dict[str, Any] | None:
    """A `<row-update>`: old values of what changed, and all new values."""
    columns = monitored.columns
    update: dict[str, Any] = {}
    if kind == MODIFY:
        assert old is not None and new is not None
        changed = _changed(monitored, old, new)
        if not changed:
            return None
        update["old"] = {
            column.name: datum_to_json(column.type, old[column.index])
            for column in columns
            if column.select & MODIFY and column.index in changed
        }
    elif kind == DELETE:
        assert old is not None
        update["old"] = _values(columns, DELETE, old)
    if kind != DELETE:
        assert new is not None
        update["new"] = _values(columns, kind, new)
    return update


def _values(columns: list[MonitoredColumn], kind: int, row: RowData) -> dict[str, Any]:
    return {
        column.name: datum_to_json(column.type, row[column.index])
        for column in columns
        if column.select & kind
    }


def _compose2(
    monitored: MonitoredTable, kind: int, old: RowData | None, new: RowData | None
) -> dict[str, Any] | None:
    """A `<row-update2>`: columns that differ from their defaults, or differences."""
    if kind == DELETE:
        return {"delete": None}
    assert new is not None
    if kind == MODIFY:
        assert old is not None
        changed = _changed(monitored, old, new)
        if not changed:
            return None
        return {
            "modify": {
                column.name: datum_to_json(
                    column.type, diff_datum(column.type, old[column.index], new[column.index])
                )
                for column in monitored.columns
                if column.select & MODIFY and column.index in changed
            }
        }
    values = {
        column.name: datum_to_json(column.type, new[column.index])
        for column in monitored.columns
        if column.select & kind and new[column.index] != column.type.default
    }
    return {"initial" if kind == INITIAL else "insert": values}
