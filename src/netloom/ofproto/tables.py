"""The tables of a bridge: flow mods, expiry, eviction, and what statistics requests ask for.

Each change is whole or not at all: it is checked first, and an `OpenFlowError` leaves the tables as
they were. `apply` returns what happened as data (`Change`); telling controllers is `connmgr`'s
work, and `undo` takes changes back: so a bundle is applied mod by mod and, if one fails, undone.
As packets are handled between messages and never during one, nobody sees a bundle half done.
`generation` grows with every change of rules that may alter what happens to a packet.

A rule is changed in place where it keeps its statistics, so that packets which the data path has
counted and not told yet still find it.

Semantics: the OpenFlow specifications 1.0 and 1.3 (6.4 and 6.5 there), and ovs-ofctl(8) where they
leave a choice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from heapq import heappop, heappush

from netloom.flow.fields import SLOT
from netloom.flow.match import MATCH_ALL, Match
from netloom.flow.prerequisites import FRAME
from netloom.ofproto.learned_flows import LearnedCookies
from netloom.ofproto.rules import MAX_OPENFLOW_PRIORITY, Rule, RuleState
from netloom.ofproto.settings import TableSettings
from netloom.ofproto.table import Table
from netloom.openflow import messages as m
from netloom.openflow.actions import Actions
from netloom.openflow.errors import OpenFlowError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

#: Tables that controllers may use, 0 to 253; 254 is the switch's own: all may look, nobody change.
N_TABLES: Final = 254
INTERNAL_TABLE: Final = 254


#: Changed rules that are remembered: with more of them, comparing flows is no gain.
MAX_CHANGED: Final = 64


class Change:
    """What became of one rule.

    `kind` is "added"; "replaced" (a rule with this match and priority was there: `before` is what
    it was, `old` its object if that is another); "modified" (`before`: what it was); or "removed",
    for `reason`, an OFPRR_*."""

    __slots__ = ("before", "kind", "old", "reason", "rule")

    def __init__(
        self,
        kind: str,
        rule: Rule,
        reason: int = 0,
        before: RuleState | None = None,
        old: Rule | None = None,
    ) -> None:
        self.kind = kind
        self.rule = rule
        self.reason = reason
        self.before = before
        self.old = old


class Tables:
    """All tables of one bridge."""

    def __init__(self) -> None:
        self._tables: dict[int, Table] = {}
        self._next_id = 1
        self._generation = 0
        #: Grows with all else that decides what happens to a packet that is looked up.
        self.settings_generation = 0
        #: The rules that came, went or changed since `take_changed`; None if they are too many.
        self._changed: list[Rule] | None = []
        #: Did anyone ever ask to be told of full and empty tables?
        self.is_vacancy_watched = False
        #: (when to look at it, id, rule), a heap; of a rule only the entry that it names counts.
        self._queue: list[tuple[int, int, Rule]] = []
        #: The rules that name a group, or a meter.
        self._by_group: dict[int, dict[int, Rule]] = {}
        self._by_meter: dict[int, dict[int, Rule]] = {}
        self._learned_cookies = LearnedCookies()

    @property
    def generation(self) -> int:
        """Grows with every change of rules, which `take_changed` tells."""
        return self._generation

    def settings_changed(self) -> None:
        """Something else than a rule changed."""
        self.settings_generation += 1

    def table(self, table_id: int) -> Table:
        """The table of that number, made when it is first asked for."""
        found = self._tables.get(table_id)
        if found is None:
            found = self._tables[table_id] = Table(table_id)
        return found

    def known(self, table_id: int) -> Table | None:
        """The table if it was ever asked for."""
        return self._tables.get(table_id)

    def __iter__(self) -> Iterator[Table]:
        return iter([self._tables[table_id] for table_id in sorted(self._tables)])

    def __len__(self) -> int:
        """The number of rules, less those of the internal table."""
        return sum(len(table.classifier) for table in self if table.id != INTERNAL_TABLE)

    # Configuration

    def configure(self, settings: Iterable[TableSettings]) -> list[Change]:
        """Take over all Flow_Table rows; rules beyond a limit are evicted as far as may be."""
        rows = {row.table_id: row for row in settings}
        changes: list[Change] = []
        for table_id in sorted(rows.keys() | self._tables.keys()):
            table = self.table(table_id)
            row = rows.get(table_id, TableSettings(table_id))
            if table_id == INTERNAL_TABLE:
                table.name = row.name
                continue
            if table.configure(row):
                self.settings_changed()
            while table.flow_limit is not None and len(table.classifier) > table.flow_limit:
                victim = table.eviction.choose() if table.eviction is not None else None
                if victim is None:
                    break
                changes.append(self.remove(victim, m.OFPRR_EVICTION))
        return changes

    # Changes

    def apply(self, mod: m.FlowMod, now_ms: int, *, starts_anew: bool = False) -> list[Change]:
        """Carry out a flow mod; raises OpenFlowError and changes nothing if it cannot be. With
        `starts_anew` an added rule counts from 0 in any case, as OpenFlow 1.0 and 1.1 have it."""
        if mod.flags & m.OFPFF_EMERG:
            raise OpenFlowError("OFPFMFC_BAD_EMERG_TIMEOUT")
        self.check_writable(mod)
        handler = _COMMANDS.get(mod.command)
        if handler is None:
            raise OpenFlowError("OFPFMFC_BAD_COMMAND")
        if mod.command == m.OFPFC_ADD:
            flags = mod.flags | m.OFPFF_RESET_COUNTS if starts_anew else mod.flags
            changes = self._add(mod, now_ms, flags)
        else:
            changes = handler(self, mod, now_ms)
        if self._learned_cookies.orphaned:
            changes = self._with_learned(changes)
        if changes:
            self._generation += 1
            if len(changes) > MAX_CHANGED:
                self._changed = None
            elif self._changed is not None:
                self._note([change.rule for change in changes])
        return changes

    def check_writable(self, mod: m.FlowMod) -> None:
        """Raises OpenFlowError if the flow mod is for the switch's own rules; to delete one that
        is not there is no offence."""
        if mod.table_id != INTERNAL_TABLE:
            return
        if mod.command != m.OFPFC_DELETE_STRICT or self.select_strict(mod):
            raise OpenFlowError("OFPBRC_EPERM")

    def _note(self, rules: list[Rule]) -> None:
        changed = self._changed
        if changed is not None:
            changed += rules
            if len(changed) > MAX_CHANGED:
                self._changed = None

    def take_changed(self) -> tuple[list[Rule], list[Table]] | None:
        """The rules that came, went or changed since the last call, and the tables that have rules
        of new masks since; None if that is too much to tell."""
        reshaped = [table for table in self._tables.values() if table.classifier.has_new_mask]
        for table in reshaped:
            table.classifier.has_new_mask = False
        changed, self._changed = self._changed, []
        return None if changed is None else (changed, reshaped)

    def add_hidden(
        self, table_id: int, match: Match, priority: int, actions: Actions, now_ms: int
    ) -> Rule:
        """A rule of the switch's own; replaces one with the same match and priority."""
        rule = Rule(self._new_id(), table_id, match, priority, actions, now_ms)
        old = self.table(table_id).classifier.find(match, priority)
        if old is not None:
            self._take_out(old)
        self._put_in(rule)
        self._generation += 1
        self._note([rule])
        return rule

    def remove(self, rule: Rule, reason: int) -> Change:
        """Take a rule out of its table."""
        self._take_out(rule)
        self._generation += 1
        self._note([rule])
        return Change("removed", rule, reason)

    def remove_users_of_group(self, group_id: int) -> list[Change]:
        """The group goes, and with it every rule that names it."""
        users = list(self._by_group.get(group_id, {}).values())
        return self._with_learned([self.remove(rule, m.OFPRR_GROUP_DELETE) for rule in users])

    def remove_users_of_meter(self, meter_id: int) -> list[Change]:
        """The meter goes, and with it every rule that names it."""
        users = list(self._by_meter.get(meter_id, {}).values())
        return self._with_learned([self.remove(rule, m.OFPRR_METER_DELETE) for rule in users])

    def count_users_of_group(self, group_id: int) -> int:
        """How often rules name the group."""
        users = self._by_group.get(group_id, {}).values()
        return sum(rule.groups.count(group_id) for rule in users)

    def count_users_of_meter(self, meter_id: int) -> int:
        return len(self._by_meter.get(meter_id, {}))

    def undo(self, changes: list[Change]) -> None:
        """Make changes undone; the newest must be undone first."""
        for change in reversed(changes):
            rule = change.rule
            if change.kind == "removed":
                self._put_in(rule)
                continue
            self._take_out(rule)
            old = change.old or rule
            if change.before is not None:
                old.restore(change.before)
                self._put_in(old)
        self._generation += 1
        self._changed = None

    def flush(self) -> list[Change]:
        """Remove every rule, hidden ones too; those of the internal table stay."""
        return [
            self.remove(rule, m.OFPRR_DELETE)
            for rule in self.rules(hidden=True)
            if rule.table_id != INTERNAL_TABLE
        ]

    # Rules in and out of the indexes

    def _new_id(self) -> int:
        number = self._next_id
        self._next_id = number + 1
        return number

    def _put_in(self, rule: Rule) -> None:
        rule.removed = False
        self.table(rule.table_id).classifier.insert(rule)
        self._follow(rule)

    def _follow(self, rule: Rule) -> None:
        """A rule is new in its table."""
        if rule.groups or rule.meter_id or rule.answers_for:
            self._refer(rule)
        if rule.idle_timeout_s or rule.hard_timeout_s:
            self.reschedule(rule)

    def _take_out(self, rule: Rule) -> None:
        self._tables[rule.table_id].classifier.remove(rule)
        self._retire(rule)

    def _retire(self, rule: Rule) -> None:
        eviction = self._tables[rule.table_id].eviction
        if eviction is not None:
            eviction.remove(rule)
        if rule.groups or rule.meter_id or rule.answers_for:
            self._forget(rule)
        rule.queued_ms = 0
        rule.removed = True

    def _refer(self, rule: Rule) -> None:
        for group_id in rule.groups:
            self._by_group.setdefault(group_id, {})[rule.id] = rule
        if rule.meter_id:
            self._by_meter.setdefault(rule.meter_id, {})[rule.id] = rule
        if rule.answers_for:
            self._learned_cookies.hold(rule.answers_for)

    def _forget(self, rule: Rule) -> None:
        if rule.groups:
            for group_id in set(rule.groups):
                self._by_group[group_id].pop(rule.id)
        if rule.meter_id:
            self._by_meter[rule.meter_id].pop(rule.id)
        if rule.answers_for:
            self._learned_cookies.release(rule.answers_for)

    def _with_learned(self, changes: list[Change]) -> list[Change]:
        """`changes`, and with the rules that are gone the flows that they have learned."""
        while self._learned_cookies.orphaned:
            for table_id, cookie in self._learned_cookies.take_orphaned():
                wanted = m.FlowStatsRequest(
                    MATCH_ALL, table_id, cookie=cookie, cookie_mask=0xFFFFFFFFFFFFFFFF
                )
                rules = self.select_loose(wanted)
                changes += [self.remove(rule, m.OFPRR_DELETE) for rule in rules]
        return changes

    def reschedule(self, rule: Rule) -> None:
        """The rule's timeouts (or what they count from) have been set."""
        due_ms = rule.due_ms()
        rule.queued_ms = due_ms or 0
        if due_ms is not None:
            heappush(self._queue, (due_ms, rule.id, rule))
        eviction = self.table(rule.table_id).eviction
        if eviction is not None:
            eviction.add(rule)

    # Commands

    def _add(self, mod: m.FlowMod, now_ms: int, flags: int | None = None) -> list[Change]:
        table_id = 0 if mod.table_id == m.OFPTT_ALL else mod.table_id
        table = self._tables.get(table_id) or self.table(table_id)
        flags = mod.flags if flags is None else flags
        changes = []
        if flags & m.OFPFF_CHECK_OVERLAP or table.flow_limit is not None:
            changes = self._make_room(table, mod)
        rule = self._new_rule(table_id, mod.match, mod.priority, mod, now_ms, flags)
        old = table.classifier.insert_new(rule)
        if old is not None:
            return [self._replace(old, mod, now_ms, flags)]
        self._follow(rule)
        changes.append(Change("added", rule))
        return changes

    def _make_room(self, table: Table, mod: m.FlowMod) -> list[Change]:
        """Checks whether a rule may be added to a table, and evicts another if it takes that."""
        classifier = table.classifier
        if classifier.find(mod.match, mod.priority) is not None:
            return []
        checks = mod.flags & m.OFPFF_CHECK_OVERLAP
        if checks and any(_overlap(rule, mod) for rule in classifier.rules()):
            raise OpenFlowError("OFPFMFC_OVERLAP")
        if not table.is_full:
            return []
        victim = table.eviction.choose() if table.eviction is not None else None
        if victim is None:
            raise OpenFlowError("OFPFMFC_TABLE_FULL")
        return [self.remove(victim, m.OFPRR_EVICTION)]

    def _new_rule(
        self,
        table_id: int,
        match: Match,
        priority: int,
        mod: m.FlowMod,
        now_ms: int,
        flags: int,
    ) -> Rule:
        """A rule with all that the flow mod says, but for match and priority."""
        number = self._next_id
        self._next_id = number + 1
        return Rule(
            number, table_id, match, priority, mod.actions, now_ms, mod.new_cookie or 0,
            mod.idle_timeout, mod.hard_timeout, flags & _KEPT_FLAGS, mod.importance,
        )  # fmt: skip

    def _replace(self, old: Rule, mod: m.FlowMod, now_ms: int, flags: int) -> Change:
        """A rule with the same match and priority. One that starts to count from 0 is a new one,
        so that what the data path has not told yet counts for the old."""
        before = old.state()
        classifier = self.table(old.table_id).classifier
        if flags & m.OFPFF_RESET_COUNTS:
            rule = self._new_rule(old.table_id, old.match, old.priority, mod, now_ms, flags)
            rule.used_ms = old.used_ms
            classifier.insert(rule)
            classifier.move_last(rule)
            self._retire(old)
            self._follow(rule)
            return Change("replaced", rule, before=before, old=old)
        self._change_actions(old, mod.actions)
        old.created_ms = old.modified_ms = now_ms
        _set_attributes(old, mod, flags)
        classifier.move_last(old)
        if old.idle_timeout_s or old.hard_timeout_s or old.queued_ms:
            self.reschedule(old)
        return Change("replaced", old, before=before)

    def _change_actions(self, rule: Rule, actions: Actions) -> None:
        was_conjunctive = bool(rule.conjunctions)
        self._forget(rule)
        rule.set_actions(actions)
        self._refer(rule)
        if was_conjunctive or rule.conjunctions:
            classifier = self.table(rule.table_id).classifier
            classifier.remove(rule)
            classifier.insert(rule)

    def _modify(self, mod: m.FlowMod, now_ms: int) -> list[Change]:
        return self._modify_rules(self.select_loose(mod), mod, now_ms)

    def _modify_strict(self, mod: m.FlowMod, now_ms: int) -> list[Change]:
        return self._modify_rules(self.select_strict(mod), mod, now_ms)

    def _modify_rules(self, rules: list[Rule], mod: m.FlowMod, now_ms: int) -> list[Change]:
        if not rules:
            # OpenFlow 1.0 and 1.1: a modify that finds nothing adds, unless it asked for a cookie.
            may_add = mod.new_cookie is not None and not mod.cookie_mask
            return self._add(mod, now_ms) if may_add else []
        changes = []
        for rule in rules:
            changes.append(Change("modified", rule, before=rule.state()))
            self._change_actions(rule, mod.actions)
            rule.modified_ms = now_ms
            if mod.new_cookie is not None and not mod.keeps_cookies:
                rule.cookie = mod.new_cookie
            if mod.flags & m.OFPFF_RESET_COUNTS:
                rule.n_packets = rule.n_bytes = 0
            self.table(rule.table_id).classifier.move_last(rule)
        return changes

    def _delete(self, mod: m.FlowMod, now_ms: int) -> list[Change]:
        rules = self.select_loose(mod)
        if len(rules) < _MANY_RULES:
            return [self.remove(rule, m.OFPRR_DELETE) for rule in rules]
        counts = Counter([rule.table_id for rule in rules])
        emptied = {
            table_id
            for table_id, count in counts.items()
            if count == len(self._tables[table_id].classifier)
        }
        for table_id in emptied:
            self._tables[table_id].classifier.clear()
        for rule in rules:
            if rule.table_id in emptied:
                self._retire(rule)
            else:
                self._take_out(rule)
        return [Change("removed", rule, m.OFPRR_DELETE) for rule in rules]

    def _delete_strict(self, mod: m.FlowMod, now_ms: int) -> list[Change]:
        return [self.remove(rule, m.OFPRR_DELETE) for rule in self.select_strict(mod)]

    # Expiry

    def expire(self, now_ms: int) -> list[Change]:
        """Remove the rules whose time has come. Statistics must have been credited before."""
        changes = []
        queue = self._queue
        while queue and queue[0][0] <= now_ms:
            due_ms, _, rule = heappop(queue)
            if rule.queued_ms != due_ms:
                continue
            now_due_ms = rule.due_ms()
            if now_due_ms is None or now_due_ms > now_ms:
                self.reschedule(rule)
                continue
            hard = rule.hard_timeout_s and rule.modified_ms + 1_000 * rule.hard_timeout_s < now_ms
            reason = m.OFPRR_HARD_TIMEOUT if hard else m.OFPRR_IDLE_TIMEOUT
            changes.append(self.remove(rule, reason))
        return self._with_learned(changes)

    def deadline(self) -> int | None:
        """When the next rule may expire."""
        queue = self._queue
        while queue:
            due_ms, _, rule = queue[0]
            if rule.queued_ms == due_ms:
                return due_ms
            heappop(queue)
        return None

    # Selection

    def rules(self, hidden: bool = False) -> list[Rule]:
        """All rules, tables in order."""
        return [
            rule
            for table in self
            for rule in table.classifier.rules()
            if hidden or not (rule.is_hidden or table.id == INTERNAL_TABLE)
        ]

    def _chosen(self, table_id: int) -> Iterator[Table]:
        for table in self:
            if table.id == table_id or (table_id == m.OFPTT_ALL and table.id != INTERNAL_TABLE):
                yield table

    def select_loose(
        self, wanted: m.FlowMod | m.FlowStatsRequest | m.AggregateRequest
    ) -> list[Rule]:
        """The rules that a request means: those whose match is at least as narrow."""
        value, mask = wanted.match.value, wanted.match.mask
        frames = 0
        if mask & _PACKET_TYPE and not value & _PACKET_TYPE:
            # Rules that ask for something in a frame do not say that they ask for a frame.
            mask &= ~_PACKET_TYPE
            frames = _PACKET_TYPE | FRAME
        deletes = not isinstance(wanted, m.FlowMod) or wanted.command == m.OFPFC_DELETE
        found: list[Rule] = []
        for table in self._chosen(wanted.table_id):
            found += table.classifier.within(value, mask)
        if frames:
            found = [rule for rule in found if rule.match.mask & frames]
        any_output = wanted.out_port == m.OFPP_ANY and wanted.out_group == m.OFPG_ANY
        if not wanted.cookie_mask and (any_output or not deletes):
            return [rule for rule in found if rule.priority <= MAX_OPENFLOW_PRIORITY]
        return [rule for rule in found if _is_meant(rule, wanted, deletes)]

    def select_strict(self, mod: m.FlowMod) -> list[Rule]:
        """The rules with exactly this match and priority, at most one a table."""
        deletes = mod.command == m.OFPFC_DELETE_STRICT
        found = (
            table.classifier.find(mod.match, mod.priority) for table in self._chosen(mod.table_id)
        )
        return [rule for rule in found if rule is not None and _is_meant(rule, mod, deletes)]


