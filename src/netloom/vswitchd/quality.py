"""Carries out what interfaces are to do with queues and rates, and tells people about them.

A device without queues refuses a discipline, which is logged: the port works without. What
`ovs-appctl qos/show` and `qos/show-types` say is made here.
"""

from __future__ import annotations

from netloom.base.log import get_logger
from netloom.netdev.device import UNKNOWN_COUNT, Device
from netloom.netdev.dummy import DummyDevice
from netloom.netdev.qos import Qos, QosFacts, QueueFacts, shaper_of
from netloom.netdev.tunnel_config import TYPES as TUNNEL_TYPES
from netloom.ofproto.port_facts import PortOrder
from netloom.vswitchd.wish import InterfaceWish

log = get_logger("bridge")


def set_queues(wish: InterfaceWish, device: Device | None) -> None:
    """Have the interface's packets queued as wished."""
    shaper = shaper_of(device)
    if shaper is not None:
        for problem in shaper.set(wish.qos):
            log.warn("%s", problem)
    elif wish.qos is not None and not isinstance(device, DummyDevice):
        log.warn("interface %s: type %s has no queues for QoS", wish.name, wish.type)


def clear_queues(device: Device) -> None:
    """The device is no port any more."""
    shaper = shaper_of(device)
    if shaper is not None:
        shaper.clear()


def check_policing(wish: InterfaceWish) -> None:
    """Say so if nobody polices what comes in at such an interface."""
    policing = wish.policing
    if (policing.kbps or policing.kpps) and (wish.type == "patch" or wish.type in TUNNEL_TYPES):
        log.warn("interface %s: type %s has no ingress policing", wish.name, wish.type)


def dscp_marks(qos: Qos | None) -> tuple[tuple[int, int], ...]:
    """(queue, DSCP) of the queues whose packets are to be marked."""
    if qos is None:
        return ()
    return tuple((queue.number, queue.dscp) for queue in qos.queues if queue.dscp >= 0)


def format_types(name: str, device: Device | None) -> str:
    """What `qos/show-types` says."""
    shaper = shaper_of(device)
    types = () if shaper is None else shaper.types()
    if not types:
        return f"No QoS types supported for interface: {name}\n"
    return "".join(f"QoS type: {type_}\n" for type_ in types)


def format_qos(name: str, device: Device | None) -> str:
    """What `qos/show` says; "" if there is no QoS. Raises OSError."""
    shaper = shaper_of(device)
    facts = QosFacts() if shaper is None else shaper.facts()
    if shaper is None or not facts.type:
        return ""
    lines = [f"QoS: {name} {facts.type}", *(f"{key}: {value}" for key, value in facts.options)]
    queues = {queue.number: queue for queue in shaper.queues()}
    # In the order of Open vSwitch's hash table.
    order = PortOrder()
    for number in facts.queues:
        order.add(number)
    for number in order:
        if number in queues:
            lines += _queue_lines(queues[number])
    return "".join(f"{line}\n" for line in lines)


def _queue_lines(queue: QueueFacts) -> list[str]:
    counts = (
        ("tx_packets", queue.tx_packets),
        ("tx_bytes", queue.tx_bytes),
        ("tx_errors", queue.tx_errors),
    )
    return [
        "",
        f"Queue {queue.number}:" if queue.number else "Default:",
        *(f"  {key}: {value}" for key, value in queue.options),
        *(f"  {key}: {value}" for key, value in counts if value != UNKNOWN_COUNT),
    ]
