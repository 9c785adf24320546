"""Tenants' networks between hosts, in VXLAN and GRE, with and without population."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.switches import needs_root, own_tools

from netloom.lab.cloud import Cloud
from netloom.lab.story import has_tunnels

pytestmark = [needs_root, pytest.mark.root]


@pytest.mark.parametrize("population", [True, False], ids=["populated", "flooding"])
@pytest.mark.parametrize("kind", ["vxlan", "gre"])
def test_machines_of_two_hosts_talk_through_a_tunnel(
    kind: str, population: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NETLOOM_SYSTEM_DATAPATH", "userspace")
    tools = own_tools(tmp_path / "t")
    name = f"t{kind[0]}{int(population)}"
    with Cloud(name, programs=tools, tunnels=(kind,), population=population) as cloud:
        hosts = [cloud.add_host("a"), cloud.add_host("b")]
        cloud.start_switches()
        if not has_tunnels(hosts[0]):
            pytest.skip("the switch has no tunnels")
        cloud.serve()
        cloud.start_agents()
        network = cloud.api.make("network")
        cloud.api.make(
            "subnet", network_id=network["id"], cidr="10.0.0.0/24", ip_version=4, enable_dhcp=False
        )
        first, second = (
            cloud.boot(f"vm{index}", host, cloud.port(network, host))
            for index, host in enumerate(hosts)
        )
        cloud.wait("the other machine answers", lambda: first.ping(second.ip_address, 1))
        learned = hosts[0].switch.run("ovs-ofctl", "dump-flows", "br-tun", "table=20").stdout
        assert "hard_timeout=300" in learned
        assert ("priority=2" in learned) is population
