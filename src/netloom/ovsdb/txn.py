"""The working copy of one transaction: rows as they would be, until it commits or is dropped."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from netloom.ovsdb.condition import Condition
    from netloom.ovsdb.database import Database, RowData, Table
    from netloom.ovsdb.uuids import Uuid


class Txn:
    """Changed rows over a database. The database itself is not touched.

    `new_version` makes the `_version` of each row that is inserted, and at the end that of each
    row that was changed."""

    __slots__ = ("changed", "database", "new_version")

    def __init__(self, database: Database, new_version: Callable[[], Uuid]) -> None:
        self.database = database
        self.new_version = new_version
        #: New contents of changed rows by table; None for deleted ones.
        self.changed: dict[Table, dict[Uuid, RowData | None]] = {}

    def _changed_rows(self, table: Table) -> dict[Uuid, RowData | None]:
        found = self.changed.get(table)
        if found is None:
            found = self.changed[table] = {}
        return found

    def get(self, table: Table, uuid: Uuid) -> RowData | None:
        """The row as the transaction sees it; not to be changed."""
        changed = self.changed.get(table)
        if changed is not None and uuid in changed:
            return changed[uuid]
        return table.rows.get(uuid)

    def knows(self, table: Table, uuid: Uuid) -> bool:
        """Whether the UUID is in use, or was before this transaction deleted its row."""
        return uuid in table.rows or uuid in self.changed.get(table, ())

    def writable(self, table: Table, uuid: Uuid) -> RowData:
        """The row's list to be changed in place; the row must exist."""
        changed = self._changed_rows(table)
        row = changed.get(uuid)
        if row is None:
            row = changed[uuid] = table.rows[uuid].copy()
        return row

    def insert(self, table: Table, uuid: Uuid, row: RowData) -> None:
        """Add a row made of the columns' data; `_uuid` and `_version` are appended here."""
        row.append(uuid)
        row.append(self.new_version())
        self._changed_rows(table)[uuid] = row

    def delete(self, table: Table, uuid: Uuid) -> None:
        # A trace stays even of a row that this transaction inserted: its UUID is used up.
        self._changed_rows(table)[uuid] = None

    def rows(self, table: Table) -> Iterator[tuple[Uuid, RowData]]:
        """All rows as the transaction sees them."""
        changed = self.changed.get(table)
        if not changed:
            yield from table.rows.items()
            return
        for uuid, row in table.rows.items():
            if uuid not in changed:
                yield uuid, row
        for uuid, new in changed.items():
            if new is not None:
                yield uuid, new

    def find(self, table: Table, condition: Condition) -> list[tuple[Uuid, RowData]]:
        """The rows that match all clauses; by UUID or unique index where a clause allows it."""
        if condition.never:
            return []
        matches = condition.matches_all
        candidates = self._candidates(table, condition)
        return [item for item in candidates if matches(item[1])]

    def _candidates(
        self, table: Table, condition: Condition
    ) -> Iterator[tuple[Uuid, RowData]] | list[tuple[Uuid, RowData]]:
        for clause in condition.clauses:
            if clause.function == "==" and clause.index == table.uuid_index:
                uuid: Uuid = clause.argument  # type: ignore[assignment]
                row = self.get(table, uuid)
                return [] if row is None else [(uuid, row)]
        for clause in condition.clauses:
            if clause.function != "==" or type(clause.argument) is dict:
                continue
            for number, columns in enumerate(table.schema.indexes):
                if len(columns) == 1 and columns[0].index == clause.index:
                    return self._indexed(table, table.indexes[number].get(clause.argument))
        return self.rows(table)

    def _indexed(self, table: Table, uuid: Uuid | None) -> list[tuple[Uuid, RowData]]:
        """The committed row that an index found, and all rows that are not in the index yet."""
        changed = self.changed.get(table, {})
        found = [(key, row) for key, row in changed.items() if row is not None]
        if uuid is not None and uuid not in changed:
            found.append((uuid, table.rows[uuid]))
        return found
