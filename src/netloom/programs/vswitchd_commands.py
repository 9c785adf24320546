"""What `ovs-appctl` can ask of ovs-vswitchd beyond the commands that every daemon has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from netloom.base.errors import CommandError, ConfigError
from netloom.datapath.dpctl import Dpctl
from netloom.datapath.userspace.thread_commands import ThreadCommands
from netloom.flow.compose import compose_packet
from netloom.flow.key import PACKET_TYPE_MASK
from netloom.flow.odp_parse import parse_odp_flow
from netloom.netdev.device import Device
from netloom.netdev.dummy import DummyFactory
from netloom.ofproto.appctl import OfprotoCommands
from netloom.ofproto.json_answers import json_answers
from netloom.ofproto.offload_commands import OffloadCommands
from netloom.ofproto.protocol_commands import COMMANDS as PROTOCOL_COMMANDS
from netloom.ofproto.underlay.commands import DummyAddresses, UnderlayCommands
from netloom.vswitchd.quality import format_qos, format_types

if TYPE_CHECKING:
    from netloom.programs.vswitchd import Program


def register_commands(program: Program) -> None:
    """Register everything that the parts of the daemon offer."""
    registry = program.registry
    for verb in ("disable", "enable", "set-active"):
        registry.add_alias(f"bond/{verb}-slave", f"bond/{verb}-member")
    registry.register("bridge/reconnect", "[bridge]", 0, 1, _reconnect(program))
    registry.register("qos/show", "interface", 1, 1, _qos(program, _show_qos))
    registry.register("qos/show-types", "interface", 1, 1, _qos(program, format_types))
    dpctl = Dpctl(
        program.datapaths.dpifs,
        program.clock.now_ms,
        lambda name: Path(name).read_text(),
        owner=program.datapaths.spare,
        counters=program.counters,
    )
    threads = ThreadCommands(program.datapaths.dpifs, program.clock)
    bridges = OfprotoCommands(program.datapaths.in_use, program.clock)
    underlay = UnderlayCommands(
        program.datapaths.underlay, program.clock, program.datapaths.set_tunnel_source_ports,
        lambda: program.follow_routes(at_once=True),
    )  # fmt: skip
    offload = OffloadCommands(program.datapaths.in_use, program.datapaths.offload)
    answers = offload.answers() | json_answers(
        program.datapaths.in_use, underlay.routes, underlay.rules
    )
    for command in (
        *dpctl.commands(), *bridges.commands(), *threads.commands(), *PROTOCOL_COMMANDS,
        *underlay.commands(), *offload.commands(),
    ):  # fmt: skip
        name, usage, least, most, handler = command
        registry.register(name, usage, least, most, handler, answers.get(name))
    if program.dummies is not None:
        _register_dummies(program, program.dummies)
        for command in DummyAddresses(program.datapaths.underlay).commands():
            registry.register(*command)


def _reconnect(program: Program) -> Callable[[list[str]], str]:
    def run(args: list[str]) -> str:
        bridges = program.switch.applier.bridges
        if args and args[0] not in bridges:
            raise CommandError("Unknown bridge")
        for name in args or list(bridges):
            program.links.reconnect(name)
        return ""

    return run


def _qos(program: Program, show: Callable[[str, Device | None], str]) -> Callable[[list[str]], str]:
    """What `show` says of the interface that is named."""

    def run(args: list[str]) -> str:
        interface = program.switch.applier.find(args[0])
        if interface is None:
            raise CommandError("no such interface")
        return show(args[0], interface.device)

    return run


def _show_qos(name: str, device: Device | None) -> str:
    try:
        text = format_qos(name, device)
    except OSError as error:
        reason = f"failed to retrieve QOS configuration ({error.strerror})"
        raise CommandError(f"{name}: {reason}\n") from error
    return text or f"QoS not configured on {name}\n"


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
    # What comes in at a dummy starts with an Ethernet header.
    return compose_packet(key & ~PACKET_TYPE_MASK, length or None)
