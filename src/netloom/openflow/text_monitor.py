"""Text of flow monitors."""

from __future__ import annotations

from netloom.flow.ports import format_port
from netloom.flow.print import format_match
from netloom.openflow import messages_monitor as w
from netloom.openflow import names
from netloom.openflow.action_format import format_actions
from netloom.openflow.constants import OFPG_ANY, OFPP_ANY
from netloom.openflow.message_table import Frame
from netloom.openflow.message_text import Style
from netloom.openflow.text_flows import table_text

_FLAGS = (
    (w.OFPFMF_INITIAL, "initial"), (w.OFPFMF_ADD, "add"), (w.OFPFMF_REMOVED, "delete"),
    (w.OFPFMF_MODIFY, "modify"), (w.OFPFMF_INSTRUCTIONS, "actions"),
    (w.OFPFMF_NO_ABBREV, "no-abbrev"), (w.OFPFMF_ONLY_OWN, "own"),
)  # fmt: skip
_EVENTS = {
    w.OFPFME_INITIAL: "INITIAL", w.OFPFME_ADDED: "ADDED", w.OFPFME_REMOVED: "DELETED",
    w.OFPFME_MODIFIED: "MODIFIED", w.OFPFME_ABBREV: "ABBREV", w.OFPFME_PAUSED: "PAUSED",
    w.OFPFME_RESUMED: "RESUMED",
}  # fmt: skip


def format_flow_monitor_request(message: w.FlowMonitorRequest, frame: Frame, style: Style) -> str:
    """A line per monitor."""
    out = ""
    for r in message.requests:
        if r.command == w.OFPFMC_DELETE:
            out += f"\n id={r.monitor_id} command=delete"
            continue
        flags = ",".join(word for bit, word in _FLAGS if r.flags & bit)
        out += f"\n id={r.monitor_id} flags={flags or '0'}"
        if r.out_port != OFPP_ANY:
            out += f" out_port={format_port(r.out_port, style.port_names)}"
        if r.out_group not in (0, OFPG_ANY):
            out += f" out_group={(r.out_group ^ 1 << 31) - (1 << 31)}"
        if r.table_id != 255:
            out += f" table={table_text(r.table_id, style.table_names)}"
        match = format_match(r.match, style.port_names)
        out += f" {match}" if match else ""
    return out


def format_flow_monitor_reply(message: w.FlowMonitorReply, frame: Frame, style: Style) -> str:
    return "".join([f"\n event={_update_text(update, style)}" for update in message.updates])


def _update_text(u: w.FlowUpdate, style: Style) -> str:
    out = _EVENTS[u.event]
    if u.event == w.OFPFME_ABBREV:
        return f"{out} xid={u.xid:#x}"
    if u.event > w.OFPFME_ABBREV:
        return out
    if u.event == w.OFPFME_REMOVED:
        out += f" reason={names.REMOVED.get(u.reason, u.reason)}"
    out += f" table={table_text(u.table_id, style.table_names)}"
    if u.idle_timeout:
        out += f" idle_timeout={u.idle_timeout}"
    if u.hard_timeout:
        out += f" hard_timeout={u.hard_timeout}"
    out += f" cookie={u.cookie:#x}" if u.cookie else " cookie=0"
    match = format_match(u.match, style.port_names)
    out += f" {match}" if match else ""
    if not u.actions:
        return out
    return f"{out} actions={format_actions(u.actions, style.port_names, style.table_names)}"


def format_flow_monitor_cancel(message: w.FlowMonitorCancel, frame: Frame, style: Style) -> str:
    return f" id={message.monitor_id}"
