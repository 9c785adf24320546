"""`show`: the configuration as an indented tree.

`--filter='TABLE(TEXT|TEXT...),TEXT,...'` shows a record of TABLE only if its part of the output,
with what it refers to, contains one of the texts in any case; without TABLE it is about the
outermost records.
"""

from __future__ import annotations

from netloom.base.errors import CommandError
from netloom.ovsdb.datum_text import format_atom, format_datum
from netloom.programs.db_ctl.names import find_table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netloom.ovsdb.row import Row
    from netloom.ovsdb.types import ColumnType, Datum
    from netloom.programs.db_ctl.command_line import Command
    from netloom.programs.db_ctl.context import Context, Needs

INDENT = "    "


def need_show(needs: Needs, command: Command) -> None:
    for table, columns in needs.program.shown.items():
        needs.columns(table, *[column for column in columns if column])


def _parse_filter(context: Context, text: str) -> dict[str, list[str]]:
    """The wanted texts by table."""
    wanted: dict[str, list[str]] = {}
    for term in text.split(","):
        if not term:
            continue
        name, paren, texts = term.partition("(")
        if not paren:
            name, texts = context.run.program.root, term
        elif texts.endswith(")"):
            name, texts = find_table(context.schema, name).name, texts[:-1]
        else:
            raise CommandError("Malformed filter: missing closing ')'")
        wanted.setdefault(name, []).extend([word.lower() for word in texts.split("|") if word])
    return wanted


def run_show(context: Context) -> None:
    wanted = _parse_filter(context, context.option("--filter") or "")
    for row in context.txn.rows(context.run.program.root):
        context.output.append(_text(context, row, 0, (), wanted))


def _text(
    context: Context, row: Row, level: int, above: tuple[str, ...], wanted: dict[str, list[str]]
) -> str:
    """A record and what it refers to, as far as they are wanted. Of a table that is shown `above`
    there is only the name."""
    columns = context.schema.tables[row.table].columns
    shown = context.run.program.shown
    name_column, *others = shown[row.table]
    title: str = row.uuid
    if name_column:
        name = format_datum(columns[name_column].type, context.read(row, name_column))
        title = f"{row.table} {name}"
    text = f"{INDENT * level}{title}\n"
    if row.table in above:
        return text
    above = (*above, row.table)
    for name in others:
        column_type = columns[name].type
        if column_type.key.ref_table in shown:
            for child in context.txn.refs(row, name):
                text += _text(context, child, level + 1, above, wanted)
            continue
        value = context.read(row, name)
        if column_type.value is not None and column_type.value.ref_table in shown:
            text += _named(context, level + 1, name, column_type, value)
            continue
        if value != column_type.default:
            text += f"{INDENT * (level + 1)}{name}: {format_datum(column_type, value)}\n"
    texts = wanted.get(row.table)
    if texts is None or any(word in text.lower() for word in texts):
        return text
    return ""


def _named(context: Context, level: int, title: str, column_type: ColumnType, pairs: Datum) -> str:
    """A map to records that have names."""
    assert isinstance(pairs, dict) and column_type.value is not None
    table = context.schema.tables[column_type.value.ref_table or ""]
    name_column = table.columns[context.run.program.shown[table.name][0]]
    text = f"{INDENT * level}{title}:\n"
    for key, uuid in pairs.items():
        row = context.txn.row(table.name, str(uuid))
        name = '"<null>"'
        if row is not None:
            name = format_datum(name_column.type, context.read(row, name_column.name))
        text += f"{INDENT * (level + 1)}{format_atom(column_type.key.name, key)}={name}\n"
    return text
