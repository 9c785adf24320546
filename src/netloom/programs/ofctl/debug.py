"""Commands that need no switch: help, and to look at texts and bytes."""

from __future__ import annotations

import sys

from netloom.base.log import get_logger
from netloom.base.paths import logdir, rundir
from netloom.openflow import messages as m
from netloom.openflow import protocol as p
from netloom.openflow.errors import OpenFlowError
from netloom.openflow.message_text import Style, bare_hex_dump, format_message
from netloom.programs.ofctl.input import input_lines, read_bytes
from netloom.programs.ofctl.options import Fatal, parse_version, protocols_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netloom.openflow.actions import Action
    from netloom.programs.ofctl import Context

_HEADER_BYTES = 8


def print_help(context: Context) -> None:
    from netloom.programs.ofctl.help import help_text

    sys.stdout.write(help_text(rundir(), logdir()))


def list_commands(context: Context) -> None:
    from netloom.programs.ofctl.commands import all_commands

    sys.stdout.write("The available commands are:\n")
    for command in all_commands():
        sys.stdout.write(f"  {command.name:<23} {command.usage}\n")


# Flows


def _print_flows(context: Context, flows: list[m.FlowMod], usable: int) -> None:
    from netloom.openflow.codec import encode_message

    sys.stdout.write(f"usable protocols: {protocols_text(usable)}\n")
    allowed = usable & context.args.allowed_protocols
    if not allowed:
        raise Fatal("no usable protocol")
    chosen = allowed & -allowed
    sys.stdout.write(f"chosen protocol: {protocols_text(chosen)}\n")
    for flow in flows:
        data = encode_message(flow, context.xids.new(), chosen)
        _print_message(context, format_message(data, Style(context.args.verbosity)))


def _print_message(context: Context, text: str) -> None:
    """Prints a message, in color if that is asked for."""
    from netloom.programs.ofctl.dumps import in_color

    sys.stdout.write(in_color(context, text))


def parse_flow(context: Context) -> None:
    from netloom.openflow.flow_text import parse_flow_mod

    flow, usable = parse_flow_mod(context.operands[0], m.OFPFC_ADD)
    _print_flows(context, [flow], usable)


def parse_flows(context: Context) -> None:
    from netloom.openflow.flow_text import NO_NAMES, parse_flow_lines
    from netloom.programs.ofctl.input import read_lines

    path = context.operands[0]
    flows, usable = parse_flow_lines(read_lines(path), m.OFPFC_ADD, NO_NAMES, path)
    _print_flows(context, flows, usable)


# Actions in bytes


def _version(text: str) -> int:
    version = parse_version(text)
    if not version:
        raise Fatal(f"{text}: not a valid OpenFlow version")
    return version


def _print_action_bytes(context: Context, *, instructions: bool) -> None:
    from netloom.openflow.action_decode import (
        decode_action_list,
        decode_actions,
        decode_instructions,
    )
    from netloom.openflow.action_encode import encode_actions, encode_instructions
    from netloom.openflow.action_format import format_actions
    from netloom.openflow.number_text import atoi
    from netloom.programs.ofctl.matches import differences

    name = context.operands[0]
    version = _version(name)
    # OpenFlow 1.0 has actions in place of instructions.
    wrapped = instructions and version > 1
    what = "instructions" if instructions else "actions"
    decode = decode_action_list
    if instructions:
        decode = decode_instructions if wrapped else decode_actions
    for line in input_lines():
        said = "".join(line.partition("#")[0].split())
        if not said:
            continue
        # The number of the table that they are in may precede them.
        table, comma, rest = said.partition(",")
        data = _hex_operand(rest if comma else said, "Trailing garbage in hex data")
        actions: tuple[Action, ...]
        try:
            actions = decode(data, version)
            if instructions:
                _check_instructions(actions, version, atoi(table) if comma else 0)
        except OpenFlowError as error:
            sys.stdout.write(f"bad {p.VERSION_NAMES[version]} {what}: {error.name}\n\n")
            continue
        sys.stdout.write(f"actions={format_actions(actions)}\n")
        encode = encode_instructions if wrapped else encode_actions
        again = encode(actions, version)
        sys.stdout.write(differences(data, again) + "\n")


def _check_instructions(actions: tuple[Action, ...], version: int, table_id: int) -> None:
    """Refuses what no flow could have in this version and table that matches all packets."""
    from netloom.flow.match import MATCH_ALL
    from netloom.openflow.action_check import check_actions

    if not check_actions(actions, MATCH_ALL, table_id=table_id) & p.INITIAL[version]:
        raise OpenFlowError("OFPBAC_MATCH_INCONSISTENT")


