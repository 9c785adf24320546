"""Requests about tables as such: what a full one does, what a miss means, who watches vacancy; and
flow monitors."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from netloom.ofproto.sessions import Session
from netloom.ofproto.table import MISS_CONTINUE, MISS_CONTROLLER, MISS_DROP, Table
from netloom.ofproto.tables import INTERNAL_TABLE, N_TABLES
from netloom.openflow import messages as m
from netloom.openflow import messages_monitor as w
from netloom.openflow import messages_tables as t
from netloom.openflow.errors import OpenFlowError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netloom.ofproto.connmgr import ConnectionManager

    Handler = Callable[[ConnectionManager, Session, Any, int], Iterable[m.Message]]

#: What decides who is evicted; no controller can have it otherwise.
EVICTION_FLAGS = t.OFPTMPEF_OTHER | t.OFPTMPEF_IMPORTANCE | t.OFPTMPEF_LIFETIME
#: OFPTC_TABLE_MISS_* of OpenFlow 1.1 and 1.2.
_MISSES = {0: MISS_CONTROLLER, 1: MISS_CONTINUE, 2: MISS_DROP}
_MISS_MASK = 3


def _table_mod(
    manager: ConnectionManager, session: Session, mod: m.TableMod, now_ms: int
) -> tuple[m.Message, ...]:
    tables = manager.tables
    if mod.table_id != m.OFPTT_ALL and mod.table_id > INTERNAL_TABLE:
        raise OpenFlowError("OFPTMFC_BAD_TABLE")
    evicts = mod.config & t.OFPTC_EVICTION
    if evicts and mod.eviction_flags not in (None, EVICTION_FLAGS):
        raise OpenFlowError("OFPTMFC_BAD_CONFIG")
    if mod.table_id == INTERNAL_TABLE:
        raise OpenFlowError("OFPTMFC_EPERM")
    numbers = range(N_TABLES) if mod.table_id == m.OFPTT_ALL else (mod.table_id,)
    for number in numbers:
        _apply_table_mod(tables.table(number), mod, session.peer.version)
    tables.is_vacancy_watched |= bool(mod.config & t.OFPTC_VACANCY_EVENTS)
    tables.settings_changed()
    return ()


def miss_config(table: Table, version: int) -> int:
    """What a miss means in `table`, as Open vSwitch tells it in statistics: as OFPTC_TABLE_MISS_*
    in OpenFlow 1.2, by its own numbers (MISS_*), which are one more, in 1.1."""
    if version == m.OFP11_VERSION:
        return table.miss
    return max(table.miss - MISS_CONTROLLER, 0)


def _apply_table_mod(table: Table, mod: m.TableMod, version: int) -> None:
    if version in (m.OFP11_VERSION, m.OFP12_VERSION):
        table.miss = _MISSES.get(mod.config & _MISS_MASK, MISS_CONTROLLER)
    if version < m.OFP14_VERSION:
        return
    evicts = bool(mod.config & t.OFPTC_EVICTION)
    if evicts or mod.eviction_flags is None:
        table.evict_by_mod(evicts)
    if not mod.config & t.OFPTC_VACANCY_EVENTS:
        table.watch_vacancy(None)
    else:
        table.watch_vacancy(mod.vacancy or (0, 0))


def table_desc(table: Table | None, table_id: int) -> t.TableDesc:
    """How a table is configured; None: as any that was never touched."""
    if table is None:
        return t.TableDesc(table_id, 0, EVICTION_FLAGS)
    config = t.OFPTC_EVICTION if table.evicts_by_mod else 0
    if not table.vacancy_event:
        return t.TableDesc(table_id, config, EVICTION_FLAGS)
    vacancy = (table.vacancy_down, table.vacancy_up, table.vacancy)
    return t.TableDesc(table_id, config | t.OFPTC_VACANCY_EVENTS, EVICTION_FLAGS, vacancy)


def _table_desc(
    manager: ConnectionManager, session: Session, request: t.TableDescRequest, now_ms: int
) -> tuple[m.Message, ...]:
    tables = manager.tables
    listed = tuple(table_desc(tables.known(number), number) for number in range(N_TABLES))
    return (t.TableDescReply(listed),)


def _flow_monitor(
    manager: ConnectionManager, session: Session, request: w.FlowMonitorRequest, now_ms: int
) -> tuple[m.Message, ...]:
    updates = session.monitors.create(request.requests, manager.tables)
    manager.monitors_changed()
    return (w.FlowMonitorReply(tuple(updates)),)


def _flow_monitor_cancel(
    manager: ConnectionManager, session: Session, request: w.FlowMonitorCancel, now_ms: int
) -> tuple[m.Message, ...]:
    session.monitors.cancel(request.monitor_id)
    manager.monitors_changed()
    return ()


CHANGES: dict[type[m.Message], Handler] = {
    m.TableMod: _table_mod,
    w.FlowMonitorCancel: _flow_monitor_cancel,
}
REQUESTS: dict[type[m.Message], Handler] = {
    t.TableDescRequest: _table_desc,
    w.FlowMonitorRequest: _flow_monitor,
}
