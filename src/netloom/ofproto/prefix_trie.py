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
nodes of a linked trie would take half a kilobyte. Insertion and lookup cost a microsecond or two.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import MutableSequence, Sequence

#: Prefixes in a block before it is cut in two.
_BLOCK = 512
#: Bits of an entry that hold the length of its prefix.
_LENGTH_BITS = 8
_LENGTH_ONES = (1 << _LENGTH_BITS) - 1
#: Entries of so many bits fit into an array of machine words.
_WORD_BITS = 64


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

    def _entry(self, address: int, length: int) -> int:
        spare = self.n_bits - length
        return address >> spare << spare + _LENGTH_BITS | length

    def insert(self, address: int, length: int) -> None:
        """Add the prefix of `length` bits of `address`."""
        spare = self.n_bits - length
        entry = address >> spare << spare + _LENGTH_BITS | length
        firsts = self._firsts
        at = bisect_right(firsts, entry) - 1
        if at < 0:
            if not firsts:
                self._blocks.append(self._new_block([entry]))
                firsts.append(entry)
                self._sizes[length] = 1
                return
            at = 0
            firsts[0] = entry
        block = self._blocks[at]
        place = bisect_left(block, entry)
        if place < len(block) and block[place] == entry:
            self._more[entry] = self._more.get(entry, 0) + 1
            return
        block.insert(place, entry)
        self._sizes[length] = self._sizes.get(length, 0) + 1
        if len(block) > _BLOCK:
            half = len(block) // 2
            self._blocks.insert(at + 1, self._new_block(list(block[half:])))
            firsts.insert(at + 1, block[half])
            del block[half:]

    def remove(self, address: int, length: int) -> None:
        """Remove one insertion of a prefix (which must be there)."""
        entry = self._entry(address, length)
        more = self._more.get(entry)
        if more is not None:
            if more == 1:
                del self._more[entry]
            else:
                self._more[entry] = more - 1
            return
        at = bisect_right(self._firsts, entry) - 1
        block = self._blocks[at]
        del block[bisect_left(block, entry)]
        self._sizes[length] -= 1
        if not self._sizes[length]:
            del self._sizes[length]
        if block:
            self._firsts[at] = block[0]
        else:
            del self._blocks[at], self._firsts[at]

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
