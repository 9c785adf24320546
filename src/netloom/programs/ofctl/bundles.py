"""--bundle, and the command `bundle`: changes made all together or not at all."""

from __future__ import annotations

import sys

from netloom.base.errors import ConfigError
from netloom.flow.words import first_word
from netloom.openflow import messages as m
from netloom.openflow import messages_bundles as b
from netloom.openflow import protocol as p
from netloom.openflow.error_table import error_name
from netloom.openflow.flow_encoder import FlowEncoder, wrapped
from netloom.openflow.messages_groups import GroupMod
from netloom.programs.ofctl.group_commands import check_command
from netloom.programs.ofctl.names import accepted_names
from netloom.programs.ofctl.options import Fatal, add_bundles, protocols_text
from netloom.programs.ofctl.switch import Switch, open_for_flows

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from netloom.openflow.flow_lines import AlikeFlow
    from netloom.openflow.flow_text import Names
    from netloom.programs.ofctl import Context

    #: A flow mod, a flow of a file that is like others, or another message.
    Change = m.MessageRecord | m.FlowMod | m.PacketOut | AlikeFlow

_USABLE = p.P_OF13 | p.P_OF14 | p.P_OF15
_FLAGS = b.OFPBF_ATOMIC | b.OFPBF_ORDERED
_ERROR = 1
#: Messages that are given to the connection together.
_AT_ONCE = 500


def send_bundle(context: Context, changes: Sequence[Change], usable: int) -> None:
    """Opens a connection and makes all `changes`, or none."""
    if usable and not usable & _USABLE:
        allowed = protocols_text(context.args.allowed_protocols)
        raise Fatal(
            f"none of the usable flow formats (none) is among the allowed flow formats ({allowed})"
        )
    switch = open_for_flows(context.switch, context.args, context.xids, usable & _USABLE)
    transact(context, switch, changes)
    switch.close()


def transact(context: Context, switch: Switch, changes: Sequence[Change]) -> None:
    """Makes all `changes` or none; prints the switch's errors and ends the program if none."""
    for change in changes:
        if isinstance(change, GroupMod):
            check_command(change, switch.version)
    empty = switch.encode(b.BundleAdd(0, _FLAGS, b""), 0)
    encoder = FlowEncoder(switch.protocol, empty)
    new_xid = switch.connection.new_xid
    messages = [
        wrapped(empty, switch.encode(change))
        if isinstance(change, m.MessageRecord | m.PacketOut)
        else encoder.encode(change, new_xid())
        for change in changes
    ]
    errors: list[bytes] = []
    controls = [_control(switch, b.OFPBCT_OPEN_REQUEST, errors)]
    if not errors:
        _add(switch, messages, errors)
    if not errors:
        controls.append(_control(switch, b.OFPBCT_COMMIT_REQUEST, errors))
    if errors:
        sent = {message[4:8]: message[len(empty) :] for message in messages}
        sent.update({request[4:8]: request for request in controls})
        for error in errors:
            _print_error(context, error, sent)
        raise Fatal(f"talking to {switch.connection.name} (Protocol error)")


def _control(switch: Switch, kind: int, errors: list[bytes]) -> bytes:
    """Opens or commits the bundle; returns the request."""
    request = switch.encode(b.BundleControl(0, kind, _FLAGS))
    switch.send(request)
    while True:
        data = switch.receive()
        if data[1] == _ERROR:
            errors.append(data)
        if data[4:8] == request[4:8]:
            break
    if data[1] != _ERROR:
        reply = switch.decode(data)
        if not isinstance(reply, b.BundleControl) or reply.type != kind + 1:
            raise Fatal(f"talking to {switch.connection.name} (Protocol error)")
    return request


def _add(switch: Switch, messages: list[bytes], errors: list[bytes]) -> None:
    """Sends the messages, and looks at what the switch says of them with a barrier after them."""
    for start in range(0, len(messages), _AT_ONCE):
        # Neither side's buffers must fill up while nobody reads.
        switch.send(*messages[start : start + _AT_ONCE])
    barrier = switch.encode(m.BarrierRequest())
    switch.send(barrier)
    while True:
        data = switch.receive()
        if data[1] == _ERROR:
            errors.append(data)
        if data[4:8] == barrier[4:8]:
            return


def _print_error(context: Context, data: bytes, sent: dict[bytes, bytes]) -> None:
    from netloom.openflow.message_text import Style, format_message

    error = switch_error(data)
    original = sent.get(data[4:8], error.data)
    name = error.name or error_name(data[0], error.vendor, error.type, error.code)
    text = format_message(original, Style(context.args.verbosity + 1))
    sys.stderr.write(f"Error {name} for: {text}")


def switch_error(data: bytes) -> m.Error:
    """The command `switch-error`."""
    from netloom.openflow.codec import decode_message

    error = decode_message(data)[0]
    assert isinstance(error, m.Error)
    return error


# The command


def bundle(context: Context) -> None:
    """The command `bundle`."""
    from netloom.programs.ofctl.input import read_lines

    path = context.operands[1]
    names = accepted_names(context, context.switch)
    changes: list[Change] = []
    usable = p.P_ANY
    for number, line in enumerate(read_lines(path), 1):
        text = line.partition("#")[0].strip(" \t\r\n")
        if not text:
            continue
        try:
            change, protocols = _parse(text, names)
        except ConfigError as error:
            raise ConfigError(f"{path}:{number}: {error}") from None
        changes.append(change)
        usable &= protocols
    add_bundles(context.args)
    send_bundle(context, changes, usable)


def _parse(text: str, names: Names) -> tuple[Change, int]:
    kind = first_word(text)
    rest = text[len(kind) :]
    # Beginnings of the words will do.
    if "flow".startswith(kind):
        from netloom.openflow.flow_text import parse_flow_mod

        return parse_flow_mod(rest, None, names)
    if "group".startswith(kind):
        from netloom.openflow.group_text import parse_group_mod

        return parse_group_mod(rest, None, names)
    if "packet-out".startswith(kind):
        from netloom.openflow.flow_text import parse_packet_out

        return parse_packet_out(rest, names)
    raise ConfigError(f"Unsupported bundle message type: {kind}")
