"""What a bridge does with each OpenFlow message but statistics: one handler per message.

A handler returns the replies, which get the request's transaction id, or raises `OpenFlowError`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from netloom.base.errors import ProtocolError
from netloom.ofproto import (
    connmgr_bundles,
    connmgr_changes,
    connmgr_groups,
    connmgr_nicira,
    connmgr_stats,
    connmgr_tables,
)
from netloom.ofproto.sessions import Session
from netloom.openflow import messages as m
from netloom.openflow.connection import Received, Refused
from netloom.openflow.constants import OFPC_BUNDLES
from netloom.openflow.errors import OpenFlowError
from netloom.openflow.message_table import has_length_of_its_kind, read_headers
from netloom.openflow.messages_bundles import BundleAdd, BundleControl
from netloom.openflow.messages_groups import GroupMod
from netloom.openflow.messages_meters import MeterMod
from netloom.openflow.protocol import set_nxm, set_table_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netloom.ofproto.connmgr import ConnectionManager

    Handler = Callable[[ConnectionManager, Session, Any, int], Iterable[m.Message]]

#: Messages that do not show that a controller does its work.
NOT_ADMITTING: frozenset[type[m.Message]] = frozenset({
    m.Error, m.EchoRequest, m.EchoReply, m.FeaturesRequest, m.GetConfigRequest, m.SetConfig,
    m.Hello, m.Experimenter,
})  # fmt: skip
#: Messages after which all is done when they have been carried out, but for what flows, packets and
#: other controllers have to hear of them (`serving`).
DONE_AT_ONCE: Final[frozenset[type[m.Message]]] = frozenset({
    m.FlowMod, m.BarrierRequest, m.PacketOut, m.FlowStatsRequest, m.FeaturesRequest,
    m.PortDescRequest, BundleAdd,
})  # fmt: skip
#: Messages that a secondary controller may not send.
_CHANGES: Final = (
    m.FlowMod, m.PacketOut, m.PortMod, m.TableMod, GroupMod, MeterMod, BundleControl, BundleAdd,
    m.Resume,
)  # fmt: skip
_N_TABLES: Final = 255


def carry_out(
    manager: ConnectionManager, session: Session, event: Received, now_ms: int
) -> Iterable[m.Message]:
    """The replies to one message; raises OpenFlowError."""
    message = event.message
    if session.is_secondary and isinstance(message, _CHANGES):
        raise OpenFlowError("OFPBRC_IS_SECONDARY")
    handler = _HANDLERS.get(type(message)) or connmgr_stats.HANDLERS.get(type(message))
    if handler is None:
        raise OpenFlowError("OFPBRC_BAD_TYPE")
    return handler(manager, session, message, now_ms)


def refusal(event: Refused) -> str:
    """The error for a message that cannot be read. Of one that is nothing to say to a switch, it
    does not matter what is wrong inside."""
    try:
        frame = read_headers(event.data)
    except (OpenFlowError, ProtocolError):
        return event.error
    is_wanted = (frame.row.reply if frame.reply else frame.row.request) in _WANTED
    return event.error if is_wanted or not has_length_of_its_kind(frame) else "OFPBRC_BAD_TYPE"


def _nothing(
    manager: ConnectionManager, session: Session, message: m.Message, now_ms: int
) -> tuple[m.Message, ...]:
    return ()


# Switch


def _capabilities(version: int) -> int:
    bits = m.OFPC_FLOW_STATS | m.OFPC_TABLE_STATS | m.OFPC_PORT_STATS | m.OFPC_QUEUE_STATS
    if version == m.OFP10_VERSION:
        return bits | m.OFPC_ARP_MATCH_IP
    bits |= m.OFPC_GROUP_STATS
    if version < m.OFP12_VERSION:
        bits |= m.OFPC_ARP_MATCH_IP
    return bits | OFPC_BUNDLES if version >= m.OFP14_VERSION else bits


#: The actions of OpenFlow 1.0: all twelve.
_OFPAT10_ALL: Final = 0xFFF


def _features(
    manager: ConnectionManager, session: Session, message: m.FeaturesRequest, now_ms: int
) -> tuple[m.Message, ...]:
    version = session.peer.version
    listed = tuple(manager.switch.phy_ports()) if version < m.OFP13_VERSION else ()
    reply = m.FeaturesReply(
        manager.switch.datapath_id, capabilities=_capabilities(version), actions=_OFPAT10_ALL,
        ports=listed,
    )  # fmt: skip
    return (reply,)


def _get_config(
    manager: ConnectionManager, session: Session, message: m.GetConfigRequest, now_ms: int
) -> tuple[m.Message, ...]:
    flags = manager.frag_handling
    if session.peer.version < m.OFP13_VERSION and session.sends_invalid_ttl():
        flags |= m.OFPC_INVALID_TTL_TO_CONTROLLER
    return (m.GetConfigReply(flags, session.miss_send_len),)


def _set_config(
    manager: ConnectionManager, session: Session, message: m.SetConfig, now_ms: int
) -> tuple[m.Message, ...]:
    wanted = message.flags & m.OFPC_FRAG_MASK
    may = not (session.is_primary and session.is_secondary)
    if may and wanted not in (manager.frag_handling, m.OFPC_FRAG_REASM):
        manager.frag_handling = wanted
        manager.tables.settings_changed()
    if session.peer.version < m.OFP13_VERSION:
        session.set_invalid_ttl(bool(message.flags & m.OFPC_INVALID_TTL_TO_CONTROLLER))
    session.miss_send_len = message.miss_send_len
    return ()


def _barrier(
    manager: ConnectionManager, session: Session, message: m.BarrierRequest, now_ms: int
) -> tuple[m.Message, ...]:
    manager.switch.settle(now_ms)
    return (m.BarrierReply(),)


# Roles and settings of the session


def _role(
    manager: ConnectionManager, session: Session, request: m.RoleRequest, now_ms: int
) -> tuple[m.Message, ...]:
    generation = request.generation_id
    if request.role != m.OFPCR_ROLE_NOCHANGE:
        ordered = request.role in (m.OFPCR_ROLE_PRIMARY, m.OFPCR_ROLE_SECONDARY)
        if ordered and generation is not None:
            if _is_stale(manager.generation_id, generation):
                raise OpenFlowError("OFPRRFC_STALE")
            manager.generation_id = generation
        if request.role == m.OFPCR_ROLE_PRIMARY:
            _demote_others(manager, session)
        session.role = request.role
    generation = None if request.nx else manager.generation_id
    return (m.RoleReply(session.role, generation, request.nx),)


def _is_stale(last: int | None, generation: int) -> bool:
    """Is `generation` before `last`, as signed distance of 64-bit numbers that wrap?"""
    return last is not None and (generation - last) & 0xFFFFFFFFFFFFFFFF >= 1 << 63


def _demote_others(manager: ConnectionManager, session: Session) -> None:
    """There is one primary at a time; who was it is told, in versions that have words for it."""
    for other in manager.sessions:
        if other is session or other.role != m.OFPCR_ROLE_PRIMARY:
            continue
        other.role = m.OFPCR_ROLE_SECONDARY
        if other.is_ready and other.peer.version >= m.OFP13_VERSION:
            generation = m.UNKNOWN if manager.generation_id is None else manager.generation_id
            other.peer.send(m.RoleStatus(other.role, m.OFPCRR_PRIMARY_REQUEST, generation), 0)


def _get_async(
    manager: ConnectionManager, session: Session, message: m.GetAsyncRequest, now_ms: int
) -> tuple[m.Message, ...]:
    return (m.GetAsyncReply(session.shown_async_config()),)


def _set_async(
    manager: ConnectionManager, session: Session, message: m.SetAsync, now_ms: int
) -> tuple[m.Message, ...]:
    if not (session.is_primary or session.miss_send_len):
        # A service gets no news until it asks for some, in whatever way.
        session.miss_send_len = m.OFP_DEFAULT_MISS_SEND_LEN
    session.set_async_config(message.config)
    return ()


def _only_10(session: Session) -> None:
    """Nicira's formats of flows are of OpenFlow 1.0 only."""
    if session.peer.version != m.OFP10_VERSION:
        raise OpenFlowError("OFPBRC_BAD_SUBTYPE")


