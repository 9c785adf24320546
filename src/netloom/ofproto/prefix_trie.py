"""A trie of prefixes: which of a table's prefix lengths can match an address, and how many of its
bits one must look at to know.

A table with 10.0.0.0/8 and 10.1.0.0/16 need not look at all 32 bits of 192.168.0.1: the first bit
tells that neither matches. The classifier asks once per lookup, and skips whole groups of rules
while un-wildcarding only these bits.

The trie is path-compressed: a node stands for a prefix, its edge for the bits since its parent. A
prefix may be inserted many times (`n_rules`).
"""

from __future__ import annotations


class _Node:
    __slots__ = ("children", "length", "n_rules", "prefix")

    def __init__(self, prefix: int, length: int) -> None:
        #: The whole prefix from the root, right-aligned: `length` bits.
        self.prefix = prefix
        self.length = length
        self.n_rules = 0
        self.children: list[_Node | None] = [None, None]


class PrefixTrie:
    """Prefixes of addresses of `n_bits` bits."""

    def __init__(self, n_bits: int) -> None:
        self.n_bits = n_bits
        self._root = _Node(0, 0)

    def insert(self, address: int, length: int) -> None:
        """Add the prefix of `length` bits of `address`."""
        node, target = self._root, address >> self.n_bits - length
        while node.length < length:
            bit = target >> length - node.length - 1 & 1
            child = node.children[bit]
            if child is None:
                child = node.children[bit] = _Node(target, length)
            common = _common_bits(child.prefix, child.length, target, length)
            if common < child.length:
                child = node.children[bit] = _split(child, common)
            node = child
        node.n_rules += 1

    def remove(self, address: int, length: int) -> None:
        """Remove one insertion of a prefix (which must be there)."""
        target = address >> self.n_bits - length
        path: list[_Node] = []
        node = self._root
        while node.length < length:
            path.append(node)
            child = node.children[target >> length - node.length - 1 & 1]
            assert child is not None
            node = child
        node.n_rules -= 1
        while path and not node.n_rules and not all(node.children):
            parent = path.pop()
            heir = node.children[0] or node.children[1]
            parent.children[parent.children.index(node)] = heir
            node = parent

    def lookup(self, address: int) -> tuple[int, int]:
        """(lengths, n_bits): bit L of `lengths` is set if a prefix of L bits matches `address`;
        the first `n_bits` bits of the address decide that."""
        lengths = 0
        node = self._root
        while True:
            if node.n_rules:
                lengths |= 1 << node.length
            if node.length == self.n_bits:
                return lengths, self.n_bits
            child = node.children[address >> self.n_bits - node.length - 1 & 1]
            if child is None:
                # A leaf excludes nothing further; otherwise the next bit excludes the other branch.
                leaf = node.children[0] is None and node.children[1] is None
                return lengths, node.length if leaf else node.length + 1
            common = _common_bits(
                child.prefix, child.length, address >> self.n_bits - child.length, child.length
            )
            if common < child.length:
                return lengths, common + 1
            node = child

    @property
    def is_empty(self) -> bool:
        return not self._root.n_rules and not any(self._root.children)


def _common_bits(a: int, a_length: int, b: int, b_length: int) -> int:
    """How many leading bits two prefixes share."""
    length = min(a_length, b_length)
    return length - ((a >> a_length - length) ^ (b >> b_length - length)).bit_length()


def _split(child: _Node, length: int) -> _Node:
    """A new node for the first `length` bits of `child`, which becomes its only child."""
    parent = _Node(child.prefix >> child.length - length, length)
    parent.children[child.prefix >> child.length - length - 1 & 1] = child
    return parent
