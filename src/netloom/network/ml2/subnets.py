"""Subnets: prefixes, gateways, pools, and the ports that follow from them."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

from netloom.network.call import Call
from netloom.network.commit import created, deleted, new_document, updated
from netloom.network.document import Document
from netloom.network.errors import fail, invalid_input
from netloom.network.hosting.schedule import schedule_network
from netloom.network.identity.policy import is_visible
from netloom.network.ipam.addresses import (
    address_key,
    check_pools,
    default_gateway,
    default_pools,
    from_mac,
    is_automatic,
    is_usable,
    overlap,
    pool_with,
)
from netloom.network.ml2.addressing import ROUTER_INTERFACES, reclaim
from netloom.network.ml2.networks import AUTO_DELETED
from netloom.network.ml2.subnet_rules import check_ipv6_modes, check_prefix, check_servers
from netloom.network.model.table import resource
from netloom.network.pools.cut import cidr_of

INPUT_ONLY = ("use_default_subnetpool", "prefixlen")
EMPTY_LISTS = ("dns_nameservers", "host_routes", "service_types")


def create_subnet(call: Call, body: dict[str, Any]) -> Document:
    """A new subnet on one of the caller's networks. One at a time on each network, so that none
    overlap."""
    network = call.tx.get("network", body["network_id"])
    if network is None or not is_visible(call, resource("network"), network):
        raise fail("NetworkNotFound", net_id=body["network_id"])
    call.tx.touch("network", network["id"])
    others = call.tx.find("subnet", network_id=network["id"])
    subnet = new_document(call, "subnet", body)
    subnet["cidr"], subnet["subnetpool_id"] = cidr_of(call, body, others)
    for name in ("ipv6_ra_mode", "ipv6_address_mode"):
        subnet[name] = body.get(name)
    for name in EMPTY_LISTS:
        subnet[name] = body.get(name) or []
    check_prefix(subnet, call, network)
    check_ipv6_modes(subnet)
    _check_apart(subnet, others)
    _set_gateway(subnet, body)
    check_servers(call, subnet)
    created(call, "subnet", subnet)
    _give_automatic_addresses(call, subnet)
    if subnet["enable_dhcp"]:
        schedule_network(call, network)
    return subnet


def _check_apart(subnet: Document, others: list[Document]) -> None:
    for other in others:
        if overlap(subnet["cidr"], other["cidr"]):
            raise invalid_input(
                f"Requested subnet with cidr: {subnet['cidr']} for network: "
                f"{subnet['network_id']} overlaps with another subnet"
            )


def _set_gateway(subnet: Document, body: dict[str, Any]) -> None:
    cidr, pools = subnet["cidr"], body.get("allocation_pools")
    gateway = default_gateway(cidr, cut=body.get("cidr") is None)
    gateway = body.get("gateway_ip", gateway)
    _check_gateway(gateway, subnet)
    if pools is None:
        pools = default_pools(cidr, gateway)
    else:
        check_pools(pools, cidr)
        _check_gateway_apart(gateway, pools)
    subnet["gateway_ip"], subnet["allocation_pools"] = gateway, pools


def _check_gateway(gateway: str | None, subnet: Document) -> None:
    """The gateway must be of the right version, and no address that hosts cannot have."""
    if gateway is None:
        return
    version = subnet["ip_version"]
    if ip_address(gateway).version != version:
        raise invalid_input(f"gateway_ip '{gateway}' does not match the ip_version '{version}'")
    network = ip_network(subnet["cidr"])
    inside = ip_address(gateway) in network
    if inside and not is_usable(gateway, subnet["cidr"]) and version == 4:
        raise invalid_input("Gateway is not valid on subnet")


def _check_gateway_apart(gateway: str | None, pools: list[dict[str, str]]) -> None:
    pool = pool_with(gateway, pools) if gateway is not None else None
    if pool is not None:
        raise fail(
            "GatewayConflictWithAllocationPools",
            pool=f"{pool['start']}-{pool['end']}",
            ip_address=gateway,
        )


def _give_automatic_addresses(call: Call, subnet: Document) -> None:
    """Ports that are there already get their address of a new subnet with automatic addresses."""
    if not is_automatic(subnet):
        return
    for port in call.tx.find("port", network_id=subnet["network_id"]):
        if port["device_owner"] in ROUTER_INTERFACES:
            continue
        address = from_mac(subnet["cidr"], port["mac_address"])
        added = {"subnet_id": subnet["id"], "ip_address": address}
        after = {**port, "fixed_ips": [*port["fixed_ips"], added]}
        updated(call, "port", port, after)
        reclaim(call, port["id"], port["fixed_ips"], after["fixed_ips"])


def update_subnet(call: Call, before: Document, body: dict[str, Any]) -> Document:
    """A changed subnet."""
    after = {**before, **{key: value for key, value in body.items() if key not in INPUT_ONLY}}
    if "gateway_ip" in body and body["gateway_ip"] != before["gateway_ip"]:
        _check_gateway(body["gateway_ip"], after)
        _check_gateway_unused(call, before)
    if "allocation_pools" in body:
        check_pools(after["allocation_pools"], after["cidr"])
    if "allocation_pools" in body or "gateway_ip" in body:
        _check_gateway_apart(after["gateway_ip"], after["allocation_pools"])
    if "enable_dhcp" in body:
        check_ipv6_modes(after, turned_off=not after["enable_dhcp"])
        check_prefix(after, call, call.require("network", before["network_id"]))
    check_servers(call, after)
    updated(call, "subnet", before, after)
    if after["enable_dhcp"] and not before["enable_dhcp"]:
        schedule_network(call, call.require("network", before["network_id"]))
    return after


def _check_gateway_unused(call: Call, subnet: Document) -> None:
    gateway = subnet["gateway_ip"]
    if gateway is None:
        return
    holder = call.tx.relations.address_holder(subnet["id"], address_key(gateway))
    port = call.tx.get("port", holder) if holder else None
    if port is not None and port["device_owner"] in ROUTER_INTERFACES:
        raise fail("GatewayIpInUse", ip_address=gateway, port_id=port["id"])


def delete_subnet(call: Call, subnet: Document) -> None:
    """Remove a subnet that only the service's own ports, or automatic addresses, use."""
    key = subnet["id"]
    holders = call.tx.relations.ports_with_addresses([key])
    ports = call.tx.find("port", id=holders) if holders else []
    automatic = is_automatic(subnet)
    if any(not _lets_go(port, automatic) for port in ports):
        raise fail(
            "SubnetInUse",
            subnet_id=key,
            reason="One or more ports have an IP allocation from this subnet",
        )
    call.tx.touch("network", subnet["network_id"])
    for port in ports:
        kept = [entry for entry in port["fixed_ips"] if entry["subnet_id"] != key]
        updated(call, "port", port, {**port, "fixed_ips": kept})
        reclaim(call, port["id"], port["fixed_ips"], kept)
    deleted(call, "subnet", subnet)


def _lets_go(port: Document, automatic: bool) -> bool:
    owner = port["device_owner"]
    return owner in AUTO_DELETED or (automatic and owner not in ROUTER_INTERFACES)


def view_subnets(call: Call, subnets: list[Document]) -> list[Document]:
    """Subnets as the API shows them, with what their networks say."""
    networks = (
        {
            network["id"]: network
            for network in call.tx.find("network", id={entry["network_id"] for entry in subnets})
        }
        if subnets
        else {}
    )
    return [
        {
            **subnet,
            "router:external": networks[subnet["network_id"]]["router:external"],
            "shared": networks[subnet["network_id"]]["shared"],
        }
        for subnet in subnets
    ]
