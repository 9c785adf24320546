"""Commands about logical switches and logical routers."""

from __future__ import annotations

from netloom.base.errors import CommandError
from netloom.programs.db_ctl.context import ExitNow
from netloom.programs.vtep_ctl.model import by_name, logical_switch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netloom.programs.db_ctl.context import Context

_MODES = ("service_node", "source_node")
#: Table of the rows that a command is about, by the end of its name.
_TABLES = {"ls": "Logical_Switch", "lr": "Logical_Router"}


def _table(context: Context) -> str:
    words = context.command.spec.name.split("-")
    return next(_TABLES[word] for word in words if word in _TABLES)


def _title(table: str) -> str:
    return table.lower().replace("_", " ")


def _add(context: Context) -> None:
    (name,), table = context.args, _table(context)
    if name in by_name(context, context.txn.rows(table)):
        if not context.has_option("--may-exist"):
            raise CommandError(f"cannot create {_title(table)} {name} because it already exists")
        return
    context.txn.set(context.insert(table), "name", name)


def _delete(context: Context) -> None:
    (name,), table = context.args, _table(context)
    row = by_name(context, context.txn.rows(table)).get(name)
    if row is not None:
        context.txn.delete(row)
    elif not context.has_option("--if-exists"):
        raise CommandError(f"no {_title(table)} named {name}")


def _list(context: Context) -> None:
    for name in sorted(by_name(context, context.txn.rows(_table(context)))):
        context.print(name)


def _exists(context: Context) -> None:
    if context.args[0] not in by_name(context, context.txn.rows(_table(context))):
        raise ExitNow(2)


run_add_ls = run_add_lr = _add
run_del_ls = run_del_lr = _delete
run_list_ls = run_list_lr = _list
run_ls_exists = run_lr_exists = _exists


def run_set_replication_mode(context: Context) -> None:
    name, mode = context.args
    if mode not in _MODES:
        raise CommandError("Replication mode must be 'service_node' or 'source_node'")
    context.txn.set(logical_switch(context, name), "replication_mode", (mode,))


def run_get_replication_mode(context: Context) -> None:
    row = context.now(logical_switch(context, context.args[0]))
    # Scripts know the word for none.
    context.print(row.opt_text("replication_mode") or "(null)")
