"""Routers, floating addresses, forwardings and DHCP: machines and the world outside."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.kernel_programs import require_programs
from tests.support.peers import require_services
from tests.support.switches import needs_root, own_tools

from netloom.lab.cloud import Cloud
from netloom.lab.namespace import VirtualMachine
from netloom.lab.story import Story

pytestmark = [needs_root, pytest.mark.root]
CHOICE = "NETLOOM_SYSTEM_DATAPATH"
OUTSIDE = "203.0.113.254"
DISCOVER = """
import sys
from scapy.all import *
conf.checkIPaddr = False
mac = get_if_hwaddr("eth0")
frame = (Ether(dst="ff:ff:ff:ff:ff:ff", src=mac) / IP(src="0.0.0.0", dst="255.255.255.255")
         / UDP(sport=68, dport=67) / BOOTP(chaddr=mac2str(mac), xid=7, flags=0x8000)
         / DHCP(options=[("message-type", "discover"), "end"]))
answer = srp1(frame, iface="eth0", timeout=5, verbose=0)
options = dict(one[:2] for one in answer[DHCP].options if isinstance(one, tuple))
print(answer[BOOTP].yiaddr, options.get("router"), options.get("interface-mtu"))
"""

Scene = tuple[VirtualMachine, dict[str, str]]
SOLICIT = """
from scapy.all import *
mac = get_if_hwaddr("eth0")
local = next(one[0] for one in in6_getifaddr() if one[2] == "eth0" and one[0].startswith("fe80"))
frame = (Ether(dst="33:33:00:01:00:02", src=mac) / IPv6(src=local, dst="ff02::1:2")
         / UDP(sport=546, dport=547) / DHCP6_Solicit(trid=7)
         / DHCP6OptClientId(duid=DUID_LL(lladdr=mac)) / DHCP6OptIA_NA(iaid=1)
         / DHCP6OptOptReq(reqopts=[23]))
(answer,) = sniff(
    iface="eth0", count=1, timeout=3, lfilter=lambda seen: DHCP6_Advertise in seen,
    started_callback=lambda: sendp(frame, iface="eth0", verbose=0),
)
print(answer[DHCP6OptIAAddress].addr, *answer[DHCP6OptDNSServers].dnsservers)
"""


@pytest.fixture(scope="module", params=["kernel", "userspace"])
def cloud(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cloud]:
    """One for each data path."""
    if request.param == "kernel":
        require_programs()
    require_services()
    tools = own_tools(tmp_path_factory.mktemp("tools") / "t")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CHOICE, request.param)
        with Cloud(f"r{request.param[0]}", programs=tools) as it:
            it.serve()
            it.add_host("net", ("physnet1", "public"), network_node=True)
            it.add_host("node")
            it.start()
            it.host.ip("addr", "add", f"{OUTSIDE}/24", "dev", "public")
            yield it


@pytest.fixture(scope="module")
def scene(cloud: Cloud) -> Scene:
    return routed(cloud)


def routed(cloud: Cloud) -> Scene:
    """A machine behind a router to the outside; ids of what there is."""
    make = cloud.api.make
    public = make(
        "network",
        **{
            "name": "public",
            "router:external": True,
            "provider:network_type": "flat",
            "provider:physical_network": "public",
        },
    )
    make(
        "subnet",
        network_id=public["id"],
        cidr="203.0.113.0/24",
        ip_version=4,
        gateway_ip=OUTSIDE,
        enable_dhcp=False,
    )
    inner = make("network", name="inner")
    subnet = make("subnet", network_id=inner["id"], cidr="10.5.0.0/24", ip_version=4)
    router = make("router", name="r", external_gateway_info={"network_id": public["id"]})
    cloud.api.request(
        "PUT", f"routers/{router['id']}/add_router_interface", {"subnet_id": subnet["id"]}
    )
    group = make("security_group", name="icmp")
    make("security_group_rule", security_group_id=group["id"], direction="ingress", protocol="icmp")
    port = cloud.port(inner, cloud.hosts["node"], security_groups=[group["id"]])
    vm = cloud.boot("vm", cloud.hosts["node"], port, gateway="10.5.0.1")
    ids = {"public": public["id"], "port": port["id"], "router": router["id"]}
    return vm, ids


def test_a_machine_reaches_the_outside_and_is_reached_by_a_floating_address(
    cloud: Cloud, scene: Scene
) -> None:
    vm, ids = scene
    cloud.wait("the way out works", lambda: vm.ping(OUTSIDE, 1))
    floating = cloud.api.make("floatingip", floating_network_id=ids["public"], port_id=ids["port"])
    address = floating["floating_ip_address"]
    ping = ("ping", "-n", "-q", "-c", "1", "-W", "1", address)
    cloud.wait("the way in works", lambda: cloud.host.run(*ping, check=False).ok)
    cloud.wait(
        "the address is told to be in use",
        lambda: cloud.api.show("floatingip", floating["id"])["status"] == "ACTIVE",
    )
    cloud.api.request("PUT", f"floatingips/{floating['id']}", {"floatingip": {"port_id": None}})
    cloud.wait("the way in is closed", lambda: not cloud.host.run(*ping, check=False).ok)
    assert vm.ping(OUTSIDE, 2)


def test_the_story_of_the_demo_holds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CHOICE, "userspace")
    with Cloud("ts", programs=own_tools(tmp_path / "t"), tunnels=("vxlan",)) as made:
        assert Story(made).tell(), capsys.readouterr().out


def test_a_machine_gets_its_address_by_dhcp(cloud: Cloud, scene: Scene) -> None:
    vm, ids = scene
    expected = cloud.api.show("port", ids["port"])["fixed_ips"][0]["ip_address"]

    def answer() -> str:
        return vm.run(sys.executable, "-c", DISCOVER, check=False).stdout.strip()

    cloud.wait("DHCP answers", lambda: answer() == f"{expected} 10.5.0.1 1500", 60)


def test_a_machine_gets_its_ipv6_address_by_dhcp(cloud: Cloud) -> None:
    network = cloud.api.make("network", name="six")
    cloud.api.make(
        "subnet",
        network_id=network["id"],
        cidr="2001:db8::/64",
        ip_version=6,
        ipv6_address_mode="dhcpv6-stateful",
        dns_nameservers=["2001:db8:53::53"],
    )
    port = cloud.port(network, cloud.hosts["node"])
    vm = cloud.boot("vm6", cloud.hosts["node"], port)
    expected = port["fixed_ips"][0]["ip_address"]

    def answer() -> str:
        return vm.run(sys.executable, "-c", SOLICIT, check=False).stdout.strip()

    cloud.wait("DHCPv6 answers", lambda: answer() == f"{expected} 2001:db8:53::53", 60)
