"""From what the service says and what is plugged in to the wish.

A port of the integration bridge is the service's if its interface's `external_ids:iface-id` is the
id of a port that is bound to this host; anything else with an `iface-id` is dead: VLAN 4095, and
its packets are dropped. VLANs of networks are written down in `other_config` of the ports, so that
an agent that starts again finds them.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address, ip_network

from netloom.network.agents.l2.facts import BridgeFact
from netloom.network.agents.l2.values import (
    DEAD_VLAN,
    TUNNEL_TABLES,
    LocalNetwork,
    LocalPort,
    TunnelPort,
    Wish,
)
from netloom.network.agents.settings import L2Settings
from netloom.network.document import Document
from netloom.network.watch import derive
from netloom.network.watch.replica import Replica

MOST_VLANS = 4094


class Vlans:
    """Which network has which local VLAN."""

    def __init__(self) -> None:
        self._of: dict[str, int] = {}

    def remember(self, integration: BridgeFact) -> None:
        """Take over what an earlier agent wrote down."""
        for port in integration.ports.values():
            network = dict(port.other_config).get("net_uuid")
            if network and port.tag and port.tag != DEAD_VLAN and port.tag not in self.used():
                self._of.setdefault(network, port.tag)

    def used(self) -> set[int]:
        return set(self._of.values())

    def of(self, network: str) -> int:
        """The network's VLAN, the lowest free one if it has none; 0 if all are taken."""
        if network not in self._of:
            used = self.used()
            free = next((vlan for vlan in range(1, MOST_VLANS + 1) if vlan not in used), 0)
            if not free:
                return 0
            self._of[network] = free
        return self._of[network]

    def keep(self, networks: Iterable[str]) -> None:
        """Forget all but these."""
        kept = set(networks)
        self._of = {network: vlan for network, vlan in self._of.items() if network in kept}


def derive_wish(
    replica: Replica, integration: BridgeFact, settings: L2Settings, vlans: Vlans
) -> Wish:
    """All that should be on this host."""
    vlans.remember(integration)
    ports: list[LocalPort] = []
    dead: list[tuple[str, int]] = []
    for fact in sorted(integration.ports.values(), key=lambda port: port.name):
        if not fact.iface_id or not fact.ofport:
            continue
        port = _local_port(replica, fact.iface_id, fact.name, fact.ofport, settings, vlans)
        if port is None:
            dead.append((fact.name, fact.ofport))
        else:
            ports.append(port)
    networks = {port.network.id: port.network for port in ports}
    vlans.keep(networks)
    tunnelled = [one.id for one in networks.values() if one.network_type in TUNNEL_TABLES]
    return Wish(
        tuple(ports),
        tuple(dead),
        tuple(networks[key] for key in sorted(networks)),
        tuple((key, derive.forwarding(replica, key, settings.host)) for key in sorted(tunnelled)),
        _tunnels(replica, settings),
        _members(replica, ports),
    )


def _local_port(
    replica: Replica, key: str, name: str, ofport: int, settings: L2Settings, vlans: Vlans
) -> LocalPort | None:
    port = replica.get("port", key)
    if port is None or port["binding:host_id"] != settings.host or not port["admin_state_up"]:
        return None
    segment = derive.bound_segment(replica, port)
    if segment is None or port["binding:vif_type"] != "ovs":
        return None
    vlan = vlans.of(port["network_id"])
    if not vlan:
        return None
    network = LocalNetwork(
        port["network_id"],
        vlan,
        segment["network_type"],
        segment["physical_network"] or "",
        segment["segmentation_id"] or 0,
    )
    filtered = bool(
        settings.enable_security_group
        and port["port_security_enabled"]
        and not port["device_owner"].startswith("network:")
    )
    rules = derive.group_rules(replica, port["security_groups"], False) if filtered else ()
    addresses = _addresses(port)
    return LocalPort(key, name, ofport, network, port["mac_address"], addresses, filtered, rules)


def _addresses(port: Document) -> tuple[tuple[str, str], ...]:
    own = {(port["mac_address"], one["ip_address"]) for one in port["fixed_ips"]}
    for pair in port["allowed_address_pairs"]:
        own.add((pair.get("mac_address") or port["mac_address"], _short(pair["ip_address"])))
    return tuple(sorted(own))


def _short(prefix: str) -> str:
    network = ip_network(prefix, strict=False)
    return str(network.network_address if network.num_addresses == 1 else network)


def _tunnels(replica: Replica, settings: L2Settings) -> tuple[TunnelPort, ...]:
    found = set()
    for agent in replica.all("agent"):
        if agent["agent_type"] != derive.L2_AGENT or agent["host"] == settings.host:
            continue
        said = agent.get("configurations") or {}
        address = said.get("tunneling_ip") or ""
        if not address or not _same_family(address, settings.local_ip):
            continue
        for kind in settings.tunnel_types:
            if kind in (said.get("tunnel_types") or ()):
                found.add(TunnelPort(kind, address, tunnel_name(kind, address)))
    return tuple(sorted(found, key=lambda port: port.name))


def _same_family(one: str, other: str) -> bool:
    return bool(other) and ip_address(one).version == ip_address(other).version


def tunnel_name(kind: str, address: str) -> str:
    """The type and the address's last 4 bytes, as a device's name must be short."""
    return f"{kind}-{ip_address(address).packed[-4:].hex()}"


def _members(
    replica: Replica, ports: list[LocalPort]
) -> tuple[tuple[tuple[str, str], tuple[str, ...]], ...]:
    named = {
        (rule.group, rule.ethertype)
        for port in ports
        for rule in port.rules
        if rule.group is not None
    }
    return tuple((key, derive.members(replica, *key)) for key in sorted(named))
