"""Names of tables and columns as people type them: any case, `-` for `_`, abbreviated."""

from __future__ import annotations

from netloom.base.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from netloom.ovsdb.schema import ColumnSchema, DatabaseSchema, TableSchema


def _fold(name: str) -> str:
    return name.lower().replace("-", "_")


def _matches(names: Iterable[str], typed: str) -> list[str]:
    """The names that `typed` may stand for: one that is equal, else all that begin so."""
    if typed in (names := list(names)):
        return [typed]
    folded = _fold(typed)
    equal = [name for name in names if _fold(name) == folded]
    if equal:
        return equal
    return [name for name in names if folded and _fold(name).startswith(folded)]


def find_table(schema: DatabaseSchema, typed: str) -> TableSchema:
    """The table that `typed` names."""
    found = _matches(schema.tables, typed)
    if not found:
        raise CommandError(f'unknown table "{typed}"')
    if len(found) > 1:
        raise CommandError(f'"{typed}" matches multiple table names: {", ".join(found)}')
    return schema.tables[found[0]]


def find_column(table: TableSchema, typed: str) -> ColumnSchema:
    """The column of `table` that `typed` names."""
    found = _matches(table.columns, typed)
    if not found:
        raise CommandError(f'{table.name} does not contain a column whose name matches "{typed}"')
    if len(found) > 1:
        raise CommandError(
            f'{table.name} contains more than one column whose name matches "{typed}": '
            f"{', '.join(found)}"
        )
    return table.columns[found[0]]
