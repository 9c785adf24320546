"""Commands that print what a switch says: show, dump-*, queue-*."""

from __future__ import annotations

import sys

from netloom.base.environment import variable
from netloom.flow.ports import ALL, MAX
from netloom.openflow import messages as m
from netloom.openflow import protocol as p
from netloom.openflow.message_text import Style, format_message
from netloom.openflow.number_text import atoi
from netloom.programs.ofctl.names import accepted_names, find_port, port_list, shown_style
from netloom.programs.ofctl.names import shows_names as _shows_names
from netloom.programs.ofctl.options import Fatal, protocols_text
from netloom.programs.ofctl.switch import Switch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netloom.openflow.flow_colors import Painter
    from netloom.programs.ofctl import Context


def open_switch(context: Context) -> Switch:
    return Switch(context.switch, context.args, context.xids)


def print_replies(context: Context, switch: Switch, request: m.Message) -> None:
    """Prints whatever the switch answers, errors too."""
    replies = list(switch.ask(request))
    style = shown_style(context, context.switch, 1)
    for data in replies:
        sys.stdout.write(in_color(context, format_message(data, style)))


def show(context: Context) -> None:
    switch = open_switch(context)
    style = Style(context.args.verbosity + 1)
    for data in switch.ask(m.FeaturesRequest()):
        sys.stdout.write(format_message(data, style))
    if switch.version >= 4:
        print_replies(context, switch, m.PortDescRequest())
    switch.close()
    second = open_switch(context)
    for data in second.ask(m.GetConfigRequest()):
        sys.stdout.write(format_message(data, style))
    second.close()


def dump_desc(context: Context) -> None:
    print_replies(context, open_switch(context), m.DescRequest())


def dump_tables(context: Context) -> None:
    print_replies(context, open_switch(context), m.TableStatsRequest())


def dump_table_features(context: Context) -> None:
    from netloom.openflow.text_tables import tables_text

    switch = open_switch(context)
    if switch.version < 4:
        raise Fatal("dump-table-features needs OpenFlow 1.3 or later ('-O OpenFlow13')")
    tables: list[m.TableFeatures] = []
    for data in switch.ask(m.TableFeaturesRequest()):
        reply = switch.decode(data)
        assert isinstance(reply, m.TableFeaturesReply)
        tables.extend(reply.tables)
    text = tables_text(tuple(tables), switch.version)
    sys.stdout.write(text + "\n")


def dump_ports(context: Context) -> None:
    switch = open_switch(context)
    port = find_port(context, context.operands[1]) if len(context.operands) > 1 else m.OFPP_ANY
    print_replies(context, switch, m.PortStatsRequest(port))


def dump_ports_desc(context: Context) -> None:
    switch = open_switch(context)
    port = m.OFPP_ANY
    if len(context.operands) > 1 and context.operands[1].upper() != "ANY":
        port = find_port(context, context.operands[1])
    print_replies(context, switch, m.PortDescRequest(port))


def _queue(text: str) -> int:
    """A queue's number, read as C's atoi() does; OFPQ_ALL for the word "all"."""
    if not text or text.lower() == "all":
        return m.OFPQ_ALL
    return atoi(text) & 0xFFFFFFFF


def _port_or_any(context: Context) -> int:
    text = context.operand(1)
    if not text or text.lower() in ("all", "any"):
        return m.OFPP_ANY
    return find_port(context, text)


def queue_stats(context: Context) -> None:
    switch = open_switch(context)
    port = _port_or_any(context)
    request = m.QueueStatsRequest(port, _queue(context.operand(2)))
    print_replies(context, switch, request)


def queue_get_config(context: Context) -> None:
    switch = open_switch(context)
    port = _port_or_any(context)
    if context.operand(1).lower() == "all":
        # Which no switch takes for any.
        port = ALL
    queue = _queue(context.operand(2))
    requests = [m.QueueGetConfigRequest(port, queue)]
    if port == m.OFPP_ANY and switch.version == 1:
        # OpenFlow 1.0 asks about one port at a time.
        other = open_switch(context)
        requests = [m.QueueGetConfigRequest(found.port_no) for found in port_list(other)
                    if found.port_no < MAX]  # fmt: skip
        other.close()
    for request in requests:
        print_replies(context, switch, request)


