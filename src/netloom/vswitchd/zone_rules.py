"""Datapath, CT_Zone and CT_Timeout_Policy rows -> zones (ovs-vswitchd.conf.db(5))."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from netloom.ofproto.settings import ZoneSettings
from netloom.ovsdb.row import Row
from netloom.vswitchd.wish import ZonesWish


def read_zones(rows_of: Callable[[str], Iterable[Row]], root: Row) -> Iterator[ZonesWish]:
    """What the database, whose rows of a table `rows_of` gives, says of zones."""
    named: Any = root.get("datapaths") or {}
    rows = {table: {row.uuid: row for row in rows_of(table)} for table in _TABLES}
    for type_, uuid in sorted(named.items()):
        datapath = rows["Datapath"].get(uuid)
        if datapath is None:
            continue
        numbers: Any = datapath.get("ct_zones") or {}
        zones = tuple(
            _zone(number, rows["CT_Zone"][zone], rows["CT_Timeout_Policy"])
            for number, zone in sorted(numbers.items())
            if zone in rows["CT_Zone"]
        )
        yield ZonesWish(type_, zones, _number(datapath.get("ct_zone_default_limit")))


_TABLES = ("Datapath", "CT_Zone", "CT_Timeout_Policy")


def _number(datum: Any) -> int:
    """An optional integer; -1 for none."""
    values = datum if isinstance(datum, (list, tuple, set, frozenset)) else (datum,)
    return next((int(value) for value in values if value is not None), -1)


def _zone(number: int, row: Row, policies: dict[Any, Row]) -> ZoneSettings:
    datum: Any = row.get("timeout_policy")
    uuids = datum if isinstance(datum, (list, tuple, set, frozenset)) else (datum,)
    policy = next((policies[uuid] for uuid in uuids if uuid in policies), None)
    timeouts: Any = (policy.get("timeouts") if policy is not None else None) or {}
    return ZoneSettings(number, tuple(sorted(timeouts.items())), _number(row.get("limit")))
