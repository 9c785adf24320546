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
from typing import Generic, Protocol, TypeVar

from netloom.flow.fields import FIELD, PREREQUISITES, SLOT, STAGE_MASKS, Field
from netloom.flow.key import PACKET_TYPE_MASK
from netloom.flow.match import Match
from netloom.ofproto.conjunctions import Soft, decide
from netloom.ofproto.prefix_trie import PrefixTrie
from netloom.openflow.actions import Conjunction

#: Fields with tries unless the Flow_Table row says otherwise (ovs-vswitchd.conf.db(5), prefixes).
DEFAULT_PREFIXES = ("nw_dst", "nw_src", "ipv6_dst", "ipv6_src")

_CONJ_ID = SLOT["conj_id"]
_ETHERNET_MASK = sum(
    SLOT[name].mask
    for name in ("dl_src", "dl_dst", "dl_type", "vlan_tci", "vlan_tpid", "vlan1_tci", "vlan1_tpid")
)
_PORTS_SHIFT = SLOT["tp_dst"].shift
_PORTS_ONES = 0xFFFFFFFF
_PORTS_MASK = SLOT["tp_src"].mask | SLOT["tp_dst"].mask
assert SLOT["tp_src"].shift == _PORTS_SHIFT + 16


class Classified(Protocol):
    """What the classifier needs of a rule; it writes nothing into it."""

    @property
    def match(self) -> Match: ...

    @property
    def priority(self) -> int: ...

    @property
    def conjunctions(self) -> tuple[Conjunction, ...]: ...


R = TypeVar("R", bound=Classified)


class _Trie:
    """The prefixes of one field in the whole table."""

    __slots__ = ("masks", "ones", "prerequisites", "shift", "trie")

    def __init__(self, field: Field) -> None:
        self.shift = field.shift
        self.ones = field.ones
        self.trie = PrefixTrie(field.bits)
        #: Number of leading bits -> these bits of a key.
        self.masks = [_prefix_mask(n, field.bits) << field.shift for n in range(field.bits + 1)]
        self.prerequisites = [
            (sum(mask << SLOT[slot].shift for slot, _, mask in alternative),
             sum(value << SLOT[slot].shift for slot, value, _ in alternative))
            for alternative in PREREQUISITES[field.prerequisite]
        ]  # fmt: skip

    def lookup(self, key: int) -> tuple[int, int]:
        """What `PrefixTrie.lookup` says of this field; any length may match a packet without it."""
        for mask, value in self.prerequisites:
            if key & mask == value:
                return self.trie.lookup(key >> self.shift & self.ones)
        return -1, 0

    def prefix_length(self, mask: int) -> int:
        """Length of the prefix that `mask` has of this field; 0 if it has none or no prefix."""
        bits = mask >> self.shift & self.ones
        inverted = bits ^ self.ones
        if inverted & inverted + 1:
            return 0
        return bits.bit_count()


#: A trie, its number among those of the table, and how long a subtable's prefix is in it.
_Check = tuple[int, _Trie, int]


class _Subtable(Generic[R]):
    """The rules with one mask."""

    __slots__ = (
        "counted", "cuts", "frames_only", "mask", "max_priority", "port_bits", "port_length",
        "port_trie", "rules", "stages",
    )  # fmt: skip

    def __init__(self, mask: int, tries: list[_Trie]) -> None:
        self.mask = mask
        #: What is said of an Ethernet header is said of frames, without saying so.
        self.frames_only = bool(mask & _ETHERNET_MASK and not mask & PACKET_TYPE_MASK)
        #: The rules of one value, best first.
        self.rules: dict[int, tuple[R, ...]] = {}
        self.max_priority = -1
        #: (mask up to here, partial key -> number of rules) of the stages but the last.
        self.cuts: list[tuple[int, dict[int, int]]] = []
        before = 0
        for stage_mask in STAGE_MASKS:
            upto = mask & stage_mask
            if upto != before:
                self.cuts.append((upto, {}))
                before = upto
        if self.cuts:
            self.cuts.pop()
        self.port_bits = mask >> _PORTS_SHIFT & _PORTS_ONES
        #: Up to the last bit that the mask has, which need not be a prefix.
        self.port_length = 33 - (self.port_bits & -self.port_bits).bit_length()
        self.port_trie = PrefixTrie(32) if self.port_bits else None
        #: The tries that know this mask, and how long its prefixes are in them.
        self.counted: list[tuple[_Trie, int]] = []
        #: What a search does in turn: ask tries, then look for the key under a mask. The last finds
        #: the rules.
        self.stages: tuple[tuple[int, Mapping[int, object], tuple[_Check, ...]], ...] = ()
        self.use_tries(tries)

    def use_tries(self, tries: list[_Trie]) -> None:
        lengths = [trie.prefix_length(self.mask) for trie in tries]
        self.counted = [
            (trie, length) for trie, length in zip(tries, lengths, strict=True) if length
        ]
        stages: list[tuple[int, Mapping[int, object], tuple[_Check, ...]]] = []
        before = 0
        levels: list[tuple[int, Mapping[int, object]]] = [*self.cuts, (self.mask, self.rules)]
        for upto, keys in levels:
            new = upto & ~before
            before = upto
            checks = tuple(
                (number, trie, lengths[number])
                for number, trie in enumerate(tries)
                if lengths[number] and new >> trie.shift & trie.ones
            )
            stages.append((upto, keys, checks))
        self.stages = tuple(stages)

    def explains(self, key: int) -> int:
        """The bits that tell that no rule has the ports of `key`, whose other bits some rules
        may have."""
        assert self.port_trie is not None
        _, n_bits = self.port_trie.lookup(key >> _PORTS_SHIFT & self.port_bits)
        needed = _prefix_mask(n_bits, 32) & self.port_bits
        return self.mask & ~_PORTS_MASK | needed << _PORTS_SHIFT


