"""Which row of a table a word on the command line means.

A full UUID, one of the table's own ways to name a row (below), or the first four or more
hexadecimal digits of a UUID. (An `@name` of this command line is a value, not the name of a row.)
"""

from __future__ import annotations

from netloom.base.errors import CommandError
from netloom.base.numbers import decimal
from netloom.ovsdb.uuids import parse_uuid, uuid_prefix_length

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from netloom.ovsdb.row import Row
    from netloom.ovsdb.schema import TableSchema
    from netloom.programs.db_ctl.context import Context, Needs
    from netloom.programs.db_ctl.run import RowId


def need_row(needs: Needs, table: TableSchema) -> None:
    """What `find_row` reads."""
    needs.table(table.name)
    row_id = needs.program.row_ids.get(table.name)
    if row_id is not None and row_id.name:
        needs.columns(row_id.table, row_id.name, *([row_id.via] if row_id.via else ()))


def find_row(context: Context, table: TableSchema, word: str) -> Row | None:
    """The row of `table` that `word` means, None if there is none; an error if there are more."""
    txn = context.txn
    uuid = parse_uuid(word)
    if uuid is not None:
        row = txn.row(table.name, uuid)
        if row is not None:
            return row
    row_id = context.run.program.row_ids.get(table.name)
    if row_id is not None:
        row = _row_by_id(context, table, row_id, word)
        if row is not None:
            return row
    if len(word) >= 4 and uuid_prefix_length(word) == len(word):
        return _row_by_prefix(context, table, word.lower())
    return None


def get_row(context: Context, table: TableSchema, word: str) -> Row:
    """As `find_row`, but a row that does not exist is an error."""
    row = find_row(context, table, word)
    if row is None:
        raise CommandError(f'no row "{word}" in table {table.name}')
    return row


def _row_by_id(context: Context, table: TableSchema, row_id: RowId, word: str) -> Row | None:
    txn = context.txn
    if not row_id.name:
        rows = txn.rows(table.name)
        return rows[0] if word == "." and len(rows) == 1 else None
    wanted: Any = word
    column_type = context.schema.tables[row_id.table].columns[row_id.name].type
    if column_type.key.name == "integer":
        if decimal(word.removeprefix("-")) is None:
            return None
        wanted = int(word)
    value = wanted if column_type.is_scalar else (wanted,)
    referrers = []
    for row in txn.rows(row_id.table):
        context.verify(row, row_id.name)
        if row.get(row_id.name) == value:
            referrers.append(row)
    if len(referrers) > 1:
        raise CommandError(f'multiple rows in {row_id.table} match "{word}"')
    if not referrers or not row_id.via:
        return referrers[0] if referrers else None
    context.verify(referrers[0], row_id.via)
    targets = txn.refs(referrers[0], row_id.via)
    return targets[0] if len(targets) == 1 else None


def _row_by_prefix(context: Context, table: TableSchema, prefix: str) -> Row | None:
    found = [row for row in context.txn.rows(table.name) if row.uuid.startswith(prefix)]
    if len(found) > 1:
        raise CommandError(
            f"{table.name} contains 2 or more rows whose UUIDs begin with {prefix}: "
            f"at least {found[0].uuid} and {found[1].uuid}"
        )
    return found[0] if found else None
