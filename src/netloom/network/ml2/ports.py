"""Ports: what happens when one is made, changed or removed, top to bottom.

create   defaults, quota, MAC, addresses, security groups and port security, names (extension
         drivers), binding (mechanism drivers' `bind`), the document, the claims, memberships,
         mechanism drivers' `precommit`, a DHCP agent for the network
update   the same for what the request touches; a new host or MAC binds anew
delete   floating addresses let go, the document; claims and memberships go with it
"""

from __future__ import annotations

from typing import Any

from netloom.network.call import Call
from netloom.network.commit import created, deleted, extended, new_document, updated
from netloom.network.document import Change, Document
from netloom.network.errors import fail, invalid_input
from netloom.network.floating import associations
from netloom.network.hosting.schedule import schedule_network
from netloom.network.identity.policy import is_visible
from netloom.network.ml2.addressing import Addressing, claim, generate_mac, reclaim
from netloom.network.ml2.bind import UNBOUND, bind
from netloom.network.ml2.port_rules import (
    check_address_pairs,
    check_device,
    check_port_security,
    check_router_addresses,
    complete_address_pairs,
    merge_dhcp_options,
)
from netloom.network.model.table import resource
from netloom.network.secgroup.groups import check_alike, check_groups, default_group

#: device_owner of ports that only the L3 API may delete.
L3_OWNERS = frozenset(
    {
        "network:router_interface",
        "network:router_gateway",
        "network:floatingip",
        "network:router_interface_distributed",
        "network:router_centralized_snat",
    }
)
MAX_PROFILE = 4095


def create_port(call: Call, body: dict[str, Any]) -> Document:
    """A new port on a network that the caller sees."""
    network = call.tx.get("network", body["network_id"])
    if network is None or not is_visible(call, resource("network"), network):
        raise fail("NetworkNotFound", net_id=body["network_id"])
    port = new_document(call, "port", body)
    _complete(port, body)
    check_device(call, port)
    port["mac_address"] = _mac(call, network["id"], body)
    asked = body.get("fixed_ips")
    port["fixed_ips"] = Addressing(call, network["id"], port).choose(asked)
    extended(call, Change("port", "create", None, port), body, network)
    _secure(call, port, body)
    bind(call, port, network)
    created(call, "port", port)
    claim(call, port["id"], port["fixed_ips"])
    call.tx.relations.set_security_groups(port["id"], port["security_groups"], new=True)
    schedule_network(call, network)
    return port


def _complete(port: Document, body: dict[str, Any]) -> None:
    """Values of what neither the request nor the table gives."""
    port["status"] = "DOWN"
    port["binding:host_id"] = body.get("binding:host_id") or ""
    port["binding:profile"] = _profile(body.get("binding:profile") or {})
    port["binding:vif_type"] = UNBOUND
    port["allowed_address_pairs"] = body.get("allowed_address_pairs") or []
    port["extra_dhcp_opts"] = merge_dhcp_options([], body.get("extra_dhcp_opts") or [])
    port["port_security_enabled"] = body.get("port_security_enabled", True)
    port["ip_allocation"] = "none" if body.get("fixed_ips") == [] else "immediate"
    port["dns_assignment"] = []


def _profile(profile: dict[str, Any]) -> dict[str, Any]:
    if len(str(profile)) > MAX_PROFILE:
        raise invalid_input("binding:profile value too large")
    return profile


def _mac(call: Call, network_id: str, body: dict[str, Any]) -> str:
    given = body.get("mac_address")
    if given is None:
        return generate_mac(call, network_id)
    if call.tx.relations.mac_taken(network_id, given):
        raise fail("MacAddressInUse", net_id=network_id, mac=given)
    return str(given)