# Flows


def _query(context: Context) -> tuple[m.FlowStatsRequest, int]:
    """Which flows to ask for, and the protocols that can."""
    if len(context.operands) < 2:
        return m.FlowStatsRequest(), p.P_ANY
    from netloom.openflow.flow_text import parse_query

    names = accepted_names(context, context.switch, ports_first=True)
    return parse_query(context.operand(1), names)


def open_for_query(
    context: Context,
) -> tuple[Switch, m.FlowStatsRequest]:
    """A connection in the most capable format that can say the query, and the query."""
    request, usable = _query(context)
    switch = open_for_dump(context, context.switch, usable)
    return switch, request


#: Protocols for reading flows, the best first.
_DUMP = (p.P_OF15, p.P_OF14, p.P_OF13, p.P_OF12, p.P_OF11, p.P_NXM, p.P_OF10)


def open_for_dump(context: Context, name: str, usable: int) -> Switch:
    """A connection to ask for flows, in the best protocol that the switch has."""
    switch = Switch(name, context.args, context.xids)
    if not usable & context.args.allowed_protocols:
        raise Fatal(
            f"none of the usable flow formats ({protocols_text(usable)}) is among the "
            f"allowed flow formats ({protocols_text(context.args.allowed_protocols)})"
        )
    allowed = context.args.allowed_protocols & usable
    for wanted in _DUMP:
        if allowed & wanted and switch.try_protocol(wanted):
            return switch
    raise Fatal(
        f"switch does not support any of the usable flow formats ({protocols_text(usable)})"
    )


def painter(context: Context) -> Painter | None:
    """What colors lines, if they are to be colored."""
    wanted = context.args.color
    if wanted == "auto":
        wanted = "always" if sys.stdout.isatty() and variable("TERM") != "dumb" else ""
    if wanted != "always":
        return None
    from netloom.openflow.flow_colors import Painter, parse_colors

    return Painter(parse_colors(variable("OVS_COLORS") or ""))


def in_color(context: Context, text: str) -> str:
    """The text of a message, in color if that is asked for."""
    paint = painter(context)
    return text if paint is None else paint.message(text)


def dump_flows(context: Context) -> None:
    """Prints as the switch sends, unless something is to be sorted, named or left out."""
    from netloom.base.record import replace

    paint = painter(context)
    switch, request = open_for_query(context)
    request = replace(request, nx=bool(switch.protocol & p.P_NXM_ANY))
    plain = not context.args.sort and context.args.show_stats
    if plain and not _shows_names(context):
        from netloom.openflow.flow_dump import FlowDump

        dump = FlowDump(Style(context.args.verbosity + 1))
        for data in list(switch.ask(request)):
            text = dump.text(data)
            if paint is not None:
                text = "".join([f"{paint.line(line)}\n" for line in text.splitlines()])
            sys.stdout.write(text)
        return
    from netloom.openflow.text_flows import flow_stats_text
    from netloom.programs.ofctl.sorting import sort_flows

    flows: list[m.FlowStats] = []
    for data in switch.ask(request):
        flows.extend(switch.decode_flows(data).flows)
    sort_flows(flows, context.args.sort)
    style = shown_style(context, context.switch) if flows else Style()
    for flow in flows:
        if switch.version < 6:
            # Nicira's ages are shown by the other form only.
            flow = replace(flow, idle_age=-1, hard_age=-1)
        line = flow_stats_text(flow, style, context.args.show_stats)
        if paint is not None:
            line = paint.line(line)
        sys.stdout.write(f" {line}\n")


def dump_aggregate(context: Context) -> None:
    switch, query = open_for_query(context)
    request = m.AggregateRequest(
        query.match, query.table_id, query.out_port, query.out_group, query.cookie,
        query.cookie_mask, bool(switch.protocol & p.P_NXM_ANY),
    )  # fmt: skip
    print_replies(context, switch, request)
