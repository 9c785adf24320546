"""`show`: the configuration as an indented tree.

`--filter='TABLE(TEXT)|TABLE|...'` shows only the records of the named tables whose part of the
output contains TEXT (all of them without one), and what they belong to.
"""

from __future__ import annotations

from netloom.base.errors import CommandError
from netloom.ovsdb.datum_text import format_datum
from netloom.programs.vsctl.context import ROOT
from netloom.programs.vsctl.names import find_table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netloom.ovsdb.row import Row
    from netloom.ovsdb.uuids import Uuid
    from netloom.programs.vsctl.command_line import Command
    from netloom.programs.vsctl.context import Context, Needs

#: What is shown of each table: the column that names a record, then others if they are not empty.
#: A reference to a table that is here leads to its records.
SHOWN = {
    ROOT: ("", "manager_options", "bridges", "ovs_version"),
    "Bridge": ("name", "controller", "fail_mode", "datapath_type", "ports"),
    "Port": ("name", "tag", "trunks", "interfaces"),
    "Interface": ("name", "type", "options", "error"),
    "Controller": ("target", "is_connected"),
    "Manager": ("target", "is_connected"),
}
INDENT = "    "


class _Node:
    """One record: its lines, and the records below it among them."""

    __slots__ = ("lines", "table")

    def __init__(self, table: str) -> None:
        self.table = table
        self.lines: list[str | _Node] = []

    def text(self) -> str:
        return "".join([line if isinstance(line, str) else line.text() for line in self.lines])


def need_show(needs: Needs, command: Command) -> None:
    for table, columns in SHOWN.items():
        needs.columns(table, *[column for column in columns if column])
    text = command.options.get("--filter")
    if text is not None:
        _parse_filter(needs, text)


def _parse_filter(needs: Needs | Context, text: str) -> dict[str, list[str]]:
    """The wanted texts by table."""
    wanted: dict[str, list[str]] = {}
    for term in text.split("|"):
        name, paren, rest = term.strip().partition("(")
        if paren and not rest.endswith(")"):
            raise CommandError(f'{term}: missing ")" in filter')
        table = find_table(needs.schema, name)
        if table.name not in SHOWN:
            raise CommandError(f"{table.name}: table is not part of the output")
        wanted.setdefault(table.name, []).append(rest[:-1] if paren else "")
    return wanted


def run_show(context: Context) -> None:
    text = context.option("--filter")
    wanted = None if text is None else _parse_filter(context, text)
    for row in context.txn.rows(ROOT):
        root = _build(context, row, 0, set())
        if wanted is None or _prune(root, wanted):
            context.output.append(root.text())


def _build(context: Context, row: Row, level: int, above: set[Uuid]) -> _Node:
    node = _Node(row.table)
    columns = context.schema.tables[row.table].columns
    name_column, *others = SHOWN[row.table]
    title = (
        row.uuid
        if not name_column
        else (
            f"{row.table} "
            + format_datum(columns[name_column].type, context.read(row, name_column))
        )
    )
    node.lines.append(f"{INDENT * level}{title}\n")
    for name in others:
        column_type = columns[name].type
        if column_type.key.ref_table in SHOWN:
            for child in context.txn.refs(row, name):
                if child.uuid not in above:
                    node.lines.append(_build(context, child, level + 1, above | {row.uuid}))
            continue
        value = context.read(row, name)
        if value != column_type.default:
            text = format_datum(column_type, value)
            node.lines.append(f"{INDENT * (level + 1)}{name}: {text}\n")
    return node


def _prune(node: _Node, wanted: dict[str, list[str]]) -> bool:
    """Drop what the filter does not ask for; False if nothing of `node` is left."""
    texts = wanted.get(node.table)
    if texts is not None:
        whole = node.text()
        if any(text in whole for text in texts):
            return True
    kept = [line for line in node.lines if isinstance(line, str) or _prune(line, wanted)]
    found = any(isinstance(line, _Node) for line in kept)
    node.lines = kept
    return found
