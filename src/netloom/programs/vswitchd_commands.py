"""What `ovs-appctl` can ask of ovs-vswitchd beyond the commands that every daemon has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from netloom.base.errors import CommandError, ConfigError
from netloom.datapath.dpctl import Dpctl
from netloom.flow.compose import compose_packet
from netloom.flow.odp_parse import parse_odp_flow
from netloom.netdev.dummy import DummyFactory
from netloom.ofproto.appctl import OfprotoCommands
from netloom.ofproto.backer import Backer
from netloom.ofproto.bridge import Ofproto
from netloom.ofproto.ports import OfPort
from netloom.ofproto.trace import command_trace

if TYPE_CHECKING:
    from netloom.programs.vswitchd import Program


def register_commands(program: Program) -> None:
    """Register everything that the parts of the daemon offer."""
    registry = program.registry
    registry.register("bridge/reconnect", "[bridge]", 0, 1, _reconnect(program))
    registry.register("qos/show", "interface", 1, 1, _qos(program, "QoS not configured on {}\n"))
    registry.register(
        "qos/show-types",
        "interface",
        1,
        1,
        _qos(program, "No QoS types supported for interface: {}\n"),
    )
    dpctl = Dpctl(
        lambda: [backer.dpif for backer in program.datapaths.backers.values()],
        program.clock.now_ms,
        lambda name: Path(name).read_text(),
    )
    bridges = OfprotoCommands(lambda: list(program.datapaths.backers.values()))
    for command in (*dpctl.commands(), *bridges.commands()):
        registry.register(*command)
    world = AllBridges(program)
    registry.register(
        "ofproto/trace",
        "{[dp_name] odp_flow | bridge br_flow} [OPTIONS...] [-generate|packet]",
        1,
        None,
        lambda args: command_trace(args, world),
    )
    if program.dummies is not None:
        _register_dummies(program, program.dummies)


class AllBridges:
    """What `ofproto/trace` may look at: `trace.World`."""

    def __init__(self, program: Program) -> None:
        self._program = program

    def _backers(self) -> list[Backer]:
        return list(self._program.datapaths.backers.values())

    def find_bridge(self, name: str) -> Ofproto | None:
        return next((b.bridges[name] for b in self._backers() if name in b.bridges), None)

    def find_dp_port(self, number: int) -> OfPort | None:
        return next((b.ports[number] for b in self._backers() if number in b.ports), None)

    def dp_port_numbers(self) -> dict[str, int]:
        return {
            name: number
            for backer in self._backers()
            for number, name in backer.port_names().items()
        }

    def now_ms(self) -> int:
        return self._program.clock.now_ms()


def _reconnect(program: Program) -> Callable[[list[str]], str]:
    def run(args: list[str]) -> str:
        bridges = program.switch.applier.bridges
        if args and args[0] not in bridges:
            raise CommandError("Unknown bridge")
        for name in args or list(bridges):
            program.links.reconnect(name)
        return ""

    return run


def _qos(program: Program, text: str) -> Callable[[list[str]], str]:
    """QoS is not configured on anything in this version."""

    def run(args: list[str]) -> str:
        if program.switch.applier.find(args[0]) is None:
            raise CommandError("no such interface")
        return text.format(args[0])

    return run


def _register_dummies(program: Program, dummies: DummyFactory) -> None:
    registry = program.registry

    def receive(args: list[str]) -> str:
        return dummies.command_receive(args, _build_packet)

    registry.register(
        "netdev-dummy/receive", "name [--qid queue_id] packet|flow [--len packet_len]", 2, None,
        receive,
    )  # fmt: skip
    registry.register(
        "netdev-dummy/set-admin-state", "[netdev] up|down", 1, 2, dummies.command_set_admin_state
    )
    registry.register("netdev-dummy/conn-state", "[netdev]", 0, 1, dummies.command_conn_state)


def _build_packet(text: str, length: int) -> bytes:
    """A packet of a flow in data-path syntax, of `length` bytes unless that is 0."""
    try:
        key, _ = parse_odp_flow(text)
    except ConfigError as error:
        raise CommandError(str(error)) from error
    return compose_packet(key, length or None)
