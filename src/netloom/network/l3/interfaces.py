"""Router interfaces: connecting routers to subnets, by subnet or by port."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

from netloom.network.call import Call
from netloom.network.commit import updated
from netloom.network.document import Document
from netloom.network.errors import ApiError, fail
from netloom.network.identity.policy import is_shared, is_visible
from netloom.network.ipam.addresses import contains, overlap
from netloom.network.l3.routers import GATEWAY
from netloom.network.l3.scheduling import host_of, schedule_router
from netloom.network.ml2.addressing import reclaim
from netloom.network.ml2.bind import bind
from netloom.network.ml2.ports import create_port, remove_port
from netloom.network.model.kinds import UUID
from netloom.network.model.table import resource

INTERFACE = "network:router_interface"


def _bad(message: str) -> ApiError:
    return fail("BadRequest", resource="router", msg=message)


def _which(body: Any) -> tuple[str | None, str | None]:
    """The port or the subnet that the request names."""
    given = body if isinstance(body, dict) else {}
    port, subnet = given.get("port_id"), given.get("subnet_id")
    if not port and not subnet:
        raise _bad("Either subnet_id or port_id must be specified")
    for name, value in (("port_id", port), ("subnet_id", subnet)):
        if value is not None:
            try:
                UUID.check(value)
            except ValueError as error:
                raise fail(
                    "HTTPBadRequest", message=f"Invalid input for {name}. Reason: {error}."
                ) from None
    return port, subnet


def add_interface(call: Call, router: Document, body: Any) -> dict[str, Any]:
    """Connect the router. Interfaces of one router are added one at a time: no two overlap."""
    port_id, subnet_id = _which(body)
    if port_id and subnet_id:
        raise _bad("Cannot specify both subnet-id and port-id")
    router = call.tx.touch("router", router["id"]) or router
    if port_id:
        port, subnets = _by_port(call, router, port_id)
    else:
        assert subnet_id is not None
        port, subnets = _by_subnet(call, router, subnet_id)
    schedule_router(call, router)
    return _answer(router, port, subnets)


def _answer(router: Document, port: Document, subnets: list[str]) -> dict[str, Any]:
    return {
        "id": router["id"],
        "project_id": router["project_id"],
        "port_id": port["id"],
        "network_id": port["network_id"],
        "subnet_id": subnets[0],
        "subnet_ids": subnets,
    }


def _by_port(call: Call, router: Document, port_id: str) -> tuple[Document, list[str]]:
    port = call.tx.get("port", port_id)
    if port is None or not is_visible(call, resource("port"), port):
        raise fail("PortNotFound", port_id=port_id)
    if port["device_id"]:
        raise fail(
            "PortInUse",
            net_id=port["network_id"],
            port_id=port_id,
            device_id=port["device_id"],
        )
    if not port["fixed_ips"]:
        raise _bad("Router port must have at least one fixed IP")
    ids = [entry["subnet_id"] for entry in port["fixed_ips"]]
    subnets = call.tx.find("subnet", id=ids)
    if len([subnet for subnet in subnets if subnet["ip_version"] == 4]) > 1:
        raise _bad("Cannot have multiple IPv4 subnets on router port")
    _check_overlaps(call, router, subnets)
    after = {
        **port,
        "device_id": router["id"],
        "device_owner": INTERFACE,
        "binding:host_id": host_of(call, router["id"]) or port["binding:host_id"],
        "port_security_enabled": False,
        "security_groups": [],
        "allowed_address_pairs": [],
    }
    bind(call, after, call.require("network", port["network_id"]))
    updated(call, "port", port, after)
    call.tx.relations.set_security_groups(port_id, [], new=False)
    call.tx.relations.add_router_port(router["id"], port_id, INTERFACE)
    return after, ids


def _by_subnet(call: Call, router: Document, subnet_id: str) -> tuple[Document, list[str]]:
    subnet = call.tx.get("subnet", subnet_id)
    if subnet is None or not is_visible(call, resource("subnet"), subnet):
        raise fail("SubnetNotFound", subnet_id=subnet_id)
    if not subnet["gateway_ip"]:
        raise _bad("Subnet for router interface must have a gateway IP")
    _check_may_route(call, subnet)
    if subnet.get("ipv6_address_mode") and not subnet.get("ipv6_ra_mode"):
        raise _bad(
            f"IPv6 subnet {subnet_id} configured to receive RAs from an external router cannot be "
            "added to Neutron Router."
        )
    _check_overlaps(call, router, [subnet])
    if subnet["ip_version"] == 6:
        joined = _join_ipv6(call, router, subnet)
        if joined is not None:
            return joined, [subnet_id]
    port = create_port(
        call.as_service(),
        {
            "network_id": subnet["network_id"],
            "project_id": router["project_id"],
            "fixed_ips": [{"subnet_id": subnet_id, "ip_address": subnet["gateway_ip"]}],
            "device_id": router["id"],
            "device_owner": INTERFACE,
            "admin_state_up": True,
            "name": "",
            "security_groups": [],
            "binding:host_id": host_of(call, router["id"]),
        },
    )
    call.tx.relations.add_router_port(router["id"], port["id"], INTERFACE)
    return port, [subnet_id]


def _check_may_route(call: Call, subnet: Document) -> None:
    """The gateway address of somebody else's subnet is not for every tenant to take."""
    me = call.caller
    if me.is_admin or subnet["project_id"] == me.project_id:
        return
    if not is_shared(call, "network", subnet["network_id"], ("access_as_shared",)):
        raise _bad(
            f"Cannot add interface to router because subnet {subnet['id']} is not owned by "
            "project making the request"
        )


