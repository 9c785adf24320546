"""What a transaction must satisfy as a whole, and what it entails, before it becomes the state.

`prepare` takes the rows that the operations left behind, and in this order (it decides which
error a client sees): drops what is not really a change; counts strong references and refuses
dangling ones and deletions of referenced rows; deletes rows of non-root tables that nothing refers
to; checks the number of rows; drops weak references to rows that are not there; checks that indexes
stay unique. The result is complete: the log records it, monitors report it, `Database.install`
performs it, and none of these has to infer anything.
"""

from __future__ import annotations

from netloom.ovsdb.datum import keys_of, order_key
from netloom.ovsdb.datum_text import format_datum
from netloom.ovsdb.errors import OvsdbError, constraint_violation
from netloom.ovsdb.uuids import ZERO_UUID

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from netloom.ovsdb.database import Changes, Reference, RowData, Table
    from netloom.ovsdb.txn import Txn
    from netloom.ovsdb.types import Atom, Datum
    from netloom.ovsdb.uuids import Uuid

    #: For each table, by how much the number of strong references to its rows changes.
    Deltas = dict[Table, dict[Uuid, int]]


def prepare(txn: Txn) -> Changes:
    """Check and complete a transaction; empty if it changes nothing. Raises `OvsdbError`.

    Uses up `txn`: its rows become part of the result."""
    _drop_unchanged(txn)
    if not txn.changed:
        return {}
    deltas = _count_references(txn)
    _check_deleted(txn, deltas)
    _collect_garbage(txn, deltas)
    _check_max_rows(txn)
    _clean_weak_references(txn)
    _drop_unchanged(txn)
    for table in txn.changed:
        for number in range(len(table.indexes)):
            _check_index(txn, table, number)
    changes: Changes = {
        table: {uuid: (table.rows.get(uuid), new) for uuid, new in rows.items()}
        for table, rows in txn.changed.items()
    }
    _mark_changed(txn, changes)
    return changes


def _mark_changed(txn: Txn, changes: Changes) -> None:
    """Give each row that was there before, and is not what it was, a new version."""
    for table, rows in changes.items():
        for old, new in rows.values():
            if old is not None and new is not None:
                new[table.version_index] = txn.new_version()


def _drop_unchanged(txn: Txn) -> None:
    for table, rows in list(txn.changed.items()):
        n = table.n_columns
        for uuid, new in list(rows.items()):
            old = table.rows.get(uuid)
            if old is None:
                same = new is None
            else:
                same = new is not None and old[:n] == new[:n]
            if same:
                del rows[uuid]
        if not rows:
            del txn.changed[table]


def _count_references(txn: Txn) -> Deltas:
    deltas: Deltas = {}
    for table, rows in txn.changed.items():
        for reference in table.strong:
            into = deltas.setdefault(reference.target, {})
            for uuid, new in rows.items():
                old = table.rows.get(uuid)
                _count_column(txn, table, uuid, reference, old, new, into)
    return deltas


def _count_column(
    txn: Txn,
    table: Table,
    uuid: Uuid,
    reference: Reference,
    old: RowData | None,
    new: RowData | None,
    deltas: dict[Uuid, int],
) -> None:
    removed, added = reference.changes(old, new)
    for target in removed:
        deltas[target] = deltas.get(target, 0) - 1
    if not added:
        return
    target_rows = reference.target.rows
    changed = txn.changed.get(reference.target, {})
    for target in added:
        # A row that this transaction deletes is no dangling reference: `_check_deleted` tells.
        if target not in target_rows and changed.get(target) is None:
            raise OvsdbError(
                "referential integrity violation",
                f"Table {table.name} column {reference.column.name} row {uuid} references "
                f"nonexistent row {target} in table {reference.target.name}.",
            )
        deltas[target] = deltas.get(target, 0) + 1


def _check_deleted(txn: Txn, deltas: Deltas) -> None:
    for table, rows in txn.changed.items():
        into = deltas.get(table, {})
        for uuid, new in rows.items():
            if new is not None:
                continue
            left = table.ref_counts.get(uuid, 0) + into.get(uuid, 0)
            if left > 0:
                raise OvsdbError(
                    "referential integrity violation",
                    f"cannot delete {table.name} row {uuid} because of {left} "
                    "remaining reference(s)",
                )


def _collect_garbage(txn: Txn, deltas: Deltas) -> None:
    work: list[tuple[Table, Uuid]] = []
    for table, rows in txn.changed.items():
        if not table.schema.is_root:
            work.extend([(table, uuid) for uuid in rows])
    for table, counts in deltas.items():
        if not table.schema.is_root:
            work.extend([(table, uuid) for uuid, delta in counts.items() if delta < 0])
    while work:
        table, uuid = work.pop()
        row = txn.get(table, uuid)
        if row is None:
            continue
        if table.ref_counts.get(uuid, 0) + deltas.get(table, {}).get(uuid, 0) > 0:
            continue
        txn.delete(table, uuid)
        for reference in table.strong:
            into = deltas.setdefault(reference.target, {})
            removed, _added = reference.changes(row, None)
            for target in removed:
                into[target] = into.get(target, 0) - 1
                if not reference.target.schema.is_root:
                    work.append((reference.target, target))


def _check_max_rows(txn: Txn) -> None:
    for table, rows in txn.changed.items():
        n = len(table.rows)
        for uuid, new in rows.items():
            n += (new is not None) - (uuid in table.rows)
        if n > table.schema.max_rows:
            raise constraint_violation(
                f'transaction causes "{table.name}" table to contain {n} rows, greater than '
                f"the schema-defined limit of {table.schema.max_rows} row(s)"
            )


