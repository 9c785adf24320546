"""Which rule of a full table makes room for a new one.

The rules that may go (those with a timeout) are divided into groups by the values of some fields.
Out of the largest group goes the rule of the lowest importance, of several such the one that
expires soonest: `Flow_Table` in ovs-vswitchd.conf.db(5), "Eviction Policy".

Each group is a heap whose keys may lag behind: a rule that was used meanwhile expires later than
its key says, and is put back with its true key when it comes up. Adding, removing and choosing
cost the logarithm of a group's size.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush
from typing import NamedTuple

from netloom.ofproto.rules import Rule
from netloom.openflow.actions import Subfield

#: Of groups of equal size so many are compared.
_COMPARED = 64


class _Key(NamedTuple):
    importance: int
    expires_ms: int
    rule_id: int


def _key(rule: Rule) -> _Key:
    return _Key(rule.importance, rule.due_ms() or 0, rule.id)


class _Group:
    """The rules with equal values of the fields."""

    __slots__ = ("heap", "rules")

    def __init__(self) -> None:
        self.rules: dict[int, Rule] = {}
        self.heap: list[_Key] = []

    def first(self) -> _Key | None:
        """The key of the rule to go first, brought up to date."""
        heap = self.heap
        while heap:
            rule = self.rules.get(heap[0].rule_id)
            if rule is None:
                heappop(heap)
                continue
            now = _key(rule)
            if now == heap[0]:
                return now
            heappop(heap)
            heappush(heap, now)
        return None


class Eviction:
    """The rules of one table that may be evicted."""

    def __init__(self, fields: Sequence[Subfield]) -> None:
        self._fields = tuple(fields)
        self._groups: dict[tuple[int, ...], _Group] = {}
        #: The values of the groups that have so many rules.
        self._by_size: dict[int, dict[tuple[int, ...], None]] = {}

    @property
    def fields(self) -> tuple[Subfield, ...]:
        return self._fields

    def add(self, rule: Rule) -> None:
        """A rule has come, or its timeouts or importance have changed."""
        if not (rule.idle_timeout_s or rule.hard_timeout_s):
            self.remove(rule)
            return
        values = self._values(rule)
        group = self._groups.setdefault(values, _Group())
        self._resize(values, group, len(group.rules) + (rule.id not in group.rules))
        group.rules[rule.id] = rule
        heappush(group.heap, _key(rule))

    def remove(self, rule: Rule) -> None:
        """A rule has gone."""
        values = self._values(rule)
        group = self._groups.get(values)
        if group is None or rule.id not in group.rules:
            return
        self._resize(values, group, len(group.rules) - 1)
        del group.rules[rule.id]
        if not group.rules:
            del self._groups[values]

    def choose(self) -> Rule | None:
        """The rule to evict next; None if none may be."""
        if not self._by_size:
            return None
        largest = self._by_size[max(self._by_size)]
        best: tuple[_Key, Rule] | None = None
        for values, _ in zip(largest, range(_COMPARED), strict=False):
            group = self._groups[values]
            key = group.first()
            if key is not None and (best is None or key < best[0]):
                best = (key, group.rules[key.rule_id])
        return None if best is None else best[1]

    def _values(self, rule: Rule) -> tuple[int, ...]:
        value = rule.match.value
        return tuple(
            value >> part.field.shift + part.offset & (1 << part.n_bits) - 1
            for part in self._fields
        )

    def _resize(self, values: tuple[int, ...], group: _Group, size: int) -> None:
        old = len(group.rules)
        if old == size:
            return
        if old:
            same = self._by_size[old]
            del same[values]
            if not same:
                del self._by_size[old]
        if size:
            self._by_size.setdefault(size, {})[values] = None
