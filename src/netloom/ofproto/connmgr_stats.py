"""The replies to statistics ("multipart") requests and to queries of queues."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from netloom import OVS_VERSION
from netloom.base.record import replace
from netloom.flow import ports
from netloom.ofproto import connmgr_groups, connmgr_tables, queues
from netloom.ofproto.connmgr_features import stats_features, table_features
from netloom.ofproto.connmgr_tables import miss_config
from netloom.ofproto.flow_entries import flow_parts, has_form
from netloom.ofproto.rules import MAX_OPENFLOW_PRIORITY, Rule
from netloom.ofproto.sessions import Session
from netloom.ofproto.table import MAX_ENTRIES
from netloom.ofproto.table_features import rename_tables
from netloom.ofproto.tables import N_TABLES
from netloom.openflow import messages as m
from netloom.openflow.codec_features import decode_wanted_features
from netloom.openflow.errors import OpenFlowError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netloom.ofproto.connmgr import ConnectionManager

    Handler = Callable[[ConnectionManager, Session, Any, int], Iterable[m.Message]]

MANUFACTURER: Final = "Nicira, Inc."
HARDWARE: Final = "Open vSwitch"
#: All fields of OpenFlow 1.0 may be wildcarded.
_OFPFW10_ALL: Final = (1 << 22) - 1


def _desc(
    manager: ConnectionManager, session: Session, request: m.DescRequest, now_ms: int
) -> tuple[m.Message, ...]:
    serial = manager.settings.dp_sn or "None"
    described = manager.settings.dp_desc or "None"
    return (m.DescReply(MANUFACTURER, HARDWARE, OVS_VERSION, serial, described),)


# Flows


def _flow(
    manager: ConnectionManager, session: Session, request: m.FlowStatsRequest, now_ms: int
) -> tuple[m.Message, ...]:
    rules = _chosen_rules(manager, request)
    version = session.peer.version
    if has_form(version, request.nx):
        return (m.FlowPartsReply(flow_parts(rules, version, request.nx, now_ms), request.nx),)
    return (m.FlowRowsReply(flow_rows(rules, now_ms), request.nx),)


def _chosen_rules(
    manager: ConnectionManager, request: m.FlowStatsRequest | m.AggregateRequest
) -> list[Rule]:
    """The rules that a request asks about, with all that they have counted."""
    match = manager.switch.tlv_table.adopt(request.match)
    manager.switch.refresh_statistics()
    return manager.tables.select_loose(replace(request, match=match))


def flow_rows(rules: list[Rule], now_ms: int) -> Iterator[m.FlowStats]:
    """What there is to tell of rules."""
    created_ms = -1
    sec = nsec = 0
    for rule in rules:
        if rule.created_ms != created_ms:
            created_ms = rule.created_ms
            sec, ms = divmod(max(now_ms - created_ms, 0), 1_000)
            nsec = ms * 1_000_000
        yield m.FlowStats(
            rule.match, rule.priority, rule.table_id, rule.actions, rule.cookie, sec, nsec,
            rule.idle_timeout_s, rule.hard_timeout_s, max((now_ms - rule.used_ms) // 1_000, 0),
            max((now_ms - rule.modified_ms) // 1_000, 0), rule.flags, rule.importance,
            rule.n_packets, rule.n_bytes,
        )  # fmt: skip


def _aggregate(
    manager: ConnectionManager, session: Session, request: m.AggregateRequest, now_ms: int
) -> tuple[m.Message, ...]:
    rules = _chosen_rules(manager, request)
    n_packets = sum(rule.n_packets for rule in rules)
    n_bytes = sum(rule.n_bytes for rule in rules)
    return (m.AggregateReply(n_packets, n_bytes, len(rules), request.nx),)


# Tables


def _table(
    manager: ConnectionManager, session: Session, request: m.TableStatsRequest, now_ms: int
) -> tuple[m.Message, ...]:
    manager.switch.refresh_statistics()
    used = {table.id: table for table in manager.tables}
    version = session.peer.version
    features = {
        each.table_id: each
        for each in (stats_features(N_TABLES, MAX_ENTRIES, version) if version in (2, 3) else ())
    }
    listed = []
    for number in range(N_TABLES):
        table = used.get(number)
        can = features.get(number)
        if table is None:
            listed.append(m.TableStats(number, 0, 0, 0, "", _OFPFW10_ALL, MAX_ENTRIES, can))
            continue
        if can is not None:
            can = replace(can, config=miss_config(table, version))
        n_rules = len(table.classifier) - table.classifier.count_above(MAX_OPENFLOW_PRIORITY)
        listed.append(
            m.TableStats(
                number, n_rules, table.n_lookups, table.n_matches, table.name,
                _OFPFW10_ALL, table.max_entries, can,
            )
        )  # fmt: skip
    return (m.TableStatsReply(tuple(listed)),)


def _table_features(
    manager: ConnectionManager, session: Session, request: m.TableFeaturesRequest, now_ms: int
) -> tuple[m.Message, ...]:
    if request.body:
        wanted = decode_wanted_features(request.body, session.peer.version)
        rename_tables(manager.tables, wanted)
    features = table_features(N_TABLES, MAX_ENTRIES, session.peer.version)
    known = {table.id: table for table in manager.tables}
    named = tuple(
        replace(each, name=table.name, max_entries=table.max_entries)
        if (table := known.get(each.table_id)) is not None
        and (table.name != each.name or table.max_entries != each.max_entries)
        else each
        for each in features
    )
    return (m.TableFeaturesReply(named),)


# Ports and queues


def _port(
    manager: ConnectionManager, session: Session, request: m.PortStatsRequest, now_ms: int
) -> tuple[m.Message, ...]:
    wanted = [
        stats
        for stats in manager.switch.port_stats()
        if request.port_no in (m.OFPP_ANY, stats.port_no)
    ]
    return (m.PortStatsReply(tuple(wanted)),)


def _port_desc(
    manager: ConnectionManager, session: Session, request: m.PortDescRequest, now_ms: int
) -> tuple[m.Message, ...]:
    wanted = [
        port for port in manager.switch.phy_ports() if request.port_no in (m.OFPP_ANY, port.port_no)
    ]
    return (m.PortDescReply(tuple(wanted)),)


def _queue(
    manager: ConnectionManager, session: Session, request: m.QueueStatsRequest, now_ms: int
) -> tuple[m.Message, ...]:
    manager.events.queue_requests.add()
    found = queues.chosen(manager.switch.ports_in_order(), request.port_no, request.queue)
    told = tuple(queues.describe_stats(port, queue, now_ms) for port, queue in found)
    return (m.QueueStatsReply(told),)


def _queue_config(
    manager: ConnectionManager, session: Session, request: m.QueueGetConfigRequest, now_ms: int
) -> tuple[m.Message, ...]:
    too_many = request.port == ports.ANY and session.peer.version == m.OFP10_VERSION
    if too_many or request.port == ports.ALL:
        raise OpenFlowError("OFPQOFC_BAD_PORT")
    found = queues.chosen(
        manager.switch.ports_in_order(), request.port, request.queue, asks_config=True
    )
    told = tuple(queues.describe_config(port, queue) for port, queue in found)
    return (m.QueueGetConfigReply(request.port, told),)


HANDLERS: dict[type[m.Message], Handler] = {
    m.DescRequest: _desc,
    m.FlowStatsRequest: _flow,
    m.AggregateRequest: _aggregate,
    m.TableStatsRequest: _table,
    m.TableFeaturesRequest: _table_features,
    m.PortStatsRequest: _port,
    m.PortDescRequest: _port_desc,
    m.QueueStatsRequest: _queue,
    m.QueueGetConfigRequest: _queue_config,
    **connmgr_groups.REQUESTS,
    **connmgr_tables.REQUESTS,
}
