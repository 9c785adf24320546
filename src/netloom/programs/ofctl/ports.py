"""Commands that configure ports and the treatment of fragments."""

from __future__ import annotations

import sys

from netloom.openflow import messages as m
from netloom.openflow import names
from netloom.openflow.number_text import c_int
from netloom.programs.ofctl.names import ask_ports
from netloom.programs.ofctl.options import Fatal
from netloom.programs.ofctl.switch import Switch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netloom.programs.ofctl import Context

#: Word -> bit of the configuration; the word with "no-" or without it means its opposite.
_ACTIONS = {
    "up": (m.OFPPC_PORT_DOWN, False), "down": (m.OFPPC_PORT_DOWN, True),
    "stp": (m.OFPPC_NO_STP, False), "receive": (m.OFPPC_NO_RECV, False),
    "receive-stp": (m.OFPPC_NO_RECV_STP, False), "flood": (m.OFPPC_NO_FLOOD, False),
    "forward": (m.OFPPC_NO_FWD, False), "packet-in": (m.OFPPC_NO_PACKET_IN, False),
}  # fmt: skip


def _port_action(word: str) -> tuple[int, bool]:
    """(bit, whether to set it)."""
    lower = word.lower()
    plain = lower.removeprefix("no-").removeprefix("no")
    if lower in _ACTIONS:
        return _ACTIONS[lower]
    if plain in _ACTIONS:
        bit, on = _ACTIONS[plain]
        return bit, not on
    raise Fatal(f"unknown mod-port command '{word}'")


def _find(context: Context, text: str) -> m.PhyPort:
    """The description of a port given by number or name; the word LOCAL is neither."""
    number = c_int(text)
    for port in ask_ports(context, context.switch):
        if number is not None:
            if port.port_no == number:
                return port
        elif port.name == text:
            return port
    raise Fatal(f"{context.switch}: couldn't find port `{text}'")


def mod_port(context: Context) -> None:
    port = _find(context, context.operands[1])
    bit, on = _port_action(context.operands[2])
    switch = Switch(context.switch, context.args, context.xids)
    change = m.PortMod(port.port_no, port.hw_addr, bit if on else 0, bit)
    switch.must_change(switch.encode(change))
    switch.close()


def _config(switch: Switch) -> m.GetConfigReply:
    for data in switch.ask(m.GetConfigRequest()):
        reply = switch.decode(data)
        if isinstance(reply, m.GetConfigReply):
            return reply
    raise Fatal(f"{switch.name}: bad reply to config request")


def get_frags(context: Context) -> None:
    switch = Switch(context.switch, context.args, context.xids)
    flags = _config(switch).flags & m.OFPC_FRAG_MASK
    sys.stdout.write(names.FRAGMENTS[flags] + "\n")


def set_frags(context: Context) -> None:
    mode = context.operands[1]
    numbers = {word: number for number, word in names.FRAGMENTS.items()}
    if mode.lower() not in numbers:
        raise Fatal(f"{mode}: unknown fragment handling mode")
    switch = Switch(context.switch, context.args, context.xids)
    config = _config(switch)
    wanted = numbers[mode.lower()]
    if config.flags & m.OFPC_FRAG_MASK == wanted:
        return
    flags = config.flags & ~m.OFPC_FRAG_MASK | wanted
    switch.must_change(switch.encode(m.SetConfig(flags, config.miss_send_len)))
    now = _config(switch).flags & m.OFPC_FRAG_MASK
    if now != wanted:
        raise Fatal(
            f"{context.switch}: setting fragment handling mode failed (this switch probably "
            f'doesn\'t support mode "{mode}")'
        )
