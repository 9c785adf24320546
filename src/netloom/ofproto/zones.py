"""Zones of connection tracking as the database wants them: timeouts and limits of a data path.

Each distinct set of timeouts is a policy of the data path, named by a number from 1 (0 are the
defaults); `ct` actions with `commit` name the policy of their zone. A zone that the database ceases
to limit goes back to the default; limits that people set (`dpctl/ct-set-limits`) are left alone,
but no more can be set while there are any in the database.
"""

from __future__ import annotations

from netloom.datapath.conntrack import Conntrack
from netloom.ofproto.settings import ZoneSettings

_Timeouts = tuple[tuple[str, int], ...]


class Zones:
    """The zones of one data path; `tracker` is None if it tracks nothing."""

    def __init__(self, tracker: Conntrack | None) -> None:
        self._tracker = tracker
        self._policies: dict[_Timeouts, str] = {}
        self._of_zone: dict[int, str] = {}
        self._limited: set[int] = set()
        self._has_default = False
        self._wanted: tuple[tuple[ZoneSettings, ...], int] = ((), -1)

    def policy(self, zone: int) -> str:
        """What a `ct` that commits in `zone` says of timeouts; empty for nothing."""
        return self._of_zone.get(zone, "")

    def set(self, zones: tuple[ZoneSettings, ...], default_limit: int) -> bool:
        """Have these zones; True if that changes anything."""
        tracker = self._tracker
        if tracker is None or (zones, default_limit) == self._wanted:
            return False
        self._wanted = (zones, default_limit)
        self._of_zone = {
            zone.zone: self._policy(tracker, zone.timeouts_s) for zone in zones if zone.timeouts_s
        }
        limits = {zone.zone: zone.limit for zone in zones if zone.limit >= 0}
        for number in self._limited - limits.keys():
            tracker.limits.delete(number)
        for number, limit in limits.items():
            tracker.limits.set(number, limit)
        self._limited = set(limits)
        if default_limit >= 0 or self._has_default:
            tracker.limits.default = max(default_limit, 0)
        self._has_default = default_limit >= 0
        tracker.limits.is_protected = bool(limits) or self._has_default
        return True

    def _policy(self, tracker: Conntrack, timeouts_s: _Timeouts) -> str:
        name = self._policies.get(timeouts_s)
        if name is None:
            name = self._policies[timeouts_s] = str(len(self._policies) + 1)
            tracker.set_timeout_policy(name, dict(timeouts_s))
        return name
