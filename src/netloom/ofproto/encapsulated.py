"""Counting packets with the headers of a tunnel in front, which are longer than they came in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netloom.ofproto.groups import Group, GroupBucket
from netloom.ofproto.ports import PatchCrossing
from netloom.ofproto.rules import Rule

if TYPE_CHECKING:
    from netloom.ofproto.translate.context import Credit


class Encapsulated:
    """Credits `target` with `size` bytes more for each packet."""

    __slots__ = ("size", "target")

    def __init__(self, target: Credit, size: int) -> None:
        self.target = target
        self.size = size

    def credit(self, n_packets: int, n_bytes: int, used_ms: int) -> None:
        self.target.credit(n_packets, n_bytes + n_packets * self.size, used_ms)


def encapsulated(targets: list[Credit], size: int) -> list[Credit]:
    """`targets`, of which those that count bytes count headers of `size` bytes too."""
    found: list[Credit] = []
    for target in targets:
        if isinstance(target, Encapsulated):
            found.append(Encapsulated(target.target, target.size + size))
        elif isinstance(target, Rule | Group | GroupBucket | PatchCrossing):
            found.append(Encapsulated(target, size))
        else:
            found.append(target)
    return found
