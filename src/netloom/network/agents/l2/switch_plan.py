"""Bridges, ports and tags: what has to change in the switch's database, in order.

`plan_switch` compares the wish with the facts. The same wish twice gives no steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from netloom.network.agents.l2.facts import BridgeFact, Facts, PortFact
from netloom.network.agents.l2.values import (
    DEAD_VLAN,
    PATCH_INT,
    PATCH_TUN,
    TUNNEL_TABLES,
    TunnelPort,
    Wish,
)
from netloom.network.agents.settings import L2Settings

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class AddBridge:
    """A bridge that drops what nobody told it to pass."""

    name: str
    datapath_type: str


@dataclass(frozen=True, slots=True)
class SetFailMode:
    """A bridge that must not forward by itself when it has no flows."""

    bridge: str


@dataclass(frozen=True, slots=True)
class AddPort:
    """A patch port or a tunnel."""

    bridge: str
    name: str
    type: str
    options: Pairs


@dataclass(frozen=True, slots=True)
class SetOptions:
    """Other options for an interface that is there."""

    name: str
    options: Pairs


@dataclass(frozen=True, slots=True)
class DeletePort:
    """A tunnel to a host that has gone."""

    bridge: str
    name: str


@dataclass(frozen=True, slots=True)
class SetTag:
    """A port's VLAN, and whose it is."""

    name: str
    tag: int
    other_config: Pairs


Step = AddBridge | SetFailMode | AddPort | SetOptions | DeletePort | SetTag


def patch_names(bridge: str) -> tuple[str, str]:
    """The patch ports between br-int and a provider bridge: the one here, the one there."""
    return f"int-{bridge}", f"phy-{bridge}"


def plan_switch(wish: Wish | None, facts: Facts, settings: L2Settings) -> list[Step]:
    """Steps to the wish, deletions first. Without a wish: only bridges and patch ports."""
    steps: list[Step] = []
    bridges = [settings.integration_bridge]
    if settings.tunnel_types:
        bridges.append(settings.tunnel_bridge)
    for name in bridges:
        fact = facts.get(name)
        if fact is None:
            steps.append(AddBridge(name, settings.datapath_type))
        elif fact.fail_mode != "secure":
            steps.append(SetFailMode(name))
    wanted = _patches(settings)
    if wish is not None and settings.tunnel_types:
        tunnels = facts.get(settings.tunnel_bridge)
        wanted += [_tunnel(one, settings) for one in wish.tunnels]
        if tunnels is not None:
            steps = _stale(tunnels, wish) + steps
    for port in wanted:
        steps += _port_steps(port, facts.get(port.bridge))
    if wish is not None and settings.integration_bridge in facts:
        steps += _tags(wish, facts[settings.integration_bridge].ports)
    return steps


def _patches(settings: L2Settings) -> list[AddPort]:
    pairs = [
        (settings.integration_bridge, patch_names(bridge)[0], bridge, patch_names(bridge)[1])
        for bridge in settings.bridge_mappings.values()
    ]
    if settings.tunnel_types:
        pairs.append((settings.integration_bridge, PATCH_TUN, settings.tunnel_bridge, PATCH_INT))
    return [
        AddPort(bridge, name, "patch", (("peer", peer),))
        for one, here, other, there in pairs
        for bridge, name, peer in ((one, here, there), (other, there, here))
    ]


def _tunnel(port: TunnelPort, settings: L2Settings) -> AddPort:
    options = {
        "df_default": str(settings.dont_fragment).lower(),
        "in_key": "flow",
        "local_ip": settings.local_ip,
        "out_key": "flow",
        "remote_ip": port.remote,
    }
    if port.network_type == "vxlan" and settings.vxlan_udp_port != 4789:
        options["dst_port"] = str(settings.vxlan_udp_port)
    return AddPort(
        settings.tunnel_bridge, port.name, port.network_type, tuple(sorted(options.items()))
    )


def _stale(tunnels: BridgeFact, wish: Wish) -> list[Step]:
    wanted = {port.name for port in wish.tunnels}
    return [
        DeletePort(tunnels.name, port.name)
        for port in tunnels.ports.values()
        if port.type in TUNNEL_TABLES and port.name not in wanted
    ]


def _port_steps(port: AddPort, bridge: BridgeFact | None) -> list[Step]:
    fact = bridge.ports.get(port.name) if bridge is not None else None
    if fact is None:
        return [port]
    return [SetOptions(port.name, port.options)] if fact.options != port.options else []


def _tags(wish: Wish, ports: Mapping[str, PortFact]) -> list[Step]:
    steps: list[Step] = []
    for port in wish.ports:
        network = port.network
        said = {
            "net_uuid": network.id,
            "network_type": network.network_type,
            "physical_network": network.physical_network,
            "segmentation_id": str(network.segmentation_id),
            "tag": str(network.vlan),
        }
        wanted = SetTag(port.name, network.vlan, tuple(sorted(said.items())))
        fact = ports[port.name]
        if (fact.tag, fact.other_config) != (wanted.tag, wanted.other_config):
            steps.append(wanted)
    for name, _ in wish.dead:
        if ports[name].tag != DEAD_VLAN:
            steps.append(SetTag(name, DEAD_VLAN, ()))
    return steps
