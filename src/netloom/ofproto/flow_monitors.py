"""Flow monitors: a session is told of each change to the flows that it asked for.

    state.create(requests)            # what a request for monitors asks for
    state.report(change, own_xid)     # one change; own_xid: that of the session's own request
    messages = state.flush()          # what is to be sent of it

What must hold: a controller that applies the updates in order knows the flows. A change that the
session itself has asked for is told in short ("your request so-and-so was carried out"), unless
it wants to hear of these too.

A controller that does not read cannot make the switch keep an endless queue: when more than
`PAUSE_BYTES` wait to be sent, updates *pause*. From then on only what goes is told, of flows that
the controller knows. When all has been sent, flows that came or changed meanwhile are told as they
are then, and updates *resume*. Nicira's extension of OpenFlow 1.0 (ovs-ofctl(8), "monitor"), that
of ONF for 1.3, and OpenFlow 1.4, 7.3.5.18.
"""

from __future__ import annotations

from collections.abc import Iterable

from netloom.ofproto.rules import Rule, sends_to
from netloom.ofproto.tables import Change, Tables
from netloom.openflow import messages as m
from netloom.openflow import messages_monitor as w
from netloom.openflow.actions import Actions
from netloom.openflow.errors import OpenFlowError

PAUSE_BYTES = 128 * 1024

_WANTS = {
    "added": w.OFPFMF_ADD,
    "replaced": w.OFPFMF_ADD,
    "modified": w.OFPFMF_MODIFY,
    "removed": w.OFPFMF_REMOVED,
}
_EVENTS = {
    "added": w.OFPFME_ADDED,
    "replaced": w.OFPFME_ADDED,
    "modified": w.OFPFME_MODIFIED,
    "removed": w.OFPFME_REMOVED,
}


