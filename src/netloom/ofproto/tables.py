"""The tables of a bridge: flow mods, expiry, and what statistics requests ask for.

Each change is whole or not at all: it is checked first, and an `OpenFlowError` leaves the tables as
they were. `apply` returns what happened as data (`Change`); telling controllers is `connmgr`'s
work. `generation` grows with every change that may alter what happens to a packet.

Semantics: the OpenFlow specifications 1.0 and 1.3 (6.4 and 6.5 there), and ovs-ofctl(8) where they
leave a choice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from netloom.base.record import Record
from netloom.flow.match import Match
from netloom.ofproto.classifier import Classifier
from netloom.ofproto.rules import Rule
from netloom.openflow import messages as m
from netloom.openflow.actions import Actions
from netloom.openflow.errors import OpenFlowError

#: Tables that controllers may use, 0 to 253; 254 is the switch's own: all may look, nobody change.
N_TABLES = 254
INTERNAL_TABLE = 254


class Change(Record):
    """What became of one rule: `kind` is "added", "modified" or "removed", `reason` an OFPRR_*
    of the removed. `replaced`: another took its place at once, so nobody is told."""

    kind: str
    rule: Rule
    reason: int = 0
    replaced: bool = False


class Table:
    """One flow table."""

    __slots__ = ("classifier", "id", "n_lookups", "n_matches")

    def __init__(self, table_id: int) -> None:
        self.id = table_id
        self.classifier: Classifier[Rule] = Classifier()
        self.n_lookups = 0
        self.n_matches = 0


class Tables:
    """All tables of one bridge."""

    def __init__(self) -> None:
        self._tables: dict[int, Table] = {}
        self._next_id = 1
        self.generation = 0
        #: Rules that may expire, by id.
        self._mortal: dict[int, Rule] = {}

    def table(self, table_id: int) -> Table:
        """The table of that number, made when it is first asked for."""
        found = self._tables.get(table_id)
        if found is None:
            found = self._tables[table_id] = Table(table_id)
        return found

    def __iter__(self) -> Iterator[Table]:
        return iter([self._tables[table_id] for table_id in sorted(self._tables)])

    def __len__(self) -> int:
        """The number of rules, less those of the internal table."""
        return sum(len(table.classifier) for table in self if table.id != INTERNAL_TABLE)

    # Changes

    def apply(self, mod: m.FlowMod, now_ms: int) -> list[Change]:
        """Carry out a flow mod; raises OpenFlowError and changes nothing if it cannot be."""
        if mod.flags & m.OFPFF_EMERG:
            raise OpenFlowError("OFPFMFC_BAD_EMERG_TIMEOUT")
        if mod.table_id == INTERNAL_TABLE:
            raise OpenFlowError("OFPBRC_EPERM")
        handler = _COMMANDS.get(mod.command)
        if handler is None:
            raise OpenFlowError("OFPFMFC_BAD_COMMAND")
        changes = handler(self, mod, now_ms)
        if changes:
            self.generation += 1
        return changes

    def add_hidden(
        self, table_id: int, match: Match, priority: int, actions: Actions, now_ms: int
    ) -> Rule:
        """A rule of the switch's own; replaces one with the same match and priority."""
        rule = self._make(table_id, match, priority, actions, now_ms)
        self._insert(rule)
        self.generation += 1
        return rule

    def remove(self, rule: Rule, reason: int) -> Change:
        """Take a rule out of its table."""
        self.table(rule.table_id).classifier.remove(rule)
        self._mortal.pop(rule.id, None)
        rule.removed = True
        self.generation += 1
        return Change("removed", rule, reason)

    def flush(self) -> list[Change]:
        """Remove every rule, hidden ones too; those of the internal table stay."""
        return [
            self.remove(rule, m.OFPRR_DELETE)
            for rule in self.rules(hidden=True)
            if rule.table_id != INTERNAL_TABLE
        ]

    def _make(
        self, table_id: int, match: Match, priority: int, actions: Actions, now_ms: int
    ) -> Rule:
        rule = Rule(self._next_id, table_id, match, priority, actions, now_ms)
        self._next_id += 1
        return rule

    def _insert(self, rule: Rule) -> Rule | None:
        replaced = self.table(rule.table_id).classifier.insert(rule)
        if replaced is not None:
            replaced.removed = True
            self._mortal.pop(replaced.id, None)
        if rule.idle_timeout_s or rule.hard_timeout_s:
            self._mortal[rule.id] = rule
        return replaced

    def _add(self, mod: m.FlowMod, now_ms: int) -> list[Change]:
        table_id = 0 if mod.table_id == m.OFPTT_ALL else mod.table_id
        classifier = self.table(table_id).classifier
        old = classifier.find(mod.match, mod.priority)
        checks = old is None and mod.flags & m.OFPFF_CHECK_OVERLAP
        if checks and any(_overlap(rule, mod) for rule in classifier.rules()):
            raise OpenFlowError("OFPFMFC_OVERLAP")
        rule = self._make(table_id, mod.match, mod.priority, mod.actions, now_ms)
        rule.cookie = mod.new_cookie or 0
        rule.idle_timeout_s = mod.idle_timeout
        rule.hard_timeout_s = mod.hard_timeout
        rule.flags = mod.flags & _KEPT_FLAGS
        rule.importance = mod.importance
        self._insert(rule)
        if old is None:
            return [Change("added", rule)]
        if not mod.flags & m.OFPFF_RESET_COUNTS:
            rule.n_packets, rule.n_bytes, rule.used_ms = old.n_packets, old.n_bytes, old.used_ms
        return [Change("removed", old, m.OFPRR_DELETE, replaced=True), Change("added", rule)]

    def _modify(self, mod: m.FlowMod, now_ms: int) -> list[Change]:
        return self._modify_rules(list(self.select_loose(mod)), mod, now_ms)

    def _modify_strict(self, mod: m.FlowMod, now_ms: int) -> list[Change]:
        return self._modify_rules(self.select_strict(mod), mod, now_ms)

    def _modify_rules(self, rules: list[Rule], mod: m.FlowMod, now_ms: int) -> list[Change]:
        if not rules:
            # OpenFlow 1.0 and 1.1: a modify that finds nothing adds, unless it asked for a cookie.
            return self._add(mod, now_ms) if mod.new_cookie is not None else []
        for rule in rules:
            rule.set_actions(mod.actions)
            rule.modified_ms = now_ms
            if mod.new_cookie is not None:
                rule.cookie = mod.new_cookie
            if mod.flags & m.OFPFF_RESET_COUNTS:
                rule.n_packets = rule.n_bytes = 0
        return [Change("modified", rule) for rule in rules]

    def _delete(self, mod: m.FlowMod, now_ms: int) -> list[Change]:
        return [self.remove(rule, m.OFPRR_DELETE) for rule in self.select_loose(mod)]

    def _delete_strict(self, mod: m.FlowMod, now_ms: int) -> list[Change]:
        return [self.remove(rule, m.OFPRR_DELETE) for rule in self.select_strict(mod)]

    def expire(self, now_ms: int) -> list[Change]:
        """Remove the rules whose time has come. Statistics must have been credited before."""
        changes = []
        for rule in list(self._mortal.values()):
            due_ms = rule.due_ms()
            if due_ms is None or due_ms > now_ms:
                continue
            hard = rule.hard_timeout_s and rule.modified_ms + 1_000 * rule.hard_timeout_s <= now_ms
            reason = m.OFPRR_HARD_TIMEOUT if hard else m.OFPRR_IDLE_TIMEOUT
            changes.append(self.remove(rule, reason))
        return changes

    def deadline(self) -> int | None:
        """When the next rule may expire."""
        due = [due for rule in self._mortal.values() if (due := rule.due_ms()) is not None]
        return min(due, default=None)

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
        deletes = not isinstance(wanted, m.FlowMod) or wanted.command == m.OFPFC_DELETE
        return [
            rule
            for table in self._chosen(wanted.table_id)
            for rule in table.classifier.rules()
            if not mask & ~rule.match.mask
            and rule.match.value & mask == value
            and _is_meant(rule, wanted, deletes)
        ]

    def select_strict(self, mod: m.FlowMod) -> list[Rule]:
        """The rules with exactly this match and priority, at most one a table."""
        deletes = mod.command == m.OFPFC_DELETE_STRICT
        found = (
            table.classifier.find(mod.match, mod.priority) for table in self._chosen(mod.table_id)
        )
        return [rule for rule in found if rule is not None and _is_meant(rule, mod, deletes)]


_KEPT_FLAGS = m.OFPFF_SEND_FLOW_REM | m.OFPFF_NO_PKT_COUNTS | m.OFPFF_NO_BYT_COUNTS

_COMMANDS: dict[int, Callable[[Tables, m.FlowMod, int], list[Change]]] = {
    m.OFPFC_ADD: Tables._add,
    m.OFPFC_MODIFY: Tables._modify,
    m.OFPFC_MODIFY_STRICT: Tables._modify_strict,
    m.OFPFC_DELETE: Tables._delete,
    m.OFPFC_DELETE_STRICT: Tables._delete_strict,
}


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
