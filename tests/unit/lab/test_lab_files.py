"""lab.yml: what it says, and what is said of mistakes in it."""

from __future__ import annotations

import pytest

from netloom.base.errors import ConfigError
from netloom.lab.plan import MachinePlan, NetworkPlan, RulePlan, parse_plan
from netloom.lab.standing import graph_of

WHOLE = """\
name: blue
datapath: userspace
tunnels: [vxlan]
hosts:
  net: {physical: [physnet1, public], network_node: true}
  node1:
networks:
  public:
    {external: true, type: flat, physical: public, subnets: [203.0.113.0/24],
     outside: 203.0.113.254/24}
  blue: {subnets: [10.0.0.0/24]}
routers:
  r1: {gateway: public, networks: [blue]}
security_groups:
  web:
    - {protocol: icmp}
    - {protocol: tcp, ports: 80, from: 203.0.113.0/24}
vms:
  vm1: {host: node1, network: blue, groups: [web], floating: public}
"""


def test_a_whole_file_is_read() -> None:
    plan = parse_plan(WHOLE)
    assert plan.name == "blue"
    assert plan.tunnels == ("vxlan",)
    assert plan.hosts["net"].network_node
    assert plan.hosts["node1"].physical == ("physnet1",)
    assert plan.networks["blue"] == NetworkPlan(("10.0.0.0/24",))
    assert plan.groups["web"][1] == RulePlan("tcp", "80-80", "203.0.113.0/24")
    assert plan.vms == {"vm1": MachinePlan("node1", "blue", ("web",), "public")}


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("tunnels: [vxlan]", "tunnels: [ipip]", "lab.yml:3: 'tunnels' must be one of vxlan"),
        ("datapath: userspace", "datapth: userspace", "lab.yml:2: unknown key 'datapth'"),
        ("  node1:", "  net:", "lab.yml:6: 'net' is there twice"),
        ("host: node1", "host: node9", "lab.yml:19: 'vm1': no such host 'node9'"),
        ("network: blue", "network: red", "lab.yml:19: 'vm1': no such network 'red'"),
        ("floating: public", "floating: blue", "lab.yml:19: 'vm1': no such floating 'blue'"),
        ("groups: [web]", "groups: web", "lab.yml:19: 'groups' must be a list"),
        ("host: node1, ", "", "lab.yml:19: 'vm1' needs 'host'"),
        ("10.0.0.0/24", "10.0.0.1/24", "lab.yml:11: 'subnets': 10.0.0.1/24 has host bits set"),
        ("ports: 80", "ports: 90-80", "lab.yml:17: 'ports' must be a port or a range"),
        ("network_node: true", "network_node: 1", "lab.yml:5: 'network_node' must be true"),
        ("network_node: true", "network_node: false", "lab.yml:5: routers and DHCP need a host"),
        ("name: blue", "name: blue/red", "lab.yml:1: 'blue/red' is no name"),
        ("hosts:", "hosts: [", "lab.yml:6: not YAML"),
        ("203.0.113.254/24", "203.0.113.254", "lab.yml:10: 'outside' needs a prefix length"),
        ("  vm1:", "  net:", "lab.yml:19: 'net' is a host as well"),
    ],
)
def test_a_mistake_is_told_with_its_line(old: str, new: str, complaint: str) -> None:
    text = WHOLE.replace(old, new, 1)
    assert text != WHOLE
    with pytest.raises(ConfigError) as caught:
        parse_plan(text)
    assert complaint in str(caught.value)


@pytest.mark.parametrize("text", ["", "name: x", "hosts: {}"])
def test_a_lab_without_name_or_hosts_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="needs"):
        parse_plan(text)


def test_the_graph_has_hosts_wires_and_machines() -> None:
    state = {
        "name": "blue",
        "hosts": {"a": {"agents": ["l2"], "physical": ["physnet1"], "address": "192.168.100.1"}},
        "vms": {"vm1": {"addresses": ["10.0.0.5"], "floating": "", "host": "a", "network": "n"}},
    }
    text = graph_of(state)
    assert '"host a" -- "wire underlay" [label="192.168.100.1"];' in text
    assert '"vm vm1" -- "host a" [label="n"];' in text
    assert text.startswith('graph "blue" {') and text.endswith("}\n")
