"""What `ovs-appctl` can ask of ovs-vswitchd beyond the commands that every daemon has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netloom.base.errors import CommandError

if TYPE_CHECKING:
    from netloom.programs.vswitchd import Program


def register_commands(program: Program) -> None:
    """Register everything that the parts of the daemon offer."""
    registry = program.registry

    def reconnect(args: list[str]) -> str:
        bridges = program.switch.applier.bridges
        if args and args[0] not in bridges:
            raise CommandError("unknown bridge")
        for name in args or list(bridges):
            program.links.reconnect(name)
        return ""

    registry.register("bridge/reconnect", "[bridge]", 0, 1, reconnect)
    if program.dummies is not None:
        _register_dummies(program)


def _register_dummies(program: Program) -> None:
    dummies, registry = program.dummies, program.registry
    assert dummies is not None

    def then_wake(handler):  # type: ignore[no-untyped-def]
        def run(args: list[str]) -> str:
            text: str = handler(args)
            program.loop.wake()
            return text

        return run

    registry.register(
        "netdev-dummy/set-admin-state",
        "[netdev] up|down",
        1,
        2,
        then_wake(dummies.command_set_admin_state),
    )
    registry.register(
        "netdev-dummy/conn-state", "[netdev]", 0, 1, dummies.command_conn_state
    )
