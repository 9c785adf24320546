"""Extra routes of routers."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from netloom.network.call import Call
from netloom.network.commit import updated
from netloom.network.document import Document
from netloom.network.errors import bad_request, fail

Route = dict[str, str]


def check_routes(call: Call, router: Document, routes: list[Route]) -> None:
    """Raise unless each next hop is a neighbour of the router, and not the router itself."""
    limit = call.settings.max_routes
    if len(routes) > limit:
        raise fail("RoutesExhausted", router_id=router["id"], quota=limit)
    ids = call.tx.relations.router_ports(router["id"])
    ports = call.tx.find("port", id=list(ids)) if ids else []
    fixed = [entry for port in ports for entry in port["fixed_ips"]]
    own = {entry["ip_address"] for entry in fixed}
    subnets = call.tx.find("subnet", id={entry["subnet_id"] for entry in fixed}) if fixed else []
    prefixes = [ip_network(subnet["cidr"]) for subnet in subnets]
    for route in routes:
        hop = ip_address(route["nexthop"])
        if not any(hop.version == prefix.version and hop in prefix for prefix in prefixes):
            raise fail(
                "InvalidRoutes",
                routes=routes,
                reason="the nexthop is not connected with router",
            )
        if str(hop) in own:
            raise fail("InvalidRoutes", routes=routes, reason="the nexthop is used by router")


def add_routes(call: Call, router: Document, routes: list[Route]) -> Document:
    """The router with these routes too; those it has stay as they are."""
    wanted = [*router["routes"], *(route for route in routes if route not in router["routes"])]
    check_routes(call, router, wanted)
    return updated(call, "router", router, {**router, "routes": wanted})


def remove_routes(call: Call, router: Document, routes: list[Route]) -> Document:
    """The router without these routes."""
    left = [route for route in router["routes"] if route not in routes]
    return updated(call, "router", router, {**router, "routes": left})


def routes_of_body(body: object) -> object:
    """The `routes` of an action's body, which has the shape of a router."""
    if not isinstance(body, dict) or not isinstance(body.get("router"), dict):
        raise bad_request("Missing required parameter 'router' in request body")
    if "routes" not in body["router"]:
        raise bad_request("Missing required parameter 'routes' in request body")
    return body["router"]["routes"]
