"""Subnets that were made without a pool, brought under one."""

from __future__ import annotations

from typing import Any

from netloom.network.call import Call
from netloom.network.commit import updated
from netloom.network.document import Document
from netloom.network.errors import fail, invalid_input
from netloom.network.identity.policy import is_visible
from netloom.network.ipam.addresses import merge_prefixes, overlap
from netloom.network.model.table import resource


def onboard(call: Call, pool: Document, body: Any) -> list[dict[str, str]]:
    """Make the subnets of a network, those of the pool's IP version, subnets of the pool, whose
    prefixes grow as needed; what was brought in."""
    key = body.get("network_id") if isinstance(body, dict) else None
    if not key:
        raise invalid_input("network_id must be specified.")
    network = call.tx.get("network", str(key))
    if network is None or not is_visible(call, resource("network"), network):
        raise fail("NetworkNotFound", net_id=key)
    pool = call.tx.touch("subnetpool", pool["id"]) or pool
    found = call.tx.find("subnet", network_id=network["id"])
    subnets = [one for one in found if one["ip_version"] == pool["ip_version"]]
    _check_apart(call, pool, subnets)
    for subnet in subnets:
        updated(call, "subnet", subnet, {**subnet, "subnetpool_id": pool["id"]})
    prefixes = merge_prefixes([*pool["prefixes"], *(subnet["cidr"] for subnet in subnets)])
    updated(call, "subnetpool", pool, {**pool, "prefixes": prefixes})
    return [{"id": subnet["id"], "cidr": subnet["cidr"]} for subnet in subnets]


def _check_apart(call: Call, pool: Document, subnets: list[Document]) -> None:
    taken = [one["cidr"] for one in call.tx.find("subnet", subnetpool_id=pool["id"])]
    for subnet in subnets:
        if any(overlap(subnet["cidr"], cidr) for cidr in taken):
            raise fail(
                "IllegalSubnetPoolUpdate",
                reason=f"Onboarding subnet {subnet['id']}: {subnet['cidr']} conflicts with "
                f"allocated prefixes in subnet pool {pool['id']}",
            )
