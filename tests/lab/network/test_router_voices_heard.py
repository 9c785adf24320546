"""Router advertisements, announcements of moved addresses, and what an agent finds at its start."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.switches import needs_root, own_tools

from netloom.lab.cloud import Cloud
from netloom.lab.lab import existing_namespaces

pytestmark = [needs_root, pytest.mark.root]
OUTSIDE = "203.0.113.254"


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    monkeypatch.setenv("NETLOOM_SYSTEM_DATAPATH", "userspace")
    with Cloud("rv", programs=own_tools(tmp_path / "t")) as made:
        made.serve()
        made.add_host("net", ("physnet1", "public"), network_node=True)
        made.start()
        made.host.ip("addr", "add", f"{OUTSIDE}/24", "dev", "public")
        yield made


def external(cloud: Cloud) -> str:
    flat = {"provider:network_type": "flat", "provider:physical_network": "public"}
    public = cloud.api.make("network", **{"router:external": True, **flat})
    body = {"cidr": "203.0.113.0/24", "gateway_ip": OUTSIDE, "enable_dhcp": False}
    cloud.api.make("subnet", network_id=public["id"], ip_version=4, **body)
    key: str = public["id"]
    return key


def attach(cloud: Cloud, router: str, subnet: str) -> None:
    path = f"routers/{router}/add_router_interface"
    cloud.api.request("PUT", path, {"subnet_id": subnet})


def test_a_machine_makes_its_address_of_what_the_router_advertises(cloud: Cloud) -> None:
    network = cloud.api.make("network")
    modes = {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}
    subnet = cloud.api.make(
        "subnet", network_id=network["id"], cidr="2001:db8:7::/64", ip_version=6, **modes
    )
    router = cloud.api.make("router")
    attach(cloud, router["id"], subnet["id"])
    host = cloud.hosts["net"]
    port = cloud.port(network, host)
    vm = cloud.prepare("vm", host, port)
    vm.ip("-6", "addr", "flush", "dev", "eth0", "scope", "global")
    vm.run("sysctl", "-qw", "net.ipv6.conf.eth0.accept_ra=2")
    cloud.plug(host, vm.vif, port)
    cloud.wait_active(port["id"])
    expected = port["fixed_ips"][0]["ip_address"]

    def addresses() -> list[str]:
        shown = json.loads(vm.ip("-6", "-j", "addr", "show", "dev", "eth0").stdout)
        return [one["local"] for one in shown[0]["addr_info"] if one["scope"] == "global"]

    cloud.wait("the machine has its address", lambda: addresses() == [expected])
    assert "default via fe80::" in vm.ip("-6", "route").stdout
    cloud.wait("the router answers", lambda: vm.ping(subnet["gateway_ip"], 1))
    assert cloud.api.show("router", router["id"])["status"] == "ACTIVE"


def test_neighbours_follow_a_floating_address_to_another_router(cloud: Cloud) -> None:
    public = external(cloud)
    ports = []
    for index in range(2):
        network = cloud.api.make("network")
        cidr = f"10.{index}.0.0/24"
        subnet = cloud.api.make("subnet", network_id=network["id"], cidr=cidr, ip_version=4)
        router = cloud.api.make("router", external_gateway_info={"network_id": public})
        attach(cloud, router["id"], subnet["id"])
        ports.append(cloud.port(network, cloud.hosts["net"])["id"])
    floating = cloud.api.make("floatingip", floating_network_id=public, port_id=ports[0])
    address = floating["floating_ip_address"]

    def neighbour() -> str:
        shown = cloud.host.ip("neigh", "show", address, "dev", "public").stdout
        found = re.search(r"lladdr (\S+)", shown)
        return found[1] if found else ""

    ping = ("ping", "-n", "-q", "-c", "1", "-W", "1", address)
    cloud.wait("it is known", lambda: bool(cloud.host.run(*ping, check=False) and neighbour()))
    before = neighbour()
    cloud.api.request("PUT", f"floatingips/{floating['id']}", {"floatingip": {"port_id": ports[1]}})
    # Nothing is sent to it: only an announcement can tell.
    cloud.wait("its neighbour knows where it went", lambda: neighbour() not in ("", before))


def test_what_was_deleted_while_no_agent_looked_is_removed_at_its_start(cloud: Cloud) -> None:
    network = cloud.api.make("network")
    subnet = cloud.api.make("subnet", network_id=network["id"], cidr="10.0.0.0/24", ip_version=4)
    router = cloud.api.make("router")
    attach(cloud, router["id"], subnet["id"])
    rooms = {f"qrouter-{router['id']}", f"qdhcp-{network['id']}"}
    cloud.wait("the rooms are there", lambda: rooms <= existing_namespaces())
    agents = cloud.hosts["net"].agents
    pidfile = cloud.hosts["net"].directory / "dhcp" / network["id"] / "pid"
    cloud.wait("dnsmasq runs", pidfile.exists)
    served = pidfile.read_text().strip()
    for kind in ("l3", "dhcp"):
        agents[kind].kill()
    path = f"routers/{router['id']}/remove_router_interface"
    cloud.api.request("PUT", path, {"subnet_id": subnet["id"]})
    cloud.api.request("DELETE", f"routers/{router['id']}")
    cloud.api.request("DELETE", f"networks/{network['id']}")
    for kind in ("l3", "dhcp"):
        agents[kind].start()
    cloud.wait("the rooms are gone", lambda: not rooms & existing_namespaces())
    cloud.wait("dnsmasq is gone", lambda: not Path(f"/proc/{served}").exists())
