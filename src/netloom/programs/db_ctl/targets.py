"""Connection targets: rows that one column of a row refers to."""

from __future__ import annotations

from netloom.base.numbers import leading_int

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netloom.ovsdb.row import Row
    from netloom.programs.db_ctl.context import Context

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
