"""Commands about OpenFlow controllers, fail modes, OVSDB managers and the TLS configuration."""

from __future__ import annotations

from netloom.base.errors import CommandError
from netloom.programs.db_ctl.targets import Managers, print_targets, replace_targets
from netloom.programs.vsctl.model import model_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netloom.programs.db_ctl.command_line import Command
    from netloom.programs.db_ctl.context import Context, Needs

# Controllers.


def need_get_controller(needs: Needs, command: Command) -> None:
    needs.columns("Controller", "target")


need_del_controller = need_get_controller


def need_set_controller(needs: Needs, command: Command) -> None:
    needs.columns("Controller", "target", "inactivity_probe")


def run_get_controller(context: Context) -> None:
    bridge = model_of(context).bridge(context.args[0]).real
    print_targets(context, bridge.row, "controller", "Controller")


def run_del_controller(context: Context) -> None:
    bridge = model_of(context).real_bridge(context.args[0])
    if context.txn.refs(bridge.row, "controller"):
        replace_targets(context, bridge.row, "controller", "Controller", [])


def run_set_controller(context: Context) -> None:
    bridge = model_of(context).real_bridge(context.args[0])
    replace_targets(context, bridge.row, "controller", "Controller", context.args[1:])


# Fail modes.


def run_get_fail_mode(context: Context) -> None:
    bridge = model_of(context).bridge(context.args[0]).real
    context.verify(bridge.row, "fail_mode")
    mode = context.now(bridge.row).opt_text("fail_mode")
    if mode:
        context.print(mode)


def run_del_fail_mode(context: Context) -> None:
    bridge = model_of(context).real_bridge(context.args[0])
    context.txn.set(bridge.row, "fail_mode", ())


def run_set_fail_mode(context: Context) -> None:
    bridge = model_of(context).real_bridge(context.args[0])
    mode = context.args[1]
    if mode not in ("standalone", "secure"):
        raise CommandError('fail-mode must be "standalone" or "secure"')
    context.txn.set(bridge.row, "fail_mode", (mode,))


# Managers.

_MANAGERS = Managers("Open_vSwitch", "manager_options")
need_get_manager = need_del_manager = need_set_manager = _MANAGERS.need
run_get_manager = _MANAGERS.run_get
run_del_manager = _MANAGERS.run_del
run_set_manager = _MANAGERS.run_set


# TLS.

_SSL_LINES = (
    ("Private key", "private_key"), ("Certificate", "certificate"), ("CA Certificate", "ca_cert"),
)  # fmt: skip


def need_get_ssl(needs: Needs, command: Command) -> None:
    needs.columns("Open_vSwitch", "ssl")
    needs.columns("SSL", "private_key", "certificate", "ca_cert", "bootstrap_ca_cert")


need_del_ssl = need_set_ssl = need_get_ssl


def run_get_ssl(context: Context) -> None:
    context.verify(context.root, "ssl")
    for row in context.txn.refs(context.root, "ssl"):
        for title, column in _SSL_LINES:
            context.verify(row, column)
            context.print(f"{title}: {row.text(column)}")
        context.verify(row, "bootstrap_ca_cert")
        context.print(f"Bootstrap: {'true' if row.flag('bootstrap_ca_cert') else 'false'}")


def run_del_ssl(context: Context) -> None:
    for row in context.txn.refs(context.root, "ssl"):
        context.verify(context.root, "ssl")
        context.txn.delete(row)
        context.txn.set(context.root, "ssl", ())


def run_set_ssl(context: Context) -> None:
    txn, root = context.txn, context.root
    for old in txn.refs(root, "ssl"):
        context.verify(root, "ssl")
        txn.delete(old)
    row = context.insert("SSL")
    for (_, column), value in zip(_SSL_LINES, context.args):
        txn.set(row, column, value)
    txn.set(row, "bootstrap_ca_cert", context.has_option("--bootstrap"))
    txn.set(root, "ssl", (row.uuid,))
