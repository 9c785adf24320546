"""A subtable of the classifier: the rules with one mask, and what narrows a search in them.

`rules` is always true. The counts of partial keys and the tries are only asked for by lookups, and
follow late: `note` keeps the values that came and went in a list, and `catch_up` counts them all at
once, which takes a third of the time that counting one by one would. Who looks up calls it first.
No list grows beyond `_MAX_LATE`, so that a first lookup does not wait for long.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from netloom.flow.fields import PREREQUISITES, SLOT, STAGE_MASKS, Field
from netloom.flow.key import PACKET_TYPE_MASK
from netloom.ofproto.prefix_trie import PrefixTrie

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

R = TypeVar("R")

PORTS_SHIFT: Final = SLOT["tp_dst"].shift
PORTS_ONES: Final = 0xFFFFFFFF
PORTS_MASK: Final = SLOT["tp_src"].mask | SLOT["tp_dst"].mask
assert SLOT["tp_src"].shift == PORTS_SHIFT + 16
_ETHERNET_MASK: Final = sum(
    SLOT[name].mask
    for name in ("dl_src", "dl_dst", "dl_type", "vlan_tci", "vlan_tpid", "vlan1_tci", "vlan1_tpid")
)
#: Values that may wait to be counted: some milliseconds of work.
_MAX_LATE: Final = 8_192


def prefix_mask(length: int, bits: int) -> int:
    """The first `length` of `bits` bits."""
    return (1 << length) - 1 << bits - length


class FieldTrie:
    """The prefixes of one field in the whole table."""

    __slots__ = ("masks", "ones", "prerequisites", "shift", "trie")

    def __init__(self, field: Field) -> None:
        self.shift = field.shift
        self.ones = field.ones
        self.trie = PrefixTrie(field.bits)
        #: Number of leading bits -> these bits of a key.
        self.masks = [prefix_mask(n, field.bits) << field.shift for n in range(field.bits + 1)]
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
Check = tuple[int, FieldTrie, int]


class Subtable(Generic[R]):
    """The rules with one mask."""

    __slots__ = (
        "came", "counted", "cuts", "frames_only", "mask", "max_priority", "port_bits",
        "port_length", "port_trie", "rules", "stages", "went",
    )  # fmt: skip

    def __init__(self, mask: int, tries: list[FieldTrie]) -> None:
        self.mask = mask
        #: What is said of an Ethernet header is said of frames, without saying so.
        self.frames_only = bool(mask & _ETHERNET_MASK and not mask & PACKET_TYPE_MASK)
        #: The rules of one value, best first.
        self.rules: dict[int, tuple[R, ...]] = {}
        self.max_priority = -1
        #: (mask up to here, partial key -> number of rules) of the stages but the last.
        self.cuts: list[tuple[int, Counter[int]]] = []
        before = 0
        for stage_mask in STAGE_MASKS:
            upto = mask & stage_mask
            if upto != before:
                self.cuts.append((upto, Counter()))
                before = upto
        if self.cuts:
            self.cuts.pop()
        self.port_bits = mask >> PORTS_SHIFT & PORTS_ONES
        #: Up to the last bit that the mask has, which need not be a prefix.
        self.port_length = 33 - (self.port_bits & -self.port_bits).bit_length()
        self.port_trie = PrefixTrie(32) if self.port_bits else None
        #: Values of rules that are to be counted, and that are not to be counted any more.
        self.came: list[int] = []
        self.went: list[int] = []
        #: The tries that know this mask, and how long its prefixes are in them.
        self.counted: list[tuple[FieldTrie, int]] = []
        #: What a search does in turn: ask tries, then look for the key under a mask. The last finds
        #: the rules.
        self.stages: tuple[tuple[int, Mapping[int, object], tuple[Check, ...]], ...] = ()
        self.use_tries(tries)

    def use_tries(self, tries: list[FieldTrie]) -> None:
        """Know these tries from now on; nothing is put into them."""
        lengths = [trie.prefix_length(self.mask) for trie in tries]
        self.counted = [
            (trie, length) for trie, length in zip(tries, lengths, strict=True) if length
        ]
        stages: list[tuple[int, Mapping[int, object], tuple[Check, ...]]] = []
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
        _, n_bits = self.port_trie.lookup(key >> PORTS_SHIFT & self.port_bits)
        needed = prefix_mask(n_bits, 32) & self.port_bits
        return self.mask & ~PORTS_MASK | needed << PORTS_SHIFT

    def count_in_tries(self) -> None:
        """Put all rules into tries that are new. Nothing may be late."""
        values = [value for value, same in self.rules.items() for _ in same]
        for trie, length in self.counted:
            trie.trie.insert_all(_parts(values, trie.shift, trie.ones), length)

    def note(self, late: list[int], value: int) -> bool:
        """A rule with `value` came or went (`late` is the list for that); is it the first that
        waits to be counted?"""
        first = not (self.came or self.went)
        late.append(value)
        if len(late) >= _MAX_LATE:
            self.catch_up()
        return first

    def catch_up(self) -> None:
        """Count what came and went."""
        came, went = self.came, self.went
        if came:
            for upto, counts in self.cuts:
                counts.update(map(upto.__and__, came))
            for trie, length in self.counted:
                trie.trie.insert_all(_parts(came, trie.shift, trie.ones), length)
            if self.port_trie is not None:
                self.port_trie.insert_all(_parts(came, PORTS_SHIFT, PORTS_ONES), self.port_length)
            came.clear()
        if went:
            for upto, counts in self.cuts:
                _uncount(counts, map(upto.__and__, went))
            for trie, length in self.counted:
                trie.trie.remove_all(_parts(went, trie.shift, trie.ones), length)
            if self.port_trie is not None:
                self.port_trie.remove_all(_parts(went, PORTS_SHIFT, PORTS_ONES), self.port_length)
            went.clear()


def _parts(values: list[int], shift: int, ones: int) -> list[int]:
    """The value of a field in each of `values`."""
    return [value >> shift & ones for value in values]


def _uncount(counts: Counter[int], partials: Iterable[int]) -> None:
    for partial, number in Counter(partials).items():
        left = counts[partial] - number
        if left:
            counts[partial] = left
        else:
            counts.pop(partial)