def _set_flow_format(
    manager: ConnectionManager, session: Session, message: m.SetFlowFormat, now_ms: int
) -> tuple[m.Message, ...]:
    _only_10(session)
    session.peer.protocol = set_nxm(session.peer.protocol, message.format == m.NXFF_NXM)
    return ()


def _flow_mod_table_id(
    manager: ConnectionManager, session: Session, message: m.FlowModTableId, now_ms: int
) -> tuple[m.Message, ...]:
    session.peer.protocol = set_table_id(session.peer.protocol, message.enable)
    return ()


def _packet_in_format(
    manager: ConnectionManager, session: Session, message: m.SetPacketInFormat, now_ms: int
) -> tuple[m.Message, ...]:
    session.packet_in_format = message.format
    return ()


def _controller_id(
    manager: ConnectionManager, session: Session, message: m.SetControllerId, now_ms: int
) -> tuple[m.Message, ...]:
    session.controller_id = message.controller_id
    return ()


_HANDLERS: dict[type[m.Message], Handler] = {
    m.EchoReply: _nothing,
    m.FlowAge: _nothing,
    m.EchoRequest: lambda _manager, _session, message, _now: (m.EchoReply(message.data),),
    m.FeaturesRequest: _features,
    m.GetConfigRequest: _get_config,
    m.SetConfig: _set_config,
    m.BarrierRequest: _barrier,
    **connmgr_nicira.HANDLERS,
    **connmgr_tables.CHANGES,
    m.RoleRequest: _role,
    m.GetAsyncRequest: _get_async,
    m.SetAsync: _set_async,
    m.SetFlowFormat: _set_flow_format,
    m.FlowModTableId: _flow_mod_table_id,
    m.SetPacketInFormat: _packet_in_format,
    m.SetControllerId: _controller_id,
    **connmgr_changes.HANDLERS,
    **connmgr_groups.CHANGES,
    **connmgr_bundles.HANDLERS,
}
#: The names of the classes that there are handlers for.
_WANTED: Final = frozenset(kind.__name__ for kind in (*_HANDLERS, *connmgr_stats.HANDLERS))