def _clean_weak_references(txn: Txn) -> None:
    for table, rows in list(txn.changed.items()):
        for uuid, new in list(rows.items()):
            if new is None:
                for source_table, source in sorted_sources(table, uuid):
                    if txn.get(source_table, source) is not None:
                        _clean_row(txn, source_table, source)
            elif table.weak:
                _clean_row(txn, table, uuid)


def sorted_sources(table: Table, uuid: Uuid) -> list[tuple[Table, Uuid]]:
    """The rows with weak references to a row, in an order that depends on nothing else."""
    sources = table.weak_sources.get(uuid, ())
    return sorted(sources, key=lambda item: (item[0].name, item[1]))


def _clean_row(txn: Txn, table: Table, uuid: Uuid) -> None:
    """Drop a row's weak references to rows that are not there."""
    for reference in table.weak:
        row = txn.get(table, uuid)
        assert row is not None
        datum = row[reference.index]
        missing = {
            target
            for target in reference.uuids(datum)
            if txn.get(reference.target, target) is None  # type: ignore[arg-type]
        }
        if missing:
            cleaned = _without(reference, datum, missing)
            _check_cleaned(txn, table, uuid, reference, cleaned, missing)
            if reference.column.type.is_scalar:
                cleaned = cleaned[0]  # type: ignore[index]
            txn.writable(table, uuid)[reference.index] = cleaned


def _without(reference: Reference, datum: Datum, missing: set[Atom]) -> Datum:
    if type(datum) is dict:
        return {
            key: value
            for key, value in datum.items()
            if (key if reference.is_key else value) not in missing
        }
    return tuple([atom for atom in keys_of(datum) if atom not in missing])


def _check_cleaned(
    txn: Txn,
    table: Table,
    uuid: Uuid,
    reference: Reference,
    cleaned: Datum,
    missing: set[Atom],
) -> None:
    column = reference.column
    if len(cleaned) >= column.type.min:  # type: ignore[arg-type]
        return
    inserted = uuid not in table.rows
    if inserted and missing == {ZERO_UUID}:
        raise constraint_violation(
            f'Weak reference column "{column.name}" in "{table.name}" row {uuid} (inserted '
            "within this transaction) contained all-zeros UUID (probably as the default value "
            "for this column) but deleting this value caused a constraint volation because this "
            "column is not allowed to be empty."
        )
    note = "(inserted within this transaction) " if inserted else ""
    raise constraint_violation(
        f"Deletion of {len(missing)} weak reference(s) to deleted (or never-existing) rows from "
        f'column "{column.name}" in "{table.name}" row {uuid} {note}caused this column to become '
        "empty, but constraints on this column disallow an empty column."
    )


def _check_index(txn: Txn, table: Table, number: int) -> None:
    committed = table.indexes[number]
    rows = txn.changed[table]
    seen: dict[object, Uuid] = {}
    for uuid, new in rows.items():
        if new is None:
            continue
        key = table.index_key(number, new)
        other = seen.get(key)
        if other is None:
            holder = committed.get(key)
            # A holder that this transaction changes was or will be looked at by itself.
            if holder is not None and holder != uuid and holder not in rows:
                other = holder
        if other is not None:
            raise _duplicate(txn, table, number, other, uuid)
        seen[key] = uuid


def _comparable(table: Table, row: RowData | None) -> Any:
    """Orders rows by what they say, so that the same error always reads the same."""
    assert row is not None
    columns = [table.schema.columns[name] for name in sorted(table.schema.columns)]
    return [
        order_key(row[column.index])
        for column in columns
        if "uuid" not in (column.type.key.name, column.type.value and column.type.value.name)
    ]


def _duplicate(txn: Txn, table: Table, number: int, first: Uuid, second: Uuid) -> OvsdbError:
    columns = table.schema.indexes[number]
    rows = {uuid: txn.get(table, uuid) for uuid in (first, second)}
    if _comparable(table, rows[first]) < _comparable(table, rows[second]):
        first, second = second, first
    row = rows[first]
    assert row is not None
    values = _and_list([format_datum(column.type, row[column.index]) for column in columns])
    names = _and_list([f'"{column.name}"' for column in columns])
    plural = "s" if len(columns) > 1 else ""
    return constraint_violation(
        f'Transaction causes multiple rows in "{table.name}" table to have identical values '
        f"({values}) for index on column{plural} {names}.  "
        f"First row, with UUID {first}, {_row_story(txn, table, number, first)}  "
        f"Second row, with UUID {second}, {_row_story(txn, table, number, second)}"
    )


def _and_list(items: Sequence[str]) -> str:
    if len(items) < 3:
        return " and ".join(items)
    return ", ".join(items[:-1]) + ", and " + items[-1]


def _row_story(txn: Txn, table: Table, number: int, uuid: Uuid) -> str:
    old = table.rows.get(uuid)
    if old is None:
        return "was inserted by this transaction."
    if uuid not in txn.changed[table]:
        return (
            "existed in the database before this transaction and was not modified by the "
            "transaction."
        )
    new = txn.get(table, uuid)
    assert new is not None
    if table.index_key(number, old) == table.index_key(number, new):
        return (
            "existed in the database before this transaction, which modified some of the row's "
            "columns but not any columns in this index."
        )
    columns = table.schema.indexes[number]
    values = _and_list([format_datum(column.type, old[column.index]) for column in columns])
    return f"had the following index values before the transaction: {values}."
