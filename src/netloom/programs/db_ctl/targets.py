"""Connection targets: rows that one column of a row refers to."""

from __future__ import annotations

from netloom.base.numbers import leading_int

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netloom.ovsdb.row import Row
    from netloom.programs.db_ctl.command_line import Command
    from netloom.programs.db_ctl.context import Context, Needs

#: Schemes of the connection methods that ovs-vsctl(8) lists.
_SCHEMES = ("tcp", "ssl", "unix", "ptcp", "pssl", "punix")


def replace_targets(
    context: Context, owner: Row, column: str, table: str, targets: list[str]
) -> None:
    """Make `column` of `owner` refer to new rows of `table`, one for each target."""
    txn = context.txn
    probe = context.option("--inactivity-probe")
    for row in txn.refs(owner, column):
        txn.delete(row)
    rows = []
    for target in targets:
        if target.partition(":")[0] not in _SCHEMES or ":" not in target:
            context.run.log.warn('target type "%s" is possibly erroneous', target)
        row = context.insert(table)
        txn.set(row, "target", target)
        if probe is not None:
            txn.set(row, "inactivity_probe", (leading_int(probe),))
        rows.append(row.uuid)
    txn.set(owner, column, tuple(sorted(rows)))


def print_targets(context: Context, owner: Row, column: str, table: str) -> None:
    context.verify(owner, column)
    rows = context.txn.refs(owner, column)
    for row in rows:
        context.verify(row, "target")
    for target in sorted(row.text("target") for row in rows):
        context.print(target)


class Managers:
    """`get-manager`, `del-manager` and `set-manager`: whom the database server connects to, or
    listens for, as `column` of the only row of `table` says."""

    def __init__(self, table: str, column: str) -> None:
        self._table = table
        self._column = column

    def need(self, needs: Needs, command: Command) -> None:
        needs.columns(self._table, self._column)
        needs.columns("Manager", "target", "inactivity_probe")

    def run_get(self, context: Context) -> None:
        print_targets(context, context.root, self._column, "Manager")

    def run_del(self, context: Context) -> None:
        self._replace(context, [])

    def run_set(self, context: Context) -> None:
        self._replace(context, context.args)

    def _replace(self, context: Context, targets: list[str]) -> None:
        context.verify(context.root, self._column)
        replace_targets(context, context.root, self._column, "Manager", targets)
