"""The classifier: the rule of highest priority that matches a key, and the bits that decided it.

**What must hold.** `lookup(key)` returns a rule R (or None) and a mask W such that every key which
agrees with `key` on W has the same R. Too many bits in W are safe and slow (more misses in the data
path); too few are wrong. `W` equals what Open vSwitch computes, so that megaflows are as wide.

**How.** Tuple-space search: rules with the same mask form a subtable, a dict from `key & mask` to
the rules that agree there, highest priority first. Subtables are tried by falling highest priority;
the search ends when none that is left can beat what was found. Each subtable that was searched adds
its whole mask to W, and three refinements add less:

* *Stages.* The mask is cut into metadata, Ethernet, network and transport bits
  (`fields.STAGE_MASKS`). Each cut but the last has a count of the partial keys present; if a
  partial key is absent, the search ends there and later stages' bits stay wildcarded.
* *Prefix tries.* For a few address fields (`prefixes`), a trie over the whole table tells which
  prefix lengths can match at all. A subtable whose length cannot is skipped, at the price of the
  few leading bits that decide it.
* *Ports.* When a subtable with a mask on the transport ports misses, a trie of its port values
  tells how many leading bits of the ports explain the miss.

Rules with `conjunction` actions are the business of `conjunctions`.

**Cost.** A dict lookup per subtable (0.1 us), more with stages; insertion and removal do not depend
on the number of rules. Many masks are slow: bound by how many distinct masks one table has.

**Limits.** Rules are found as they are now; versions (bundles) are a matter of `tables`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Generic, Protocol, TypeVar

from netloom.flow.fields import FIELD, SLOT
from netloom.flow.key import PACKET_TYPE_MASK
from netloom.flow.match import Match
from netloom.ofproto.conjunctions import Soft, decide
from netloom.ofproto.subtable import (
    Check,
    FieldTrie,
    Subtable,
)
from netloom.openflow.actions import Conjunction

#: Fields with tries unless the Flow_Table row says otherwise (ovs-vswitchd.conf.db(5), prefixes).
DEFAULT_PREFIXES: Final = ("nw_dst", "nw_src", "ipv6_dst", "ipv6_src")

_CONJ_ID: Final = SLOT["conj_id"]


class Classified(Protocol):
    """What the classifier needs of a rule; it writes nothing into it."""

    @property
    def match(self) -> Match: ...

    @property
    def priority(self) -> int: ...

    @property
    def conjunctions(self) -> tuple[Conjunction, ...]: ...


R = TypeVar("R", bound=Classified)
#: Partial keys of a subtable, and the mask of them: what a key that fails there does not have.
Absent = tuple[Mapping[int, object], int]


class Classifier(Generic[R]):
    """One table's rules."""

    def __init__(self, prefixes: tuple[str, ...] = DEFAULT_PREFIXES) -> None:
        self._prefixes = prefixes
        self._subtables: dict[int, Subtable[R]] = {}
        self._order: list[Subtable[R]] = []
        self._tries = [FieldTrie(FIELD[name]) for name in prefixes]
        self._n_rules = 0
        #: There are rules with a mask that none had when somebody last set this back.
        self.has_new_mask = False
        #: The subtable that was changed last.
        self._recent: Subtable[R] | None = None
        #: What tries have said in the last lookup, by their numbers.
        self._said: dict[int, tuple[int, int]] = {}
        #: Subtables whose counts are behind their rules.
        self._late: list[Subtable[R]] = []

    def __len__(self) -> int:
        return self._n_rules

    def rules(self) -> list[R]:
        """All rules, in no particular order."""
        return [
            rule for subtable in self._order for same in subtable.rules.values() for rule in same
        ]

    def plain_mask(self) -> int:
        """The bits that decide a lookup, all else equal; -1 if the answer depends on what else is
        looked at, too (tries)."""
        mask = 0
        for subtable in self._order:
            if subtable.counted:
                return -1
            mask |= subtable.mask
        return mask

    def within(self, value: int, mask: int) -> list[R]:
        """The rules that match no packet which `value` under `mask` does not."""
        if not mask:
            return self.rules()
        found: list[R] = []
        for subtable in self._order:
            if mask & ~subtable.mask:
                continue
            if mask == subtable.mask:
                found += subtable.rules.get(value, ())
                continue
            for key, same in subtable.rules.items():
                if key & mask == value:
                    found += same
        return found

    def set_prefixes(self, prefixes: tuple[str, ...]) -> None:
        """Have tries on other fields."""
        self._catch_up()
        self._prefixes = prefixes
        self._tries = [FieldTrie(FIELD[name]) for name in prefixes]
        for subtable in self._order:
            subtable.use_tries(self._tries)
            subtable.count_in_tries()

    # Changes

    def find(self, match: Match, priority: int) -> R | None:
        """The rule with exactly this match and priority."""
        subtable = self._subtables.get(match.mask)
        for rule in subtable.rules.get(match.value, ()) if subtable else ():
            if rule.priority == priority:
                return rule
        return None

    def insert(self, rule: R) -> R | None:
        """Add `rule`; returns the rule with the same match and priority that it replaced."""
        old = self.insert_new(rule)
        if old is not None:
            same = self._subtables[rule.match.mask].rules
            value = rule.match.value
            same[value] = tuple([rule if other is old else other for other in same[value]])
        return old

    def insert_new(self, rule: R) -> R | None:
        """Add `rule`, unless there is one with its match and priority, which is returned."""
        match = rule.match
        mask, value = match.mask, match.value
        subtable = self._recent
        if subtable is None or mask is not subtable.mask:
            subtable = self._subtable(mask)
        # Says its type, so that mypyc keeps it the same object.
        alone: tuple[R, ...] = (rule,)
        same = subtable.rules.setdefault(value, alone)
        priority = rule.priority
        if same is not alone:
            at = 0
            for other in same:
                if other.priority <= priority:
                    if other.priority == priority:
                        return other
                    break
                at += 1
            subtable.rules[value] = (*same[:at], rule, *same[at:])
        self._n_rules += 1
        if subtable.note(subtable.came, value):
            self._late.append(subtable)
        if priority > subtable.max_priority:
            subtable.max_priority = priority
            self._sort()
        return None

    def count_above(self, priority: int) -> int:
        """How many rules have a higher priority; costs little where they have masks of their
        own."""
        return sum(
            rule.priority > priority
            for subtable in self._order
            if subtable.max_priority > priority
            for same in subtable.rules.values()
            for rule in same
        )

    def _subtable(self, mask: int) -> Subtable[R]:
        """The subtable of a mask, made if there is none."""
        subtable = self._subtables.get(mask)
        if subtable is None:
            subtable = self._subtables[mask] = Subtable(mask, self._tries)
            self._order.append(subtable)
            self.has_new_mask = True
        # Many rules of one mask often come in a row, and with one and the same number.
        subtable.mask = mask
        self._recent = subtable
        return subtable

    def move_last(self, rule: R) -> None:
        """List a rule, which is in the table, after all others of its mask: it is the newest."""
        rules = self._subtables[rule.match.mask].rules
        value = rule.match.value
        rules[value] = rules.pop(value)

    def remove(self, rule: R) -> None:
        """Remove a rule, which must be in the table."""
        match = rule.match
        mask, value = match.mask, match.value
        subtable = self._recent
        if subtable is None or mask is not subtable.mask:
            subtable = self._recent = self._subtables[mask]
            subtable.mask = mask
        same = subtable.rules[value]
        if len(same) == 1:
            del subtable.rules[value]
        else:
            subtable.rules[value] = tuple([other for other in same if other is not rule])
        self._n_rules -= 1
        if subtable.note(subtable.went, value):
            self._late.append(subtable)
        if not subtable.rules:
            subtable.catch_up()
            del self._subtables[mask]
            self._order.remove(subtable)
            self._recent = None
        elif len(subtable.rules) <= 64 and rule.priority == subtable.max_priority:
            # The value may stay too high for speed: a scan of a large subtable on each removal of
            # its first rule would be quadratic. Too high is safe; it only delays the end of a
            # search.
            highest = max(same[0].priority for same in subtable.rules.values())
            if highest != subtable.max_priority:
                subtable.max_priority = highest
                self._sort()

    def clear(self) -> None:
        """Remove all rules, for a fraction of what it takes one by one."""
        self._subtables.clear()
        self._order.clear()
        self._late.clear()
        self._recent = None
        self._n_rules = 0
        self._tries = [FieldTrie(FIELD[name]) for name in self._prefixes]

    def _sort(self) -> None:
        self._order.sort(key=lambda subtable: -subtable.max_priority)

    def _catch_up(self) -> None:
        """Have counts and tries say what the rules are."""
        for subtable in self._late:
            subtable.catch_up()
        self._late.clear()

    # Lookup

    def lookup(
        self, key: int, wildcards: int = 0, parts: list[R] | None = None
    ) -> tuple[R | None, int]:
        """The best rule for `key`, and the mask of bits that decided, with those of `wildcards`:
        what is looked at in any case, which a search may use at no price. If a conjunctive match
        decided, `parts` gets its rules, clause by clause."""
        if self._late:
            self._catch_up()
        # A second look has the same to ask of tries.
        said = self._said = {}
        best, wildcards, softs = self._lookup(key, wildcards, said)
        if not softs:
            return best, wildcards

        def look_again(conj_id: int) -> R | None:
            nonlocal wildcards
            found, wildcards, _ = self._lookup(_CONJ_ID.put(key, conj_id), wildcards, said)
            return found

        best = decide(softs, best, look_again, parts)
        return best, wildcards

    def lookup_alike(
        self, key: int, free: int, absent: list[Absent]
    ) -> tuple[R | None, int, int] | None:
        """A lookup of which others are to know whether theirs goes the same way, whose keys differ
        in `free` bits alone: the best rule, the mask, and the bits whose values must be the same.
        `absent` gets what must only be missing, as it was here: that is most of what a large table
        is asked. None if the table has tries, or conjunctive matches have a say."""
        if self._late:
            self._catch_up()
        best: R | None = None
        best_priority = -1
        wildcards = values = 0
        for subtable in self._order:
            if subtable.max_priority <= best_priority:
                break
            if subtable.counted:
                return None
            if key & PACKET_TYPE_MASK and subtable.frames_only:
                continue
            for upto, keys, _ in subtable.stages:
                if key & upto not in keys:
                    if subtable.port_trie is not None and upto == subtable.mask:
                        upto = subtable.explains(key)
                        values |= upto
                    elif upto & free:
                        absent.append((keys, upto))
                    wildcards |= upto
                    break
                values |= upto
            else:
                wildcards |= subtable.mask
                rule = subtable.rules[key & subtable.mask][0]
                if rule.priority > best_priority:
                    if rule.conjunctions:
                        return None
                    best, best_priority = rule, rule.priority
        return best, wildcards, values

    @property
    def told(self) -> int:
        """The bits of tries that decided the last lookup, though its mask may lack some."""
        bits = 0
        for number, (_, n_bits) in self._said.items():
            bits |= self._tries[number].masks[n_bits]
        return bits

    def _lookup(
        self, key: int, wildcards: int, said: dict[int, tuple[int, int]]
    ) -> tuple[R | None, int, list[Soft[R]] | None]:
        """The best rule that is no part of a conjunction, and the matching ones that are."""
        best: R | None = None
        best_priority = -1
        softs: list[Soft[R]] | None = None
        is_no_frame = key & PACKET_TYPE_MASK
        for subtable in self._order:
            if subtable.max_priority <= best_priority:
                break
            if is_no_frame and subtable.frames_only:
                continue
            seen = 0
            for upto, keys, checks in subtable.stages:
                if checks:
                    skipped = _skip(checks, key, wildcards, said)
                    if skipped is not None:
                        wildcards |= seen | skipped
                        break
                if key & upto not in keys:
                    if subtable.port_trie is not None and upto == subtable.mask:
                        upto = subtable.explains(key)
                    wildcards |= upto
                    break
                seen = upto
            else:
                wildcards |= seen
                same = subtable.rules[key & subtable.mask]
                rule = same[0]
                if rule.priority <= best_priority:
                    continue
                if not rule.conjunctions:
                    best = rule
                    best_priority = rule.priority
                elif softs is None:
                    softs = [Soft(same)]
                else:
                    softs.append(Soft(same))
        return best, wildcards, softs


def _skip(
    checks: tuple[Check, ...], key: int, wildcards: int, said: dict[int, tuple[int, int]]
) -> int | None:
    """If a trie tells that a subtable cannot match: the bits that say so; else None. Never more
    bits than searching the subtable would take. `wildcards` are looked at anyhow."""
    for number, trie, length in checks:
        known = said.get(number)
        if known is None:
            known = said[number] = trie.lookup(key)
        lengths, n_bits = known
        if lengths >> length & 1:
            continue
        needed = trie.masks[n_bits]
        if n_bits <= length or not needed & ~wildcards:
            return needed
    return None
