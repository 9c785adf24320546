"""How many connections a zone may have.

A zone without a limit of its own has the default; a default of 0 is no limit. The default counts
for each zone by itself, from its first connection on. `ZoneLimits` is as the kernel's: it counts
all connections of a zone (but tells so only of zones that are limited), and 0 is no limit either
for a zone that has it. `EntryLimits` is as Open vSwitch's data path in user space: it counts those
that were kept since the zone has its limit, and a zone with the limit 0 keeps none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from netloom.datapath.userspace.conntrack.connection import Connection


class ZoneLimits:
    """See the module. Counts are kept for all zones, so that a limit set later knows what is
    there. While the database sets limits (`is_protected`), people may not."""

    __slots__ = ("_counts", "_default", "_limits", "is_protected")

    def __init__(self) -> None:
        self.default = 0
        self.is_protected = False
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

    def counted(self, zone: int) -> int:
        return self.count(zone) if self.limit(zone) else 0

    def zones(self) -> list[int]:
        """Zones that have a limit of their own."""
        return sorted(self._limits)

    def may_add(self, zone: int) -> bool:
        limit = self.limit(zone)
        return not limit or self.count(zone) < limit

    def add(self, connection: Connection) -> None:
        """A connection is kept."""
        zone = connection.ends[0]
        self._counts[zone] = ZoneLimits.count(self, zone) + 1

    def remove(self, connection: Connection) -> None:
        """A connection is gone."""
        zone = connection.ends[0]
        left = ZoneLimits.count(self, zone) - 1
        if left:
            self._counts[zone] = left
        else:
            self._counts.pop(zone, None)


class _Entry:
    """A zone that has a limit, of its own or (`limit` is None) the default."""

    __slots__ = ("count", "limit")

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self.count = 0


class EntryLimits(ZoneLimits):
    """See the module."""

    __slots__ = ("_default", "_entries", "_of")

    def __init__(self) -> None:
        self._default = 0
        self._entries: dict[int, _Entry] = {}
        #: Connections that count for an entry.
        self._of: dict[Connection, _Entry] = {}
        super().__init__()

    @property
    def default(self) -> int:
        """The limit of zones that have none of their own."""
        return self._default

    @default.setter
    def default(self, limit: int) -> None:
        self._default = limit
        if not limit:
            unlimited = [zone for zone, entry in self._entries.items() if entry.limit is None]
            for zone in unlimited:
                del self._entries[zone]

    def set(self, zone: int, limit: int) -> None:
        entry = self._entries.get(zone)
        if entry is None:
            entry = self._entries[zone] = _Entry(limit)
        entry.limit = limit

    def delete(self, zone: int) -> None:
        self._entries.pop(zone, None)

    def limit(self, zone: int) -> int:
        entry = self._entries.get(zone)
        return self._default if entry is None or entry.limit is None else entry.limit

    def count(self, zone: int) -> int:
        entry = self._entries.get(zone)
        return 0 if entry is None else entry.count

    def counted(self, zone: int) -> int:
        return self.count(zone)

    def zones(self) -> list[int]:
        return sorted(zone for zone, entry in self._entries.items() if entry.limit is not None)

    def may_add(self, zone: int) -> bool:
        if not (self._entries or self._default):
            return True
        entry = self._entries.get(zone)
        limit = self._default or None if entry is None or entry.limit is None else entry.limit
        return limit is None or self.count(zone) < limit

    def add(self, connection: Connection) -> None:
        if not (self._entries or self._default):
            return
        zone = connection.ends[0]
        entry = self._entries.get(zone)
        if entry is None:
            if not self._default:
                return
            entry = self._entries[zone] = _Entry(None)
        entry.count += 1
        self._of[connection] = entry

    def remove(self, connection: Connection) -> None:
        entry = self._of.pop(connection, None) if self._of else None
        if entry is not None:
            entry.count -= 1
