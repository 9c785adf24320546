"""A database in memory: tables of rows, and the indexes that keep commits cheap.

A row is a list: the columns in layout order, then `_uuid`, then `_version`. A committed row never
changes; a transaction copies it, changes the copy and puts it in its place on commit. So whoever
holds a list (a monitor, the history, a select) holds a snapshot.

Beside the rows a table keeps what commits would otherwise have to search for: the number of strong
references to each row, the rows with weak references to each row, and for every unique index a dict
from values to row. `Database.install` is the only place that changes any of them.
"""

from __future__ import annotations

from collections import deque
from itertools import count

from netloom.ovsdb.datum import set_changes
from netloom.ovsdb.schema import ColumnSchema
from netloom.ovsdb.types import BaseType, ColumnType
from netloom.ovsdb.uuids import ZERO_UUID

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from netloom.ovsdb.schema import DatabaseSchema, TableSchema
    from netloom.ovsdb.types import Atom, Datum
    from netloom.ovsdb.uuids import Uuid

    #: Column data in layout order, `_uuid`, `_version`.
    RowData = list[Datum]
    #: A row before and after: None before an insertion and after a deletion.
    RowChange = tuple[RowData | None, RowData | None]
    #: The outcome of a transaction: changed rows by table.
    Changes = dict["Table", dict[Uuid, RowChange]]

#: Committed transactions that are kept for clients that come back (`monitor_cond_since`).
HISTORY_LENGTH = 100


def freeze(datum: Datum) -> object:
    """A hashable stand-in for a datum."""
    return tuple(datum.items()) if type(datum) is dict else datum


class Reference:
    """A column of `table`, or half of one, whose UUIDs refer to rows of `target`."""

    __slots__ = ("column", "index", "is_key", "is_within", "target")

    def __init__(self, column: ColumnSchema, is_key: bool, table: Table, target: Table) -> None:
        self.column = column
        self.index = column.index
        self.is_key = is_key
        self.target = target
        #: Rows may refer to themselves, which does not keep them.
        self.is_within = target is table

    def uuids(self, datum: Datum) -> tuple[Atom, ...]:
        """The UUIDs in a datum of this column."""
        if type(datum) is dict:
            return tuple(datum) if self.is_key else tuple(datum.values())
        return datum if type(datum) is tuple else (datum,)  # type: ignore[return-value]

    def changes(
        self, old: RowData | None, new: RowData | None
    ) -> tuple[tuple[Uuid, ...], tuple[Uuid, ...]]:
        """UUIDs of other rows that a row ceases to refer to, and those that it begins to refer to.
        A value of a map may be there more than once."""
        removed, added = self._changes(old, new)
        if self.is_within and (removed or added):
            row = new if old is None else old
            assert row is not None
            own = row[self.target.uuid_index]
            removed = tuple([uuid for uuid in removed if uuid != own])
            added = tuple([uuid for uuid in added if uuid != own])
        return removed, added

    def _changes(
        self, old: RowData | None, new: RowData | None
    ) -> tuple[tuple[Uuid, ...], tuple[Uuid, ...]]:
        before = None if old is None else old[self.index]
        after = None if new is None else new[self.index]
        if before is after:
            return (), ()
        if type(before) is tuple and type(after) is tuple:
            return set_changes(before, after)  # type: ignore[return-value]
        removed = () if before is None else self.uuids(before)
        added = () if after is None else self.uuids(after)
        return removed, added  # type: ignore[return-value]


class Table:
    """The rows of one table with their indexes."""

    __slots__ = (
        "columns",
        "indexes",
        "n_columns",
        "name",
        "persistent",
        "rank",
        "ref_counts",
        "rows",
        "schema",
        "strong",
        "uuid_index",
        "version_index",
        "weak",
        "weak_sources",
    )

    def __init__(self, schema: TableSchema) -> None:
        self.schema = schema
        self.name = schema.name
        self.n_columns = len(schema.columns)
        self.uuid_index = self.n_columns
        self.version_index = self.n_columns + 1
        #: All columns by name, `_uuid` and `_version` included.
        self.columns: dict[str, ColumnSchema] = dict(schema.columns)
        for offset, name in enumerate(("_uuid", "_version")):
            column = ColumnSchema(name, ColumnType(BaseType("uuid"), None, 1, 1), mutable=False)
            column.index = self.n_columns + offset
            self.columns[name] = column
        self.persistent = [c for c in schema.columns.values() if not c.ephemeral]
        self.rows: dict[Uuid, RowData] = {}
        #: Strong references to each row of this table; rows without any are left out.
        self.ref_counts: dict[Uuid, int] = {}
        #: For each row of this table, the rows (table, UUID) that refer to it weakly.
        self.weak_sources: dict[Uuid, set[tuple[Table, Uuid]]] = {}
        #: One dict per unique index of the schema, from `index_key` to the row that has it.
        self.indexes: list[dict[object, Uuid]] = [{} for _ in schema.indexes]
        self.strong: list[Reference] = []
        self.weak: list[Reference] = []
        #: Place in the order in which clients are told of tables: see `_rank_tables`.
        self.rank = 0

    def index_key(self, number: int, row: RowData) -> object:
        """The values of a row in the index with that number."""
        columns = self.schema.indexes[number]
        if len(columns) == 1:
            return freeze(row[columns[0].index])
        return tuple([freeze(row[column.index]) for column in columns])


