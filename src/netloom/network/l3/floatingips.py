"""Floating addresses: taken from an external network, led to a port through its router."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

from netloom.network.call import Call
from netloom.network.commit import created, deleted, new_document, updated
from netloom.network.document import Document
from netloom.network.errors import ApiError, fail
from netloom.network.floating.associations import disassociated
from netloom.network.identity.policy import is_visible
from netloom.network.l3.routers import GATEWAY
from netloom.network.ml2.ports import create_port, remove_port
from netloom.network.model.table import resource

OWNER = "network:floatingip"
INPUT_ONLY = ("subnet_id",)


def _bad(message: str) -> ApiError:
    return fail("BadRequest", resource="floatingip", msg=message)


def create_floatingip(call: Call, body: dict[str, Any]) -> Document:
    """A new floating address, led to a port if asked."""
    network = call.tx.get("network", body["floating_network_id"])
    if network is None or not is_visible(call, resource("network"), network):
        raise fail("NetworkNotFound", net_id=body["floating_network_id"])
    if not network["router:external"]:
        raise _bad(f"Network {network['id']} is not a valid external network")
    subnets = call.tx.find("subnet", network_id=network["id"])
    if not any(subnet["ip_version"] == 4 for subnet in subnets):
        raise _bad(f"Network {network['id']} does not contain any IPv4 subnet")
    if body.get("fixed_ip_address") and not body.get("port_id"):
        raise _bad("fixed_ip_address cannot be specified without a port_id")
    floating = new_document(call, "floatingip", body)
    port = _own_port(call, floating, network, subnets, body)
    address = next(entry["ip_address"] for entry in port["fixed_ips"] if "." in entry["ip_address"])
    floating |= {
        "floating_ip_address": address,
        "router_id": None,
        "port_id": None,
        "fixed_ip_address": None,
        "status": "DOWN",
        "_port": port["id"],
    }
    if body.get("port_id"):
        floating = _associated(call, floating, body["port_id"], body.get("fixed_ip_address"))
    return created(call, "floatingip", floating)


def _own_port(
    call: Call,
    floating: Document,
    network: Document,
    subnets: list[Document],
    body: dict[str, Any],
) -> Document:
    """The port that holds the address on the external network."""
    fixed: dict[str, str] = {}
    if body.get("subnet_id"):
        fixed["subnet_id"] = body["subnet_id"]
    if body.get("floating_ip_address"):
        fixed["ip_address"] = body["floating_ip_address"]
    wanted: dict[str, Any] = {
        "network_id": network["id"],
        "project_id": "",
        "device_id": floating["id"],
        "device_owner": OWNER,
        "admin_state_up": True,
        "name": "",
        "security_groups": [],
    }
    if fixed:
        wanted["fixed_ips"] = [fixed]
    port = create_port(call.as_service(), wanted)
    if not any("." in entry["ip_address"] for entry in port["fixed_ips"]):
        raise fail("ExternalIpAddressExhausted", net_id=network["id"])
    active = {**port, "status": "N/A"}
    return updated(call, "port", port, active)


def update_floatingip(call: Call, before: Document, body: dict[str, Any]) -> Document:
    """A changed floating address; without a port it leads nowhere. An empty request means that,
    from the time when nothing else could be changed."""
    if not body and before["port_id"]:
        body = {"port_id": None}
    after = {
        **before,
        **{key: value for key, value in body.items() if key not in ("port_id", "fixed_ip_address")},
    }
    if "port_id" in body or "fixed_ip_address" in body:
        port_id = body.get("port_id", before["port_id"])
        fixed = body.get("fixed_ip_address")
        if fixed and not port_id:
            raise _bad("fixed_ip_address cannot be specified without a port_id")
        if call.tx.find("port_forwarding", floatingip_id=before["id"]):
            raise fail("FipInUseByPortForwarding", id=before["id"])
        after = disassociated(after)
        if port_id:
            after = _associated(call, after, port_id, fixed)
            if before["port_id"] == port_id:
                after["status"] = before["status"]
    return updated(call, "floatingip", before, after)


def _associated(call: Call, floating: Document, port_id: str, fixed: str | None) -> Document:
    """The floating address leading to the port."""
    port = call.tx.get("port", port_id)
    if port is None or not is_visible(call, resource("port"), port):
        raise fail("PortNotFound", port_id=port_id)
    if not call.caller.is_admin and port["project_id"] != floating["project_id"]:
        raise _bad(
            f"Cannot process floating IP association with Port {port_id}, since that port is "
            "owned by a different project"
        )
    address, subnet_id = _address_on(port, fixed)
    router_id = find_router(call, floating["floating_network_id"], port, subnet_id)
    if call.tx.find("port_forwarding", internal_port_id=port_id):
        raise fail("PortHasPortForwarding", port_id=port_id)
    for other in call.tx.find("floatingip", port_id=port_id):
        same_network = other["floating_network_id"] == floating["floating_network_id"]
        if same_network and other["fixed_ip_address"] == address and other["id"] != floating["id"]:
            raise fail(
                "FloatingIPPortAlreadyAssociated",
                port_id=port_id,
                fip_id=floating["id"],
                floating_ip_address=floating["floating_ip_address"],
                fixed_ip=address,
                net_id=floating["floating_network_id"],
            )
    return {
        **floating,
        "port_id": port_id,
        "fixed_ip_address": address,
        "router_id": router_id,
        "status": "DOWN",
    }


def _address_on(port: Document, fixed: str | None) -> tuple[str, str]:
    """The port's address that is meant, and its subnet."""
    if port["device_owner"] in (GATEWAY, OWNER):
        raise _bad(f"Port {port['id']} is unable to be assigned a floating IP")
    if fixed and ip_address(fixed).version != 4:
        raise _bad(
            f"Cannot process floating IP association with {fixed}, since that is not an IPv4 "
            "address"
        )
    candidates = [
        entry
        for entry in port["fixed_ips"]
        if "." in entry["ip_address"] and fixed in (None, entry["ip_address"])
    ]
    if fixed and not candidates:
        raise _bad(f"Port {port['id']} does not have fixed ip {fixed}")
    if not candidates:
        raise _bad(f"Cannot add floating IP to port {port['id']} that has no fixed IPv4 addresses")
    if len(candidates) > 1:
        raise _bad(
            f"Port {port['id']} has multiple fixed IPv4 addresses.  Must provide a specific IPv4 "
            "address when assigning a floating IP"
        )
    return candidates[0]["ip_address"], candidates[0]["subnet_id"]


