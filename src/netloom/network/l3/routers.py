"""Routers and their gateways."""

from __future__ import annotations

from typing import Any

from netloom.network.call import Call
from netloom.network.commit import created, deleted, new_document, updated
from netloom.network.document import Document
from netloom.network.errors import fail
from netloom.network.hosting.zones import check_zone_hints, zones_of
from netloom.network.identity.policy import is_visible
from netloom.network.l3.routes import check_routes
from netloom.network.l3.scheduling import host_of, schedule_router
from netloom.network.ml2.ports import create_port, remove_port
from netloom.network.model.table import resource

GATEWAY = "network:router_gateway"


def create_router(call: Call, body: dict[str, Any]) -> Document:
    """A new router, with a gateway if asked."""
    router = new_document(call, "router", body)
    check_zone_hints(call, "router", router["availability_zone_hints"])
    gateway = body.get("external_gateway_info")
    router |= {
        "status": "ACTIVE",
        "external_gateway_info": None,
        "routes": [],
        "distributed": False,
        "ha": False,
        "flavor_id": None,
        "_gateway_port": None,
        "_enable_snat": call.settings.enable_snat_by_default,
    }
    created(call, "router", router)
    after = dict(router)
    if gateway:
        _set_gateway(call, router, after, gateway)
    routes = body.get("routes")
    if routes:
        check_routes(call, after, routes)
        after["routes"] = routes
    if after == router:
        return router
    final = updated(call, "router", router, after)
    schedule_router(call, final)
    return final


def update_router(call: Call, before: Document, body: dict[str, Any]) -> Document:
    """A changed router."""
    after = {**before, **body}
    if "external_gateway_info" in body:
        after["external_gateway_info"] = before["external_gateway_info"]
        _set_gateway(call, before, after, body["external_gateway_info"])
    if "routes" in body:
        check_routes(call, after, body["routes"])
    final = updated(call, "router", before, after)
    if body.get("external_gateway_info"):
        schedule_router(call, final)
    return final


def _set_gateway(
    call: Call, before: Document, after: Document, wanted: dict[str, Any] | None
) -> None:
    """Give the router this gateway, in place of the one it has."""
    current = before["external_gateway_info"]
    if wanted is None:
        if current:
            _drop_gateway(call, before)
        after["external_gateway_info"] = after["_gateway_port"] = None
        after["_enable_snat"] = call.settings.enable_snat_by_default
        return
    _check_external(call, wanted)
    # As in Neutron, a gateway that says nothing of it gets the default, whatever there was before.
    snat = wanted.get("enable_snat", call.settings.enable_snat_by_default)
    after["_enable_snat"] = snat
    moved = current is None or current["network_id"] != wanted["network_id"]
    if moved or _wants_addresses(current, wanted):
        if current:
            _drop_gateway(call, before, keep_floating=not moved)
        port = _gateway_port(call, before, wanted)
        after["_gateway_port"] = port["id"]
        current = {
            "network_id": wanted["network_id"],
            "external_fixed_ips": port["fixed_ips"],
        }
    assert current is not None
    after["external_gateway_info"] = {
        "network_id": current["network_id"],
        "external_fixed_ips": current["external_fixed_ips"],
        "enable_snat": snat,
    }


def _wants_addresses(current: dict[str, Any] | None, wanted: dict[str, Any]) -> bool:
    asked = wanted.get("external_fixed_ips")
    if not asked or current is None:
        return False
    held = current["external_fixed_ips"]
    return len(asked) != len(held) or not all(
        any(entry.items() <= one.items() for one in held) for entry in asked
    )


def _check_external(call: Call, wanted: dict[str, Any]) -> None:
    network = call.tx.get("network", wanted["network_id"])
    if network is None or not is_visible(call, resource("network"), network):
        raise fail("NetworkNotFound", net_id=wanted["network_id"])
    if not network["router:external"]:
        raise fail(
            "BadRequest",
            resource="router",
            msg=f"Network {network['id']} is not an external network",
        )
    gateways = {subnet["gateway_ip"] for subnet in call.tx.find("subnet", network_id=network["id"])}
    for entry in wanted.get("external_fixed_ips") or ():
        if entry.get("ip_address") in gateways and entry.get("ip_address"):
            raise fail(
                "BadRequest",
                resource="router",
                msg=f"External IP {entry['ip_address']} is the same as the gateway IP",
            )


def _gateway_port(call: Call, router: Document, wanted: dict[str, Any]) -> Document:
    """The port on the external network: the service's own, so no project's."""
    body: dict[str, Any] = {
        "network_id": wanted["network_id"],
        "project_id": "",
        "device_id": router["id"],
        "device_owner": GATEWAY,
        "admin_state_up": True,
        "name": "",
        "binding:host_id": host_of(call, router["id"]),
        "security_groups": [],
    }
    if wanted.get("external_fixed_ips"):
        body["fixed_ips"] = wanted["external_fixed_ips"]
    port = create_port(call.as_service(), body)
    call.tx.relations.add_router_port(router["id"], port["id"], GATEWAY)
    return port


def _drop_gateway(call: Call, router: Document, *, keep_floating: bool = False) -> None:
    network_id = router["external_gateway_info"]["network_id"]
    if not keep_floating:
        for floating in call.tx.find("floatingip", router_id=router["id"]):
            if floating["floating_network_id"] == network_id:
                raise fail(
                    "RouterExternalGatewayInUseByFloatingIp",
                    router_id=router["id"],
                    net_id=network_id,
                )
    port = call.tx.get("port", router["_gateway_port"])
    if port is not None:
        remove_port(call.as_service(), port)


def delete_router(call: Call, router: Document) -> None:
    """Remove a router without interfaces; its gateway goes with it."""
    ports = call.tx.relations.router_ports(router["id"])
    if any(kind != GATEWAY for kind in ports.values()):
        raise fail("RouterInUse", router_id=router["id"], reason="still has ports")
    if router["external_gateway_info"]:
        _drop_gateway(call, router)
    deleted(call, "router", router)


def view_routers(call: Call, routers: list[Document]) -> list[Document]:
    """Routers as the API shows them."""
    zones = zones_of(call, "router", [router["id"] for router in routers])
    return [{**router, "availability_zones": zones.get(router["id"], [])} for router in routers]
