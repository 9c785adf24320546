"""What a port's floating addresses and port forwardings do when the port changes or goes."""

from __future__ import annotations

from netloom.network.call import Call
from netloom.network.commit import deleted, updated
from netloom.network.document import Document
from netloom.network.errors import fail


def let_go(call: Call, port_id: str) -> None:
    """Disassociate floating addresses and remove port forwardings that lead to the port."""
    for floating in call.tx.find("floatingip", port_id=port_id):
        updated(call, "floatingip", floating, disassociated(floating))
    parents = set()
    for forwarding in call.tx.find("port_forwarding", internal_port_id=port_id):
        deleted(call, "port_forwarding", forwarding)
        parents.add(forwarding["floatingip_id"])
    for parent in sorted(parents):
        release_if_unused(call, parent)


def disassociated(floating: Document) -> Document:
    """The floating address leading nowhere."""
    return {
        **floating,
        "port_id": None,
        "fixed_ip_address": None,
        "router_id": None,
        "status": "DOWN",
    }


def release_if_unused(call: Call, floatingip_id: str) -> None:
    """A floating address leaves its router with its last port forwarding."""
    floating = call.tx.get("floatingip", floatingip_id)
    if floating is None or floating["port_id"]:
        return
    if not call.tx.find("port_forwarding", floatingip_id=floatingip_id):
        updated(call, "floatingip", floating, disassociated(floating))


def check_addresses_kept(call: Call, port: Document, fixed_ips: list[dict[str, str]]) -> None:
    """Raise if an address that a floating one leads to would go."""
    kept = {entry["ip_address"] for entry in fixed_ips if "ip_address" in entry}
    subnets = {
        entry["subnet_id"]
        for entry in fixed_ips
        if "subnet_id" in entry and "ip_address" not in entry
    }
    for floating in call.tx.find("floatingip", port_id=port["id"]):
        address = floating["fixed_ip_address"]
        by_subnet = any(
            entry["ip_address"] == address and entry["subnet_id"] in subnets
            for entry in port["fixed_ips"]
        )
        if address not in kept and not by_subnet:
            raise fail(
                "BadRequest",
                resource="port",
                msg=f"Cannot update the fixed_ips of the port {port['id']}, because its original "
                "fixed_ip has been associated to a floating ip",
            )