class Committed:
    """One transaction of the past: its id and what it changed."""

    __slots__ = ("changes", "txn_id")

    def __init__(self, txn_id: Uuid, changes: Changes) -> None:
        self.txn_id = txn_id
        self.changes = changes


class Database:
    """All tables of one database, and the recent transactions if it `keeps_history`.

    Open vSwitch keeps that of clustered databases only. Of a standalone one, whose transactions
    have no ids that outlive the server, a client that comes back is sent everything; clients rely
    on seeing the rows again."""

    def __init__(self, schema: DatabaseSchema, *, keeps_history: bool = False) -> None:
        self.schema = schema
        self.name = schema.name
        self.tables = {name: Table(table) for name, table in schema.tables.items()}
        self.history: deque[Committed] = deque(maxlen=HISTORY_LENGTH if keeps_history else 0)
        self.keeps_history = keeps_history
        for table in self.tables.values():
            for column in table.schema.columns.values():
                for base, is_key in ((column.type.key, True), (column.type.value, False)):
                    if base is None or base.ref_table is None:
                        continue
                    reference = Reference(column, is_key, table, self.tables[base.ref_table])
                    (table.weak if base.ref_weak else table.strong).append(reference)
        _rank_tables(self.tables)

    def install(self, changes: Changes) -> None:
        """Make checked changes the state of the database."""
        # Values may move between rows of one transaction, so old keys go before new ones come.
        for table, rows in changes.items():
            for uuid, (old, _new) in rows.items():
                if old is not None:
                    for number, index in enumerate(table.indexes):
                        key = table.index_key(number, old)
                        if index.get(key) == uuid:
                            del index[key]
        for table, rows in changes.items():
            for uuid, (old, new) in rows.items():
                if new is None:
                    del table.rows[uuid]
                else:
                    table.rows[uuid] = new
                    for number, index in enumerate(table.indexes):
                        index[table.index_key(number, new)] = uuid
                if table.strong:
                    _count_references(table, old, new)
                if table.weak:
                    _note_weak_references(table, uuid, old, new)

    def keep_history(self) -> None:
        """Begin to keep the recent transactions."""
        self.keeps_history = True
        self.history = deque(maxlen=HISTORY_LENGTH)

    def remember(self, txn_id: Uuid, changes: Changes) -> None:
        """Keep a committed transaction for clients that come back."""
        self.history.append(Committed(txn_id, changes))

    @property
    def last_txn_id(self) -> Uuid:
        """The newest transaction in the history; all zeros if there is none."""
        return self.history[-1].txn_id if self.history else ZERO_UUID

    def changes_since(self, txn_id: str) -> Changes | None:
        """What changed after that transaction, as one change per row; None if it is not known."""
        later: list[Committed] = []
        for committed in reversed(self.history):
            if committed.txn_id == txn_id:
                return _merge(reversed(later))
            later.append(committed)
        return None

    def n_rows(self) -> int:
        return sum(len(table.rows) for table in self.tables.values())


def _rank_tables(tables: dict[str, Table]) -> None:
    """Order the tables so that rows come after those they refer to, as far as references run in no
    circles: clients with indexes on references (python-ovs) stumble over rows that are not there
    yet."""
    ranked: set[str] = set()

    def visit(table: Table) -> None:
        if table.name in ranked:
            return
        ranked.add(table.name)
        for reference in (*table.strong, *table.weak):
            visit(reference.target)
        table.rank = next(ranks)

    ranks = count()
    for name in sorted(tables):
        visit(tables[name])


def _merge(transactions: Iterator[Committed]) -> Changes:
    merged: Changes = {}
    for committed in transactions:
        for table, rows in committed.changes.items():
            into = merged.setdefault(table, {})
            for uuid, (old, new) in rows.items():
                earlier = into.get(uuid)
                first = old if earlier is None else earlier[0]
                if first is None and new is None:
                    into.pop(uuid, None)
                else:
                    into[uuid] = (first, new)
    return merged


def _count_references(table: Table, old: RowData | None, new: RowData | None) -> None:
    for reference in table.strong:
        removed, added = reference.changes(old, new)
        counts = reference.target.ref_counts
        for target in added:
            counts[target] = counts.get(target, 0) + 1
        for target in removed:
            left = counts[target] - 1
            if left:
                counts[target] = left
            else:
                del counts[target]


def _weak_targets(table: Table, row: RowData | None) -> set[tuple[Table, Atom]]:
    if row is None:
        return set()
    return {
        (reference.target, uuid)
        for reference in table.weak
        for uuid in reference.uuids(row[reference.index])
    }


def _note_weak_references(
    table: Table, uuid: Uuid, old: RowData | None, new: RowData | None
) -> None:
    if old is not None and new is not None:
        changed = [r for r in table.weak if old[r.index] is not new[r.index]]
        if not changed:
            return
    before, after = _weak_targets(table, old), _weak_targets(table, new)
    source = (table, uuid)
    for target_table, target in before - after:
        sources = target_table.weak_sources.get(target)  # type: ignore[call-overload]
        if sources is not None:
            sources.discard(source)
            if not sources:
                del target_table.weak_sources[target]  # type: ignore[arg-type]
    for target_table, target in after - before:
        target_table.weak_sources.setdefault(target, set()).add(source)  # type: ignore[arg-type]
