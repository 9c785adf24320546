"""Commands that change flows, and packet-out."""

from __future__ import annotations

import sys

from netloom.base.errors import ConfigError
from netloom.base.record import replace
from netloom.flow.fields import FIELD
from netloom.flow.ports import parse_port
from netloom.openflow import messages as m
from netloom.openflow.flow_encoder import FlowEncoder
from netloom.openflow.flow_text import (
    Names,
    parse_flow_mod,
    parse_packet_out,
    read_flow_lines,
)
from netloom.programs.ofctl.input import read_lines
from netloom.programs.ofctl.names import accepted_names
from netloom.programs.ofctl.options import Fatal
from netloom.programs.ofctl.switch import open_for_flows

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from netloom.openflow.flow_lines import AlikeFlow
    from netloom.programs.ofctl import Context


def _send(context: Context, flows: Sequence[m.FlowMod | AlikeFlow], usable: int) -> None:
    if context.args.bundle:
        from netloom.programs.ofctl.bundles import send_bundle

        send_bundle(context, flows, usable)
        return
    switch = open_for_flows(context.switch, context.args, context.xids, usable)
    encoder = FlowEncoder(switch.protocol)
    messages: Iterator[bytes] = (
        encoder.encode(flow, switch.connection.new_xid()) for flow in flows
    )
    shown: list[str] = []
    if context.args.verbosity >= _SHOWS_DUMPS:
        messages = _show_each(messages, shown, context.args.verbosity == _SHOWS_DUMPS)
    switch.must_change_each(messages)
    sys.stdout.write("".join(shown))
    switch.close()


#: So much verbosity, and messages are shown as dumps; with more, as one number each.
_SHOWS_DUMPS = 5


def _show_each(messages: Iterable[bytes], shown: list[str], dump: bool) -> Iterator[bytes]:
    """The same messages; the text of each is added to `shown`."""
    from netloom.openflow.message_text import hex_dump

    for message in messages:
        number = int.from_bytes(message, "big")
        shown.append(hex_dump(message) if dump else f"{number:#x}\n")
        yield message


def _change_file(context: Context, path: str, command: int | None) -> None:
    names = accepted_names(context, context.switch)
    flows, usable = read_flow_lines(read_lines(path), command, names, path)
    _send(context, flows, usable)


def _change(context: Context, command: int) -> None:
    text = context.operand(1)
    if text == "-":
        _change_file(context, "-", command if command != m.OFPFC_ADD else None)
        return
    names = accepted_names(context, context.switch)
    flow, usable = parse_flow_mod(text, command, names)
    _send(context, [flow], usable)


def add_flow(context: Context) -> None:
    _change(context, m.OFPFC_ADD)


def add_flows(context: Context) -> None:
    _change_file(context, context.operands[1], None)


def mod_flows(context: Context) -> None:
    strict = context.args.strict
    _change(context, m.OFPFC_MODIFY_STRICT if strict else m.OFPFC_MODIFY)


def del_flows(context: Context) -> None:
    strict = context.args.strict
    _change(context, m.OFPFC_DELETE_STRICT if strict else m.OFPFC_DELETE)


def packet_out(context: Context) -> None:
    """`SWITCH "in_port=... packet=..."`, or the older `SWITCH PORT ACTIONS PACKET...`."""
    operands = context.operands
    if len(operands) == 3:
        raise Fatal(f"Too many arguments ({len(operands) + 1})")
    if len(operands) == 2:
        names = accepted_names(context, context.switch)
        message, usable = parse_packet_out(operands[1], names)
        messages = [message]
    else:
        names = accepted_names(context, context.switch, ports_first=True)
        messages, usable = _old_packet_out(operands, names)
    switch = open_for_flows(context.switch, context.args, context.xids, usable)
    for message in messages:
        switch.must_change(switch.encode(message))
    switch.close()


def _old_packet_out(operands: list[str], names: Names) -> tuple[list[m.PacketOut], int]:
    # What is wrong with the actions is said first.
    parse_packet_out(f"packet={'00' * 14} actions={operands[2]}", names)
    port = parse_port(operands[1], names.ports)
    if port is None:
        raise Fatal(f"{operands[0]}: unknown port `{operands[1]}'")
    messages = []
    usable = -1
    for packet in operands[3:]:
        text = f"packet={packet} actions={operands[2]}"
        try:
            message, usable = parse_packet_out(text, names)
        except ConfigError as error:
            raise Fatal(str(error).removeprefix("packet: ")) from None
        # Unlike in the newer syntax, any port will do.
        match = message.match.with_field(FIELD["in_port_oxm"], port)
        messages.append(replace(message, match=match))
    return messages, usable
