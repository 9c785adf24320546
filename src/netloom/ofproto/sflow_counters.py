"""The counters that sFlow tells: of a port, and of the data path."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netloom.protocols.lacp import ACTIVITY, AGGREGATION, TIMEOUT
from netloom.telemetry import sflow_format as form

if TYPE_CHECKING:
    from netloom.netdev.device import DeviceStats
    from netloom.ofproto.backer import Backer
    from netloom.ofproto.bridge import Ofproto
    from netloom.ofproto.ports import OfPort

#: Bits per second of a device that does not know.
_USUAL_SPEED_BPS = 100_000_000
_FULL_DUPLEX, _HALF_DUPLEX = 1, 2
_UP, _HAS_LINK = 1, 2
#: What of LACP's state is configured.
_ASKED_FOR = ACTIVITY | TIMEOUT | AGGREGATION


def of_port(bridge: Ofproto, port: OfPort, index: int) -> list[form.Element]:
    """What is told of a port with that ifIndex, in the order of the wire."""
    assert port.device is not None
    state, stats = port.device.state(), port.device.stats()
    direction = 0
    if state.speed_bps:
        direction = _FULL_DUPLEX if state.full_duplex else _HALF_DUPLEX
    counters = form.InterfaceCounters(
        index=index,
        speed_bps=state.speed_bps or _USUAL_SPEED_BPS,
        direction=direction,
        status=(_UP if state.admin_up else 0) | (_HAS_LINK if state.link_up else 0),
        rx_bytes=stats.rx_bytes,
        rx_packets=stats.rx_packets,
        rx_multicast=_custom(stats, "rx_multicast_packets"),
        rx_dropped=stats.rx_dropped,
        rx_errors=stats.rx_errors,
        tx_bytes=stats.tx_bytes,
        tx_packets=stats.tx_packets,
        tx_dropped=stats.tx_dropped,
        tx_errors=stats.tx_errors,
    )
    found = [
        form.ethernet_element(_of_ethernet(stats)),
        form.openflow_port_element(bridge.datapath_id, port.number & 0xFFFF),
        form.port_name_element(port.name),
    ]
    lacp = _of_lacp(bridge, port)
    if lacp is not None:
        found.append(lacp)
    return [*found, form.interface_element(counters)]


def _custom(stats: DeviceStats, name: str) -> int:
    return next((count for known, count in stats.custom if known == name), -1)


def _of_ethernet(stats: DeviceStats) -> tuple[int, ...]:
    """Alignment and checksum errors, collisions by kind, and errors of the device."""
    return (
        stats.rx_frame_err, stats.rx_crc_err, -1, -1, -1, -1, -1, stats.collisions, -1, -1,
        stats.rx_over_err, -1, -1,
    )  # fmt: skip


def _of_lacp(bridge: Ofproto, port: OfPort) -> form.Element | None:
    bundle = port.bundle
    lacp = bridge.aggregation.lacps.get(bundle.name) if bundle is not None else None
    member = lacp.members.get(port.name) if lacp is not None else None
    if lacp is None or member is None:
        return None
    actor = lacp.actor(member)
    states = (actor.state & _ASKED_FOR, actor.state, 0, member.partner.state)
    counts = (member.n_received, -1, -1, -1, member.n_bad, member.n_sent, -1, -1)
    return form.lacp_element(
        (actor.sys_id, member.partner.sys_id), lacp.key, states, counts,
    )  # fmt: skip


def of_datapath(backer: Backer) -> list[form.Element]:
    """What is told of a data path and of this process."""
    stats = backer.dpif.stats()
    used = backer.export_host.resources()
    n_masks = stats.masks if backer.dpif.in_kernel else -1
    return [
        form.resources_element(used.user_ms, used.system_ms, used.memory),
        form.datapath_element((stats.hits, stats.misses, stats.lost, -1, stats.flows, n_masks)),
    ]
