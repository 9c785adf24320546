"""Two hosts under one service: real packets through flat and VLAN networks, filters, restarts.

One cloud for each data path; every test has networks and machines of its own.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from tests.support.kernel_programs import require_programs
from tests.support.peers import wait_until
from tests.support.switches import needs_root, own_tools

from netloom.lab.cloud import Cloud, Host
from netloom.lab.namespace import VirtualMachine

pytestmark = [needs_root, pytest.mark.root]
CHOICE = "NETLOOM_SYSTEM_DATAPATH"


@pytest.fixture(scope="module", params=["kernel", "userspace"])
def cloud(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cloud]:
    if request.param == "kernel":
        require_programs()
    tools = own_tools(tmp_path_factory.mktemp("tools") / "t")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CHOICE, request.param)
        with Cloud(f"c{request.param[0]}", programs=tools) as it:
            it.serve()
            it.add_host("a")
            it.add_host("b")
            it.start()
            yield it


def pair(cloud: Cloud, kind: str, **more: object) -> tuple[VirtualMachine, VirtualMachine]:
    """A machine at each host, in one network of that kind with both IP versions."""
    network = cloud.api.make(
        "network",
        **{"provider:network_type": kind, "provider:physical_network": "physnet1"},
    )
    for version, cidr in ((4, "10.0.0.0/24"), (6, "fd00::/64")):
        cloud.api.make(
            "subnet", network_id=network["id"], cidr=cidr, ip_version=version, enable_dhcp=False
        )
    hosts: list[Host] = list(cloud.hosts.values())
    first, second = (
        cloud.boot(f"vm{len(cloud.vms)}", host, cloud.port(network, host, **more)) for host in hosts
    )
    return first, second


def reaches(vm: VirtualMachine, address: str, count: int = 2) -> bool:
    return vm.ping(address, count)


def sixth(vm: VirtualMachine) -> str:
    words = vm.ip("-6", "-o", "addr", "show", "dev", "eth0", "scope", "global").stdout.split()
    return words[3].partition("/")[0]


@pytest.mark.parametrize("kind", ["flat", "vlan"])
def test_machines_of_two_hosts_talk(cloud: Cloud, kind: str) -> None:
    first, second = pair(cloud, kind)
    assert wait_until(lambda: reaches(first, second.ip_address))
    assert wait_until(lambda: reaches(second, sixth(first)))


def test_nothing_comes_in_without_a_rule_and_answers_do(cloud: Cloud) -> None:
    group = cloud.api.make("security_group", name="closed")
    first, second = pair(cloud, "vlan", security_groups=[group["id"]])
    assert not reaches(first, second.ip_address)
    rule = cloud.api.make(
        "security_group_rule", security_group_id=group["id"], direction="ingress", protocol="icmp"
    )
    cloud.wait("the rule works", lambda: reaches(first, second.ip_address, 1))
    assert not reaches(first, sixth(second), 1)
    cloud.api.request("DELETE", f"security-group-rules/{rule['id']}")
    cloud.wait("the rule is gone", lambda: not reaches(first, second.ip_address, 1))


def test_a_machine_cannot_use_another_address(cloud: Cloud) -> None:
    first, second = pair(cloud, "vlan")
    assert wait_until(lambda: reaches(first, second.ip_address))
    first.ip("addr", "add", "10.0.0.250/24", "dev", "eth0")
    first.ip("addr", "del", first.address, "dev", "eth0")
    assert not reaches(first, second.ip_address)


def test_a_killed_agent_stops_nothing_and_comes_back(cloud: Cloud) -> None:
    first, second = pair(cloud, "vlan")
    host = cloud.hosts["b"]
    agent = host.agents["l2"]
    agent.kill(signal.SIGKILL)
    assert wait_until(lambda: reaches(first, second.ip_address))
    agent.start()
    lost = first.run("ping", "-n", "-q", "-c", "40", "-i", "0.05", "-W", "1", second.ip_address)
    assert " 0% packet loss" in lost.stdout


def test_a_killed_switch_gets_its_flows_back(cloud: Cloud) -> None:
    first, second = pair(cloud, "vlan")
    switch = cloud.hosts["b"].switch
    switch.kill("ovs-vswitchd")
    switch.start_vswitchd()
    cloud.wait("traffic is back", lambda: reaches(first, second.ip_address, 1))
