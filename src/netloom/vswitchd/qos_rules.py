"""QoS and Queue rows, and an Interface row's policing -> values (ovs-vswitchd.conf.db(5))."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from netloom.netdev.qos import FREE, Policing, Qos, QueueSettings
from netloom.ovsdb.row import Row

#: Numbers of queues; greater ones mean all queues, or none.
_MOST = 0xFFFFFFFF


def read_qos(rows: Iterable[Row], queues: Iterable[Row]) -> Qos | None:
    """The QoS row of a port, if it has one that says something; `queues` are all Queue rows."""
    row = next(iter(rows), None)
    if row is None or not row.text("type"):
        return None
    numbers: Any = row.get("queues") or {}
    known = {queue.uuid: queue for queue in queues} if numbers else {}
    settings = tuple(
        _queue(number, known[uuid]) for number, uuid in sorted(numbers.items()) if uuid in known
    )
    return Qos(row.text("type"), _options(row), settings)


def _queue(number: int, row: Row) -> QueueSettings:
    dscp = row.opt_int("dscp")
    return QueueSettings(number, _options(row), -1 if dscp is None else dscp)


def _options(row: Row) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(row.mapping("other_config").items()))


def read_policing(row: Row) -> Policing:
    """How much may come in at an interface."""
    kbps, burst_kbit, kpps, burst_kpkts = (
        min(max(row.integer(f"ingress_policing_{name}"), 0), _MOST)
        for name in ("rate", "burst", "kpkts_rate", "kpkts_burst")
    )
    if not (kbps or kpps):
        return FREE
    # A burst without its rate says nothing.
    return Policing(kbps, burst_kbit if kbps else 0, kpps, burst_kpkts if kpps else 0)
