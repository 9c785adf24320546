"""Commands that read any table: `list`, `find`, `get`, `wait-until`."""

from __future__ import annotations

from netloom.base.errors import CommandError
from netloom.ovsdb.datum_text import format_atom, format_datum, parse_atom_text
from netloom.ovsdb.table_text import Table, typed_cell
from netloom.ovsdb.types import BaseType, ColumnType
from netloom.programs.db_ctl.conditions import condition_holds
from netloom.programs.db_ctl.context import TryAgain
from netloom.programs.db_ctl.names import find_column, find_table
from netloom.programs.db_ctl.records import find_row, get_row, need_row
from netloom.programs.db_ctl.values import parse_column_key, parse_condition, parse_reading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netloom.ovsdb.row import Row
    from netloom.ovsdb.schema import ColumnSchema, TableSchema
    from netloom.programs.db_ctl.command_line import Command
    from netloom.programs.db_ctl.context import Context, Needs

UUID_COLUMN = "_uuid"
_UUID_TYPE = ColumnType(BaseType("uuid"), None, 1, 1)


def _is_uuid_column(name: str) -> bool:
    return name.lower() == UUID_COLUMN


def _selected(table: TableSchema, option: str | None) -> list[ColumnSchema | None]:
    """The columns of `--columns`, None for the UUID; all columns by default."""
    if option is None:
        return [None, *table.columns.values()]
    names = [name for name in option.replace(",", " ").split(" ") if name]
    if not names:
        raise CommandError("must specify at least one column name")
    return [None if _is_uuid_column(name) else find_column(table, name) for name in names]


def _need_listing(needs: Needs, command: Command) -> TableSchema:
    table = find_table(needs.schema, command.args[0])
    need_row(needs, table)
    for column in _selected(table, command.options.get("--columns")):
        if column is not None:
            needs.columns(table.name, column.name)
    return table


def need_list(needs: Needs, command: Command) -> None:
    _need_listing(needs, command)


def need_find(needs: Needs, command: Command) -> None:
    table = _need_listing(needs, command)
    for argument in command.args[1:]:
        needs.columns(table.name, parse_condition(table, argument).column.name)


def _new_table(columns: list[ColumnSchema | None]) -> Table:
    return Table([UUID_COLUMN if column is None else column.name for column in columns])


def _add_row(context: Context, table: Table, columns: list[ColumnSchema | None], row: Row) -> None:
    cells = []
    for column in columns:
        if column is None:
            cells.append(typed_cell(_UUID_TYPE, row.uuid))
        else:
            cells.append(typed_cell(column.type, context.read(row, column.name)))
    table.add(cells)


def run_list(context: Context) -> None:
    table = find_table(context.schema, context.args[0])
    columns = _selected(table, context.option("--columns"))
    out = context.table = _new_table(columns)
    words = context.args[1:]
    if not words:
        for row in context.rows(table.name):
            _add_row(context, out, columns, row)
        return
    for word in words:
        found = find_row(context, table, word)
        if found is None and not context.has_option("--if-exists"):
            found = get_row(context, table, word)
        if found is not None:
            _add_row(context, out, columns, found)


def run_find(context: Context) -> None:
    table = find_table(context.schema, context.args[0])
    columns = _selected(table, context.option("--columns"))
    out = context.table = _new_table(columns)
    for row in context.rows(table.name):
        if all(condition_holds(context, table, row, word) for word in context.args[1:]):
            _add_row(context, out, columns, row)


def need_get(needs: Needs, command: Command) -> None:
    table = find_table(needs.schema, command.args[0])
    need_row(needs, table)
    for argument in command.args[2:]:
        if not _is_uuid_column(argument):
            column, _, _ = parse_column_key(table, argument)
            needs.columns(table.name, column.name)


def run_get(context: Context) -> None:
    table_name, word, *arguments = context.args
    name, if_exists = context.option("--id"), context.has_option("--if-exists")
    if name is not None and if_exists:
        raise CommandError("--if-exists and --id may not be specified together")
    table = find_table(context.schema, table_name)
    row = find_row(context, table, word)
    if row is None:
        if if_exists:
            return
        row = get_row(context, table, word)
    if name is not None:
        _name_row(context, name, row)
    for argument in arguments:
        if _is_uuid_column(argument):
            context.print(row.uuid)
        else:
            _print_value(context, table, row, word, argument)


def _name_row(context: Context, name: str, row: Row) -> None:
    """Let `@name` stand for an existing row."""
    symbols = context.symbols
    if not name.startswith("@"):
        raise CommandError(f'row id "{name}" does not begin with "@"')
    if name in symbols.created:
        raise CommandError(f'row id "{name}" may only be specified on one --id option')
    if name in symbols.uuids:
        raise CommandError(
            f'row id "{name}" specified on "get" command was used before it was defined'
        )
    symbols.uuids[name] = row.uuid
    symbols.created.add(name)
    # The row exists: nothing need refer to it for it to last.
    symbols.strong_refs.add(name)


def _print_value(context: Context, table: TableSchema, row: Row, word: str, argument: str) -> None:
    reading = parse_reading(table, argument)
    column, column_type = reading.column, reading.column.type
    context.verify(row, column.name)
    datum = context.read(row, column.name)
    if reading.key is None:
        context.print(format_datum(column_type, datum))
        return
    if column_type.value is None:
        raise CommandError(f"cannot specify key to get for non-map column {column.name}")
    assert isinstance(datum, dict)
    key = parse_atom_text(column_type.key, reading.key, context.symbols)
    if key in datum:
        context.print(format_atom(column_type.value.name, datum[key]))
    elif context.has_option("--if-exists"):
        context.print("")
    else:
        raise CommandError(
            f'no key "{reading.key}" in {table.name} record "{word}" column {column.name}'
        )


def need_wait_until(needs: Needs, command: Command) -> None:
    table = find_table(needs.schema, command.args[0])
    need_row(needs, table)
    for argument in command.args[2:]:
        needs.columns(table.name, parse_condition(table, argument).column.name)


def run_wait_until(context: Context) -> None:
    table = find_table(context.schema, context.args[0])
    row = find_row(context, table, context.args[1])
    if row is None:
        raise TryAgain
    for argument in context.args[2:]:
        if not condition_holds(context, table, row, argument):
            raise TryAgain
