"""From the service's documents to routers: links, routes, and rules of translation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from netloom.network.agents.l3.advertise import Advertisement, advertisement_of
from netloom.network.agents.rooms import Link, Room, link_of
from netloom.network.document import Document
from netloom.network.watch.replica import Replica

PREFIX = "qrouter-"
GATEWAY = "network:router_gateway"
INTERFACES = ("network:router_interface", "network:ha_router_replicated_interface")


@dataclass(frozen=True, slots=True)
class Translation:
    """Packets to `outside` go on to `inside`; with a protocol only those to `ports`."""

    outside: str
    inside: str
    protocol: str = ""
    ports: str = ""
    inside_ports: str = ""


@dataclass(frozen=True, slots=True)
class Router:
    """A router: its namespace and what it translates.

    `source`: the address that what leaves by the gateway gets, empty for none.
    """

    id: str
    room: Room
    gateway: str
    source: str
    translations: tuple[Translation, ...]
    floating: tuple[str, ...]
    advertised: tuple[Advertisement, ...] = ()


def routers_of(replica: Replica, host: str) -> list[Router]:
    """The routers that the service has scheduled to this host."""
    found = []
    for schedule in replica.all("router_schedule"):
        router = replica.get("router", schedule["id"])
        if router is not None and host in schedule["hosts"] and router["admin_state_up"]:
            found.append(_router(replica, router))
    return sorted(found, key=lambda router: router.id)


def _router(replica: Replica, router: Document) -> Router:
    links: list[Link] = []
    advertised: list[Advertisement | None] = []
    routes = [(one["destination"], one["nexthop"]) for one in router["routes"]]
    gateway = source = ""
    floating = replica.find("floatingip", "router_id", router["id"])
    for port in replica.find("port", "device_id", router["id"]):
        if port["device_owner"] in INTERFACES:
            links.append(link_of(replica, port, "qr-"))
            advertised.append(advertisement_of(replica, port, links[-1]))
        elif port["device_owner"] == GATEWAY:
            link = link_of(replica, port, "qg-")
            extra = {f"{one['floating_ip_address']}/32" for one in floating}
            links.append(replace(link, addresses=tuple(sorted({*link.addresses, *extra}))))
            gateway = link.inner
            routes += _defaults(replica, port)
            info = router["external_gateway_info"] or {}
            if info.get("enable_snat", True):
                source = next((one.partition("/")[0] for one in link.addresses if "." in one), "")
    room = Room(
        f"{PREFIX}{router['id']}",
        tuple(sorted(links, key=lambda link: link.inner)),
        tuple(sorted(routes)),
        True,
    )
    translations = tuple(one for ip in floating for one in _translations(replica, ip))
    ids = tuple(sorted(one["id"] for one in floating))
    says = tuple(one for one in advertised if one is not None)
    return Router(router["id"], room, gateway, source, translations, ids, says)


def _defaults(replica: Replica, port: Document) -> Iterator[tuple[str, str]]:
    for fixed in port["fixed_ips"]:
        subnet = replica.get("subnet", fixed["subnet_id"])
        if subnet is not None and subnet["gateway_ip"]:
            default = "0.0.0.0/0" if subnet["ip_version"] == 4 else "::/0"
            yield default, subnet["gateway_ip"]


def _translations(replica: Replica, floating: Document) -> Iterator[Translation]:
    outside = floating["floating_ip_address"]
    if floating["fixed_ip_address"]:
        yield Translation(outside, floating["fixed_ip_address"])
    for one in replica.find("port_forwarding", "floatingip_id", floating["id"]):
        yield Translation(
            outside,
            one["internal_ip_address"],
            one["protocol"],
            _span(one, "external"),
            _span(one, "internal"),
        )


def _span(forwarding: Document, side: str) -> str:
    ports = forwarding.get(f"{side}_port_range") or str(forwarding[f"{side}_port"])
    low, _, high = str(ports).partition(":")
    return low if not high or high == low else f"{low}-{high}"


def ruleset(router: Router) -> str:
    """What translates the router's addresses, as a script of nft(8) that replaces all at once."""
    arriving, leaving = [], []
    for one in router.translations:
        if one.protocol:
            match = f"ip daddr {one.outside} {one.protocol} dport {one.ports}"
            arriving.append(f"{match} dnat to {one.inside}:{one.inside_ports}")
        else:
            arriving.append(f"ip daddr {one.outside} dnat to {one.inside}")
            out = f'oifname "{router.gateway}" ip saddr {one.inside}'
            leaving.append(f"{out} snat to {one.outside}")
    if router.source:
        leaving.append(f'oifname "{router.gateway}" snat to {router.source}')
    lines = ["table ip netloom", "delete table ip netloom", "table ip netloom {"]
    for name, hook, rules in (
        ("arriving", "prerouting priority dstnat", arriving),
        ("leaving", "postrouting priority srcnat", leaving),
    ):
        lines += [f"  chain {name} {{", f"    type nat hook {hook};"]
        lines += [f"    {rule}" for rule in rules]
        lines.append("  }")
    return "\n".join([*lines, "}", ""])
