"""How many connections a zone may have.

A zone without a limit of its own has the default; 0 is no limit. The default counts for each zone
by itself. Counts are kept for all zones, so that a limit set later knows what is there.
"""

from __future__ import annotations


class ZoneLimits:
    """See the module."""

    __slots__ = ("_counts", "_default", "_limits")

    def __init__(self) -> None:
        self.default = 0
        self._limits: dict[int, int] = {}
        self._counts: dict[int, int] = {}

    @property
    def default(self) -> int:
        return self._default

    @default.setter
    def default(self, limit: int) -> None:
        self._default = limit

    def set(self, zone: int, limit: int) -> None:
        self._limits[zone] = limit

    def delete(self, zone: int) -> None:
        """Back to the default; no error if the zone had no limit."""
        self._limits.pop(zone, None)

    def limit(self, zone: int) -> int:
        return self._limits.get(zone, self.default)

    def count(self, zone: int) -> int:
        return self._counts.get(zone, 0)

    def zones(self) -> list[int]:
        """Zones that have a limit of their own."""
        return sorted(self._limits)

    def may_add(self, zone: int) -> bool:
        limit = self.limit(zone)
        return not limit or self.count(zone) < limit

    def add(self, zone: int) -> None:
        self._counts[zone] = self.count(zone) + 1

    def remove(self, zone: int) -> None:
        left = self.count(zone) - 1
        if left:
            self._counts[zone] = left
        else:
            self._counts.pop(zone, None)
