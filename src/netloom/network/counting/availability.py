"""How many addresses networks have, and how many of them are taken."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

from netloom.network.call import Call
from netloom.network.document import Document
from netloom.network.ipam.addresses import pool_size


def availability(call: Call, networks: list[Document], version: int | None) -> list[Document]:
    """One entry for each network; `version` limits it to subnets of one IP version."""
    keys = [network["id"] for network in networks]
    subnets = call.tx.find("subnet", network_id=keys) if keys else []
    if version is not None:
        subnets = [subnet for subnet in subnets if subnet["ip_version"] == version]
    used = call.tx.relations.count_addresses(subnet["id"] for subnet in subnets)
    grouped: dict[str, list[dict[str, Any]]] = {}
    for subnet in subnets:
        grouped.setdefault(subnet["network_id"], []).append(
            {
                "subnet_id": subnet["id"],
                "subnet_name": subnet["name"],
                "ip_version": subnet["ip_version"],
                "cidr": str(ip_network(subnet["cidr"])),
                "total_ips": pool_size(subnet["allocation_pools"]),
                "used_ips": used.get(subnet["id"], 0),
            }
        )
    return [
        {
            "network_id": network["id"],
            "network_name": network["name"],
            "tenant_id": network["project_id"],
            "project_id": network["project_id"],
            "total_ips": sum(entry["total_ips"] for entry in grouped.get(network["id"], ())),
            "used_ips": sum(entry["used_ips"] for entry in grouped.get(network["id"], ())),
            "subnet_ip_availability": grouped.get(network["id"], []),
        }
        for network in networks
    ]
