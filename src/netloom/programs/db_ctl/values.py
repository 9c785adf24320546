"""Arguments of the form `COLUMN[:KEY][OPERATOR VALUE]`."""

from __future__ import annotations

from netloom.base.errors import CommandError
from netloom.ovsdb.datum import sorted_map
from netloom.ovsdb.datum_text import parse_atom_text, parse_datum_text, parse_token
from netloom.programs.db_ctl.names import find_column

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netloom.ovsdb.row import Row
    from netloom.ovsdb.schema import ColumnSchema, TableSchema
    from netloom.programs.db_ctl.context import Context

#: The operators of `find` and `wait-until`.
OPERATORS = (
    "!=", "<=", ">=", "=", "<", ">",
    "{!=}", "{<=}", "{>=}", "{=}", "{<}", "{>}", "{in}", "{not-in}",
)  # fmt: skip


class Setting:
    """A parsed argument. `key` is None without `:KEY`; `value` is None if there is no operator."""

    __slots__ = ("column", "key", "operator", "value")

    def __init__(
        self, column: ColumnSchema, key: str | None, operator: str, value: str | None
    ) -> None:
        self.column = column
        self.key = key
        self.operator = operator
        self.value = value


def parse_column_key(table: TableSchema, argument: str) -> tuple[ColumnSchema, str | None, int]:
    """The column and key that `argument` begins with, and where they end."""
    name, at = parse_token(argument, 0)
    if not name:
        raise CommandError(f"{argument}: missing column name")
    column = find_column(table, name)
    key = None
    if argument[at : at + 1] == ":":
        key, at = parse_token(argument, at + 1)
    return column, key, at


def parse_reading(table: TableSchema, argument: str) -> Setting:
    """`COLUMN[:KEY]` and nothing after it."""
    column, key, at = parse_column_key(table, argument)
    if at < len(argument):
        raise CommandError(f'{argument}: trailing garbage "{argument[at:]}" in argument')
    return Setting(column, key, "", None)


def parse_setting(table: TableSchema, argument: str) -> Setting:
    """`COLUMN[:KEY]=VALUE`."""
    column, key, at = parse_column_key(table, argument)
    if argument[at : at + 1] != "=" or at + 1 == len(argument):
        raise CommandError(f'{argument}: argument does not end in "=" followed by a value.')
    return Setting(column, key, "=", argument[at + 1 :])


def parse_condition(table: TableSchema, argument: str) -> Setting:
    """`COLUMN[:KEY] OPERATOR VALUE` (without the spaces)."""
    column, key, at = parse_column_key(table, argument)
    found = [word for word in OPERATORS if argument.startswith(word, at)]
    operator = max(found, key=len, default="")
    value = argument[at + len(operator) :]
    if not operator or not value:
        listed = ", ".join([f'"{word}"' for word in _MESSAGE_ORDER[:-1]])
        raise CommandError(
            f'{argument}: argument does not end in {listed}, or "{_MESSAGE_ORDER[-1]}" '
            "followed by a value."
        )
    return Setting(column, key, operator, value)


_MESSAGE_ORDER = (
    "=", "!=", "<", ">", "<=", ">=",
    "{=}", "{!=}", "{<}", "{>}", "{<=}", "{>=}", "{in}", "{not-in}",
)  # fmt: skip


def check_mutable(context: Context, row: Row, column: ColumnSchema) -> None:
    """Refuse to change a read-only column, but of a row of this run's own."""
    if not column.mutable and not context.txn.is_new(row):
        raise CommandError(f"cannot modify read-only column {column.name} in table {row.table}")


def apply_setting(context: Context, table: TableSchema, row: Row, argument: str) -> None:
    """Do what `set` does for one argument."""
    setting = parse_setting(table, argument)
    column, column_type = setting.column, setting.column.type
    assert setting.value is not None
    check_mutable(context, row, column)
    if setting.key is None:
        datum = parse_datum_text(column_type, setting.value, context.symbols)
        context.txn.set(row, column.name, datum)
        return
    if column_type.value is None:
        raise CommandError(f"cannot specify key to set for non-map column {column.name}")
    key = parse_atom_text(column_type.key, setting.key, context.symbols)
    value = parse_atom_text(column_type.value, setting.value, context.symbols)
    old = context.read(context.now(row), column.name)
    assert isinstance(old, dict)
    context.txn.set(row, column.name, sorted_map({**old, key: value}))
    context.verify(row, column.name)
