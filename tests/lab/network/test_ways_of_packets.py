"""What the API promises of packets, beyond the story: forwardings, routes, names, pairs, groups.

One cloud for each data path; every test leaves it as it found it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.support.kernel_programs import require_programs
from tests.support.peers import require_services, wait_until
from tests.support.switches import needs_root, own_tools
from tests.support.talkers import CONNECT, DISCOVER, ECHO, RESOLVE, TALK

from netloom.lab.cloud import Cloud
from netloom.lab.namespace import Namespace, VirtualMachine

pytestmark = [needs_root, pytest.mark.root]
CHOICE = "NETLOOM_SYSTEM_DATAPATH"
OUTSIDE = "203.0.113.254"
GATEWAY = "10.6.0.1"


@dataclass
class Scene:
    """Three machines behind a router, each in a group of its own that lets ICMP in."""

    cloud: Cloud
    public: str = ""
    network: str = ""
    router: str = ""
    groups: dict[str, str] = field(default_factory=dict)
    ports: dict[str, dict[str, Any]] = field(default_factory=dict)
    machines: dict[str, VirtualMachine] = field(default_factory=dict)

    def address(self, who: str) -> str:
        found: str = self.ports[who]["fixed_ips"][0]["ip_address"]
        return found

    def update(self, kind: str, key: str, **attributes: object) -> None:
        self.cloud.api.request("PUT", f"{kind.replace('_', '-')}s/{key}", {kind: attributes})

    def open(self, who: str, **rule: object) -> str:
        """A rule more in the machine's group."""
        more = {"direction": "ingress", "security_group_id": self.groups[who], **rule}
        key: str = self.cloud.api.make("security_group_rule", **more)["id"]
        return key

    def close(self, rule: str) -> None:
        self.cloud.api.request("DELETE", f"security-group-rules/{rule}")

    def talk(self, who: str, address: str, port: int) -> Path:
        """Talk until there is no answer; what is said of it."""
        machine = self.machines[who]
        self.cloud.spawn(machine, f"talk-{port}", sys.executable, "-c", TALK, address, str(port))
        return self.cloud.directory / machine.label / f"talk-{port}.log"


def connects(place: Namespace, address: str, port: int) -> bool:
    return place.run(sys.executable, "-c", CONNECT, address, str(port), check=False).ok


@pytest.fixture(scope="module", params=["kernel", "userspace"])
def scene(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    require_services()
    if request.param == "kernel":
        require_programs()
    tools = own_tools(tmp_path_factory.mktemp("tools") / "t")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CHOICE, request.param)
        with Cloud(f"w{request.param[0]}", programs=tools) as cloud:
            cloud.serve()
            cloud.add_host("net", ("physnet1", "public"), network_node=True)
            cloud.add_host("node")
            cloud.start()
            cloud.host.ip("addr", "add", f"{OUTSIDE}/24", "dev", "public")
            made = Scene(cloud)
            build(made)
            yield made


def build(scene: Scene) -> None:
    make = scene.cloud.api.make
    flat = {"provider:network_type": "flat", "provider:physical_network": "public"}
    scene.public = make("network", **{"router:external": True, **flat})["id"]
    more: dict[str, Any] = {"cidr": "203.0.113.0/24", "gateway_ip": OUTSIDE, "enable_dhcp": False}
    make("subnet", network_id=scene.public, ip_version=4, **more)
    scene.network = make("network", name="inner")["id"]
    subnet = make("subnet", network_id=scene.network, cidr="10.6.0.0/24", ip_version=4)
    scene.router = make("router", external_gateway_info={"network_id": scene.public})["id"]
    path = f"routers/{scene.router}/add_router_interface"
    scene.cloud.api.request("PUT", path, {"subnet_id": subnet["id"]})
    for name, where in (("vm1", "node"), ("vm2", "net"), ("vm3", "node")):
        boot(scene, name, where)
    for name in ("vm1", "vm2"):
        scene.cloud.spawn(scene.machines[name], "echo", sys.executable, "-c", ECHO, "80", "81")
    assert wait_until(lambda: scene.machines["vm1"].ping(OUTSIDE))


