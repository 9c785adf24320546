"""A trie of prefixes: which of a table's prefix lengths can match an address, and how many of its
bits one must look at to know.

A table with 10.0.0.0/8 and 10.1.0.0/16 need not look at all 32 bits of 192.168.0.1: the first bit
tells that neither matches. The classifier asks once per lookup, and skips whole groups of rules
while un-wildcarding only these bits.

**How.** A trie in meaning, a sorted list in memory. Prefixes are kept in order of their bits,
shorter before longer. The prefix that shares the most leading bits with an address is next to the
place where the address would stand, so two neighbours tell how far the address goes down the trie,
and whether something lies below that: all that a walk from the root would find. The list is cut
into blocks, which insertion keeps small. A prefix of an IPv4 address takes eight bytes in it; the
nodes of a linked trie would take half a kilobyte. Insertion and lookup cost a microsecond or two;
many prefixes that are inserted at once are sorted first, and cost a fraction of that.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections import Counter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import MutableSequence, Sequence
    from typing import Final

#: Prefixes in a block before it is cut in two.
_BLOCK: Final = 512
#: So many entries of one block are taken in one step.
_MANY: Final = 48
#: Bits of an entry that hold the length of its prefix.
_LENGTH_BITS: Final = 8
_LENGTH_ONES: Final = (1 << _LENGTH_BITS) - 1
#: Entries of so many bits fit into an array of machine words.
_WORD_BITS: Final = 64


class PrefixTrie:
    """Prefixes of addresses of `n_bits` bits; one may be inserted many times."""

    __slots__ = ("_blocks", "_firsts", "_more", "_sizes", "n_bits")

    def __init__(self, n_bits: int) -> None:
        self.n_bits = n_bits
        #: Entries `prefix << 8 | length`, the prefix padded with zeros to all its bits, in order.
        self._blocks: list[MutableSequence[int]] = []
        #: The first entry of each block.
        self._firsts: list[int] = []
        #: How many prefixes of each length there are.
        self._sizes: dict[int, int] = {}
        #: How often an entry was inserted beyond once.
        self._more: dict[int, int] = {}

    def _new_block(self, entries: list[int]) -> MutableSequence[int]:
        if self.n_bits + _LENGTH_BITS <= _WORD_BITS:
            return array("Q", entries)
        return entries

    def insert(self, address: int, length: int) -> None:
        """Add the prefix of `length` bits of `address`."""
        self.insert_all([address], length)

    def insert_all(self, addresses: list[int], length: int) -> None:
        """Add the prefix of `length` bits of each address."""
        entries, again = self._entries(addresses, length)
        for entry, n in Counter(again).items():
            self._more[entry] = self._more.get(entry, 0) + n
        self._insert_sorted(entries, length)

    def _entries(self, addresses: list[int], length: int) -> tuple[list[int], list[int]]:
        """The entries of these prefixes in order, each once; and those that come again, as often
        as they do."""
        spare = self.n_bits - length
        shift = spare + _LENGTH_BITS
        entries = [address >> spare << shift | length for address in addresses]
        entries.sort()
        distinct: list[int] = []
        again: list[int] = []
        last = -1
        for entry in entries:
            if entry == last:
                again.append(entry)
            else:
                distinct.append(entry)
            last = entry
        return distinct, again

    def _insert_sorted(self, entries: list[int], length: int) -> None:
        """Add entries of prefixes of one length, a block's worth at a time."""
        at = 0
        while at < len(entries):
            number, end = self._block_of(entries, at)
            if end - at == 1:
                self._insert_one(number, entries[at], length)
            else:
                self._merge(number, entries[at:end], length)
            at = end

    def _block_of(self, entries: list[int], at: int) -> tuple[int, int]:
        """The block for `entries[at]`, and up to where the entries belong to it. Few entries are
        taken one by one, for a whole block is written to take many."""
        firsts = self._firsts
        if not firsts:
            self._blocks.append(self._new_block([]))
            firsts.append(entries[at])
        number = max(bisect_right(firsts, entries[at]) - 1, 0)
        end = len(entries)
        if number + 1 < len(firsts):
            end = bisect_left(entries, firsts[number + 1], at)
        return number, end if end - at >= _MANY else at + 1

    def _insert_one(self, number: int, entry: int, length: int) -> None:
        block = self._blocks[number]
        place = bisect_left(block, entry)
        if place < len(block) and block[place] == entry:
            self._more[entry] = self._more.get(entry, 0) + 1
            return
        block.insert(place, entry)
        self._sizes[length] = self._sizes.get(length, 0) + 1
        if len(block) > _BLOCK:
            self._replace_block(number, list(block))
        elif not place:
            self._firsts[number] = entry

    def _merge(self, number: int, entries: list[int], length: int) -> None:
        block = self._blocks[number]
        known = set(block)
        fresh = [entry for entry in entries if entry not in known]
        if len(fresh) < len(entries):
            for entry in known.intersection(entries):
                self._more[entry] = self._more.get(entry, 0) + 1
        self._sizes[length] = self._sizes.get(length, 0) + len(fresh)
        self._replace_block(number, sorted([*block, *fresh]))

    def _replace_block(self, number: int, entries: list[int]) -> None:
        """Put blocks of these entries in the place of one; the last has room to grow."""
        step = _BLOCK * 3 // 4 if len(entries) > _BLOCK else _BLOCK
        cut = [entries[start : start + step] for start in range(0, len(entries), step)]
        self._blocks[number : number + 1] = map(self._new_block, cut)
        self._firsts[number : number + 1] = [part[0] for part in cut]

    def remove(self, address: int, length: int) -> None:
        """Remove one insertion of a prefix (which must be there)."""
        self.remove_all([address], length)

    def remove_all(self, addresses: list[int], length: int) -> None:
        """Remove an insertion of the prefix of each address (all must be there)."""
        entries, again = self._entries(addresses, length)
        gone = []
        for entry, n in Counter(again).items():
            self._more[entry] -= n
        for entry in entries:
            more = self._more.get(entry, 0)
            if not more:
                gone.append(entry)
            if more > 1:
                self._more[entry] = more - 1
            else:
                self._more.pop(entry, None)
        if not gone:
            return
        at = 0
        while at < len(gone):
            number, end = self._block_of(gone, at)
            self._cut_out(number, gone[at:end])
            at = end
        self._sizes[length] -= len(gone)
        if not self._sizes[length]:
            del self._sizes[length]

    def _cut_out(self, number: int, entries: list[int]) -> None:
        block = self._blocks[number]
        if len(entries) == 1:
            del block[bisect_left(block, entries[0])]
        else:
            unwanted = set(entries)
            block = self._new_block([entry for entry in block if entry not in unwanted])
            self._blocks[number] = block
        if block:
            self._firsts[number] = block[0]
        else:
            del self._blocks[number], self._firsts[number]

    def lookup(self, address: int) -> tuple[int, int]:
        """(lengths, n_bits): bit L of `lengths` is set if a prefix of L bits matches `address`;
        the first `n_bits` bits of the address decide that."""
        n_bits = self.n_bits
        shared = 0
        below = False
        neighbours = self._neighbours(address << _LENGTH_BITS | n_bits)
        for entry in neighbours:
            length = entry & _LENGTH_ONES
            common = n_bits - (entry >> _LENGTH_BITS ^ address).bit_length()
            if common >= length:
                common = length
            if common > shared:
                shared = common
                below = length > common
            elif common == shared and length > common:
                below = True
        lengths = 0
        for length in self._sizes:
            if length <= shared:
                spare = n_bits - length
                entry = address >> spare << spare + _LENGTH_BITS | length
                if entry == neighbours[0] or self._has(entry):
                    lengths |= 1 << length
        return lengths, shared + below

    def _neighbours(self, entry: int) -> Sequence[int]:
        """The entries beside the place of `entry`: up to it, and after it."""
        firsts = self._firsts
        at = bisect_right(firsts, entry) - 1
        if at < 0:
            return firsts[:1]
        block = self._blocks[at]
        place = bisect_right(block, entry)
        if place < len(block):
            return (block[place - 1], block[place])
        if at + 1 < len(firsts):
            return (block[place - 1], firsts[at + 1])
        return (block[place - 1],)

    def _has(self, entry: int) -> bool:
        at = bisect_right(self._firsts, entry) - 1
        if at < 0:
            return False
        block = self._blocks[at]
        place = bisect_left(block, entry)
        return place < len(block) and block[place] == entry

    @property
    def is_empty(self) -> bool:
        return not self._blocks
