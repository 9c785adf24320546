"""Nicira's requests about tunnel options, connection tracking and IPFIX."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from netloom.flow.fields import TUN_METADATA
from netloom.ofproto.connmgr_changes import uses_fields
from netloom.ofproto.sessions import Session
from netloom.ofproto.tlv_table import MAX_FIELDS, OPTION_SPACE
from netloom.openflow import messages as m
from netloom.openflow import messages_nx as nx
from netloom.openflow.errors import OpenFlowError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netloom.ofproto.connmgr import ConnectionManager

    Handler = Callable[[ConnectionManager, Session, Any, int], Iterable[m.Message]]


def _tlv_table_mod(
    manager: ConnectionManager, session: Session, mod: nx.TlvTableMod, now_ms: int
) -> tuple[m.Message, ...]:
    table = manager.switch.tlv_table
    gone = {nx.NXTTMC_CLEAR: tuple(table), nx.NXTTMC_DELETE: mod.maps}.get(mod.command, ())
    if gone:
        bits = 0
        for each in gone:
            bits |= TUN_METADATA[each.index].mask
        if any(uses_fields(rule, bits) for rule in manager.tables.rules()):
            raise OpenFlowError("NXTTMFC_INVALID_TLV_DEL")
    table.apply(mod)
    return ()


def _tlv_table(
    manager: ConnectionManager, session: Session, request: nx.TlvTableRequest, now_ms: int
) -> tuple[m.Message, ...]:
    return (nx.TlvTableReply(OPTION_SPACE, MAX_FIELDS, tuple(manager.switch.tlv_table)),)


def _ct_flush_zone(
    manager: ConnectionManager, session: Session, request: nx.CtFlushZone, now_ms: int
) -> tuple[m.Message, ...]:
    manager.switch.flush_connections(nx.CtFlush(zone_id=request.zone_id))
    return ()


def _ct_flush(
    manager: ConnectionManager, session: Session, request: nx.CtFlush, now_ms: int
) -> tuple[m.Message, ...]:
    manager.switch.flush_connections(request)
    return ()


def _resume(
    manager: ConnectionManager, session: Session, request: m.Resume, now_ms: int
) -> tuple[m.Message, ...]:
    manager.switch.resume(request.packet_in, session.peer.version, now_ms)
    return ()


def _ipfix_stats(
    manager: ConnectionManager, session: Session, request: nx.IpfixStatsRequest, now_ms: int
) -> tuple[m.Message, ...]:
    exporters = manager.switch.exporters
    ipfix = exporters.ipfix if exporters is not None else None
    stats = () if ipfix is None else ipfix.statistics(request.flow)
    if not stats:
        raise OpenFlowError("NXST_NOT_CONFIGURED")
    return (nx.IpfixStatsReply(request.flow, tuple(stats)),)


HANDLERS: dict[type[m.Message], Handler] = {
    nx.TlvTableMod: _tlv_table_mod,
    nx.TlvTableRequest: _tlv_table,
    nx.CtFlushZone: _ct_flush_zone,
    nx.CtFlush: _ct_flush,
    m.Resume: _resume,
    nx.IpfixStatsRequest: _ipfix_stats,
}