def boot(scene: Scene, name: str, where: str, **more: object) -> None:
    cloud = scene.cloud
    scene.groups[name] = cloud.api.make("security_group", name=name)["id"]
    scene.open(name, protocol="icmp")
    more = {"name": name, "security_groups": [scene.groups[name]], **more}
    scene.ports[name] = cloud.port({"id": scene.network}, cloud.hosts[where], **more)
    scene.machines[name] = cloud.boot(name, cloud.hosts[where], scene.ports[name], GATEWAY)


def test_a_forwarded_port_leads_inside_until_it_is_taken_away(scene: Scene) -> None:
    api, world = scene.cloud.api, scene.cloud.host
    rule = scene.open("vm1", protocol="tcp", port_range_min=80, port_range_max=80)
    floating = api.make("floatingip", floating_network_id=scene.public)
    address, path = floating["floating_ip_address"], f"floatingips/{floating['id']}"
    body = {"internal_ip_address": scene.address("vm1"), "internal_port": 80, "protocol": "tcp"}
    body |= {"internal_port_id": scene.ports["vm1"]["id"], "external_port": 8080}
    forwarding = api.request("POST", f"{path}/port_forwardings", {"port_forwarding": body})
    key = forwarding["port_forwarding"]["id"]
    assert wait_until(lambda: connects(world, address, 8080))
    assert not connects(world, address, 80), "the address has no other port"
    api.request("DELETE", f"{path}/port_forwardings/{key}")
    assert wait_until(lambda: not connects(world, address, 8080))
    api.request("DELETE", path)
    scene.close(rule)


def test_a_router_sends_on_what_its_extra_routes_say(scene: Scene) -> None:
    vm1, vm2, far = scene.machines["vm1"], scene.machines["vm2"], "192.0.2.1"
    vm2.ip("addr", "add", f"{far}/24", "dev", "lo")
    pairs = [{"ip_address": "192.0.2.0/24"}]
    scene.update("port", scene.ports["vm2"]["id"], allowed_address_pairs=pairs)
    assert not vm1.ping(far, 1, 0.5)
    route = {"destination": "192.0.2.0/24", "nexthop": scene.address("vm2")}
    scene.update("router", scene.router, routes=[route])
    assert wait_until(lambda: vm1.ping(far))
    scene.update("router", scene.router, routes=[])
    assert wait_until(lambda: not vm1.ping(far, 1, 0.5))
    scene.update("port", scene.ports["vm2"]["id"], allowed_address_pairs=[])
    vm2.ip("addr", "del", f"{far}/24", "dev", "lo")


def test_without_snat_packets_leave_with_their_own_address(scene: Scene) -> None:
    vm, world = scene.machines["vm1"], scene.cloud.host
    plain = {"network_id": scene.public, "enable_snat": False}
    scene.update("router", scene.router, external_gateway_info=plain)
    assert wait_until(lambda: not vm.ping(OUTSIDE, 1, 0.5)), "nobody knows the way back"
    info = scene.cloud.api.show("router", scene.router)["external_gateway_info"]
    way = ("10.6.0.0/24", "via", info["external_fixed_ips"][0]["ip_address"])
    world.ip("route", "add", *way)
    assert wait_until(lambda: vm.ping(OUTSIDE))
    world.ip("route", "del", *way)
    scene.update("router", scene.router, external_gateway_info={"network_id": scene.public})
    assert wait_until(lambda: vm.ping(OUTSIDE))


def test_machines_find_each_other_by_name(scene: Scene) -> None:
    path = f"ports?network_id={scene.network}&device_owner=network:dhcp"
    (port,) = scene.cloud.api.request("GET", path)["ports"]
    server, wanted = port["fixed_ips"][0]["ip_address"], scene.address("vm2")

    def resolved(name: str) -> str:
        words = (sys.executable, "-c", RESOLVE, server, name)
        return scene.machines["vm1"].run(*words, check=False).stdout.strip()

    assert wait_until(lambda: resolved(f"host-{wanted.replace('.', '-')}") == wanted)
    assert resolved("host-10-6-0-253") == "none"


