"""The order of Open vSwitch's hash tables, in which it numbers and shows things: people and tests
compare what is shown. Buckets double with the items and never become fewer; a new item goes to the
head of its bucket.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Turns(Generic[T]):
    """Items with their hashes (32 bits)."""

    def __init__(self) -> None:
        self._count = 0
        # The head of a bucket is the end of its list.
        self._buckets: list[list[tuple[int, T]]] = [[]]

    def __iter__(self) -> Iterator[T]:
        return (item for bucket in self._buckets for _, item in reversed(bucket))

    def add(self, number: int, item: T) -> None:
        """Add an item whose hash is `number`."""
        self._bucket(number).append((number, item))
        self._count += 1
        half = self._count // 2
        if half > len(self._buckets) - 1:
            pairs = [pair for bucket in self._buckets for pair in reversed(bucket)]
            self._buckets = [[] for _ in range(max(1 << half.bit_length(), 4))]
            for pair in pairs:
                self._bucket(pair[0]).append(pair)

    def remove(self, number: int, item: T) -> None:
        """Remove an item that was added with that hash."""
        self._bucket(number).remove((number, item))
        self._count -= 1

    def _bucket(self, number: int) -> list[tuple[int, T]]:
        return self._buckets[number & len(self._buckets) - 1]