def parse_action_bytes(context: Context) -> None:
    _print_action_bytes(context, instructions=False)


def parse_instruction_bytes(context: Context) -> None:
    _print_action_bytes(context, instructions=True)


# Messages in bytes


def _hex_operand(text: str, complaint: str) -> bytes:
    try:
        return bytes.fromhex("".join(text.split()))
    except ValueError:
        raise Fatal(complaint) from None


def ofp_print(context: Context) -> None:
    from netloom.openflow.number_text import atoi

    verbosity = 2
    if len(context.operands) > 1:
        verbosity = atoi(context.operands[1])
    text = context.operands[0]
    if text == "-" and context.args.raw:
        data = read_bytes(text)
    else:
        if text == "-":
            text = sys.stdin.readline()
        data = _hex_operand(text, "trailing garbage following hex bytes")
    _print_message(context, format_message(data, Style(verbosity)))


def ofp_parse(context: Context) -> None:
    """Messages as they follow each other on a connection, from a file."""
    path = context.operands[0]
    data = read_bytes(path)
    pos = 0
    while pos < len(data):
        if len(data) - pos < 8:
            raise Fatal(f"{path}: unexpected end of file mid-message")
        length = int.from_bytes(data[pos + 2 : pos + 4], "big")
        if length < 8:
            raise Fatal(f"{path}: {length}-byte message is too short for OpenFlow")
        if pos + length > len(data):
            raise Fatal(f"{path}: unexpected end of file mid-message")
        text = format_message(data[pos : pos + length], Style(context.args.verbosity + 2))
        _print_message(context, text)
        pos += length


def print_error(context: Context) -> None:
    from netloom.openflow.error_table import ERRORS

    name = context.operands[0]
    if name not in ERRORS:
        raise Fatal(f'unknown error "{name}"')
    for version, number in enumerate(ERRORS[name], 1):
        if number is not None:
            vendor, kind, code = number
            shown = f"{vendor:#x}" if vendor else "0"
            sys.stdout.write(
                f"OpenFlow 1.{version - 1}: vendor {shown}, type {kind}, code {code}\n"
            )


def encode_error_reply(context: Context) -> None:
    """The command `encode-error-reply ERROR REQUEST`: the answer of a switch that refuses."""
    from netloom.openflow.codec import encode_message
    from netloom.openflow.error_table import ERRORS

    name = context.operands[0]
    if name not in ERRORS:
        raise Fatal(f'unknown error "{name}"')
    request = _hex_operand(context.operands[1], "Trailing garbage in hex data")
    if len(request) < _HEADER_BYTES:
        raise Fatal("Request too short")
    if int.from_bytes(request[2:4], "big") != len(request):
        raise Fatal("Request size inconsistent")
    protocol = p.INITIAL.get(request[0])
    if protocol is None:
        version = f"0x{request[0]:02x}"
        get_logger("ofp_errors").err("cannot encode error for unknown OpenFlow version %s", version)
        protocol = p.P_OF10
    reply = encode_message(m.Error(name, request), int.from_bytes(request[4:8], "big"), protocol)
    sys.stdout.write(bare_hex_dump(reply))


def encode_hello(context: Context) -> None:
    """The command `encode-hello BITMAP`: version N is bit N, versions to come included."""
    from netloom.openflow.number_text import c_int

    bitmap = (c_int(context.operands[0]) or 0) & 0xFFFFFFFF
    if bitmap < 2:
        raise Fatal("no OpenFlow version in the bitmap")
    highest = bitmap.bit_length() - 1
    # The number of the version says it all if every one before it is spoken too.
    element = b"" if bitmap | 1 == (2 << highest) - 1 else b"\0\1\0\x08" + bitmap.to_bytes(4, "big")
    hello = bytes((highest, 0, 0, _HEADER_BYTES + len(element)))
    hello += context.xids.new().to_bytes(4, "big") + element
    sys.stdout.write(bare_hex_dump(hello))
    sys.stdout.write(format_message(hello, Style(context.args.verbosity)))


def parse_key_value(context: Context) -> None:
    from netloom.flow.words import split_words

    for text in context.operands:
        pairs = [f"{name}={value}" if value else name for name, value in split_words(text)]
        sys.stdout.write(", ".join(pairs) + "\n")
