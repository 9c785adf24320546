"""Port forwardings: single ports, or ranges, of a floating address led to internal ones."""

from __future__ import annotations

from typing import Any

from netloom.network.call import Call
from netloom.network.commit import created, deleted, new_document, updated
from netloom.network.document import Document
from netloom.network.errors import ApiError, fail
from netloom.network.floating.associations import release_if_unused
from netloom.network.identity.policy import is_visible
from netloom.network.l3.floatingips import find_router
from netloom.network.model.table import resource

SIDES = ("external", "internal")


def _bad(message: str) -> ApiError:
    return fail("BadRequest", resource="port_forwarding", msg=message)


def create_forwarding(call: Call, floating: Document, body: dict[str, Any]) -> Document:
    """A new forwarding. Those of one floating address are made one at a time, so that none
    collide."""
    body = _ranges(body, {})
    forwarding = new_document(call, "port_forwarding", body)
    forwarding["project_id"] = floating["project_id"]
    forwarding["floatingip_id"] = floating["id"]
    forwarding |= {key: body[key] for key in body if key.endswith(("_port", "_range"))}
    router = _judge(call, floating, forwarding)
    if floating["port_id"]:
        raise fail("FipInUseByPortForwarding", id=floating["id"])
    current = call.tx.touch("floatingip", floating["id"])
    assert current is not None
    created(call, "port_forwarding", forwarding)
    if current["router_id"] != router:
        updated(call, "floatingip", current, {**current, "router_id": router})
    return forwarding


def update_forwarding(
    call: Call, floating: Document, before: Document, body: dict[str, Any]
) -> Document:
    """A changed forwarding."""
    after = {**before, **_ranges(body, before)}
    _judge(call, floating, after)
    call.tx.touch("floatingip", floating["id"])
    return updated(call, "port_forwarding", before, after)


def delete_forwarding(call: Call, floating: Document, forwarding: Document) -> None:
    """Remove a forwarding."""
    call.tx.touch("floatingip", floating["id"])
    deleted(call, "port_forwarding", forwarding)
    release_if_unused(call, floating["id"])


def _ranges(body: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """Ports and ranges completed from each other: a single port is a range of one."""
    body = dict(body)
    for side in SIDES:
        port, span = f"{side}_port", f"{side}_port_range"
        if body.get(port) is not None and body.get(span) is not None:
            raise _bad(f"{port} and {span} cannot both be specified")
        if body.get(port) is not None:
            body[span] = f"{body[port]}:{body[port]}"
        elif body.get(span) is not None:
            low, high = _bounds(body[span])
            body[port] = low if low == high else None
        elif not before:
            raise _bad(f"{port} or {span} must be specified")
        else:
            body.pop(port, None)
            body.pop(span, None)
    return body


def _bounds(span: str) -> tuple[int, int]:
    low, _, high = span.partition(":")
    return int(low), int(high)


def _judge(call: Call, floating: Document, forwarding: Document) -> str:
    """Raise unless the forwarding can work; the router that it goes through."""
    port = call.tx.get("port", forwarding["internal_port_id"])
    if port is None or not is_visible(call, resource("port"), port):
        raise fail("PortNotFound", port_id=forwarding["internal_port_id"])
    if not call.caller.is_admin and port["project_id"] != floating["project_id"]:
        raise fail("PortNotFound", port_id=port["id"])
    address = forwarding["internal_ip_address"]
    entry = next(
        (one for one in port["fixed_ips"] if one["ip_address"] == address),
        None,
    )
    if entry is None:
        raise _bad(
            "The internal IP does not correspond to an address on the internal port, which has "
            f"fixed_ips {port['fixed_ips']}"
        )
    bound = call.tx.find("floatingip", port_id=port["id"])
    if bound:
        raise fail(
            "PortHasBindingFloatingIP",
            floating_ip_address=bound[0]["floating_ip_address"],
            fip_id=bound[0]["id"],
            port_id=port["id"],
            fixed_ip=forwarding["internal_ip_address"],
        )
    outside, inside = (_bounds(forwarding[f"{side}_port_range"]) for side in SIDES)
    if inside[1] - inside[0] not in (0, outside[1] - outside[0]):
        raise _bad("the internal port range must have one port or as many as the external one")
    _check_apart(call, forwarding, "external", outside, floatingip_id=floating["id"])
    _check_apart(call, forwarding, "internal", inside, internal_port_id=port["id"])
    router = find_router(call, floating["floating_network_id"], port, entry["subnet_id"])
    if floating["router_id"] and floating["router_id"] != router:
        raise _bad(
            f"The Floating IP {floating['id']} had been set on router {floating['router_id']}, the "
            f"internal Neutron port {port['id']} can not reach it"
        )
    return router


def _check_apart(
    call: Call, forwarding: Document, side: str, ports: tuple[int, int], **among: str
) -> None:
    """Raise if another forwarding of the same floating address, or to the same place, has one of
    the ports."""
    for other in call.tx.find("port_forwarding", **among):
        if other["id"] == forwarding["id"] or other["protocol"] != forwarding["protocol"]:
            continue
        if side == "internal" and other["internal_ip_address"] != forwarding["internal_ip_address"]:
            continue
        name = f"{side}_port_range"
        low, high = _bounds(other[name])
        if ports[0] <= high and low <= ports[1]:
            raise _bad(
                f"There is a port collision with the {name}. The following ranges collide: "
                f"{other[name]} and {forwarding[name]}"
            )


def view_forwardings(call: Call, forwardings: list[Document]) -> list[Document]:
    """Forwardings as the API shows them."""
    return forwardings
