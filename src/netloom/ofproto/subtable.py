"""A subtable of the classifier: the rules with one mask, and what narrows a search in them.

`rules` is always true. The counts of partial keys and the tries are only asked for by lookups, and
follow late: `note` keeps the values that came and went in a list, and `catch_up` counts them all at
once, which takes a third of the time that counting one by one would. Who looks up calls it first.
No list grows beyond `_MAX_LATE`, so that a first lookup does not wait for long.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Generic, TypeVar

from netloom.flow.fields import PREREQUISITES, SLOT, STAGE_MASKS, Field
from netloom.ofproto.prefix_trie import PrefixTrie

if TYPE_CHECKING:
    from collections.abc import Iterable

R = TypeVar("R")

PORTS_SHIFT = SLOT["tp_dst"].shift
PORTS_ONES = 0xFFFFFFFF
PORTS_MASK = SLOT["tp_src"].mask | SLOT["tp_dst"].mask
assert SLOT["tp_src"].shift == PORTS_SHIFT + 16
#: Values that may wait to be counted: some milliseconds of work.
_MAX_LATE = 8_192


class FieldTrie:
    """The prefixes of one field in the whole table."""

    __slots__ = ("field", "ones", "prerequisites", "shift", "trie")

    def __init__(self, field: Field) -> None:
        self.field = field
        self.shift = field.shift
        self.ones = field.ones
        self.trie = PrefixTrie(field.bits)
        self.prerequisites = [
            (sum(mask << SLOT[slot].shift for slot, _, mask in alternative),
             sum(value << SLOT[slot].shift for slot, value, _ in alternative))
            for alternative in PREREQUISITES[field.prerequisite]
        ]  # fmt: skip

    def applies(self, key: int) -> bool:
        """Do packets with this key have the field?"""
        return any(key & mask == value for mask, value in self.prerequisites)

    def prefix_length(self, mask: int) -> int:
        """Length of the prefix that `mask` has of this field; 0 if it has none or no prefix."""
        bits = mask >> self.shift & self.ones
        inverted = bits ^ self.ones
        if inverted & inverted + 1:
            return 0
        return bits.bit_count()


class Subtable(Generic[R]):
    """The rules with one mask."""

    __slots__ = (
        "came", "counted", "final_mask", "mask", "max_priority", "plens", "port_bits",
        "port_length", "port_trie", "rules", "stages", "went",
    )  # fmt: skip

    def __init__(self, mask: int, tries: list[FieldTrie]) -> None:
        self.mask = mask
        #: The rules of one value, best first.
        self.rules: dict[int, tuple[R, ...]] = {}
        self.max_priority = -1
        #: (mask up to here, bits of this stage, partial key -> number of rules), but for the last.
        self.stages: list[tuple[int, int, Counter[int]]] = []
        self.final_mask = 0
        self.plens: list[int] = []
        #: The tries that know this mask, and how long its prefixes are in them.
        self.counted: list[tuple[FieldTrie, int]] = []
        self.port_bits = mask >> PORTS_SHIFT & PORTS_ONES
        #: Up to the last bit that the mask has, which need not be a prefix.
        self.port_length = 33 - (self.port_bits & -self.port_bits).bit_length()
        self.port_trie = PrefixTrie(32) if self.port_bits else None
        #: Values of rules that are to be counted, and that are not to be counted any more.
        self.came: list[int] = []
        self.went: list[int] = []
        self.use_tries(tries)
        before = 0
        for stage_mask in STAGE_MASKS:
            upto = mask & stage_mask
            if upto != before:
                self.stages.append((upto, upto & ~before, Counter()))
                before = upto
        if self.stages:
            self.final_mask = self.stages.pop()[1]

    def use_tries(self, tries: list[FieldTrie]) -> None:
        """Know these tries from now on; nothing is put into them."""
        self.plens = [trie.prefix_length(self.mask) for trie in tries]
        self.counted = [
            (trie, length) for trie, length in zip(tries, self.plens, strict=True) if length
        ]

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
            for upto, _, counts in self.stages:
                counts.update(map(upto.__and__, came))
            for trie, length in self.counted:
                trie.trie.insert_all(_parts(came, trie.shift, trie.ones), length)
            if self.port_trie is not None:
                self.port_trie.insert_all(_parts(came, PORTS_SHIFT, PORTS_ONES), self.port_length)
            came.clear()
        if went:
            for upto, _, counts in self.stages:
                _uncount(counts, map(upto.__and__, went))
            for trie, length in self.counted:
                trie.trie.remove_all(_parts(went, trie.shift, trie.ones), length)
            if self.port_trie is not None:
                self.port_trie.remove_all(_parts(went, PORTS_SHIFT, PORTS_ONES), self.port_length)
            went.clear()


def _parts(values: list[int], shift: int, ones: int) -> Counter[int]:
    """How often each value of a field is in `values`."""
    return Counter([value >> shift & ones for value in values])


def _uncount(counts: Counter[int], partials: Iterable[int]) -> None:
    for partial, number in Counter(partials).items():
        left = counts[partial] - number
        if left:
            counts[partial] = left
        else:
            counts.pop(partial)