class Classifier(Generic[R]):
    """One table's rules."""

    def __init__(self, prefixes: tuple[str, ...] = DEFAULT_PREFIXES) -> None:
        self._subtables: dict[int, _Subtable[R]] = {}
        self._order: list[_Subtable[R]] = []
        self._tries = [_Trie(FIELD[name]) for name in prefixes]
        self._n_rules = 0

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
        self._tries = [_Trie(FIELD[name]) for name in prefixes]
        for subtable in self._order:
            subtable.use_tries(self._tries)
            for key, same in subtable.rules.items():
                for _ in same:
                    self._count_prefixes(subtable, key, add=True)

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
        mask, value = rule.match.mask, rule.match.value
        subtable = self._subtables.get(mask)
        if subtable is None:
            subtable = self._subtables[mask] = _Subtable(mask, self._tries)
            self._order.append(subtable)
        same = subtable.rules.get(value)
        if same is None:
            subtable.rules[value] = (rule,)
        else:
            at = 0
            while at < len(same) and same[at].priority > rule.priority:
                at += 1
            if at < len(same) and same[at].priority == rule.priority:
                subtable.rules[value] = (*same[:at], rule, *same[at + 1 :])
                return same[at]
            subtable.rules[value] = (*same[:at], rule, *same[at:])
        self._added(subtable, value)
        if rule.priority > subtable.max_priority:
            subtable.max_priority = rule.priority
            self._sort()
        return None

    def remove(self, rule: R) -> None:
        """Remove a rule, which must be in the table."""
        mask, value = rule.match.mask, rule.match.value
        subtable = self._subtables[mask]
        same = subtable.rules[value]
        if len(same) == 1:
            del subtable.rules[value]
        else:
            subtable.rules[value] = tuple([other for other in same if other is not rule])
        self._removed(subtable, value)
        if not subtable.rules:
            del self._subtables[mask]
            self._order.remove(subtable)
        elif rule.priority == subtable.max_priority:
            self._lower_priority(subtable)

    def _lower_priority(self, subtable: _Subtable[R]) -> None:
        # The value may stay too high for speed: a scan of a large subtable on each removal of its
        # first rule would be quadratic. Too high is safe; it only delays the end of a search.
        if len(subtable.rules) <= 64:
            highest = max(same[0].priority for same in subtable.rules.values())
            if highest != subtable.max_priority:
                subtable.max_priority = highest
                self._sort()

    def _sort(self) -> None:
        self._order.sort(key=lambda subtable: -subtable.max_priority)

    def _added(self, subtable: _Subtable[R], value: int) -> None:
        self._n_rules += 1
        for upto, counts in subtable.cuts:
            partial = value & upto
            counts[partial] = counts.get(partial, 0) + 1
        self._count_prefixes(subtable, value, add=True)
        if subtable.port_trie is not None:
            subtable.port_trie.insert(value >> _PORTS_SHIFT & _PORTS_ONES, subtable.port_length)

    def _removed(self, subtable: _Subtable[R], value: int) -> None:
        self._n_rules -= 1
        for upto, counts in subtable.cuts:
            partial = value & upto
            counts[partial] -= 1
            if not counts[partial]:
                del counts[partial]
        self._count_prefixes(subtable, value, add=False)
        if subtable.port_trie is not None:
            subtable.port_trie.remove(value >> _PORTS_SHIFT & _PORTS_ONES, subtable.port_length)

    def _count_prefixes(self, subtable: _Subtable[R], value: int, add: bool) -> None:
        for trie, length in subtable.counted:
            change = trie.trie.insert if add else trie.trie.remove
            change(value >> trie.shift & trie.ones, length)

    # Lookup

    def lookup(
        self, key: int, wildcards: int = 0, parts: list[R] | None = None
    ) -> tuple[R | None, int]:
        """The best rule for `key`, and the mask of bits that decided, with those of `wildcards`:
        what is looked at in any case, which a search may use at no price. If a conjunctive match
        decided, `parts` gets its rules, clause by clause."""
        best, wildcards, softs = self._lookup(key, wildcards)
        if not softs:
            return best, wildcards

        def look_again(conj_id: int) -> R | None:
            nonlocal wildcards
            found, wildcards, _ = self._lookup(_CONJ_ID.put(key, conj_id), wildcards)
            return found

        best = decide(softs, best, look_again, parts)
        return best, wildcards

    def _lookup(self, key: int, wildcards: int) -> tuple[R | None, int, list[Soft[R]] | None]:
        """The best rule that is no part of a conjunction, and the matching ones that are."""
        best: R | None = None
        best_priority = -1
        softs: list[Soft[R]] | None = None
        #: What tries have said in this lookup, by their numbers.
        said: dict[int, tuple[int, int]] = {}
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
    checks: tuple[_Check, ...], key: int, wildcards: int, said: dict[int, tuple[int, int]]
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


def _prefix_mask(length: int, bits: int) -> int:
    """The first `length` of `bits` bits."""
    return (1 << length) - 1 << bits - length