def _join_ipv6(call: Call, router: Document, subnet: Document) -> Document | None:
    """IPv6 subnets of one network share a port of the router."""
    for port in _interfaces(call, router):
        if port["network_id"] != subnet["network_id"]:
            continue
        versions = {ip_network(entry["ip_address"]).version for entry in port["fixed_ips"]}
        if versions == {6}:
            added = {"subnet_id": subnet["id"], "ip_address": subnet["gateway_ip"]}
            after = {**port, "fixed_ips": [*port["fixed_ips"], added]}
            updated(call, "port", port, after)
            reclaim(call, port["id"], port["fixed_ips"], after["fixed_ips"])
            return after
    return None


def _interfaces(call: Call, router: Document) -> list[Document]:
    ids = call.tx.relations.router_ports(router["id"])
    wanted = [key for key, kind in ids.items() if kind != GATEWAY]
    return call.tx.find("port", id=wanted) if wanted else []


def _check_overlaps(call: Call, router: Document, subnets: list[Document]) -> None:
    """What a router connects must be apart, its external network included."""
    ids = call.tx.relations.router_ports(router["id"])
    ports = call.tx.find("port", id=list(ids)) if ids else []
    held = {entry["subnet_id"] for port in ports for entry in port["fixed_ips"]}
    for subnet in subnets:
        if subnet["id"] in held:
            raise _bad(f"Router already has a port on subnet {subnet['id']}")
    for other in call.tx.find("subnet", id=held) if held else []:
        for subnet in subnets:
            if overlap(subnet["cidr"], other["cidr"]):
                raise _bad(
                    f"Cidr {subnet['cidr']} of subnet {subnet['id']} overlaps with cidr "
                    f"{other['cidr']} of subnet {other['id']}"
                )


def remove_interface(call: Call, router: Document, body: Any) -> dict[str, Any]:
    """Disconnect the router from a subnet or port."""
    port_id, subnet_id = _which(body)
    router = call.tx.touch("router", router["id"]) or router
    port, gone = _find(call, router, port_id, subnet_id)
    kept = [entry for entry in port["fixed_ips"] if entry["subnet_id"] not in gone]
    for key in gone:
        _check_not_needed(call, router, key)
    if kept:
        after = {**port, "fixed_ips": kept}
        updated(call, "port", port, after)
        reclaim(call, port["id"], port["fixed_ips"], kept)
    else:
        remove_port(call.as_service(), port)
    return _answer(router, port, gone)


def _find(
    call: Call, router: Document, port_id: str | None, subnet_id: str | None
) -> tuple[Document, list[str]]:
    """The interface, and the subnets that it leaves."""
    interfaces = _interfaces(call, router)
    if port_id:
        for port in interfaces:
            if port["id"] == port_id:
                held = [entry["subnet_id"] for entry in port["fixed_ips"]]
                if subnet_id and subnet_id not in held:
                    raise fail("SubnetMismatchForPort", port_id=port_id, subnet_id=subnet_id)
                return port, held
        raise fail("RouterInterfaceNotFound", router_id=router["id"], port_id=port_id)
    assert subnet_id is not None
    if call.tx.get("subnet", subnet_id) is None:
        raise fail("SubnetNotFound", subnet_id=subnet_id)
    for port in interfaces:
        if any(entry["subnet_id"] == subnet_id for entry in port["fixed_ips"]):
            return port, [subnet_id]
    raise fail("RouterInterfaceNotFoundForSubnet", router_id=router["id"], subnet_id=subnet_id)


def _check_not_needed(call: Call, router: Document, subnet_id: str) -> None:
    """Raise if routes or floating addresses go through the interface."""
    subnet = call.require("subnet", subnet_id)
    cidr = subnet["cidr"]
    if any(contains(cidr, route["nexthop"]) for route in router["routes"]):
        raise fail("RouterInterfaceInUseByRoute", subnet_id=subnet_id, router_id=router["id"])
    for floating in call.tx.find("floatingip", router_id=router["id"]):
        address = floating["fixed_ip_address"]
        if address and contains(cidr, address):
            raise fail(
                "RouterInterfaceInUseByFloatingIP",
                subnet_id=subnet_id,
                router_id=router["id"],
            )
