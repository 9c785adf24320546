"""`stp/*` and `rstp/*`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from netloom.base.errors import CommandError
from netloom.ofproto.bridge import Ofproto
from netloom.ofproto.rapid_tree import RapidTree
from netloom.ofproto.spanning_tree import SpanningTree

Row = tuple[str, str, int, int, Callable[[list[str]], str]]
Tree = TypeVar("Tree", SpanningTree, RapidTree)


class TreeCommands:
    """The commands over the bridges that `bridges` returns."""

    def __init__(
        self, bridges: Callable[[], Mapping[str, Ofproto]], now_ms: Callable[[], int]
    ) -> None:
        self._bridges = bridges
        self._now_ms = now_ms

    def commands(self) -> list[Row]:
        """Name, usage, least and most arguments, handler."""
        rows: list[Row] = []
        for name, find in (("stp", self._slow), ("rstp", self._rapid)):
            rows += [
                (f"{name}/show", "[bridge]", 0, 1, _show(find)),
                (f"{name}/tcn", "[bridge]", 0, 1, self._announce(find)),
            ]
        return rows

    def _slow(self, args: list[str]) -> list[SpanningTree]:
        return self._choose(args, SpanningTree, "no such stp object")

    def _rapid(self, args: list[str]) -> list[RapidTree]:
        return self._choose(args, RapidTree, "No such RSTP object")

    def _choose(self, args: list[str], kind: type[Tree], complaint: str) -> list[Tree]:
        found: list[Tree] = []
        for name, bridge in self._bridges().items():
            tree = bridge.tree
            if isinstance(tree, kind) and not tree.is_disabled and name in (args or [name]):
                found.append(tree)
        if args and not found:
            raise CommandError(complaint)
        return found

    def _announce(
        self,
        find: Callable[[list[str]], list[SpanningTree]] | Callable[[list[str]], list[RapidTree]],
    ) -> Callable[[list[str]], str]:
        def announce(args: list[str]) -> str:
            for tree in find(args):
                tree.announce_change(self._now_ms())
            return "OK\n"

        return announce


def _show(
    find: Callable[[list[str]], list[SpanningTree]] | Callable[[list[str]], list[RapidTree]],
) -> Callable[[list[str]], str]:
    return lambda args: "".join(tree.show() for tree in find(args))
