"""What every data path shows of its connection tracker: the interface that `dpctl` uses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Limits(Protocol):
    """Connections that a zone may have; a default of 0 is none."""

    default: int
    #: The database sets limits: people may not.
    is_protected: bool

    def set(self, zone: int, limit: int) -> None: ...

    def delete(self, zone: int) -> None: ...

    def limit(self, zone: int) -> int: ...

    def count(self, zone: int) -> int: ...

    def counted(self, zone: int) -> int:
        """What people are told of `count`."""

    def zones(self) -> list[int]:
        """Zones that have a limit of their own."""


class Fragments(Protocol):
    """Fragments that wait for the rest of their packet. By family (4 or 6): whether they are
    waited for, the least size of all but the last, and counts by what became of them."""

    enabled: dict[int, bool]
    min_sizes: dict[int, int]
    max_fragments: int
    n_held: int
    counts: dict[int, dict[str, int]]

    def lists(self) -> list[str]:
        """A line of text for each incomplete packet."""


class Conntrack(Protocol):
    """A tracker; `len()` is how many connections it holds."""

    max_connections: int
    checks_tcp_sequence: bool
    sweep_interval_ms: int

    @property
    def limits(self) -> Limits: ...

    @property
    def fragments(self) -> Fragments: ...

    def __len__(self) -> int: ...

    def set_timeout_policy(self, name: str, timeouts_s: dict[str, int]) -> None:
        """What the timeout policy `name` of `ct` actions means."""

    def dump(self, now_ms: int, zone: int | None, verbose: bool, with_times: bool) -> list[str]:
        """A line of text for each connection (of a zone)."""

    def dump_expected(self, zone: int | None) -> list[str]:
        """A line of text for each connection (of a zone) that another has announced."""

    def describe(self, now_ms: int, zone: int | None, verbose: bool) -> str:
        """How many connections there are, by protocol."""

    def flush_zone(self, zone: int | None) -> None:
        """Forget all connections (of a zone)."""

    def flush_matching(self, zone: int | None, words: Sequence[str]) -> bool:
        """Forget the connections (of a zone) that are as the words say, in this order: `mark=X/M`,
        `labels=X/M`, the original tuple, that of replies; an empty word says nothing. False if
        a tuple is that of one connection (in zone 0 unless told) that is not there. Raises
        ValueError for words that are none."""
