"""What must fit together in a port: security, address pairs, devices, DHCP options."""

from __future__ import annotations

from typing import Any

from netloom.network.call import Call
from netloom.network.document import Document
from netloom.network.errors import fail
from netloom.network.ml2.addressing import ROUTER_INTERFACES

ROUTER_OWNERS = "network:router_"


def check_port_security(port: Document, *, asked: bool) -> None:
    """Groups and pairs mean something only where packets are checked; `asked` tells whether the
    request names groups."""
    if port["port_security_enabled"]:
        return
    if port["security_groups"]:
        raise fail(
            "PortSecurityAndIPRequiredForSecurityGroups"
            if asked
            else "PortSecurityPortHasSecurityGroup"
        )
    if port["allowed_address_pairs"]:
        raise fail("AddressPairAndPortSecurityRequired")


def complete_address_pairs(port: Document) -> None:
    """A pair without a MAC address means the port's own."""
    port["allowed_address_pairs"] = [
        {
            "ip_address": pair["ip_address"],
            "mac_address": pair.get("mac_address") or port["mac_address"],
        }
        for pair in port["allowed_address_pairs"]
    ]


def check_address_pairs(call: Call, port: Document) -> None:
    """Not too many, and none twice."""
    pairs = port["allowed_address_pairs"]
    limit = call.settings.max_allowed_address_pair
    if len(pairs) > limit:
        raise fail("AllowedAddressPairExhausted", quota=limit)
    for position, pair in enumerate(pairs):
        if pair in pairs[:position]:
            raise fail("DuplicateAddressPairInRequest", **pair)


def check_device(call: Call, port: Document) -> None:
    """A tenant's port may not pretend to be a port of somebody else's router."""
    if call.caller.is_admin or not port["device_owner"].startswith(ROUTER_OWNERS):
        return
    router = call.tx.get("router", port["device_id"])
    if router is None or router["project_id"] != call.caller.project_id:
        raise fail("DeviceIDNotOwnedByTenant", device_id=port["device_id"])


def check_router_addresses(before: Document, after: Document) -> None:
    """Others rely on the addresses of a router's interface: they stay while it is one."""
    held, wanted = (
        sorted((entry["subnet_id"], entry["ip_address"]) for entry in port["fixed_ips"])
        for port in (before, after)
    )
    if before["device_owner"] in ROUTER_INTERFACES and held != wanted:
        message = f"IP updates for port {before['id']} are not allowed"
        raise fail("BadRequest", resource="ports", msg=message)


def merge_dhcp_options(
    held: list[dict[str, Any]], asked: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Options by name and IP version: those asked for replace, null removes, the others stay."""
    merged = {(option["opt_name"], option["ip_version"]): option for option in held}
    for option in asked:
        key = (option["opt_name"], option["ip_version"])
        merged.pop(key, None)
        if option["opt_value"] is not None:
            merged[key] = option
    return list(merged.values())
