"""The OpenFlow numbers that a bridge gives to ports.

A number that a port had may still be in flows of controllers, so it is given to nobody else for
REST_MS; if that leaves none, the one that rests longest is given.
"""

from __future__ import annotations

from collections.abc import Container

from netloom.base.errors import ConfigError

#: An hour.
REST_MS = 3_600_000


class PortNumbers:
    """Numbers 1 to `greatest`, of which `in_use` says whether ports have them."""

    def __init__(self, in_use: Container[int], greatest: int) -> None:
        self._in_use = in_use
        self._greatest = greatest
        self._last = 0
        #: When the ports that had numbers went.
        self._freed_ms: dict[int, int] = {}

    def choose(self, wanted: int, now_ms: int) -> int:
        """`wanted` if it can be had, else the next that is free; `ConfigError` if none is."""
        if 0 < wanted <= self._greatest and wanted not in self._in_use:
            return wanted
        longest: int | None = None
        for step in range(self._greatest):
            number = (self._last + step) % self._greatest + 1
            if number in self._in_use:
                continue
            freed_ms = self._freed_ms.get(number)
            if freed_ms is None or freed_ms < now_ms - REST_MS:
                self._last = number
                return number
            if longest is None or freed_ms < self._freed_ms[longest]:
                longest = number
        if longest is None:
            raise ConfigError("no OpenFlow port number is left")
        return longest

    def free(self, number: int, now_ms: int) -> None:
        """The port that had the number is gone."""
        self._freed_ms[number] = now_ms
