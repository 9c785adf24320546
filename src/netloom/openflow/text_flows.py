"""Text of flows: `ovs-ofctl dump-flows` and what is around it."""

from __future__ import annotations

from netloom.flow.ports import format_port, quote_name
from netloom.flow.print import format_match
from netloom.openflow import action_check, names
from netloom.openflow import messages as m
from netloom.openflow.action_format import format_actions
from netloom.openflow.duration_text import format_duration
from netloom.openflow.errors import OpenFlowError
from netloom.openflow.message_table import Frame
from netloom.openflow.message_text import Style
from netloom.openflow.protocol import INITIAL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_FLAGS: Final = (
    (m.OFPFF_SEND_FLOW_REM, "send_flow_rem"),
    (m.OFPFF_CHECK_OVERLAP, "check_overlap"),
    (m.OFPFF_RESET_COUNTS, "reset_counts"),
    (m.OFPFF_NO_PKT_COUNTS, "no_packet_counts"),
    (m.OFPFF_NO_BYT_COUNTS, "no_byte_counts"),
)


_DEFAULT_PRIORITY: Final = 0x8000
#: The verbosity that shows the match of a flow mod in the form that it came in.
_AS_IT_CAME: Final = 3


def format_flags(flags: int) -> str:
    """Words, each with a space after it."""
    return "".join(f"{word} " for bit, word in _FLAGS if flags & bit)


def table_text(table_id: int, table_names: object) -> str:
    name = table_names.get(table_id) if isinstance(table_names, dict) else None
    return quote_name(name) if name else str(table_id)


def match_text(flow: m.FlowStats | m.FlowMod | m.FlowRemoved, style: Style) -> str:
    priority = None if flow.priority == 0x8000 else flow.priority
    return format_match(flow.match, style.port_names, priority)


# Flow mods and removed flows


def format_flow_mod(message: m.FlowMod, frame: Frame, style: Style) -> str:
    allowed = action_check.check_actions(message.actions, message.match, table_id=message.table_id)
    if not allowed & INITIAL[frame.version]:
        raise OpenFlowError("OFPBAC_MATCH_INCONSISTENT")
    if message.flags & m.OFPFF_EMERG:
        timed = message.idle_timeout or message.hard_timeout
        raise OpenFlowError("OFPFMFC_BAD_EMERG_TIMEOUT" if timed else "OFPFMFC_TABLE_FULL")
    where = None
    if style.verbosity >= _AS_IT_CAME:
        from netloom.openflow.match_bytes_text import flow_mod_match_text

        where = flow_mod_match_text(frame, style.port_names)
    return " " + flow_mod_text(message, style, where)


def flow_mod_text(fm: m.FlowMod, style: Style, where: str | None = None) -> str:
    """`where` is the text of the match, without priority, if it is not to be the usual one."""
    out = names.COMMANDS[fm.command]
    if fm.table_id:
        out += f" table:{table_text(fm.table_id, style.table_names)}"
    out += f" {match_text(fm, style) if where is None else where}"
    if not out.endswith(" "):
        out += " "
    if fm.new_cookie:
        out += f"cookie:{fm.new_cookie:#x} "
    if fm.cookie_mask:
        out += f"cookie:{fm.cookie:#x}/{fm.cookie_mask:#x} "
    if fm.idle_timeout:
        out += f"idle:{fm.idle_timeout} "
    if fm.hard_timeout:
        out += f"hard:{fm.hard_timeout} "
    if fm.importance:
        out += f"importance:{fm.importance} "
    if where is not None and fm.priority != _DEFAULT_PRIORITY:
        out += f"pri:{fm.priority} "
    if fm.buffer_id != m.NO_BUFFER:
        out += f"buf:{fm.buffer_id:#x} "
    if fm.out_port != m.OFPP_ANY:
        out += f"out_port:{format_port(fm.out_port, style.port_names)} "
    out += format_flags(fm.flags)
    return f"{out}actions={format_actions(fm.actions, style.port_names, style.table_names)}"


def format_flow_removed(message: m.FlowRemoved, frame: Frame, style: Style) -> str:
    r = message
    out = " " + match_text(r, style)
    reason = names.REMOVED.get(r.reason, str(r.reason))
    out += f" reason={reason}"
    if r.table_id != 255:
        out += f" table_id={table_text(r.table_id, style.table_names)}"
    if r.cookie:
        out += f" cookie:{r.cookie:#x}"
    out += f" duration{format_duration(r.duration_sec, r.duration_nsec)} idle{r.idle_timeout}"
    if r.hard_timeout:
        out += f" hard{r.hard_timeout}"
    return f"{out} pkts{r.packet_count} bytes{r.byte_count}\n"


# Statistics


def _count(number: int) -> str:
    return "?" if number == m.UNKNOWN else str(number)


def flow_stats_text(
    f: m.FlowStats, style: Style, show_stats: bool = True, known: dict[int, str] | None = None
) -> str:
    """One line of dump-flows, without the space at its start. `known` keeps the texts of lists of
    actions, by identity, for flows that live as long as it does."""
    out = []
    if show_stats or f.cookie:
        out.append(f"cookie={f.cookie:#x}, ")
    if show_stats:
        out.append(f"duration={format_duration(f.duration_sec, f.duration_nsec)}, ")
    if show_stats or f.table_id or (style.table_names and f.table_id in style.table_names):
        out.append(f"table={table_text(f.table_id, style.table_names)}, ")
    if show_stats:
        out.append(f"n_packets={_count(f.packet_count)}, n_bytes={_count(f.byte_count)}, ")
    if f.idle_timeout:
        out.append(f"idle_timeout={f.idle_timeout}, ")
    if f.hard_timeout:
        out.append(f"hard_timeout={f.hard_timeout}, ")
    out.append(format_flags(f.flags))
    if f.importance:
        out.append(f"importance={f.importance}, ")
    if show_stats and 0 <= f.idle_age < 1 << 31:
        out.append(f"idle_age={f.idle_age}, ")
    if show_stats and f.hard_age >= 0 and f.hard_age != f.duration_sec:
        out.append(f"hard_age={f.hard_age}, ")
    match = match_text(f, style)
    out.append(match + " " if match else "")
    text = known.get(id(f.actions)) if known is not None else None
    if text is None:
        text = f"actions={format_actions(f.actions, style.port_names, style.table_names)}"
        if known is not None:
            known[id(f.actions)] = text
    out.append(text)
    return "".join(out)


def format_flow_stats_reply(message: m.FlowStatsReply, frame: Frame, style: Style) -> str:
    known: dict[int, str] = {}
    return "".join([f"\n {flow_stats_text(flow, style, True, known)}" for flow in message.flows])


def _query(query: m.FlowStatsRequest | m.AggregateRequest, style: Style) -> str:
    out = ""
    if query.table_id != 255:
        out += f" table={table_text(query.table_id, style.table_names)}"
    if query.out_port != m.OFPP_ANY:
        out += f" out_port={format_port(query.out_port, style.port_names)}"
    match = format_match(query.match, style.port_names)
    return f"{out} {match}"


def format_flow_stats_request(message: m.FlowStatsRequest, frame: Frame, style: Style) -> str:
    return _query(message, style)


def format_aggregate_request(message: m.AggregateRequest, frame: Frame, style: Style) -> str:
    return _query(message, style)


def format_aggregate_reply(message: m.AggregateReply, frame: Frame, style: Style) -> str:
    return (
        f" packet_count={message.packet_count} byte_count={message.byte_count}"
        f" flow_count={message.flow_count}"
    )
