"""The order in which a bridge's ports have their turns, and are shown: that of Open vSwitch's hash
table, whose buckets double with the ports and never become fewer. Trees do not depend on it, but
which of several BPDUs goes out first does, and people compare what is shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from netloom.flow.hashes import hash_pair

if TYPE_CHECKING:
    from netloom.protocols.rstp import RstpPort


class Turns:
    """Ports by number; a new one goes to the head of its bucket."""

    def __init__(self) -> None:
        self._count = 0
        # The head of a bucket is the end of its list.
        self._buckets: list[list[RstpPort]] = [[]]

    def __iter__(self) -> Iterator[RstpPort]:
        return (port for bucket in self._buckets for port in reversed(bucket))

    def add(self, port: RstpPort) -> None:
        self._bucket(port).append(port)
        self._count += 1
        half = self._count // 2
        if half > len(self._buckets) - 1:
            ports = list(self)
            n_buckets = max(1 << half.bit_length(), 4)
            self._buckets = [[] for _ in range(n_buckets)]
            for moved in ports:
                self._bucket(moved).append(moved)

    def remove(self, port: RstpPort) -> None:
        self._bucket(port).remove(port)
        self._count -= 1

    def _bucket(self, port: RstpPort) -> list[RstpPort]:
        return self._buckets[hash_pair(port.number, 0) & len(self._buckets) - 1]
