"""monitor and snoop: what is asked of the switch before its messages are printed."""

from __future__ import annotations

import sys

from netloom.openflow import messages as m
from netloom.openflow.message_text import format_message
from netloom.openflow.number_text import atoi
from netloom.programs.ofctl.dumps import in_color, painter
from netloom.programs.ofctl.names import accepted_names, shown_style
from netloom.programs.ofctl.options import Fatal, protocols_text, versions_text
from netloom.programs.ofctl.switch import Switch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netloom.programs.ofctl import Context

_MISS_SEND_ALL = 0xFFFF
#: Versions in which a switch can be asked to send packets whose time to live is up.
_INVALID_TTL_VERSIONS = (1, 2, 3)
_PACKET_IN_NAMES = {
    m.PACKET_IN_STANDARD: "standard", m.PACKET_IN_NXT: "nxt_packet_in",
    m.PACKET_IN_NXT2: "nxt_packet_in2",
}  # fmt: skip


def _fetch_config(switch: Switch) -> m.GetConfigReply:
    for data in switch.ask(m.GetConfigRequest()):
        config = switch.decode(data)
        if isinstance(config, m.GetConfigReply):
            return config
    raise Fatal(f"{switch.connection.name}: bad reply to config request")


def _set_miss_send_len(switch: Switch, length: int) -> None:
    config = _fetch_config(switch)
    switch.must_change(switch.encode(m.SetConfig(config.flags, length)))


def _set_invalid_ttl(switch: Switch) -> None:
    """Asks for packets with an invalid TTL; the switch may ignore the wish."""
    wish = m.OFPC_INVALID_TTL_TO_CONTROLLER
    config = _fetch_config(switch)
    if config.flags & wish:
        return
    switch.must_change(switch.encode(m.SetConfig(config.flags | wish, config.miss_send_len)))
    if not _fetch_config(switch).flags & wish:
        raise Fatal("setting invalid_ttl_to_controller failed (this switch probably "
                    "doesn't support this flag)")  # fmt: skip


def _limit_versions(context: Context) -> None:
    """`invalid_ttl` among the arguments: only versions that have it."""
    if "invalid_ttl" not in context.operands[1:]:
        return
    usable = tuple(v for v in context.args.versions if v in _INVALID_TTL_VERSIONS)
    if not usable:
        raise Fatal(
            f"invalid_ttl requires one of the OpenFlow versions "
            f"{versions_text(_INVALID_TTL_VERSIONS)} but none is enabled (use -O)"
        )
    context.args.versions = usable


def _set_packet_in_format(switch: Switch, wanted: int | None) -> None:
    """The format of -P, or the most capable one that the switch has."""
    if wanted is not None:
        if switch.change(switch.encode(m.SetPacketInFormat(wanted))) is not None:
            name = _PACKET_IN_NAMES[wanted]
            raise Fatal(f"{switch.connection.name}: failed to set packet in format to "
                        f"{name}, server replied: %s")  # fmt: skip
        return
    formats = [m.PACKET_IN_NXT2]
    if switch.version == 1:
        formats.append(m.PACKET_IN_NXT)
    for number in formats:
        if switch.change(switch.encode(m.SetPacketInFormat(number))) is None:
            return


def _watch_flows(context: Context, switch: Switch, text: str, number: int) -> None:
    """Asks to be told of changes to flows, and prints the flows that are there."""
    from netloom.openflow.messages_monitor import FlowMonitorRequest
    from netloom.programs.ofctl.flow_watch import parse_flow_watch

    names = accepted_names(context, context.switch)
    request, usable = parse_flow_watch(text, names, number)
    if not usable & context.args.allowed_protocols:
        raise Fatal(
            f"none of the usable flow formats ({protocols_text(usable)}) is among the allowed "
            f"flow formats ({protocols_text(context.args.allowed_protocols)})"
        )
    style = shown_style(context, context.switch, 1)
    for data in switch.ask(FlowMonitorRequest((request,))):
        sys.stdout.write(in_color(context, format_message(data, style)))
    sys.stdout.flush()


def monitor(context: Context) -> int:
    """The command `monitor SWITCH [MISS_LEN] [invalid_ttl] [watch:...] [resume]`."""
    from netloom.programs.ofctl.watching import Watch, watch

    _limit_versions(context)
    switch = Switch(context.switch, context.args, context.xids)
    resume = False
    watches = 0
    for argument in context.operands[1:]:
        if argument[:1].isdigit():
            _set_miss_send_len(switch, atoi(argument) & 0xFFFF)
        elif argument == "invalid_ttl":
            _set_invalid_ttl(switch)
        elif argument.startswith("watch:"):
            watches += 1
            _watch_flows(context, switch, argument.removeprefix("watch:"), watches - 1)
        elif argument == "resume":
            resume = True
            _set_miss_send_len(switch, _MISS_SEND_ALL)
        else:
            raise Fatal(f'{argument}: unsupported "monitor" argument')
    _set_packet_in_format(switch, context.args.packet_in_format)
    style = shown_style(context, context.switch, 2)
    return watch(context, Watch(switch, style, painter(context), answer_echo=True, resume=resume))


def snoop(context: Context) -> int:
    """The command `snoop SWITCH`."""
    from netloom.openflow.message_text import Style
    from netloom.programs.ofctl.watching import Watch, watch

    switch = Switch(context.switch, context.args, context.xids, kind="snoop")
    return watch(context, Watch(switch, Style(context.args.verbosity + 2), painter(context)))