def _secure(call: Call, port: Document, body: dict[str, Any]) -> None:
    """Security groups, and what must fit together with port security."""
    groups = body.get("security_groups")
    protected = port["port_security_enabled"]
    trusted = port["device_owner"].startswith("network:")
    if groups is None:
        wanted = protected and not trusted
        chosen = [default_group(call, port["project_id"])] if wanted else []
    else:
        check_groups(call, groups)
        check_alike(call, groups)
        chosen = list(groups)
    port["security_groups"] = chosen
    check_port_security(port, asked=bool(groups))
    complete_address_pairs(port)
    check_address_pairs(call, port)


def update_port(call: Call, before: Document, body: dict[str, Any]) -> Document:
    """A changed port. No MAC address means a new one."""
    if "mac_address" in body and body["mac_address"] is None:
        body = {**body, "mac_address": generate_mac(call, before["network_id"])}
    after = {**before, **body}
    network = call.require("network", before["network_id"])
    for name, empty in (("binding:host_id", ""), ("binding:profile", {})):
        after[name] = after[name] or empty
    _profile(after["binding:profile"])
    if "device_id" in body or "device_owner" in body:
        check_device(call, after)
    if "mac_address" in body and body["mac_address"] != before["mac_address"]:
        _change_mac(call, before, after)
    if "fixed_ips" in body:
        associations.check_addresses_kept(call, before, body["fixed_ips"])
        after["fixed_ips"] = Addressing(call, network["id"], after).chosen(
            body["fixed_ips"], before["fixed_ips"]
        )
        check_router_addresses(before, after)
    if "extra_dhcp_opts" in body:
        after["extra_dhcp_opts"] = merge_dhcp_options(
            before["extra_dhcp_opts"], body["extra_dhcp_opts"]
        )
    if "security_groups" in body:
        new = [group for group in body["security_groups"] if group not in before["security_groups"]]
        check_groups(call, new)
        check_alike(call, body["security_groups"])
    extended(call, Change("port", "update", before, after), body, network)
    check_port_security(after, asked=bool(body.get("security_groups")))
    if "allowed_address_pairs" in body or "mac_address" in body:
        complete_address_pairs(after)
    check_address_pairs(call, after)
    if any(after[name] != before[name] for name in ("binding:host_id", "binding:vnic_type")):
        bind(call, after, network)
    if after == before:
        return before
    updated(call, "port", before, after)
    reclaim(call, before["id"], before["fixed_ips"], after["fixed_ips"])
    if after["security_groups"] != before["security_groups"]:
        call.tx.relations.set_security_groups(before["id"], after["security_groups"], new=False)
    return after


def _change_mac(call: Call, before: Document, after: Document) -> None:
    if before["device_owner"] in L3_OWNERS:
        raise fail(
            "UnsupportedPortDeviceOwner",
            op="mac address update",
            port_id=before["id"],
            device_owner=before["device_owner"],
        )
    if before["binding:vif_type"] not in (UNBOUND, "binding_failed"):
        raise fail(
            "PortBound",
            port_id=before["id"],
            vif_type=before["binding:vif_type"],
            old_mac=before["mac_address"],
            new_mac=after["mac_address"],
        )
    if call.tx.relations.mac_taken(before["network_id"], after["mac_address"]):
        raise fail("MacAddressInUse", net_id=before["network_id"], mac=after["mac_address"])


def delete_port(call: Call, port: Document) -> None:
    """Remove a port at a tenant's wish; ports of routers go by the routers' API."""
    if port["device_owner"] in L3_OWNERS and _has_device(call, port):
        raise fail(
            "ServicePortInUse",
            port_id=port["id"],
            reason=f"has device owner {port['device_owner']}",
        )
    remove_port(call, port)


def _has_device(call: Call, port: Document) -> bool:
    """A port whose router or floating address is gone may be deleted by hand."""
    kind = "floatingip" if port["device_owner"] == "network:floatingip" else "router"
    return bool(port["fixed_ips"]) and call.tx.get(kind, port["device_id"]) is not None


def remove_port(call: Call, port: Document) -> None:
    """Remove a port and what depends on it."""
    associations.let_go(call, port["id"])
    call.tx.relations.remove_router_port(port["id"])
    deleted(call, "port", port)
