"""Networks: creation with segments and sharing, update, deletion with what belongs to them."""

from __future__ import annotations

from typing import Any

from netloom.network.call import Call
from netloom.network.commit import created, deleted, extended, new_document, updated
from netloom.network.document import Change, Document
from netloom.network.errors import fail, invalid_input
from netloom.network.hosting.zones import check_zone_hints, zones_of
from netloom.network.ml2 import ports
from netloom.network.ml2.segments import (
    PROVIDER,
    choose_segments,
    claim_segments,
    network_mtu,
    provider_view,
    segments_of,
    stored_segments,
    wanted_segments,
)
from netloom.network.rbac import grants
from netloom.network.secgroup.groups import default_group

#: Ports that the service itself puts on networks, and takes away with them.
AUTO_DELETED = frozenset(
    {"network:dhcp", "network:distributed", "network:floatingip_agent_gateway"}
)
MIN_MTU = {4: 68, 6: 1280}
INPUT_ONLY = ("segments", *PROVIDER)


def create_network(call: Call, body: dict[str, Any]) -> Document:
    """A new network with its segments, shared as asked."""
    network = new_document(call, "network", body)
    wanted = wanted_segments(body)
    segments = choose_segments(call, body)
    for name in INPUT_ONLY:
        network.pop(name, None)
    check_zone_hints(call, "network", network["availability_zone_hints"])
    _choose_default(call, network, body, new=True)
    network["status"] = "ACTIVE"
    network["mtu"] = network_mtu(call, segments, network["mtu"])
    network["_segments"] = stored_segments(call, segments)
    extended(call, Change("network", "create", None, network), body)
    created(call, "network", network)
    if network["project_id"]:
        default_group(call, network["project_id"])
    claim_segments(call, network["id"], segments, wanted)
    for name, action in grants.FLAGS.items():
        if network[name]:
            grants.grant(call, "network", network, action, "*")
    return network


def update_network(call: Call, before: Document, body: dict[str, Any]) -> Document:
    """A changed network; sharing may only shrink while nobody uses it."""
    after = {**before, **{key: value for key, value in body.items() if key not in INPUT_ONLY}}
    _refuse_provider_changes(before, body)
    if "mtu" in body:
        after["mtu"] = network_mtu(call, segments_of(before), body["mtu"])
        _check_mtu(call, before, after["mtu"])
    for name, action in grants.FLAGS.items():
        if after[name] and not before[name]:
            grants.grant(call, "network", before, action, "*")
        elif before[name] and not after[name]:
            grants.revoke_from_all(call, before, action)
    _choose_default(call, after, body)
    extended(call, Change("network", "update", before, after), body)
    return updated(call, "network", before, after)


def default_external(call: Call) -> Document | None:
    """The external network that whoever names none is connected to."""
    found = call.tx.find("network")
    return next((one for one in found if one.get("is_default")), None)


def _choose_default(
    call: Call, network: Document, body: dict[str, Any], *, new: bool = False
) -> None:
    """There is one default external network at most; others have no such attribute."""
    if body.get("is_default") and (new or network["router:external"]):
        held = default_external(call)
        if held is not None and held["id"] != network["id"]:
            raise fail("DefaultExternalNetworkExists", net_id=held["id"])
    if not network["router:external"]:
        network.pop("is_default", None)
    else:
        network.setdefault("is_default", False)


def _refuse_provider_changes(before: Document, body: dict[str, Any]) -> None:
    """A network keeps its segments: the ports that are bound to them would be cut off."""
    current = provider_view(before)
    changed = [
        name
        for name in INPUT_ONLY
        if body.get(name) is not None and body[name] != current.get(name)
    ]
    if changed:
        raise invalid_input(
            "Plugin does not support updating the following provider network attributes: "
            + ", ".join(changed)
        )


def _check_mtu(call: Call, network: Document, mtu: int) -> None:
    for subnet in call.tx.find("subnet", network_id=network["id"]):
        least = MIN_MTU[subnet["ip_version"]]
        if mtu < least:
            raise fail("NetworkMTUSubnetConflict", net_id=network["id"], mtu=least)


def delete_network(call: Call, network: Document) -> None:
    """Remove a network that nothing but the service's own ports uses."""
    key = network["id"]
    _remove_idle_addresses(call, key)
    attached = call.tx.find("port", network_id=key)
    others = [port["id"] for port in attached if port["device_owner"] not in AUTO_DELETED]
    if others:
        raise fail(
            "NetworkInUse",
            net_id=key,
            reason="There are one or more ports still in use on the network, id for these ports "
            f"is: {','.join(others)}",
        )
    for port in attached:
        ports.remove_port(call, port)
    for subnet in call.tx.find("subnet", network_id=key):
        deleted(call, "subnet", subnet)
    grants.forget(call, "network", key)
    deleted(call, "network", call.require("network", key))


def _remove_idle_addresses(call: Call, key: str) -> None:
    """Floating addresses of the network that lead nowhere go with it."""
    for floating in call.tx.find("floatingip", floating_network_id=key):
        led = floating["port_id"] or call.tx.find("port_forwarding", floatingip_id=floating["id"])
        port = call.tx.get("port", floating["_port"])
        if not led and port is not None:
            deleted(call, "floatingip", floating)
            ports.remove_port(call, port)


def view_networks(call: Call, networks: list[Document]) -> list[Document]:
    """Networks as the API shows them: subnets, provider attributes, sharing with the caller."""
    keys = [network["id"] for network in networks]
    subnets = call.tx.relations.subnets_of(keys)
    sharing = {} if call.caller.is_admin else call.tx.relations.sharing("network", keys)
    zones = zones_of(call, "network", keys)
    me = call.caller.project_id
    shown = []
    for network in networks:
        key = network["id"]
        external = {"is_default": False} if network["router:external"] else {}
        shown.append(
            {
                **external,
                **network,
                **provider_view(network),
                "subnets": subnets.get(key, []),
                "shared": network["shared"] or ("access_as_shared", me) in sharing.get(key, ()),
                "availability_zones": zones.get(key, []),
                "l2_adjacency": True,
                "ipv4_address_scope": None,
                "ipv6_address_scope": None,
            }
        )
    return shown
