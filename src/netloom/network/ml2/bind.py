"""Binding: how a port is plugged in at its host.

The mechanism drivers are asked in order; the first that can binds. A port without a host is
`unbound`; one whose host has no agent that reaches the network is `binding_failed`, and is bound
when an agent that does reports (`rebind`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from netloom.network.call import Call
from netloom.network.document import Document
from netloom.network.ml2.segments import segments_of

UNBOUND, FAILED = "unbound", "binding_failed"


def bind(call: Call, port: Document, network: Document) -> None:
    """Fill in the port's binding attributes and its status."""
    host = port.get("binding:host_id") or ""
    if not host:
        _set(port, UNBOUND, {}, None)
        return
    segments = segments_of(network)
    agents = live_agents(call, host)
    for driver in call.parts.drivers.mechanisms:
        binding = driver.bind(port, segments, agents)
        if binding is not None:
            segment = network["_segments"][binding.segment]["id"]
            _set(port, binding.vif_type, dict(binding.vif_details), segment)
            return
    _set(port, FAILED, {}, None)


def _set(port: Document, vif_type: str, details: dict[str, Any], segment: str | None) -> None:
    if (port.get("binding:vif_type"), port.get("_segment")) != (vif_type, segment):
        port["status"] = "DOWN"
    port["binding:vif_type"] = vif_type
    port["binding:vif_details"] = details
    port["_segment"] = segment


def live_agents(call: Call, host: str) -> list[Document]:
    """The agents of a host that reported lately."""
    agents = call.tx.find("agent", host=host)
    if not agents:
        return []
    beats = call.tx.relations.heartbeats()
    oldest = call.parts.wall_ms() - call.settings.agent_down_time * 1000
    return [agent for agent in agents if beats.get(agent["id"], 0) >= oldest]


def rebind(call: Call, host: str) -> int:
    """Bind the host's ports that could not be bound; how many are bound now."""
    bound = 0
    waiting: Sequence[Document] = [
        port for port in call.tx.find("port", host=host) if port["binding:vif_type"] == FAILED
    ]
    for port in waiting:
        after = dict(port)
        bind(call, after, call.require("network", port["network_id"]))
        if after != port:
            call.tx.update("port", port, after)
            bound += 1
    return bound
