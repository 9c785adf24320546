"""Commands that change any table: `set`, `add`, `remove`, `clear`, `create`, `destroy`."""

from __future__ import annotations

from netloom.base.errors import CommandError
from netloom.base.log import get_logger
from netloom.ovsdb.datum import datum_from_atoms, keys_of
from netloom.ovsdb.datum_text import parse_datum_text
from netloom.ovsdb.types import UNLIMITED, ColumnType
from netloom.ovsdb.uuids import parse_uuid
from netloom.programs.db_ctl.names import find_column, find_table
from netloom.programs.db_ctl.records import find_row, get_row, need_row
from netloom.programs.db_ctl.values import apply_setting, check_mutable, parse_setting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from netloom.ovsdb.row import Row
    from netloom.ovsdb.schema import ColumnSchema, TableSchema
    from netloom.ovsdb.types import Atom, Datum
    from netloom.programs.db_ctl.command_line import Command
    from netloom.programs.db_ctl.context import Context, Needs

log = get_logger("db_ctl_base")


def _target(context: Context) -> tuple[TableSchema, Row | None]:
    """The table and row of the first two arguments; None if it may be missing, and is."""
    table = find_table(context.schema, context.args[0])
    row = find_row(context, table, context.args[1])
    if row is None and not context.has_option("--if-exists"):
        row = get_row(context, table, context.args[1])
    return table, row


# set


def need_set(needs: Needs, command: Command) -> None:
    table = find_table(needs.schema, command.args[0])
    need_row(needs, table)
    for argument in command.args[2:]:
        needs.columns(table.name, parse_setting(table, argument).column.name)


def run_set(context: Context) -> None:
    table, row = _target(context)
    if row is None:
        return
    for argument in context.args[2:]:
        apply_setting(context, table, row, argument)
    context.run.model = None


# add, remove, clear


def need_add(needs: Needs, command: Command) -> None:
    table = find_table(needs.schema, command.args[0])
    need_row(needs, table)
    needs.columns(table.name, find_column(table, command.args[2]).name)


need_remove = need_add


def _some_of(column_type: ColumnType, with_values: bool = True) -> ColumnType:
    """The type of an argument with some elements for a column, as many as the user likes."""
    value = column_type.value if with_values else None
    return ColumnType(column_type.key, value, 1, UNLIMITED)


def run_add(context: Context) -> None:
    table, row = _target(context)
    if row is None:
        return
    column = find_column(table, context.args[2])
    check_mutable(context, row, column)
    context.verify(row, column.name)
    present = _pairs(context.read(context.now(row), column.name))
    added: dict[Atom, Any] = {}
    for argument in context.args[3:]:
        more = parse_datum_text(_some_of(column.type), argument, context.symbols)
        # A key that is there keeps its value.
        added = {**_pairs(more), **added}
    added = {key: value for key, value in added.items() if key not in present}
    _check_size("add", table, column, len(present) + len(added))
    if added and column.type.is_map:
        context.txn.put_pairs(row, column.name, added)
    elif added:
        context.txn.add_elements(row, column.name, added)
    context.run.model = None


def _pairs(datum: Datum) -> dict[Atom, Any]:
    """The elements of a datum; those of a set lead to None."""
    return datum if isinstance(datum, dict) else dict.fromkeys(keys_of(datum))


def _check_size(command: str, table: TableSchema, column: ColumnSchema, size: int) -> None:
    """Refuse to leave more or fewer elements in a column than it takes."""
    column_type = column.type
    what = "pairs" if column_type.is_map else "values"
    for limit, name, is_past in (
        (column_type.max, "maximum", size > column_type.max),
        (column_type.min, "minimum", size < column_type.min),
    ):
        if is_past:
            raise CommandError(
                f'"{command}" operation would put {size} {what} in column {column.name} of table '
                f"{table.name} but the {name} number is {limit}"
            )


