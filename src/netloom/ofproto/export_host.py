"""What exporters need of the machine: sockets to collectors, and what the process takes.

This one has no collectors; a program gives its data paths one that has.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from netloom.base.record import Record


class Collector(Protocol):
    """Somebody who is sent datagrams."""

    def send(self, data: bytes) -> bool:
        """False if it did not leave."""

    def close(self) -> None: ...


class Resources(Record):
    """CPU time of the process, and bytes of memory."""

    user_ms: int = 0
    system_ms: int = 0
    memory: int = 0


class ExportHost:
    """See the module."""

    def open_collectors(self, targets: Iterable[str], default_port: int) -> Sequence[Collector]:
        """Those of the targets that can be opened; what is wrong with others is logged."""
        return []

    def resources(self) -> Resources:
        """What the process takes of the machine."""
        return Resources()


class Audience:
    """The collectors of one exporter, opened anew when its targets change."""

    def __init__(self, host: ExportHost, default_port: int) -> None:
        self._host = host
        self._default_port = default_port
        self._targets: frozenset[str] = frozenset()
        self._collectors: Sequence[Collector] = ()

    def __len__(self) -> int:
        return len(self._collectors)

    @property
    def is_complete(self) -> bool:
        """Can all targets be sent to?"""
        return len(self._collectors) >= len(self._targets)

    def follow(self, targets: Iterable[str]) -> None:
        """Have these collectors; those that could not be opened are tried again."""
        wanted = frozenset(targets)
        if wanted == self._targets and self.is_complete:
            return
        self.close()
        self._targets = wanted
        self._collectors = self._host.open_collectors(sorted(wanted), self._default_port)

    def send(self, data: bytes) -> int:
        """Send to all; how many times that failed."""
        return sum(not collector.send(data) for collector in self._collectors)

    def close(self) -> None:
        for collector in self._collectors:
            collector.close()
        self._collectors = ()
        self._targets = frozenset()
