"""What follows from documents: forwarding entries of other hosts, security-group rules, members.

Pure functions of a `Replica`, so that every agent of every host works the same out, and a test can
compare. Results are frozen values that compare equal if nothing changed.

*Forwarding entries* are what l2population spreads: for a network on this host, who is behind which
tunnel endpoint. A host takes part in a network if a port of it is bound there, up or not yet.

*Rules* are a port's security groups multiplied out: protocol numbers, port ranges, and remote
groups as the addresses of their members, allowed address pairs included.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_interface, ip_network

from netloom.network.document import Document
from netloom.network.secgroup.protocols import protocol_number
from netloom.network.watch.replica import Replica

L2_AGENT = "Open vSwitch agent"
TUNNELS = ("vxlan", "gre", "geneve")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A tunnel endpoint of another host, and what is behind it: (MAC, IP) pairs; `routers` are
    those of the IPs that routers have."""

    host: str
    address: str
    entries: tuple[tuple[str, str], ...]
    routers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Rule:
    """Traffic that may pass. None means any; `remote` holds prefixes, or None for anywhere.

    For ICMP the ports are type and code. `group` is the remote group that `remote` comes from, so
    that a change of its members is a change of one set.
    """

    direction: str
    ethertype: str
    protocol: int | None
    port_min: int | None
    port_max: int | None
    remote: tuple[str, ...] | None
    group: str | None


def endpoint_of(replica: Replica, host: str) -> str:
    """The address of a host's tunnel endpoint; empty if its agent reports none."""
    for agent in replica.find("agent", "host", host):
        if agent["agent_type"] == L2_AGENT:
            return str((agent.get("configurations") or {}).get("tunneling_ip") or "")
    return ""


def bound_segment(replica: Replica, port: Document) -> Document | None:
    """The segment that the port is bound to: network_type, physical_network, segmentation_id."""
    network = replica.get("network", port["network_id"])
    for segment in (network or {}).get("_segments", ()):
        if segment["id"] == port.get("_segment"):
            found: Document = segment
            return found
    return None


def ports_of_host(replica: Replica, host: str) -> list[Document]:
    """The ports that are bound at a host."""
    return [
        port
        for port in replica.find("port", "binding:host_id", host)
        if port["binding:vif_type"] not in ("unbound", "binding_failed")
    ]


def forwarding(replica: Replica, network_id: str, host: str) -> tuple[Endpoint, ...]:
    """The other hosts' endpoints for a tunnelled network, each with what is behind it."""
    behind: dict[str, set[tuple[str, str]]] = {}
    routers: set[str] = set()
    for port in replica.find("port", "network_id", network_id):
        where = port["binding:host_id"]
        if not where or where == host or port["binding:vif_type"] != "ovs":
            continue
        segment = bound_segment(replica, port)
        if segment is None or segment["network_type"] not in TUNNELS:
            continue
        entries = behind.setdefault(where, set())
        entries |= {(port["mac_address"], one["ip_address"]) for one in port["fixed_ips"]}
        if port["device_owner"].startswith("network:router"):
            routers |= {one["ip_address"] for one in port["fixed_ips"]}
        if not port["fixed_ips"]:
            entries.add((port["mac_address"], ""))
    found = []
    for where, entries in sorted(behind.items()):
        address = endpoint_of(replica, where)
        if address:
            mine = frozenset(ip for _, ip in entries if ip in routers)
            found.append(Endpoint(where, address, tuple(sorted(entries)), mine))
    return tuple(found)


def members(replica: Replica, group: str, ethertype: str) -> tuple[str, ...]:
    """The addresses of a group's members, as prefixes."""
    version = 4 if ethertype == "IPv4" else 6
    found: set[str] = set()
    for port in replica.find("port", "security_groups", group):
        texts = [one["ip_address"] for one in port["fixed_ips"]]
        texts += [pair["ip_address"] for pair in port["allowed_address_pairs"]]
        for text in texts:
            network = ip_network(text, strict=False)
            if network.version == version:
                found.add(str(network))
    return tuple(sorted(found))


def port_rules(replica: Replica, port: Document) -> tuple[Rule, ...]:
    """What may pass a port; everything else is dropped."""
    return group_rules(replica, port["security_groups"])


def group_rules(
    replica: Replica, groups: Iterable[str], with_members: bool = True
) -> tuple[Rule, ...]:
    """The rules of these groups, each once. Without members a remote group is only named."""
    found = {
        _rule(replica, rule, with_members)
        for group in groups
        for rule in replica.find("security_group_rule", "security_group_id", group)
    }
    return tuple(sorted(found, key=repr))


def _rule(replica: Replica, rule: Document, with_members: bool) -> Rule:
    remote: tuple[str, ...] | None = None
    if rule["remote_group_id"]:
        if with_members:
            remote = members(replica, rule["remote_group_id"], rule["ethertype"])
    elif rule["remote_ip_prefix"]:
        remote = (str(ip_interface(rule["remote_ip_prefix"]).network),)
    return Rule(
        rule["direction"],
        rule["ethertype"],
        protocol_number(rule["protocol"]),
        rule["port_range_min"],
        rule["port_range_max"],
        remote,
        rule["remote_group_id"],
    )


def ports_touched_by_group(replica: Replica, group: str) -> set[str]:
    """Ids of the ports whose rules name the group: those to look at when its members change."""
    naming = {
        rule["security_group_id"]
        for rule in replica.find("security_group_rule", "remote_group_id", group)
    }
    return {port["id"] for name in naming for port in replica.find("port", "security_groups", name)}
