"""monitor and snoop: print messages as they come, until the end.

Messages go to the standard error, as ever.
"""

from __future__ import annotations

import sys
import time

from netloom.openflow import messages as m
from netloom.openflow.codec import encode_message
from netloom.openflow.message_text import Style, format_message
from netloom.programs.ofctl.options import Fatal
from netloom.programs.ofctl.switch import Switch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netloom.programs.ofctl import Context

_ECHO_REQUEST = 2


def _timestamp() -> str:
    now = time.time()
    milliseconds = int(now * 1000) % 1000
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(now)) + f".{milliseconds:03d}: "


def _print_forever(context: Context, switch: Switch, answer_echo: bool) -> None:
    style = Style(context.args.verbosity + 2)
    while True:
        data = switch.receive()
        stamp = _timestamp() if context.args.timestamp else ""
        sys.stderr.write(stamp + format_message(data, style))
        sys.stderr.flush()
        if answer_echo and data[1] == _ECHO_REQUEST:
            reply = encode_message(
                m.EchoReply(data[8:]), int.from_bytes(data[4:8], "big"), switch.protocol
            )
            switch.send(reply)


def _set_config(switch: Switch, miss_send_len: int | None, invalid_ttl: bool) -> None:
    for data in switch.ask(m.GetConfigRequest()):
        config = switch.decode(data)
        if not isinstance(config, m.GetConfigReply):
            raise Fatal(f"{switch.name}: bad reply to config request")
        flags = config.flags | (m.OFPC_INVALID_TTL_TO_CONTROLLER if invalid_ttl else 0)
        length = config.miss_send_len if miss_send_len is None else miss_send_len
        switch.must_change(switch.encode(m.SetConfig(flags, length)))


def _check_invalid_ttl(switch: Switch) -> None:
    """The switch may have ignored the wish."""
    for data in switch.ask(m.GetConfigRequest()):
        config = switch.decode(data)
        if isinstance(config, m.GetConfigReply) and not (
            config.flags & m.OFPC_INVALID_TTL_TO_CONTROLLER
        ):
            raise Fatal("setting invalid_ttl_to_controller failed (this switch probably "
                        "doesn't support this flag)")  # fmt: skip


def _set_packet_in_format(switch: Switch, wanted: int | None) -> None:
    if wanted is not None:
        switch.must_change(switch.encode(m.SetPacketInFormat(wanted)))
        return
    formats = [m.PACKET_IN_NXT2]
    if switch.version == 1:
        formats.append(m.PACKET_IN_NXT)
    for number in formats:
        if switch.change(switch.encode(m.SetPacketInFormat(number))) is None:
            return


def monitor(context: Context) -> None:
    switch = Switch(context.switch, context.args, context.xids)
    for argument in context.operands[1:]:
        if argument.startswith("watch:"):
            raise Fatal("watch: is not supported by this version of Netloom")
        if not argument[:1].isdigit() and argument != "invalid_ttl":
            raise Fatal(f'{argument}: unsupported "monitor" argument')
        if argument == "invalid_ttl":
            _set_config(switch, None, True)
            _check_invalid_ttl(switch)
        else:
            _set_config(switch, int(argument) if argument.isdigit() else 0, False)
    _set_packet_in_format(switch, context.args.packet_in_format)
    _print_forever(context, switch, answer_echo=True)


def snoop(context: Context) -> None:
    switch = Switch(context.switch, context.args, context.xids, kind="snoop")
    _print_forever(context, switch, answer_echo=False)
