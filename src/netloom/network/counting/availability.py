"""How many addresses networks have, and how many of them are taken."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

from netloom.network.call import Call
from netloom.network.document import Document
from netloom.network.ipam.addresses import address_key, pool_size

DETAILS = (
    "total_ips_in_subnet",
    "total_ips_in_allocation_pool",
    "used_ips_in_subnet",
    "used_ips_in_allocation_pool",
)


def availability(call: Call, networks: list[Document], version: int | None) -> list[Document]:
    """One entry for each network; `version` limits it to subnets of one IP version."""
    keys = [network["id"] for network in networks]
    subnets = call.tx.find("subnet", network_id=keys) if keys else []
    if version is not None:
        subnets = [subnet for subnet in subnets if subnet["ip_version"] == version]
    used = call.tx.relations.count_addresses(subnet["id"] for subnet in subnets)
    grouped: dict[str, list[dict[str, Any]]] = {}
    for subnet in subnets:
        taken = used.get(subnet["id"], 0)
        grouped.setdefault(subnet["network_id"], []).append(_of_subnet(call, subnet, taken))
    return [_of_network(network, grouped.get(network["id"], [])) for network in networks]


def _of_subnet(call: Call, subnet: Document, used: int) -> dict[str, Any]:
    network, pools = ip_network(subnet["cidr"]), subnet["allocation_pools"]
    in_pools = sum(
        call.tx.relations.count_range(
            subnet["id"], address_key(pool["start"]), address_key(pool["end"])
        )
        for pool in pools
        if used
    )
    # Of IPv4 neither the first nor the last is an address of a host, of IPv6 the first.
    reserved = {4: 2, 6: 1}[network.version] if network.num_addresses > 2 else 0
    total = pool_size(pools)
    details = (network.num_addresses - reserved, total, used, in_pools)
    return {
        "subnet_id": subnet["id"],
        "subnet_name": subnet["name"],
        "ip_version": subnet["ip_version"],
        "cidr": str(network),
        "total_ips": total,
        "used_ips": used,
        "ip_availability_details": dict(zip(DETAILS, details, strict=True)),
    }


def _of_network(network: Document, entries: list[dict[str, Any]]) -> Document:
    details = [entry["ip_availability_details"] for entry in entries]
    return {
        "network_id": network["id"],
        "network_name": network["name"],
        "tenant_id": network["project_id"],
        "project_id": network["project_id"],
        "total_ips": sum(entry["total_ips"] for entry in entries),
        "used_ips": sum(entry["used_ips"] for entry in entries),
        "subnet_ip_availability": entries,
        "ip_availability_details": {name: sum(one[name] for one in details) for name in DETAILS},
    }
