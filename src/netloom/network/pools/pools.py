"""Subnet pools themselves: prefixes and bounds, sharing, adding and removing prefixes."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

from netloom.network.call import Call
from netloom.network.commit import created, deleted, new_document, updated
from netloom.network.document import Document
from netloom.network.errors import fail, invalid_input
from netloom.network.ipam.addresses import merge_prefixes
from netloom.network.rbac import grants

LEAST_PREFIX = {4: 8, 6: 64}
LONGEST_PREFIX = {4: 32, 6: 128}
BOUNDS = ("min_prefixlen", "default_prefixlen", "max_prefixlen")


def create_pool(call: Call, body: dict[str, Any]) -> Document:
    """A new pool; bounds that are left open get those of the IP version."""
    if not body["prefixes"]:
        raise fail("EmptySubnetPoolPrefixList")
    pool = new_document(call, "subnetpool", body)
    pool["prefixes"] = merge_prefixes(body["prefixes"])
    version = pool["ip_version"] = ip_network(pool["prefixes"][0]).version
    pool["min_prefixlen"] = body.get("min_prefixlen", LEAST_PREFIX[version])
    pool["max_prefixlen"] = body.get("max_prefixlen", LONGEST_PREFIX[version])
    pool["default_prefixlen"] = body.get("default_prefixlen", pool["min_prefixlen"])
    pool["default_quota"] = body.get("default_quota")
    pool["address_scope_id"] = None
    _check_bounds(pool)
    _check_default(call, pool)
    created(call, "subnetpool", pool)
    if pool["shared"]:
        grants.grant(call, "subnetpool", pool, "access_as_shared", "*")
    return pool


def _check_bounds(pool: Document) -> None:
    version = pool["ip_version"]
    least, default, most = (pool[name] for name in BOUNDS)
    if (version == 6 and least < 1) or (version == 4 and least < 1):
        raise fail("UnsupportedMinSubnetPoolPrefix", prefix=least, version=version)
    for name, low, high in (
        ("max_prefixlen", most, LONGEST_PREFIX[version]),
        ("min_prefixlen", least, most),
        ("default_prefixlen", default, most),
    ):
        if low > high:
            other = "max_prefixlen" if name != "max_prefixlen" else "maximum prefix length"
            raise fail(
                "IllegalSubnetPoolPrefixBounds",
                prefix_type=name,
                prefixlen=low,
                base_prefix_type=other,
                base_prefixlen=high,
            )
    if default < least:
        raise fail(
            "IllegalSubnetPoolPrefixBounds",
            prefix_type="default_prefixlen",
            prefixlen=default,
            base_prefix_type="min_prefixlen",
            base_prefixlen=least,
        )


def _check_default(call: Call, pool: Document) -> None:
    if not pool["is_default"]:
        return
    for other in call.tx.find("subnetpool"):
        same = other["ip_version"] == pool["ip_version"] and other["id"] != pool["id"]
        if same and other["is_default"]:
            raise invalid_input(
                "A default subnetpool for this IP family has already been set. Only one default "
                "may exist per IP family"
            )


def update_pool(call: Call, before: Document, body: dict[str, Any]) -> Document:
    """A changed pool; prefixes may only be added here."""
    after = {**before, **body}
    if "prefixes" in body:
        after["prefixes"] = merge_prefixes(body["prefixes"])
        _check_same_version(after)
        for old in before["prefixes"]:
            if not _covered(old, after["prefixes"]):
                raise fail(
                    "IllegalSubnetPoolPrefixUpdate",
                    msg="Existing prefixes must be a subset of the new prefixes",
                )
    _check_bounds(after)
    _check_default(call, after)
    return updated(call, "subnetpool", before, after)


def _check_same_version(pool: Document) -> None:
    if any(ip_network(text).version != pool["ip_version"] for text in pool["prefixes"]):
        raise fail("PrefixVersionMismatch")


def _covered(prefix: str, by: list[str]) -> bool:
    return any(
        ip_network(prefix).subnet_of(ip_network(other))  # type: ignore[arg-type]
        for other in by
    )


def delete_pool(call: Call, pool: Document) -> None:
    """Remove a pool that no subnet is from."""
    if call.tx.find("subnet", subnetpool_id=pool["id"]):
        raise fail("SubnetPoolDeleteError", reason="Subnet pool has existing allocations")
    grants.forget(call, "subnetpool", pool["id"])
    deleted(call, "subnetpool", pool)


def add_prefixes(call: Call, pool: Document, prefixes: list[str]) -> Document:
    """The pool with more prefixes."""
    after = {**pool, "prefixes": merge_prefixes([*pool["prefixes"], *prefixes])}
    _check_same_version(after)
    return updated(call, "subnetpool", pool, after)


def remove_prefixes(call: Call, pool: Document, prefixes: list[str]) -> Document:
    """The pool with fewer prefixes; none of them may be in use."""
    left: list[Any] = [ip_network(text) for text in pool["prefixes"]]
    for gone in (ip_network(text) for text in prefixes):
        rest: list[Any] = []
        for network in left:
            if network.version == gone.version and gone.subnet_of(network):
                rest += list(network.address_exclude(gone))
            elif network.version != gone.version or not network.subnet_of(gone):
                rest.append(network)
        left = rest
    kept = merge_prefixes([str(network) for network in left])
    for subnet in call.tx.find("subnet", subnetpool_id=pool["id"]):
        if not _covered(subnet["cidr"], kept):
            raise fail(
                "IllegalSubnetPoolPrefixUpdate",
                msg="One or more the prefixes to be removed is in use by a subnet.",
            )
    return updated(call, "subnetpool", pool, {**pool, "prefixes": kept})


def view_pools(call: Call, pools: list[Document]) -> list[Document]:
    """Pools as the API shows them: lengths are text, as clients of Neutron know them, and what is
    shared with the caller counts as shared."""
    keys = [] if call.caller.is_admin else [pool["id"] for pool in pools]
    sharing = call.tx.relations.sharing("subnetpool", keys)
    mine = ("access_as_shared", call.caller.project_id)
    return [
        {
            **pool,
            **{name: str(pool[name]) for name in BOUNDS},
            "shared": pool["shared"] or mine in sharing.get(pool["id"], ()),
        }
        for pool in pools
    ]
