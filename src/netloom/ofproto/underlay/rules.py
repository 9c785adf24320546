"""Routing rules: which tables are asked for a route, in which order.

Rules are asked by priority, the lowest number first; each names a table, and may be for packets
from some addresses only, or for all others (`not`). The first route that is found is taken. The
rules of a host that nobody has configured are three: the tables local, main and default. What a
person adds stands beside the host's.
"""

from __future__ import annotations

from collections.abc import Iterable

from netloom.base.record import Record
from netloom.flow.mapped import V4_BITS, format_mapped, is_ipv4, mask_of_length

TABLE_DEFAULT, TABLE_MAIN, TABLE_LOCAL = 253, 254, 255
TABLE_NAMES = {"local": TABLE_LOCAL, "main": TABLE_MAIN, "default": TABLE_DEFAULT}
_NAMES = {number: name for name, number in TABLE_NAMES.items()}
#: Tables whose routes are shown when no table is named.
USUAL_TABLES = frozenset(_NAMES)
#: How many bits an address has.
FULL_LENGTH = 128
_MAIN_PRIORITY, _DEFAULT_PRIORITY = 32_766, 32_767


class Rule(Record):
    """Packets from `prefix`/`length` (from anywhere, if that is 0), or with `is_not` all others,
    are routed by `table`."""

    priority: int
    table: int
    is_v6: bool = False
    prefix: int = 0
    length: int = 0
    is_not: bool = False
    is_user: bool = False

    def applies(self, source: int) -> bool:
        """Is it for packets from this address, 0 for one that is not chosen yet?"""
        if not self.length:
            return True
        is_inside = bool(source) and not (source ^ self.prefix) & mask_of_length(self.length)
        return is_inside != self.is_not

    @property
    def shown_prefix(self) -> str:
        return format_mapped(self.prefix) if self.length else "all"

    @property
    def shown_length(self) -> int:
        """As the family counts it; 0 for a rule for packets from anywhere."""
        return self.length if self.is_v6 or not self.length else self.length - V4_BITS

    def describe(self) -> str:
        """A line of `ovs/route/rule/show`."""
        # Open vSwitch has a space more behind a length.
        length = "" if not self.length or self.length == FULL_LENGTH else f"/{self.shown_length} "
        return (
            f"{'User' if self.is_user else 'Cached'}: {self.priority}: "
            f"{'not ' if self.is_not else ''}from {self.shown_prefix}{length} "
            f"lookup {_NAMES.get(self.table, self.table)}"
        )


#: What a host has that nobody has configured.
USUAL = (
    *(
        Rule(priority, table, is_v6)
        for is_v6 in (False, True)
        for priority, table in ((0, TABLE_LOCAL), (_MAIN_PRIORITY, TABLE_MAIN))
    ),
    Rule(_DEFAULT_PRIORITY, TABLE_DEFAULT),
)


class Rules:
    """The rules of both families."""

    def __init__(self) -> None:
        self._system: tuple[Rule, ...] = USUAL
        self._user: list[Rule] = []
        self._ordered = self._sort()

    def _sort(self) -> list[Rule]:
        return sorted((*self._system, *self._user), key=lambda rule: rule.priority)

    @property
    def are_usual(self) -> bool:
        """Do the rules only name the three usual tables, one after the other?"""
        return self._ordered == sorted(USUAL, key=lambda rule: rule.priority)

    def set_system(self, rules: Iterable[Rule]) -> bool:
        """The rules of the host; True if that changes anything. A family that the host does not
        have has the usual ones."""
        found = tuple(rules)
        for is_v6 in (False, True):
            if all(rule.is_v6 != is_v6 for rule in found):
                found += tuple(rule for rule in USUAL if rule.is_v6 == is_v6)
        is_news = found != self._system
        self._system = found
        self._ordered = self._sort()
        return is_news

    def add(self, rule: Rule) -> None:
        """Add a rule by hand, behind those of its priority."""
        if rule not in self._user:
            self._user.append(rule)
            self._ordered = self._sort()

    def remove(self, wanted: Rule, priority: int | None) -> bool:
        """Remove a rule that was added by hand: that of this priority, or the first that is like
        `wanted` but for the priority; False if there is none."""
        for rule in sorted(self._user, key=lambda rule: rule.priority):
            is_priority = priority is None or rule.priority == priority
            if is_priority and _alike(rule) == _alike(wanted):
                self._user.remove(rule)
                self._ordered = self._sort()
                return True
        return False

    def free_priority(self) -> int:
        """The greatest number before the main table's that no rule of either family has."""
        taken = {rule.priority for rule in self._ordered}
        return next(n for n in range(_MAIN_PRIORITY - 1, -1, -1) if n not in taken)

    def of_family(self, is_v6: bool) -> list[Rule]:
        """In the order in which they are asked."""
        return [rule for rule in self._ordered if rule.is_v6 == is_v6]

    def tables(self, address: int, source: int) -> list[int]:
        """The tables that may have a route to `address` for packets from `source`, in order."""
        is_v6 = not is_ipv4(address)
        return [
            rule.table for rule in self._ordered if rule.is_v6 == is_v6 and rule.applies(source)
        ]


def _alike(rule: Rule) -> tuple[object, ...]:
    return rule.table, rule.is_v6, rule.prefix, rule.length, rule.is_not