_PACKET_TYPE: Final = SLOT["packet_type"].mask
#: So many rules that go at once, and it is looked for tables that become empty.
_MANY_RULES: Final = 16
_KEPT_FLAGS: Final = (
    m.OFPFF_SEND_FLOW_REM | m.OFPFF_CHECK_OVERLAP | m.OFPFF_RESET_COUNTS | m.OFPFF_NO_PKT_COUNTS
    | m.OFPFF_NO_BYT_COUNTS
)  # fmt: skip

_COMMANDS: dict[int, Callable[[Tables, m.FlowMod, int], list[Change]]] = {
    m.OFPFC_ADD: Tables._add,
    m.OFPFC_MODIFY: Tables._modify,
    m.OFPFC_MODIFY_STRICT: Tables._modify_strict,
    m.OFPFC_DELETE: Tables._delete,
    m.OFPFC_DELETE_STRICT: Tables._delete_strict,
}


def _set_attributes(rule: Rule, mod: m.FlowMod, flags: int) -> None:
    rule.cookie = mod.new_cookie or 0
    rule.idle_timeout_s = mod.idle_timeout
    rule.hard_timeout_s = mod.hard_timeout
    rule.flags = flags & _KEPT_FLAGS
    rule.importance = mod.importance


def _is_meant(
    rule: Rule, wanted: m.FlowMod | m.FlowStatsRequest | m.AggregateRequest, deletes: bool
) -> bool:
    """Cookie and output port as asked; hidden rules are nobody's business."""
    return (
        not rule.is_hidden
        and not (rule.cookie ^ wanted.cookie) & wanted.cookie_mask
        and (not deletes or rule.outputs_to(wanted.out_port, wanted.out_group))
    )


def _overlap(rule: Rule, mod: m.FlowMod) -> bool:
    """Could one packet match both, at the same priority?"""
    both = rule.match.mask & mod.match.mask
    return rule.priority == mod.priority and not (rule.match.value ^ mod.match.value) & both
