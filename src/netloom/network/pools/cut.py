"""The prefix of a new subnet: given, or cut from a pool."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

from netloom.network.call import Call
from netloom.network.document import Document
from netloom.network.errors import ApiError, fail
from netloom.network.identity.policy import is_visible
from netloom.network.ipam.addresses import free_prefix, overlap
from netloom.network.model.table import resource

PREFIX_DELEGATION = "prefix_delegation"
#: Quotas of pools are counted in these units: addresses, and /64 networks.
QUOTA_UNIT = {4: 32, 6: 64}


def _bad(message: str) -> ApiError:
    return fail("BadRequest", resource="subnets", msg=message)


def cidr_of(call: Call, body: dict[str, Any], others: list[Document]) -> tuple[str, str | None]:
    """The prefix of a new subnet and the id of the pool that it is from, if any."""
    cidr, prefixlen = body.get("cidr"), body.get("prefixlen")
    pool = _pool(call, body)
    if cidr is not None and prefixlen is not None:
        raise _bad("cidr and prefixlen must not be supplied together")
    _check_affinity(body, pool, others)
    if pool is None:
        if cidr is None:
            raise _bad("a subnetpool must be specified in the absence of a cidr")
        return cidr, None
    if pool["ip_version"] != body["ip_version"]:
        raise _bad(
            f"Cannot allocate IPv{body['ip_version']} subnet from IPv{pool['ip_version']} "
            "subnet pool"
        )
    if cidr is None and body.get("allocation_pools"):
        raise _bad("allocation_pools allowed only for specific subnet requests.")
    # One at a time for each pool, so that no two get the same prefix.
    call.tx.touch("subnetpool", pool["id"])
    used = call.tx.find("subnet", subnetpool_id=pool["id"])
    taken = [subnet["cidr"] for subnet in used]
    if cidr is None:
        length = prefixlen if prefixlen is not None else pool["default_prefixlen"]
        _check_length(pool, length)
        cidr = free_prefix(pool["prefixes"], taken, length)
        if cidr is None:
            raise fail(
                "SubnetAllocationError",
                reason="Insufficient prefix space to allocate subnet size /" + str(length),
            )
    else:
        _check_length(pool, ip_network(cidr).prefixlen)
        inside = any(
            ip_network(cidr).subnet_of(ip_network(prefix))  # type: ignore[arg-type]
            for prefix in pool["prefixes"]
        )
        if not inside or any(overlap(cidr, other) for other in taken):
            raise fail(
                "SubnetAllocationError",
                reason="Cannot allocate requested subnet from the available set of prefixes",
            )
    _check_pool_quota(call, pool, used, cidr)
    return cidr, pool["id"]


def _pool(call: Call, body: dict[str, Any]) -> Document | None:
    key = body.get("subnetpool_id")
    if body.get("use_default_subnetpool"):
        if key:
            raise _bad("subnetpool_id and use_default_subnetpool cannot both be specified")
        for pool in call.tx.find("subnetpool"):
            if pool["is_default"] and pool["ip_version"] == body["ip_version"]:
                return pool
        raise _bad(f"No default subnetpool found for IPv{body['ip_version']}")
    if not key:
        return None
    if key == PREFIX_DELEGATION:
        raise _bad("Prefix delegation is not supported by this service")
    found = call.tx.get("subnetpool", key)
    if found is None or not is_visible(call, resource("subnetpool"), found):
        raise fail("SubnetPoolNotFound", subnetpool_id=key)
    return found


def _check_affinity(body: dict[str, Any], pool: Document | None, others: list[Document]) -> None:
    wanted = None if pool is None else pool["id"]
    for other in others:
        if other["ip_version"] == body["ip_version"] and other["subnetpool_id"] != wanted:
            raise fail("NetworkSubnetPoolAffinityError")


def _check_length(pool: Document, length: int) -> None:
    if length < pool["min_prefixlen"]:
        raise fail(
            "MinPrefixSubnetAllocationError",
            prefixlen=length,
            min_prefixlen=pool["min_prefixlen"],
        )
    if length > pool["max_prefixlen"]:
        raise fail(
            "MaxPrefixSubnetAllocationError",
            prefixlen=length,
            max_prefixlen=pool["max_prefixlen"],
        )


def _check_pool_quota(call: Call, pool: Document, used: list[Document], cidr: str) -> None:
    quota = pool["default_quota"]
    if quota is None or call.caller.is_admin:
        return
    unit = QUOTA_UNIT[pool["ip_version"]]
    mine = [subnet["cidr"] for subnet in used if subnet["project_id"] == call.caller.project_id]
    size = sum(2 ** max(0, unit - ip_network(text).prefixlen) for text in [*mine, cidr])
    if size > quota:
        raise fail("SubnetPoolQuotaExceeded")
