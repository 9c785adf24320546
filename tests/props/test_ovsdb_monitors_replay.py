"""A monitor's first answer with all its updates applied is the database's contents."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from netloom.ovsdb.condition import parse_condition
from netloom.ovsdb.database import Database
from netloom.ovsdb.datum import apply_diff, parse_datum
from netloom.ovsdb.monitor import Monitor
from netloom.ovsdb.schema import DatabaseSchema
from netloom.ovsdb.transact import Context, execute
from netloom.ovsdb.types import diff_type
from netloom.ovsdb.uuids import UuidSource

REF = {"key": {"type": "uuid", "refTable": "B"}, "min": 0, "max": "unlimited"}
WEAK = {"key": {"type": "uuid", "refTable": "B", "refType": "weak"}, "min": 0, "max": 1}
SCHEMA = {
    "name": "D",
    "tables": {
        "A": {
            "columns": {
                "n": {"type": "integer"},
                "s": {"type": {"key": "integer", "min": 0, "max": "unlimited"}},
                "m": {"type": {"key": "string", "value": "integer", "min": 0, "max": 3}},
                "r": {"type": REF},
                "w": {"type": WEAK},
            },
            "isRoot": True,
        },
        "B": {"columns": {"n": {"type": "integer"}}},
    },
}
COLUMNS = {"A": ["n", "s", "m", "r", "w"], "B": ["n"]}

numbers = st.integers(0, 4)
sets = st.lists(numbers, unique=True, max_size=4).map(lambda items: ["set", items])
maps = st.dictionaries(st.sampled_from("xyz"), numbers, max_size=3).map(
    lambda pairs: ["map", [list(pair) for pair in pairs.items()]]
)
rows = st.fixed_dictionaries({}, optional={"n": numbers, "s": sets, "m": maps})
where_n = numbers.map(lambda n: [["n", "==", n]])
insert_both = st.tuples(rows, numbers).map(
    lambda pair: [
        {"op": "insert", "table": "B", "uuid-name": "b", "row": {"n": pair[1]}},
        {
            "op": "insert",
            "table": "A",
            "row": {**pair[0], "r": ["named-uuid", "b"], "w": ["named-uuid", "b"]},
        },
    ]
)
update = st.tuples(where_n, rows).map(
    lambda pair: [{"op": "update", "table": "A", "where": pair[0], "row": pair[1]}]
)
drop_refs = where_n.map(
    lambda where: [{"op": "update", "table": "A", "where": where, "row": {"r": ["set", []]}}]
)
delete = where_n.map(lambda where: [{"op": "delete", "table": "A", "where": where}])
mutate = st.tuples(where_n, st.sampled_from(["insert", "delete"]), sets).map(
    lambda item: [
        {"op": "mutate", "table": "A", "where": item[0], "mutations": [["s", item[1], item[2]]]}
    ]
)
transactions = st.lists(
    st.one_of(insert_both, insert_both, update, drop_refs, delete, mutate), max_size=12
)


class View:
    """What a client makes of a monitor's answers."""

    def __init__(self, database: Database, version: int) -> None:
        self.database = database
        self.version = version
        self.rows: dict[str, dict[str, dict[str, Any]]] = {"A": {}, "B": {}}

    def apply(self, updates: dict[str, Any]) -> None:
        for name, changed in json.loads(json.dumps(updates)).items():
            for uuid, change in changed.items():
                if self.version == 1:
                    self._apply1(name, uuid, change)
                else:
                    self._apply2(name, uuid, change)

    def _parse(self, name: str, row: dict[str, Any]) -> dict[str, Any]:
        columns = self.database.tables[name].schema.columns
        return {key: parse_datum(columns[key].type, value) for key, value in row.items()}

    def _apply1(self, name: str, uuid: str, change: dict[str, Any]) -> None:
        table = self.rows[name]
        old = self._parse(name, change.get("old", {}))
        assert old.items() <= table.get(uuid, {}).items()
        if "new" in change:
            table[uuid] = self._parse(name, change["new"])
        else:
            del table[uuid]

    def _apply2(self, name: str, uuid: str, change: dict[str, Any]) -> None:
        table = self.rows[name]
        ((kind, row),) = change.items()
        columns = self.database.tables[name].schema.columns
        if kind == "delete":
            del table[uuid]
        elif kind == "modify":
            for key, value in row.items():
                diff = parse_datum(diff_type(columns[key].type), value)
                table[uuid][key] = apply_diff(columns[key].type, table[uuid][key], diff)
        else:
            assert uuid not in table
            defaults = {key: columns[key].type.default for key in COLUMNS[name]}
            table[uuid] = {**defaults, **self._parse(name, row)}


def snapshot(database: Database, where: list[Any]) -> dict[str, dict[str, dict[str, Any]]]:
    contents: dict[str, dict[str, dict[str, Any]]] = {}
    for name, keys in COLUMNS.items():
        table = database.tables[name]
        condition = parse_condition(name, table.columns, where)
        contents[name] = {
            uuid: {key: row[table.columns[key].index] for key in keys}
            for uuid, row in table.rows.items()
            if condition.matches_any(row)
        }
    return contents


@settings(max_examples=60, deadline=None)
@given(transactions, st.integers(0, 6), numbers)
def test_updates_replayed_are_the_contents(
    operations: list[list[Any]], start: int, limit: int
) -> None:
    database = Database(DatabaseSchema.from_json(SCHEMA))
    new_uuid = UuidSource()
    where = {1: [], 2: [["n", "<", limit], ["n", "==", 4]], 3: []}
    monitors: list[tuple[Monitor, View]] = []
    for number, transaction in enumerate([*operations, []]):
        if number == min(start, len(operations)):
            for version in (1, 2, 3):
                request = {"where": where[version]} if version > 1 else {}
                requests = {
                    name: [{"columns": columns, **request}] for name, columns in COLUMNS.items()
                }
                monitor = Monitor.from_json(database, "m", requests, version)
                view = View(database, version)
                view.apply(monitor.initial())
                monitors.append((monitor, view))
        outcome = execute(database, transaction, Context(new_uuid, lambda name: False))
        database.install(outcome.changes)
        database.remember(new_uuid(), outcome.changes)
        for monitor, view in monitors:
            view.apply(monitor.compose(outcome.changes))
            assert view.rows == snapshot(database, where[monitor.version])


@settings(max_examples=40, deadline=None)
@given(transactions, st.integers(0, 11))
def test_merged_history_leads_to_the_same_contents(operations: list[list[Any]], start: int) -> None:
    database = Database(DatabaseSchema.from_json(SCHEMA), keeps_history=True)
    new_uuid = UuidSource()
    view = View(database, 3)
    requests = {name: [{"columns": columns}] for name, columns in COLUMNS.items()}
    monitor = Monitor.from_json(database, "m", requests, 3)
    at = None
    for number, transaction in enumerate(operations):
        outcome = execute(database, transaction, Context(new_uuid, lambda name: False))
        database.install(outcome.changes)
        txn_id = new_uuid()
        database.remember(txn_id, outcome.changes)
        if number == min(start, len(operations) - 1):
            at = txn_id
            view.apply(monitor.initial())
    if at is not None:
        missed = database.changes_since(at)
        assert missed is not None
        view.apply(monitor.compose(missed))
        assert view.rows == snapshot(database, [])