class FlowMonitors:
    """The monitors of one session, and what it is to be told."""

    def __init__(self) -> None:
        self._monitors: dict[int, w.MonitorRequest] = {}
        self._updates: list[w.FlowUpdate] = []
        self._has_abbreviated = False
        self.is_paused = False
        #: Rules that came, or changed, since updates paused, by id.
        self._added: dict[int, Rule] = {}
        self._modified: dict[int, Rule] = {}

    def __bool__(self) -> bool:
        return bool(self._monitors)

    # Requests

    def create(self, requests: Iterable[w.MonitorRequest], tables: Tables) -> list[w.FlowUpdate]:
        """Carry out all requests, or none (OpenFlowError); the flows that are to be told first."""
        before = dict(self._monitors)
        fresh: list[w.MonitorRequest] = []
        try:
            for request in requests:
                self._carry_out(request)
                if request.command != w.OFPFMC_DELETE:
                    fresh.append(request)
        except OpenFlowError:
            self._monitors = before
            raise
        return self._initial(fresh, tables)

    def _carry_out(self, request: w.MonitorRequest) -> None:
        number = request.monitor_id
        if request.table_id not in (m.OFPTT_ALL,) and request.table_id > 254:
            raise OpenFlowError("OFPBRC_BAD_TABLE_ID")
        if request.command > w.OFPFMC_DELETE:
            raise OpenFlowError("OFPMOFC_BAD_COMMAND")
        if request.command == w.OFPFMC_ADD:
            if number in self._monitors:
                raise OpenFlowError("OFPMOFC_MONITOR_EXISTS")
        elif number not in self._monitors:
            raise OpenFlowError("OFPMOFC_UNKNOWN_MONITOR")
        if request.command == w.OFPFMC_DELETE:
            del self._monitors[number]
        else:
            self._monitors[number] = request

    def cancel(self, number: int) -> None:
        """Forget a monitor; raises OpenFlowError if there is none."""
        if self._monitors.pop(number, None) is None:
            raise OpenFlowError("OFPMOFC_UNKNOWN_MONITOR")

    def _initial(self, monitors: list[w.MonitorRequest], tables: Tables) -> list[w.FlowUpdate]:
        found: dict[int, tuple[Rule, int]] = {}
        for monitor in monitors:
            if not monitor.flags & w.OFPFMF_INITIAL:
                continue
            wanted = m.FlowStatsRequest(
                monitor.match, monitor.table_id, monitor.out_port, monitor.out_group
            )
            for rule in tables.select_loose(wanted):
                flags = found.get(rule.id, (rule, 0))[1]
                found[rule.id] = (rule, flags | monitor.flags)
        return [_update(w.OFPFME_INITIAL, rule, flags) for rule, flags in found.values()]

    # Changes

    def report(self, change: Change, own_xid: int | None) -> None:
        """Note a change. `own_xid` is the transaction id if the session asked for it itself."""
        rule = change.rule
        if self.is_paused and not self._told_while_paused(change):
            return
        old = change.before.actions if change.before is not None else ()
        flags = self._flags_for(rule, _WANTS[change.kind], old)
        if not flags:
            return
        if flags & w.OFPFMF_ONLY_OWN or own_xid is None or self.is_paused:
            self._updates.append(_update(_EVENTS[change.kind], rule, flags, change.reason))
        elif not self._has_abbreviated:
            self._has_abbreviated = True
            self._updates.append(w.FlowUpdate(w.OFPFME_ABBREV, own_xid))

    def _told_while_paused(self, change: Change) -> bool:
        """Only the end of flows that the controller knows."""
        number = change.rule.id
        if change.kind == "removed":
            self._modified.pop(number, None)
            return self._added.pop(number, None) is None
        if change.kind == "modified" and number not in self._added:
            self._modified[number] = change.rule
        else:
            self._added[number] = change.rule
        return False

    def _flags_for(self, rule: Rule, wanted: int, old: Actions) -> int:
        """The flags of all monitors that want to know of this change."""
        flags = 0
        for monitor in self._monitors.values():
            mask = monitor.match.mask
            if (
                monitor.flags & wanted
                and monitor.table_id in (m.OFPTT_ALL, rule.table_id)
                and not mask & ~rule.match.mask
                and rule.match.value & mask == monitor.match.value
                # What the actions were before counts for ports only.
                and rule.outputs_to(m.OFPP_ANY, monitor.out_group)
                and (
                    rule.outputs_to(monitor.out_port, m.OFPG_ANY)
                    or (old and sends_to(old, monitor.out_port, m.OFPG_ANY))
                )
            ):
                flags |= monitor.flags
        return flags

    # What is to be sent

    def flush(self) -> w.FlowMonitorReply | None:
        """The updates so far as a message; they are forgotten here."""
        updates, self._updates = self._updates, []
        self._has_abbreviated = False
        return w.FlowMonitorReply(tuple(updates)) if updates else None

    def pause(self, version: int) -> m.Message:
        """Stop updates; the message that says so."""
        self.is_paused = True
        return _notice(version, w.OFPFME_PAUSED)

    def resume(self, version: int) -> list[m.Message]:
        """Go on with updates: what was missed, and the message that says so."""
        self.is_paused = False
        told = []
        for rules, wanted in (
            (self._added, w.OFPFMF_ADD | w.OFPFMF_MODIFY),
            (self._modified, w.OFPFMF_MODIFY),
        ):
            for rule in rules.values():
                flags = self._flags_for(rule, wanted, ())
                if flags:
                    event = w.OFPFME_ADDED if wanted & w.OFPFMF_ADD else w.OFPFME_MODIFIED
                    told.append(_update(event, rule, flags))
            rules.clear()
        found: list[m.Message] = [w.FlowMonitorReply(tuple(told))] if told else []
        return [*found, _notice(version, w.OFPFME_RESUMED)]


def _update(event: int, rule: Rule, flags: int, reason: int = 0) -> w.FlowUpdate:
    actions = rule.actions if flags & w.OFPFMF_INSTRUCTIONS else ()
    return w.FlowUpdate(
        event, 0, reason, rule.table_id, rule.priority, rule.idle_timeout_s, rule.hard_timeout_s,
        rule.cookie, rule.match, actions,
    )  # fmt: skip


def _notice(version: int, event: int) -> m.Message:
    """Pause and resumption are messages of their own before OpenFlow 1.4."""
    if version >= m.OFP14_VERSION:
        return w.FlowMonitorReply((w.FlowUpdate(event),))
    return w.FlowMonitorPaused() if event == w.OFPFME_PAUSED else w.FlowMonitorResumed()
