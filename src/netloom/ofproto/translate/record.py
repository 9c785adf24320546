"""The recorder of ofproto/trace: a tree of what a translation did, and its text."""

from __future__ import annotations

from typing import Final, NamedTuple

from netloom.openflow.actions import Nat

#: Kinds of node that never take the indentation of a last child.
_TERMINAL: Final = frozenset({"action", "detail", "warning", "error", "bucket"})
_FORMS: Final = {
    "action": "{}",
    "detail": " -> {}",
    "warning": " >> {}",
    "error": " >>>> {} <<<<",
    "table": "{}",
    "bridge": "{}",
    "bucket": "{}",
    "thaw": "{}",
    "thawed": "{}",
}


class Node:
    """One line of a trace, and what happened inside."""

    __slots__ = ("children", "kind", "text")

    def __init__(self, kind: str, text: str) -> None:
        self.kind = kind
        self.text = text
        self.children: list[Node] = []


class Fork(NamedTuple):
    """A copy of the packet that comes back from connection tracking: its key, whose recirc_id and
    zone are those that it will have, and what translates it."""

    key: int
    zone: int
    nat: Nat | None


class Recorder:
    """Collects nodes under the innermost that is open, and the copies that come back."""

    def __init__(self, with_names: bool = False) -> None:
        #: Ports of rules and actions are told by name.
        self.with_names = with_names
        self.forks: list[Fork] = []
        self.root = Node("bridge", "")
        self._open = [self.root]

    def add(self, kind: str, text: str) -> Node:
        node = Node(kind, text)
        self._open[-1].children.append(node)
        return node

    def add_fork(self, key: int, zone: int, nat: Nat | None) -> None:
        self.forks.append(Fork(key, zone, nat))

    def enter(self, kind: str, text: str) -> None:
        self._open.append(self.add(kind, text))

    def leave(self) -> None:
        self._open.pop()

    def lines(self) -> list[str]:
        lines: list[str] = []
        _print(self.root.children, 0, lines)
        return lines


def _print(nodes: list[Node], level: int, lines: list[str]) -> None:
    for number, node in enumerate(nodes):
        if node.kind == "bridge":
            lines.append("")
        # The last child of a table does not move in, so that a long chain stays on the page.
        deeper = number < len(nodes) - 1 or node.kind in _TERMINAL
        indent = " " * 4 * (level + deeper)
        lines.append(indent + _FORMS[node.kind].format(node.text))
        if node.kind == "bridge":
            lines.append(indent + "-" * len(node.text))
        _print(node.children, level + 2 * deeper, lines)
