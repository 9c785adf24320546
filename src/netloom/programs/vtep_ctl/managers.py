"""Commands about the managers that the database server connects to."""

from __future__ import annotations

from netloom.programs.db_ctl.targets import print_targets, replace_targets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netloom.programs.db_ctl.command_line import Command
    from netloom.programs.db_ctl.context import Context, Needs


def need_get_manager(needs: Needs, command: Command) -> None:
    needs.columns("Global", "managers")
    needs.columns("Manager", "target", "inactivity_probe")


need_del_manager = need_set_manager = need_get_manager


def run_get_manager(context: Context) -> None:
    print_targets(context, context.root, "managers", "Manager")


def run_del_manager(context: Context) -> None:
    context.verify(context.root, "managers")
    replace_targets(context, context.root, "managers", "Manager", [])


def run_set_manager(context: Context) -> None:
    context.verify(context.root, "managers")
    replace_targets(context, context.root, "managers", "Manager", context.args)
