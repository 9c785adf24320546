"""The queues of a port: which there are, what marks packets for them get, what is told of them.

The queues themselves are the device's (`netdev.qos`). The bridge knows of them only to answer
controllers, and the DSCP that packets for a queue get (Queue.dscp), by the priority that stands for
the queue in keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from netloom.base.log import get_logger
from netloom.base.record import replace
from netloom.datapath.dpif import Dpif, DpPortNo
from netloom.flow.fields import SLOT
from netloom.flow.ports import ALL, ANY
from netloom.netdev.device import Device, DeviceStats
from netloom.netdev.dummy import DummyDevice
from netloom.netdev.qos import DEFAULT_QUEUE, QueueFacts, shaper_of
from netloom.openflow import messages as m
from netloom.openflow.errors import OpenFlowError

if TYPE_CHECKING:
    from netloom.ofproto.ports import OfPort

log: Final = get_logger("ofproto")

_NW_TOS: Final = SLOT["nw_tos"]
_PRIORITY: Final = SLOT["skb_priority"]
_DL_TYPE: Final = SLOT["dl_type"]
_IP_TYPES: Final = frozenset({0x0800, 0x86DD})
_DSCP_BITS: Final = 0xFC
_UNKNOWN_TIME: Final = 0xFFFFFFFF


def marks_of(queues: Iterable[tuple[int, int]], dpif: Dpif) -> dict[int, int]:
    """Priority -> the TOS of packets for that queue, of (queue, DSCP)."""
    marks = {}
    for queue, dscp in queues:
        priority = dpif.queue_priority(queue)
        if priority is not None:
            marks[priority] = dscp << 2
    return marks


def mark(marks: dict[int, int], key: int, mask: int) -> tuple[int, int]:
    """The key and mask of a packet on its way out of a port with such marks."""
    mask |= _PRIORITY.mask
    tos = marks.get(_PRIORITY.get(key))
    if tos is None or _DL_TYPE.get(key) not in _IP_TYPES:
        return key, mask
    changed = _NW_TOS.get(key) & ~_DSCP_BITS | tos
    return _NW_TOS.put(key, changed), mask | _DSCP_BITS << _NW_TOS.shift


def restore(key: int, before: int) -> int:
    """The key with the TOS that it had before it was marked."""
    return key & ~_NW_TOS.mask | before & _NW_TOS.mask


def read_queues(device: Device | None) -> list[QueueFacts]:
    """The queues of a port's device, as they are now."""
    shaper = shaper_of(device)
    if shaper is not None and device is not None:
        try:
            return shaper.queues()
        except OSError as error:
            log.warn_rl("%s: reading queues failed (%s)", device.name, error.strerror)
    return [DEFAULT_QUEUE] if isinstance(device, DummyDevice) else []


def set_quality(port: OfPort, dpif: Dpif) -> None:
    """Have the port mark and limit packets as its settings say."""
    port.marks = marks_of(port.settings.marks, dpif)
    if port.dp_port >= 0 and port.tunnel is None:
        dpif.set_policing(DpPortNo(port.dp_port), port.settings.policing)
        if dpif.polling is not None:
            dpif.polling.set_port_config(port.dp_port, dict(port.settings.polling))


def with_policed(stats: DeviceStats, port: OfPort) -> DeviceStats:
    """The counters of a port's device, with the packets that were too much."""
    n_policed = 0
    if port.dp_port >= 0 and port.tunnel is None:
        n_policed = port.bridge.backer.dpif.n_policed(DpPortNo(port.dp_port))
    if not n_policed:
        return stats
    custom = (*stats.custom, ("ovs_rx_qos_drops", n_policed))
    return replace(stats, rx_dropped=stats.rx_dropped + n_policed, custom=custom)


# What controllers ask


def chosen(
    ports: Iterable[OfPort], port_no: int, queue: int, asks_config: bool = False
) -> Iterator[tuple[OfPort, QueueFacts]]:
    """The queues that a request means, with their ports; raises OpenFlowError if it means none
    that there could be."""
    ports = list(ports)
    is_any = port_no in (ANY, ALL)
    if not is_any:
        ports = [port for port in ports if port.number == port_no]
        if not ports:
            raise OpenFlowError("OFPQOFC_BAD_PORT")
    found = [
        (port, facts)
        for port in ports
        for facts in read_queues(port.device)
        if queue in (m.OFPQ_ALL, facts.number)
    ]
    if not found and queue != m.OFPQ_ALL:
        # As Open vSwitch has it, a device that has queues fails in another way to describe one.
        is_shaped = asks_config and not is_any and shaper_of(ports[0].device) is not None
        raise OpenFlowError("NXQOFC_QUEUE_ERROR" if is_shaped else "OFPQOFC_BAD_QUEUE")
    return iter(found)


def describe_stats(port: OfPort, queue: QueueFacts, now_ms: int) -> m.QueueStats:
    """What a queue has counted, for how long."""
    sec = nsec = _UNKNOWN_TIME
    if queue.created_ms >= 0:
        sec, ms = divmod(max(now_ms - queue.created_ms, 0), 1_000)
        nsec = ms * 1_000_000
    return m.QueueStats(
        port.number, queue.number, queue.tx_bytes, queue.tx_packets, queue.tx_errors, sec, nsec
    )


def describe_config(port: OfPort, queue: QueueFacts) -> m.QueueConfig:
    """That there is a queue. Of its rates nothing is said, as in Open vSwitch: `ovs-appctl
    qos/show` knows them."""
    return m.QueueConfig(port.number, queue.number)
