"""Commands that need no switch: help, and to look at texts and bytes."""

from __future__ import annotations

import sys

from netloom.base.paths import logdir, rundir
from netloom.openflow import messages as m
from netloom.openflow import protocol as p
from netloom.openflow.errors import OpenFlowError
from netloom.openflow.message_text import Style, format_message, hex_dump
from netloom.programs.ofctl.options import Fatal, parse_versions, protocols_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netloom.openflow.actions import Action
    from netloom.programs.ofctl import Context


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
        sys.stdout.write(format_message(data, Style(context.args.verbosity)))


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


# Matches


def _input_lines() -> list[str]:
    text = sys.stdin.read()
    return text.split("\n")[:-1] if text.endswith("\n") else text.split("\n")


def _match_entries(version: int) -> None:
    from netloom.flow.match import Match
    from netloom.openflow.oxm import oxm_table
    from netloom.openflow.oxm_text import format_entries, parse_entries

    for line in _input_lines():
        if line.startswith("#"):
            sys.stdout.write(line + "\n")
            continue
        text = line.partition("#")[0]
        if not text.strip(" "):
            sys.stdout.write("\n")
            continue
        data = parse_entries(text)
        table = oxm_table(version)
        try:
            value, mask, cookie, cookie_mask = table.decode(data, 0, len(data), cookie=True)
        except OpenFlowError as error:
            sys.stdout.write(f"nx_pull_match() returned error {error.name}\n")
            continue
        entries = table.encode(Match(value, mask), cookie, cookie_mask)
        sys.stdout.write(format_entries(entries) + "\n")


def parse_nx_match(context: Context) -> None:
    _match_entries(1)


def parse_oxm(context: Context) -> None:
    _match_entries(_version(context.operands[0]))


def _version(text: str) -> int:
    versions = parse_versions(text)
    return versions[0]


# Actions in bytes


def _print_action_bytes(context: Context, *, instructions: bool) -> None:
    from netloom.openflow.action_decode import decode_actions, decode_instructions
    from netloom.openflow.action_encode import encode_actions, encode_instructions
    from netloom.openflow.action_format import format_actions

    name = context.operands[0]
    version = _version(name)
    instructions = instructions and version > 1
    what = "instructions" if instructions else "actions"
    for line in _input_lines():
        digits = "".join(line.partition("#")[0].split())
        if not digits:
            continue
        data = bytes.fromhex(digits)
        actions: tuple[Action, ...]
        try:
            decode = decode_instructions if instructions else decode_actions
            actions = decode(data, version)
        except OpenFlowError as error:
            sys.stdout.write(f"bad {p.VERSION_NAMES[version]} {what}: {error.name}\n\n")
            continue
        sys.stdout.write(f"actions={format_actions(actions)}\n")
        encode = encode_instructions if instructions else encode_actions
        again = encode(actions, version)
        for at in range(max(len(data), len(again))):
            before, after = data[at : at + 1].hex(), again[at : at + 1].hex()
            if before != after:
                sys.stdout.write(f"{at:2d}: {before or '(none)'} -> {after or '(none)'}\n")
        sys.stdout.write("\n")


def parse_action_bytes(context: Context) -> None:
    _print_action_bytes(context, instructions=False)


def parse_instruction_bytes(context: Context) -> None:
    _print_action_bytes(context, instructions=True)


# Messages in bytes


def _hex_operand(text: str) -> bytes:
    digits = "".join(text.split())
    try:
        return bytes.fromhex(digits)
    except ValueError:
        raise Fatal("trailing garbage following hex bytes") from None


def ofp_print(context: Context) -> None:
    verbosity = 2
    if len(context.operands) > 1:
        text = context.operands[1]
        verbosity = int(text) if text.isdigit() else 0
    data = _hex_operand(context.operands[0])
    sys.stdout.write(format_message(data, Style(verbosity)))


def ofp_parse(context: Context) -> None:
    """Messages as they follow each other on a connection, from a file."""
    path = context.operands[0]
    try:
        if path == "-":
            data = sys.stdin.buffer.read()
        else:
            with open(path, "rb") as file:
                data = file.read()
    except OSError as error:
        raise Fatal(f"{path}: open failed ({error.strerror})") from None
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
        sys.stdout.write(text)
        pos += length


def print_error(context: Context) -> None:
    from netloom.openflow.error_table import ERRORS

    name = context.operands[0].removeprefix("OFPERR_")
    if name not in ERRORS:
        raise Fatal(f'unknown error "{context.operands[0]}"')
    for version, number in enumerate(ERRORS[name], 1):
        if number is not None:
            vendor, kind, code = number
            shown = f"{vendor:#x}" if vendor else "0"
            sys.stdout.write(
                f"OpenFlow 1.{version - 1}: vendor {shown}, type {kind}, code {code}\n"
            )


def encode_error_reply(context: Context) -> None:
    from netloom.openflow.codec import encode_message
    from netloom.openflow.error_table import ERRORS

    name = context.operands[0].removeprefix("OFPERR_")
    if name not in ERRORS:
        raise Fatal(f'unknown error "{context.operands[0]}"')
    request = _hex_operand(context.operands[1])
    if len(request) < 8:
        raise Fatal("Request too short")
    xid = int.from_bytes(request[4:8], "big")
    reply = encode_message(m.Error(name, request), xid, p.INITIAL[request[0]])
    sys.stdout.write(hex_dump(reply, ascii_too=False))


def encode_hello(context: Context) -> None:
    from netloom.openflow.codec import encode_message
    from netloom.openflow.number_text import c_int

    bitmap = c_int(context.operands[0]) or 0
    versions = tuple(n for n in range(1, 7) if bitmap >> n & 1)
    if not versions:
        raise Fatal("no OpenFlow version in the bitmap")
    hello = encode_message(m.Hello(versions), context.xids.new(), p.INITIAL[versions[-1]])
    sys.stdout.write(hex_dump(hello, ascii_too=False))
    sys.stdout.write(format_message(hello))


def parse_key_value(context: Context) -> None:
    from netloom.flow.words import split_words

    for text in context.operands:
        pairs = [f"{name}={value}" if value else name for name, value in split_words(text)]
        sys.stdout.write(", ".join(pairs) + "\n")
