"""Zones from the database: policies of timeouts, and limits."""

from __future__ import annotations

from netloom.base.counters import Counters
from netloom.datapath.userspace.conntrack.tracker import ConnTracker
from netloom.ofproto.settings import ZoneSettings
from netloom.ofproto.zones import Zones

SHORT = (("icmp_first", 1), ("udp_single", 2))


def tracker() -> ConnTracker:
    return ConnTracker(Counters(), lambda: 0)


def test_zones_with_equal_timeouts_share_a_policy() -> None:
    zones = Zones(tracker())
    assert zones.set((ZoneSettings(1, SHORT), ZoneSettings(2, SHORT), ZoneSettings(3)), -1)
    assert [zones.policy(number) for number in (1, 2, 3)] == ["1", "1", ""]
    assert zones.set((ZoneSettings(1, SHORT), ZoneSettings(2, (("udp_first", 9),))), -1)
    assert [zones.policy(number) for number in (1, 2)] == ["1", "2"]


def test_the_same_zones_again_change_nothing() -> None:
    zones = Zones(tracker())
    assert not zones.set((), -1)
    assert zones.set((ZoneSettings(1, limit=5),), 7)
    assert not zones.set((ZoneSettings(1, limit=5),), 7)


def test_limits_come_and_go_with_the_database() -> None:
    found = tracker()
    zones = Zones(found)
    found.limits.set(9, 90)
    zones.set((ZoneSettings(1, limit=5), ZoneSettings(2, limit=0)), 7)
    assert (found.limits.zones(), found.limits.limit(1), found.limits.default) == ([1, 2, 9], 5, 7)
    assert found.limits.is_protected
    zones.set((), -1)
    assert not found.limits.is_protected
    assert (found.limits.zones(), found.limits.limit(9), found.limits.default) == ([9], 90, 0)


def test_a_data_path_that_tracks_nothing_has_no_zones() -> None:
    zones = Zones(None)
    assert not zones.set((ZoneSettings(1, SHORT),), 3)
    assert zones.policy(1) == ""