def run_remove(context: Context) -> None:
    table, row = _target(context)
    if row is None:
        return
    column = find_column(table, context.args[2])
    check_mutable(context, row, column)
    context.verify(row, column.name)
    datum = context.read(context.now(row), column.name)
    for argument in context.args[3:]:
        datum = _without(context, column, datum, argument)
    size = len(datum) if isinstance(datum, (tuple, dict)) else 1
    _check_size("remove", table, column, size)
    if column.type.is_scalar:
        assert isinstance(datum, tuple)
        datum = datum_from_atoms(column.type, datum)
    context.txn.set(row, column.name, datum)
    context.run.model = None


def _without(context: Context, column: ColumnSchema, old: Datum, argument: str) -> Datum:
    """`old` without the elements that `argument` lists."""
    if isinstance(old, dict):
        try:
            pairs: Any = parse_datum_text(_some_of(column.type), argument, context.symbols)
        except CommandError:
            keys = keys_of(
                parse_datum_text(_some_of(column.type, False), argument, context.symbols)
            )
            return {key: value for key, value in old.items() if key not in keys}
        return {
            key: value for key, value in old.items() if not (key in pairs and pairs[key] == value)
        }
    removed = keys_of(parse_datum_text(_some_of(column.type), argument, context.symbols))
    return tuple([atom for atom in keys_of(old) if atom not in removed])


def need_clear(needs: Needs, command: Command) -> None:
    table = find_table(needs.schema, command.args[0])
    need_row(needs, table)
    for name in command.args[2:]:
        needs.columns(table.name, find_column(table, name).name)


def run_clear(context: Context) -> None:
    table, row = _target(context)
    if row is None:
        return
    for name in context.args[2:]:
        column = find_column(table, name)
        check_mutable(context, row, column)
        if column.type.min > 0:
            raise CommandError(
                f'"clear" operation cannot be applied to column {column.name} of table '
                f"{table.name}, which is not allowed to be empty"
            )
        context.txn.set(row, column.name, {} if column.type.is_map else ())
    context.run.model = None


# create, destroy


def need_create(needs: Needs, command: Command) -> None:
    table = find_table(needs.schema, command.args[0])
    if "--id" not in command.options and not table.is_root:
        log.warn(
            'applying "create" command to table %s without --id option will have no effect',
            table.name,
        )
    needs.table(table.name)
    for argument in command.args[1:]:
        needs.columns(table.name, parse_setting(table, argument).column.name)


def run_create(context: Context) -> None:
    table = find_table(context.schema, context.args[0])
    row = _insert(context, table.name, context.option("--id"))
    context.created = row
    for argument in context.args[1:]:
        apply_setting(context, table, row, argument)
    context.run.model = None


def _insert(context: Context, table: str, name: str | None) -> Row:
    """The new row, under the `@name` or with the UUID that `--id` gives."""
    if name is None:
        return context.insert(table)
    uuid = parse_uuid(name)
    if uuid is not None:
        return context.txn.insert(table, uuid, keep_uuid=True)
    symbols = context.symbols
    if not name.startswith("@"):
        raise CommandError(f'row id "{name}" does not begin with "@"')
    if name in symbols.created:
        raise CommandError(f'row id "{name}" may only be specified on one --id option')
    symbols.created.add(name)
    return context.txn.insert(table, symbols.resolve(name))


def need_destroy(needs: Needs, command: Command) -> None:
    need_row(needs, find_table(needs.schema, command.args[0]))


def run_destroy(context: Context) -> None:
    table = find_table(context.schema, context.args[0])
    everything, if_exists = context.has_option("--all"), context.has_option("--if-exists")
    words = context.args[1:]
    if everything and words:
        raise CommandError("--all and records argument should not be specified together")
    if everything and if_exists:
        raise CommandError("--all and --if-exists should not be specified together")
    if everything:
        for row in context.txn.rows(table.name):
            context.txn.delete(row)
    elif not words:
        log.warn("either --all or records argument should be specified")
    for word in words:
        found = find_row(context, table, word)
        if found is None and not if_exists:
            found = get_row(context, table, word)
        if found is not None:
            context.txn.delete(found)
    context.run.model = None
