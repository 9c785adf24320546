"""Each step of the demo as a test: on both data paths, for every type of network, in IPv4 and IPv6.

One cloud for each data path, in which there are networks of all types, with the same addresses; the
steps look at each type in the order of the story.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.support.kernel_programs import require_programs
from tests.support.peers import require_services, wait_until
from tests.support.switches import needs_root
from tests.support.talkers import CONNECT, ECHO, TALK

from netloom.lab.cloud import Cloud, Host
from netloom.lab.namespace import VirtualMachine
from netloom.lab.switch import Programs

pytestmark = [needs_root, pytest.mark.root]
CHOICE = "NETLOOM_SYSTEM_DATAPATH"
PATHS = ("kernel", "userspace")
KINDS = ("flat", "vlan", "gre", "vxlan")
TUNNELS = ("gre", "vxlan")
FATES = ("br-tun", "patch-int"), ("br-physnet1", "phy-br-physnet1")
BOTH = pytest.mark.parametrize("version", [4, 6], ids=["IPv4", "IPv6"])
WORLD = {4: "203.0.113.254", 6: "2001:db8:ffff::fe"}
OUTER = {4: "203.0.113.0/24", 6: "2001:db8:ffff::/64"}
#: One of each for a type of network: IPv4 is the same for all.
SIX = {kind: f"2001:db8:{number}::" for number, kind in enumerate(KINDS, 1)}


@dataclass
class Stage:
    """The hosts, before there is any network."""

    cloud: Cloud
    net: Host
    node: Host
    public: str = ""
    #: What a bridge towards others does with what br-int sends it.
    fates: dict[str, str] = field(default_factory=dict)


@dataclass
class Scene:
    """The networks and machines of one type."""

    stage: Stage
    kind: str
    #: What br-int of the network node had before.
    flows_before: int = 0
    ids: dict[str, str] = field(default_factory=dict)
    addresses: dict[str, dict[int, str]] = field(default_factory=dict)
    machines: dict[str, VirtualMachine] = field(default_factory=dict)

    @property
    def cloud(self) -> Cloud:
        return self.stage.cloud

    @property
    def net(self) -> Host:
        return self.stage.net

    @property
    def node(self) -> Host:
        return self.stage.node

    @property
    def cidrs(self) -> dict[int, str]:
        return {4: "10.0.0.0/24", 6: f"{SIX[self.kind]}/64"}

    @property
    def gateways(self) -> dict[int, str]:
        return {4: "10.0.0.1", 6: f"{SIX[self.kind]}1"}

    @property
    def twins(self) -> dict[int, str]:
        return {4: "10.0.0.77", 6: f"{SIX[self.kind]}77"}

    def reaches(self, who: str, address: str) -> bool:
        """Within a few seconds, as what is new may still be on its way."""
        return wait_until(lambda: self.machines[who].ping(address, 1))

    def flows(self, host: Host, bridge: str, match: str = "") -> list[str]:
        return flows_of(host, bridge, match)

    def connects(self, who: str, address: str, port: int) -> bool:
        words = (sys.executable, "-c", CONNECT, address, str(port))
        return self.machines[who].run(*words, check=False).ok


def flows_of(host: Host, bridge: str, match: str = "") -> list[str]:
    words = ("ovs-ofctl", "-O", "OpenFlow14", "dump-flows", bridge, *filter(None, [match]))
    return host.switch.run(*words, check=False).stdout.splitlines()[1:]


class Stages:
    """One stage at a time: that of the data path that was asked for last."""

    def __init__(self, tools: Programs) -> None:
        self.tools = tools
        self.closing = ExitStack()
        self.choice = ""

    def get(self, choice: str) -> Stage:
        if choice != self.choice:
            self.closing.close()
            self.choice = choice
            self.stage = self._make(choice)
        return self.stage

    def _make(self, choice: str) -> Stage:
        if choice == "kernel":
            require_programs()
        # Told to the daemons alone: other tests have data paths of their own.
        programs = Programs(self.tools.path, {CHOICE: choice})
        cloud = self.closing.enter_context(
            Cloud(f"d{choice[0]}", programs=programs, tunnels=TUNNELS)
        )
        wires = ("physnet1", "physnet2")
        net = cloud.add_host("net", (*wires, "public"), network_node=True)
        made = Stage(cloud, net, cloud.add_host("node", wires))
        set_up(made)
        return made


@pytest.fixture(scope="module")
def stages(tools: Programs) -> Iterator[Stages]:
    require_services()
    made = Stages(tools)
    with made.closing:
        yield made


def set_up(stage: Stage) -> None:
    cloud = stage.cloud
    with ThreadPoolExecutor(2) as pool:
        serving = pool.submit(cloud.serve, "physnet1:100:199,physnet2:100:199")
        cloud.start_switches()
        serving.result()
    cloud.start_agents()
    for bridge, patch in FATES:
        cloud.wait("the agent's flows", lambda: len(flows_of(stage.node, bridge)) > 1)  # noqa: B023
        packet = f"in_port={patch},dl_src=02:00:00:00:00:01,dl_dst=ff:ff:ff:ff:ff:ff,dl_vlan=1"
        traced = stage.node.switch.run("ovs-appctl", "ofproto/trace", bridge, packet).stdout
        stage.fates[bridge] = traced.splitlines()[-1]
    external_network(stage)


# All types of one data path come before the other data path.
@pytest.fixture(scope="module", params=[f"{path}-{kind}" for path in PATHS for kind in KINDS])
def scene(request: pytest.FixtureRequest, stages: Stages) -> Scene:
    path, _, kind = request.param.partition("-")
    made = Scene(stages.get(path), kind)
    build(made)
    return made


def build(scene: Scene) -> None:
    """Everything that the steps look at."""
    scene.flows_before = len(scene.flows(scene.net, "br-int"))
    project, other = f"blue-{scene.kind}", f"red-{scene.kind}"
    group = group_of(scene, project)
    mine = tenant_network(scene, project, scene.kind, "physnet1")
    kind = scene.kind if scene.kind != "flat" else "vlan"
    theirs = tenant_network(scene, other, kind, "physnet2")
    router(scene, project)
    plans: list[tuple[str, Host, Any, dict[int, str], str]] = [
        ("vm1", scene.node, mine, {}, group),
        ("vm2", scene.net, mine, scene.twins, group),
        ("twin", scene.node, theirs, scene.twins, group_of(scene, other)),
    ]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda plan: machine(scene, *plan), plans))
    scene.cloud.spawn(scene.machines["vm1"], "echo", sys.executable, "-c", ECHO, "22")
    scene.cloud.spawn(scene.machines["vm2"], "echo", sys.executable, "-c", ECHO, "80", "81")


def group_of(scene: Scene, project: str) -> str:
    """A security group that lets echo requests in."""
    make, owner = scene.cloud.api.make, {"tenant_id": project}
    key: str = make("security_group", name="web", **owner)["id"]
    for kind, protocol in (("IPv4", "icmp"), ("IPv6", "ipv6-icmp"), ("IPv4", "tcp")):
        more: dict[str, Any] = {"ethertype": kind, "protocol": protocol, "direction": "ingress"}
        if protocol == "tcp":
            more |= {"port_range_min": 22, "port_range_max": 22}
        make("security_group_rule", security_group_id=key, **more, **owner)
    return key


def external_network(stage: Stage) -> None:
    provider = {"provider:network_type": "flat", "provider:physical_network": "public"}
    make = stage.cloud.api.make
    public = make("network", name="public", **{"router:external": True}, **provider)
    for version, cidr in OUTER.items():
        more = {"ip_version": version, "gateway_ip": WORLD[version], "enable_dhcp": False}
        make("subnet", network_id=public["id"], cidr=cidr, **more)
        length = cidr.partition("/")[2]
        nodad = ("nodad",) if version == 6 else ()
        stage.cloud.host.ip("addr", "add", f"{WORLD[version]}/{length}", "dev", "public", *nodad)
    stage.public = public["id"]


def tenant_network(scene: Scene, project: str, kind: str, wire: str) -> dict[str, Any]:
    make, owner = scene.cloud.api.make, {"tenant_id": project}
    provider = {"provider:network_type": kind}
    if kind not in TUNNELS:
        provider["provider:physical_network"] = wire
    network = make("network", name=project, **provider, **owner)
    for version, cidr in scene.cidrs.items():
        more = {"ip_version": version, "enable_dhcp": False, **owner}
        more["gateway_ip"] = scene.gateways[version]
        subnet = make("subnet", network_id=network["id"], cidr=cidr, **more)
        scene.ids[f"{project} {version}"] = subnet["id"]
    return network


def router(scene: Scene, project: str) -> None:
    """A router whose way back in IPv6 the world knows."""
    api, gateway = scene.cloud.api, {"network_id": scene.stage.public}
    made = api.make("router", name="r1", external_gateway_info=gateway)
    scene.ids["router"] = made["id"]
    for version in scene.cidrs:
        path = f"routers/{made['id']}/add_router_interface"
        api.request("PUT", path, {"subnet_id": scene.ids[f"{project} {version}"]})
    fixed = made["external_gateway_info"]["external_fixed_ips"]
    (hop,) = (one["ip_address"] for one in fixed if ":" in one["ip_address"])
    scene.cloud.host.ip("-6", "route", "add", scene.cidrs[6], "via", hop)


def machine(
    scene: Scene, label: str, host: Host, network: Any, fixed: dict[int, str], group: str
) -> None:
    project = network["tenant_id"]
    ips = [
        {"subnet_id": scene.ids[f"{project} {version}"], "ip_address": address}
        for version, address in fixed.items()
    ]
    more: dict[str, Any] = {"fixed_ips": ips} if ips else {}
    port = scene.cloud.port(network, host, project, security_groups=[group], **more)
    vm = scene.cloud.boot(f"{label}-{scene.kind}", host, port, scene.gateways[4])
    vm.ip("-6", "route", "add", "default", "via", scene.gateways[6])
    addresses = [one["ip_address"] for one in port["fixed_ips"]]
    scene.addresses[label] = {6 if ":" in one else 4: one for one in addresses}
    scene.ids[label] = port["id"]
    scene.machines[label] = vm


@pytest.mark.parametrize("bridge", [bridge for bridge, _ in FATES])
def test_without_networks_everything_was_dropped(scene: Scene, bridge: str) -> None:
    assert scene.stage.fates[bridge] == "Datapath actions: drop"


def test_a_router_and_its_networks_appear_in_the_tables(scene: Scene) -> None:
    assert len(scene.flows(scene.net, "br-int")) > scene.flows_before
    path = f"ports?device_id={scene.ids['router']}"

    def active() -> bool:
        ports = scene.cloud.api.request("GET", path)["ports"]
        return len(ports) == 3 and {port["status"] for port in ports} == {"ACTIVE"}

    assert wait_until(active)


def test_a_machine_has_its_flows_and_its_way_to_other_hosts(scene: Scene) -> None:
    port = scene.cloud.api.show("port", scene.ids["vm1"])
    assert port["status"] == "ACTIVE"
    own = "\n".join(scene.flows(scene.node, "br-int", "table=71"))
    for address in scene.addresses["vm1"].values():
        assert f"dl_src={port['mac_address']}" in own and address in own
    number = scene.cloud.api.show("network", port["network_id"])["provider:segmentation_id"]
    bridge = "br-tun" if scene.kind in TUNNELS else "br-physnet1"
    leaving = "\n".join(scene.flows(scene.node, bridge))
    if scene.kind in TUNNELS:
        assert f"set_field:{number:#x}->tun_id" in leaving
        rows = scene.node.switch.run("ovs-vsctl", "--columns=options", "find", "interface",
                                     f"type={scene.kind}").stdout  # fmt: skip
        assert f'remote_ip="{scene.net.address}"' in rows
    else:
        out = "pop_vlan" if scene.kind == "flat" else f"set_field:{number | 0x1000}->vlan_vid"
        assert re.search(rf"in_port=\S+,dl_vlan=\d+ actions={out}", leaving), leaving


@BOTH
def test_the_machine_reaches_the_router_on_the_network_node(scene: Scene, version: int) -> None:
    assert scene.reaches("vm1", scene.gateways[version])
    if scene.kind in TUNNELS:
        learned = "\n".join(scene.flows(scene.node, "br-tun", "table=20"))
        assert "hard_timeout=300" in learned, "and is forgotten after five minutes"


@BOTH
def test_the_machine_reaches_the_world(scene: Scene, version: int) -> None:
    assert scene.reaches("vm1", WORLD[version])


@BOTH
def test_machines_of_two_hosts_reach_each_other(scene: Scene, version: int) -> None:
    assert scene.reaches("vm1", scene.addresses["vm2"][version])
    assert scene.reaches("vm2", scene.addresses["vm1"][version])


@BOTH
def test_neighbours_of_other_hosts_are_found_in_tunnels_without_asking_them(
    scene: Scene, version: int
) -> None:
    target = scene.addresses["vm2"][version]
    scene.machines["vm1"].ip("neigh", "flush", "dev", "eth0")
    assert scene.reaches("vm1", target)
    if scene.kind not in TUNNELS:
        return
    word = f"arp_tpa={target}" if version == 4 else f"nd_target={target}"
    answers = [one for one in scene.flows(scene.node, "br-tun", "table=21") if word in one]
    assert answers and any("n_packets=0" not in one for one in answers), answers


@BOTH
def test_another_tenant_with_the_same_addresses_is_apart(scene: Scene, version: int) -> None:
    twin, mine = scene.machines["twin"], scene.addresses["vm1"][version]
    assert scene.addresses["twin"][version] == scene.addresses["vm2"][version]
    assert not twin.ping(mine, 2, 0.3)
    assert not twin.ping(WORLD[version], 1, 0.3)
    assert scene.reaches("vm1", scene.addresses["vm2"][version])


@BOTH
def test_a_rule_opens_one_port_and_only_that(scene: Scene, version: int) -> None:
    address = scene.addresses["vm2"][version]
    assert not scene.connects("vm1", address, 80)
    more = {"ethertype": f"IPv{version}", "protocol": "tcp", "direction": "ingress"}
    ports = {"port_range_min": 80, "port_range_max": 80}
    (group,) = scene.cloud.api.show("port", scene.ids["vm2"])["security_groups"]
    scene.cloud.api.make("security_group_rule", security_group_id=group, **more, **ports)
    assert wait_until(lambda: scene.connects("vm1", address, 80))
    assert not scene.connects("vm1", address, 81)


def test_the_world_reaches_the_machine_until_its_floating_address_goes(scene: Scene) -> None:
    cloud = scene.cloud
    outer = {"floating_network_id": scene.stage.public}
    floating = cloud.api.make("floatingip", port_id=scene.ids["vm1"], **outer)
    address = floating["floating_ip_address"]
    ping = ("ping", "-n", "-q", "-c", "1", "-W", "0.3", address)
    assert wait_until(lambda: cloud.host.run(*ping, check=False).ok)
    world = VirtualMachine(cloud.host.name, f"world-{scene.kind}", "", "")
    cloud.spawn(world, "talk", sys.executable, "-c", TALK, address, "22")
    log = cloud.directory / world.label / "talk.log"
    assert wait_until(lambda: log.exists() and log.read_text().count("answered") > 2)
    cloud.api.request("PUT", f"floatingips/{floating['id']}", {"floatingip": {"port_id": None}})
    assert wait_until(lambda: "cut" in log.read_text()), "what was established has ended"
    assert not cloud.host.run(*ping, check=False).ok
    assert scene.reaches("vm1", WORLD[4])


def test_the_world_reaches_the_machine_by_its_ipv6_address(scene: Scene) -> None:
    address = scene.addresses["vm1"][6]
    ping = ("ping", "-n", "-q", "-c", "1", "-W", "1", address)
    assert wait_until(lambda: scene.cloud.host.run(*ping, check=False).ok)


def test_nothing_complained(scene: Scene) -> None:
    """No agent and no switch met anything that it did not understand."""
    found = []
    for path in Path(scene.cloud.directory).glob("**/*.log"):
        lines = path.read_text(errors="replace").splitlines()
        found += [f"{path.name}: {one}" for one in lines if "Traceback" in one or "|ERR|" in one]
    assert not found
