"""Requests about groups and meters: changes, descriptions, statistics, features."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from netloom.base.record import replace
from netloom.datapath.meters import BAND_DROP, BAND_DSCP_REMARK
from netloom.ofproto.connmgr_features import ACTIONS
from netloom.ofproto.groups import MAX_GROUPS, Group, GroupChange
from netloom.ofproto.meters import Meter, with_bursts
from netloom.ofproto.sessions import Session
from netloom.ofproto.tables import Change
from netloom.openflow import messages as m
from netloom.openflow import messages_groups as g
from netloom.openflow import messages_meters as mm
from netloom.openflow.errors import OpenFlowError
from netloom.openflow.messages_tables import OFPRFR_GROUP_MOD, OFPRFR_METER_MOD

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netloom.ofproto.connmgr import ConnectionManager

    Handler = Callable[[ConnectionManager, Session, Any, int], Iterable[m.Message]]

_ALL_TYPES = 0xF
#: OFPGFC_*: weights of select groups, liveness of their buckets, groups in groups.
_CAPABILITIES = 1 << 0 | 1 << 1 | 1 << 2


# Groups


def apply_group_mod(
    manager: ConnectionManager, mod: g.GroupMod, now_ms: int
) -> tuple[list[GroupChange], list[Change]]:
    """Carry out a group mod; flows that name a group which goes, go too."""
    done = manager.switch.groups.apply(mod, now_ms)
    changes: list[Change] = []
    for change in done:
        if change.new is None:
            changes += manager.tables.remove_users_of_group(change.group_id)
    return done, changes


def _group_mod(
    manager: ConnectionManager, session: Session, mod: g.GroupMod, now_ms: int
) -> tuple[m.Message, ...]:
    changes = apply_group_mod(manager, mod, now_ms)[1]
    manager.forward_request(mod, OFPRFR_GROUP_MOD)
    manager.flows_changed(changes, now_ms)
    return ()


def _chosen_groups(manager: ConnectionManager, group_id: int) -> list[Group]:
    groups = manager.switch.groups
    if group_id == g.OFPG_ALL:
        return list(groups)
    group = groups.get(group_id)
    return [] if group is None else [group]


def _group_stats(
    manager: ConnectionManager, session: Session, request: g.GroupStatsRequest, now_ms: int
) -> tuple[m.Message, ...]:
    manager.switch.refresh_statistics()
    listed = []
    for group in _chosen_groups(manager, request.group_id):
        sec, nsec = _age(group.created_ms, now_ms)
        counters = tuple(
            g.BucketCounter(bucket.n_packets, bucket.n_bytes) for bucket in group.buckets
        )
        users = manager.tables.count_users_of_group(group.group_id)
        listed.append(
            g.GroupStats(group.group_id, users, group.n_packets, group.n_bytes, sec, nsec, counters)
        )
    return (g.GroupStatsReply(tuple(listed)),)


def _group_desc(
    manager: ConnectionManager, session: Session, request: g.GroupDescRequest, now_ms: int
) -> tuple[m.Message, ...]:
    found = _chosen_groups(manager, request.group_id)
    return (
        g.GroupDescReply(
            tuple(
                g.GroupDesc(group.group_id, group.type, group.messages(), group.properties)
                for group in found
            )
        ),
    )


#: The actions of the versions that set fields one by one.
_OLD_ACTIONS = {1: 0xFFF, 2: 0x1FFE7FF}


def _group_features(
    manager: ConnectionManager, session: Session, request: g.GroupFeaturesRequest, now_ms: int
) -> tuple[m.Message, ...]:
    limits = (MAX_GROUPS, MAX_GROUPS, MAX_GROUPS, MAX_GROUPS)
    actions = _OLD_ACTIONS.get(session.peer.version, ACTIONS)
    return (g.GroupFeaturesReply(_ALL_TYPES, _CAPABILITIES, limits, (actions,) * 4),)


def _age(since_ms: int, now_ms: int) -> tuple[int, int]:
    """Seconds and nanoseconds."""
    sec, ms = divmod(max(now_ms - since_ms, 0), 1_000)
    return sec, ms * 1_000_000


# Meters


def _meter_mod(
    manager: ConnectionManager, session: Session, mod: mm.MeterMod, now_ms: int
) -> tuple[m.Message, ...]:
    meters = manager.switch.meters
    changes: list[Change] = []
    if mod.command == mm.OFPMC_ADD:
        meters.add(mod, now_ms)
    elif mod.command == mm.OFPMC_MODIFY:
        meters.modify(mod)
    elif mod.command == mm.OFPMC_DELETE:
        changes = _delete_meters(manager, mod.meter_id)
    else:
        raise OpenFlowError("OFPMMFC_BAD_COMMAND")
    forwarded = replace(mod, bands=with_bursts(mod.bands))
    manager.forward_request(forwarded, OFPRFR_METER_MOD)
    manager.flows_changed(changes, now_ms)
    return ()


def _delete_meters(manager: ConnectionManager, meter_id: int) -> list[Change]:
    """The flows that went with the meters."""
    changes: list[Change] = []
    meters = manager.switch.meters
    found = meters.get(meter_id)
    for meter in list(meters) if meter_id == mm.OFPM_ALL else [found]:
        if meter is not None:
            changes += manager.tables.remove_users_of_meter(meter.meter_id)
            meters.remove(meter)
    return changes


def _chosen_meters(manager: ConnectionManager, meter_id: int) -> list[Meter]:
    meters = manager.switch.meters
    if meter_id == mm.OFPM_ALL:
        return list(meters)
    meter = meters.get(meter_id)
    if meter is None:
        raise OpenFlowError("OFPMMFC_UNKNOWN_METER")
    return [meter]


def _meter_stats(
    manager: ConnectionManager, session: Session, request: mm.MeterStatsRequest, now_ms: int
) -> tuple[m.Message, ...]:
    switch = manager.switch
    listed = []
    for meter in _chosen_meters(manager, request.meter_id):
        stats = switch.meters.stats(meter)
        sec, nsec = _age(meter.created_ms, now_ms)
        users = switch.tables.count_users_of_meter(meter.meter_id)
        bands = tuple(mm.BandStats(packets, octets) for packets, octets in stats.bands)
        listed.append(
            mm.MeterStats(meter.meter_id, users, stats.packets, stats.bytes, sec, nsec, bands)
        )
    return (mm.MeterStatsReply(tuple(listed)),)


def _meter_config(
    manager: ConnectionManager, session: Session, request: mm.MeterConfigRequest, now_ms: int
) -> tuple[m.Message, ...]:
    found = _chosen_meters(manager, request.meter_id)
    listed = tuple(mm.MeterConfig(meter.meter_id, meter.flags, meter.bands) for meter in found)
    return (mm.MeterConfigReply(listed),)


_BAND_TYPES = {BAND_DROP: mm.OFPMBT_DROP, BAND_DSCP_REMARK: mm.OFPMBT_DSCP_REMARK}
_METER_CAPABILITIES = mm.OFPMF_KBPS | mm.OFPMF_PKTPS | mm.OFPMF_BURST | mm.OFPMF_STATS


def _meter_features(
    manager: ConnectionManager, session: Session, request: mm.MeterFeaturesRequest, now_ms: int
) -> tuple[m.Message, ...]:
    can = manager.switch.meters.features()
    types = sum(1 << _BAND_TYPES[kind] for kind in can.band_types)
    reply = mm.MeterFeaturesReply(can.max_meters, types, _METER_CAPABILITIES, can.max_bands, 0)
    return (reply,)


CHANGES: dict[type[m.Message], Handler] = {
    g.GroupMod: _group_mod,
    mm.MeterMod: _meter_mod,
}
REQUESTS: dict[type[m.Message], Handler] = {
    g.GroupStatsRequest: _group_stats,
    g.GroupDescRequest: _group_desc,
    g.GroupFeaturesRequest: _group_features,
    mm.MeterStatsRequest: _meter_stats,
    mm.MeterConfigRequest: _meter_config,
    mm.MeterFeaturesRequest: _meter_features,
}