def find_router(call: Call, external: str, port: Document, subnet_id: str) -> str:
    """The router between the port's subnet and the external network."""
    gateway = call.require("subnet", subnet_id)["gateway_ip"]
    found: list[tuple[bool, str]] = []
    for other in call.tx.find("port", network_id=port["network_id"]):
        if other["device_owner"] != "network:router_interface":
            continue
        addresses = [
            entry["ip_address"] for entry in other["fixed_ips"] if entry["subnet_id"] == subnet_id
        ]
        router = call.tx.get("router", other["device_id"]) if addresses else None
        information = router["external_gateway_info"] if router else None
        if router is not None and information and information["network_id"] == external:
            found.append((gateway not in addresses, router["id"]))
    if not found:
        raise fail(
            "ExternalGatewayForFloatingIPNotFound",
            subnet_id=subnet_id,
            external_network_id=external,
            port_id=port["id"],
        )
    # The router that has the subnet's gateway address comes first.
    return min(found)[1]


def delete_floatingip(call: Call, floating: Document) -> None:
    """Remove a floating address with its port and its forwardings."""
    for forwarding in call.tx.find("port_forwarding", floatingip_id=floating["id"]):
        deleted(call, "port_forwarding", forwarding)
    deleted(call, "floatingip", floating)
    port = call.tx.get("port", floating["_port"])
    if port is not None:
        remove_port(call.as_service(), port)


def view_floatingips(call: Call, floatings: list[Document]) -> list[Document]:
    """Floating addresses as the API shows them: with port details and forwardings."""
    wanted = {entry["port_id"] for entry in floatings if entry["port_id"]}
    ports = {port["id"]: port for port in call.tx.find("port", id=wanted)} if wanted else {}
    keys = [entry["id"] for entry in floatings]
    forwardings: dict[str, list[Document]] = {}
    for forwarding in call.tx.find("port_forwarding", floatingip_id=keys) if keys else []:
        forwardings.setdefault(forwarding["floatingip_id"], []).append(
            {key: forwarding[key] for key in SHOWN_FORWARDING}
        )
    return [
        {
            **entry,
            "port_details": _details(ports.get(entry["port_id"] or "")),
            "port_forwardings": forwardings.get(entry["id"], []),
        }
        for entry in floatings
    ]


SHOWN_FORWARDING = (
    "id",
    "external_port",
    "internal_port",
    "protocol",
    "internal_ip_address",
    "internal_port_id",
    "external_port_range",
    "internal_port_range",
)


def _details(port: Document | None) -> dict[str, Any] | None:
    if port is None:
        return None
    names = (
        "name",
        "network_id",
        "mac_address",
        "admin_state_up",
        "status",
        "device_id",
        "device_owner",
    )
    return {name: port[name] for name in names}


def list_pools(call: Call, networks: list[Document]) -> list[dict[str, Any]]:
    """Subnets of the external networks that the caller sees."""
    external = {one["id"]: one for one in networks if one["router:external"]}
    subnets = call.tx.find("subnet", network_id=list(external)) if external else []
    return [
        {
            "subnet_id": subnet["id"],
            "subnet_name": subnet["name"],
            "tenant_id": subnet["project_id"],
            "project_id": subnet["project_id"],
            "network_id": subnet["network_id"],
            "cidr": subnet["cidr"],
        }
        for subnet in subnets
        if subnet["ip_version"] == 4
    ]