def test_a_server_learns_of_new_machines_without_a_restart(scene: Scene) -> None:
    file = scene.cloud.hosts["net"].directory / "dhcp" / scene.network / "pid"
    before = file.read_text()
    option = {"opt_name": "bootfile-name", "opt_value": "pxe.0"}
    boot(scene, "vm4", "node", extra_dhcp_opts=[option])

    def answer() -> str:
        return scene.machines["vm4"].run(sys.executable, "-c", DISCOVER, check=False).stdout.strip()

    assert wait_until(lambda: answer() == f"{scene.address('vm4')} pxe.0", 60)
    assert file.read_text() == before
    scene.cloud.api.request("DELETE", f"ports/{scene.ports['vm4']['id']}")


def test_what_is_established_ends_with_its_rule_and_nothing_else_does(scene: Scene) -> None:
    rules = {
        port: scene.open("vm1", protocol="tcp", port_range_min=port, port_range_max=port)
        for port in (80, 81)
    }
    address, machine = scene.address("vm1"), scene.machines["vm2"]
    assert wait_until(lambda: all(connects(machine, address, port) for port in rules))
    logs = {port: scene.talk("vm2", address, port) for port in rules}

    def answers(port: int) -> int:
        return logs[port].read_text().count("answered")

    assert wait_until(lambda: min(map(answers, rules)) > 2)
    assert "cut" not in logs[80].read_text()
    scene.close(rules[80])
    assert wait_until(lambda: "cut" in logs[80].read_text())
    so_far = answers(81)
    assert wait_until(lambda: answers(81) > so_far + 2), "another rule's connection goes on"
    scene.close(rules[81])
    assert wait_until(lambda: "cut" in logs[81].read_text())


def test_a_rule_for_a_group_follows_its_members(scene: Scene) -> None:
    friends = scene.cloud.api.make("security_group", name="friends")["id"]
    more = {"port_range_min": 80, "port_range_max": 80, "remote_group_id": friends}
    rule = scene.open("vm1", protocol="tcp", **more)
    address = scene.address("vm1")
    for name in ("vm2", "vm3"):
        machine, port = scene.machines[name], scene.ports[name]["id"]
        assert not connects(machine, address, 80)
        scene.update("port", port, security_groups=[scene.groups[name], friends])
        assert wait_until(lambda: connects(machine, address, 80))  # noqa: B023
    scene.update("port", scene.ports["vm2"]["id"], security_groups=[scene.groups["vm2"]])
    assert wait_until(lambda: not connects(scene.machines["vm2"], address, 80))
    assert wait_until(lambda: connects(scene.machines["vm3"], address, 80))
    scene.update("port", scene.ports["vm3"]["id"], security_groups=[scene.groups["vm3"]])
    scene.close(rule)


def test_an_address_more_is_used_where_a_pair_allows_it_or_nobody_checks(scene: Scene) -> None:
    machine, key, more = scene.machines["vm1"], scene.ports["vm1"]["id"], "10.6.0.200"
    machine.ip("addr", "add", f"{more}/24", "dev", "eth0")
    ping = ("ping", "-n", "-q", "-c", "1", "-W", "0.5", "-I", more, scene.address("vm2"))

    def passes() -> bool:
        return machine.run(*ping, check=False).ok

    assert not passes()
    scene.update("port", key, allowed_address_pairs=[{"ip_address": more}])
    assert wait_until(passes)
    scene.update("port", key, allowed_address_pairs=[])
    assert wait_until(lambda: not passes())
    scene.update("port", key, security_groups=[], port_security_enabled=False)
    assert wait_until(passes)
    again = {"security_groups": [scene.groups["vm1"]], "port_security_enabled": True}
    scene.update("port", key, **again)
    assert wait_until(lambda: not passes())
    machine.ip("addr", "del", f"{more}/24", "dev", "eth0")
