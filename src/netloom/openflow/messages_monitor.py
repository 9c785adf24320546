"""Flow monitors: a controller is told of changes to flows, its own among them or not.

Three encodings: Nicira's of OpenFlow 1.0 to 1.2, ONF's extension of 1.3, that of 1.4 and later.
Flags and events are numbered here as in the last.
"""

from __future__ import annotations

from netloom.base.record import Record
from netloom.flow.match import MATCH_ALL, Match
from netloom.openflow.actions import Action
from netloom.openflow.constants import OFPG_ANY, OFPP_ANY
from netloom.openflow.messages import MessageRecord

OFPFMC_ADD = 0
OFPFMC_MODIFY = 1
OFPFMC_DELETE = 2

#: ONLY_OWN: only changes of the same controller; in Nicira's encoding, these too.
OFPFMF_INITIAL = 1 << 0
OFPFMF_ADD = 1 << 1
OFPFMF_REMOVED = 1 << 2
OFPFMF_MODIFY = 1 << 3
OFPFMF_INSTRUCTIONS = 1 << 4
OFPFMF_NO_ABBREV = 1 << 5
OFPFMF_ONLY_OWN = 1 << 6

OFPFME_INITIAL = 0
OFPFME_ADDED = 1
OFPFME_REMOVED = 2
OFPFME_MODIFIED = 3
OFPFME_ABBREV = 4
OFPFME_PAUSED = 5
OFPFME_RESUMED = 6


class MonitorRequest(Record):
    """What one monitor wants to hear of."""

    monitor_id: int
    flags: int
    match: Match = MATCH_ALL
    out_port: int = OFPP_ANY
    out_group: int = OFPG_ANY
    table_id: int = 255
    command: int = OFPFMC_ADD


class FlowMonitorRequest(MessageRecord):
    requests: tuple[MonitorRequest, ...] = ()


class FlowUpdate(Record):
    """A change; an abbreviated one has `xid` only, paused and resumed have nothing."""

    event: int
    xid: int = 0
    reason: int = 0
    table_id: int = 0
    priority: int = 0
    idle_timeout: int = 0
    hard_timeout: int = 0
    cookie: int = 0
    match: Match = MATCH_ALL
    actions: tuple[Action, ...] = ()


class FlowMonitorReply(MessageRecord):
    updates: tuple[FlowUpdate, ...] = ()
    more: bool = False


class FlowMonitorCancel(MessageRecord):
    monitor_id: int


class FlowMonitorPaused(MessageRecord):
    """No more updates until the controller has read those on their way."""


class FlowMonitorResumed(MessageRecord):
    """Updates go on."""
