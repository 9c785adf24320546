"""A rule: one entry of an OpenFlow table, with what it has counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from netloom.base.record import Record
from netloom.flow.match import Match
from netloom.ofproto.learned_flows import answered_for
from netloom.openflow import actions as a
from netloom.openflow.action_nesting import flattened
from netloom.openflow.messages import OFPG_ANY, OFPP_ANY

if TYPE_CHECKING:
    from netloom.ofproto.shared_credits import SharedCredit

#: Rules of higher priority than OpenFlow can express are the switch's own: not shown, not changed
#: by anyone (in-band control, fail-open).
MAX_OPENFLOW_PRIORITY: Final = 0xFFFF


#: Actions that only concern the packet: rules with no others need no further look.
_PLAIN: Final = frozenset({
    a.Output, a.SetField, a.Move, a.Resubmit, a.GotoTable, a.PushVlan, a.StripVlan, a.DecTtl,
    a.SetVlanVid, a.SetVlanPcp, a.WriteMetadata, a.Controller, a.SetTunnelId, a.Enqueue,
})  # fmt: skip


class RuleState(Record):
    """The part of a rule that changes during its life."""

    actions: a.Actions
    cookie: int
    idle_timeout_s: int
    hard_timeout_s: int
    flags: int
    importance: int
    created_ms: int
    modified_ms: int
    used_ms: int
    n_packets: int
    n_bytes: int


class Rule:
    """Match and priority are for life; actions, cookie, timeouts and statistics change.

    Times are `now_ms`. `used_ms` is when the last packet was credited (the creation, before one
    was). `id` names the rule for as long as the switch runs and is never given out again."""

    __slots__ = (
        "actions", "answers_for", "conjunctions", "cookie", "created_ms", "flags", "groups",
        "hard_timeout_s", "id", "idle_timeout_s", "importance", "match", "meter_id",
        "modified_ms", "n_bytes", "n_packets", "plan", "priority", "queued_ms",
        "removed", "shared", "table_id", "used_ms",
    )  # fmt: skip

    def __init__(
        self, rule_id: int, table_id: int, match: Match, priority: int, actions: a.Actions,
        now_ms: int, cookie: int = 0, idle_timeout_s: int = 0, hard_timeout_s: int = 0,
        flags: int = 0, importance: int = 0,
    ) -> None:  # fmt: skip
        self.id = rule_id
        self.table_id = table_id
        self.match = match
        self.priority = priority
        self.set_actions(actions)
        self.cookie = cookie
        self.idle_timeout_s = idle_timeout_s
        self.hard_timeout_s = hard_timeout_s
        self.flags = flags
        self.importance = importance
        self.created_ms = self.modified_ms = self.used_ms = now_ms
        self.n_packets = self.n_bytes = 0
        self.removed = False
        #: Credits it and its table (see `shortcuts`); None until a packet has asked.
        self.shared: SharedCredit | None = None
        #: When the expiry of the tables will look at it next; 0 for never.
        self.queued_ms = 0

    def set_actions(self, actions: a.Actions) -> None:
        """Do `actions` from now on."""
        self.actions = actions
        #: Stands for the actions (see `shortcuts`); None until a packet has asked.
        self.plan: object | None = None
        #: What this rule is part of; it has no other actions then (but notes).
        self.conjunctions: tuple[a.Conjunction, ...] = ()
        #: The groups that its actions name, each time they do.
        self.groups: tuple[int, ...] = ()
        #: (table, cookie) of the learned flows that go when it goes.
        self.answers_for: tuple[tuple[int, int], ...] = ()
        #: The meter of its `meter` instruction; 0 for none.
        self.meter_id = 0
        for action in actions:
            if type(action) not in _PLAIN:
                self._set_special(actions)
                break

    def _set_special(self, actions: a.Actions) -> None:
        self.conjunctions = tuple(part for part in actions if isinstance(part, a.Conjunction))
        self.groups = tuple(
            action.group_id for action in flattened(actions) if isinstance(action, a.Group)
        )
        self.answers_for = answered_for(actions)
        self.meter_id = next(
            (action.meter_id for action in actions if isinstance(action, a.Meter)), 0
        )

    def state(self) -> RuleState:
        """What a flow mod can change, to be restored or compared later."""
        return RuleState(
            self.actions, self.cookie, self.idle_timeout_s, self.hard_timeout_s, self.flags,
            self.importance, self.created_ms, self.modified_ms, self.used_ms, self.n_packets,
            self.n_bytes,
        )  # fmt: skip

    def restore(self, state: RuleState) -> None:
        """Be again as `state` says."""
        self.set_actions(state.actions)
        self.cookie = state.cookie
        self.idle_timeout_s = state.idle_timeout_s
        self.hard_timeout_s = state.hard_timeout_s
        self.flags = state.flags
        self.importance = state.importance
        self.created_ms = state.created_ms
        self.modified_ms = state.modified_ms
        self.used_ms = state.used_ms
        self.n_packets = state.n_packets
        self.n_bytes = state.n_bytes

    @property
    def is_hidden(self) -> bool:
        return self.priority > MAX_OPENFLOW_PRIORITY

    def credit(self, n_packets: int, n_bytes: int, used_ms: int) -> None:
        """Count packets that this rule has handled."""
        self.n_packets += n_packets
        self.n_bytes += n_bytes
        if used_ms > self.used_ms:
            self.used_ms = used_ms

    def due_ms(self) -> int | None:
        """When the rule would expire if no more packets came: right after its time is over. None
        for never."""
        due = []
        if self.hard_timeout_s:
            due.append(self.modified_ms + 1_000 * self.hard_timeout_s)
        if self.idle_timeout_s:
            due.append(self.used_ms + 1_000 * self.idle_timeout_s)
        return min(due) + 1 if due else None

    def outputs_to(self, port: int, group: int) -> bool:
        """Does some action send to `port` and some to `group` (where not the wildcard)?"""
        return (port == OFPP_ANY and group == OFPG_ANY) or sends_to(self.actions, port, group)

    def __repr__(self) -> str:
        return f"<rule {self.id} table {self.table_id} priority {self.priority}>"


def sends_to(actions: a.Actions, port: int, group: int) -> bool:
    """Does some action send to `port` and some to `group` (where not the wildcard)?"""
    return (port == OFPP_ANY or _sends(actions, port, _to_port)) and (
        group == OFPG_ANY or _sends(actions, group, _to_group)
    )


def _to_port(action: a.Action, port: int) -> bool:
    return isinstance(action, a.Output | a.OutputTrunc | a.Enqueue) and action.port == port


def _to_group(action: a.Action, group: int) -> bool:
    return isinstance(action, a.Group) and action.group_id == group


def _sends(actions: a.Actions, target: int, test: object) -> bool:
    assert callable(test)
    return any(
        test(action, target)
        or (isinstance(action, a.WriteActions | a.Clone) and _sends(action.actions, target, test))
        for action in actions
    )
