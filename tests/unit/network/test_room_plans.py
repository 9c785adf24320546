"""What the L3 and DHCP agents decide, on the service's own documents."""

from __future__ import annotations

import json
from typing import Any

from tests.support.network_api import Api

from netloom.network.agents.dhcp.wish import device_id, servers_of
from netloom.network.agents.l3.connections import Connection, End, is_stale
from netloom.network.agents.l3.wish import Router, routers_of, ruleset
from netloom.network.api.message import Request
from netloom.network.watch.replica import Replica


class World:
    """A service with agents on one host, an external network and a router."""

    def __init__(self) -> None:
        self.api = Api()
        for kind in ("L3 agent", "DHCP agent"):
            body = {"agent_type": kind, "binary": "b", "host": "h1", "topic": "t"}
            assert self.api.request("PUT", "/agent/v1/report", body)[0] == 200
        make = self.api.make
        self.public = make("network", **{"router:external": True})
        make(
            "subnet",
            network_id=self.public["id"],
            cidr="203.0.113.0/24",
            ip_version=4,
            enable_dhcp=False,
        )
        self.inner = make("network")
        self.subnet = make("subnet", network_id=self.inner["id"], cidr="10.0.0.0/24", ip_version=4)
        gateway = {"network_id": self.public["id"]}
        self.router = make("router", external_gateway_info=gateway)
        path = f"/routers/{self.router['id']}/add_router_interface"
        assert self.api.request("PUT", path, {"subnet_id": self.subnet["id"]})[0] == 200
        self.port = make("port", network_id=self.inner["id"])

    def replica(self) -> Replica:
        request = Request("GET", "/agent/v1/snapshot", (), {}, b"")
        replica = Replica()
        replica.load(json.loads(self.api.service.snapshot(request, "").response.body))
        return replica

    def one_router(self) -> Router:
        (found,) = routers_of(self.replica(), "h1")
        return found

    def floating(self, **more: Any) -> dict[str, Any]:
        body = {"floating_network_id": self.public["id"], **more}
        made: dict[str, Any] = self.api.make("floatingip", **body)
        return made


def test_a_router_has_its_links_and_its_way_out() -> None:
    router = World().one_router()
    assert sorted(link.inner[:3] for link in router.room.links) == ["qg-", "qr-"]
    assert ("0.0.0.0/0", "203.0.113.1") in router.room.routes
    assert ("10.0.0.1/24",) in [link.addresses for link in router.room.links]
    assert f'oifname "{router.gateway}" snat to {router.source}' in ruleset(router)


def test_without_snat_nothing_is_translated() -> None:
    world = World()
    info = {"network_id": world.public["id"], "enable_snat": False}
    path = f"/routers/{world.router['id']}"
    world.api.request("PUT", path, {"router": {"external_gateway_info": info}})
    assert "snat" not in ruleset(world.one_router()).replace("srcnat", "")


def test_a_floating_address_is_translated_both_ways() -> None:
    world = World()
    outside = world.floating(port_id=world.port["id"])["floating_ip_address"]
    inside = world.port["fixed_ips"][0]["ip_address"]
    router = world.one_router()
    text = ruleset(router)
    assert f"ip daddr {outside} dnat to {inside}" in text
    first = text.index(f"ip saddr {inside} snat to {outside}")
    assert first < text.index(f"snat to {router.source}")
    assert any(f"{outside}/32" in link.addresses for link in router.room.links)


def test_a_forwarded_port_leads_inside() -> None:
    world = World()
    floating = world.floating()
    body = {
        "protocol": "tcp",
        "external_port": 2222,
        "internal_port": 22,
        "internal_ip_address": world.port["fixed_ips"][0]["ip_address"],
        "internal_port_id": world.port["id"],
    }
    path = f"/floatingips/{floating['id']}/port_forwardings"
    assert world.api.request("POST", path, {"port_forwarding": body})[0] == 201
    rule = f"tcp dport 2222 dnat to {body['internal_ip_address']}:22"
    assert f"ip daddr {floating['floating_ip_address']} {rule}" in ruleset(world.one_router())


def test_other_hosts_have_no_router() -> None:
    assert routers_of(World().replica(), "h2") == []


def test_a_server_needs_its_port_first() -> None:
    world = World()
    servers = servers_of(world.replica(), "h1", "example.org")
    assert [(one.network_id, one.room) for one in servers] == [(world.inner["id"], None)]


def test_hosts_and_options_of_a_network() -> None:
    world = World()
    key = device_id("h1", world.inner["id"])
    body = {"network_id": world.inner["id"], "device_id": key, "device_owner": "network:dhcp"}
    world.api.make("port", **body)
    (server,) = servers_of(world.replica(), "h1", "example.org")
    assert server.room is not None
    address = world.port["fixed_ips"][0]["ip_address"]
    name = "host-" + address.replace(".", "-")
    line = f"{world.port['mac_address']},{name}.example.org,{address}"
    assert line in server.hosts.splitlines()
    assert f"tag:subnet-{world.subnet['id']},option:router,10.0.0.1" in server.opts
    assert any(one.startswith("--dhcp-range=set:subnet-") for one in server.options)


def test_a_connection_is_stale_when_its_floating_address_is_gone() -> None:
    world = World()
    floating = world.floating(port_id=world.port["id"])
    outside, inside = floating["floating_ip_address"], world.port["fixed_ips"][0]["ip_address"]
    router = world.one_router()
    client = "203.0.113.200"
    into = Connection(6, End(client, outside, 4000, 22), End(inside, client, 22, 4000))
    out = Connection(17, End(inside, client, 5000, 53), End(client, outside, 53, 5000))
    shared = Connection(17, End(inside, client, 5000, 53), End(client, router.source, 53, 5000))
    plain = Connection(6, End(inside, "10.9.0.1", 1, 2), End("10.9.0.1", inside, 2, 1))
    for one in (into, out, shared, plain):
        assert not is_stale(one, router)
    world.api.request("PUT", f"/floatingips/{floating['id']}", {"floatingip": {"port_id": None}})
    router = world.one_router()
    assert [is_stale(one, router) for one in (into, out, shared, plain)] == [True, True] + 2 * [
        False
    ]


def test_a_connection_is_stale_when_another_port_is_forwarded() -> None:
    world = World()
    floating = world.floating()
    outside, inside = floating["floating_ip_address"], world.port["fixed_ips"][0]["ip_address"]
    body = {
        "internal_port_id": world.port["id"],
        "internal_ip_address": inside,
        "internal_port": 22,
        "external_port": 2222,
        "protocol": "tcp",
    }
    path = f"/floatingips/{floating['id']}/port_forwardings"
    status, answer = world.api.request("POST", path, {"port_forwarding": body})
    assert status == 201
    into = Connection(6, End("203.0.113.200", outside, 1, 2222), End(inside, "203.0.113.200", 22))
    assert not is_stale(into, world.one_router())
    assert is_stale(into._replace(protocol=17), world.one_router())
    key = answer["port_forwarding"]["id"]
    change = {"port_forwarding": {"external_port": 2223}}
    assert world.api.request("PUT", f"{path}/{key}", change)[0] == 200
    assert is_stale(into, world.one_router())
