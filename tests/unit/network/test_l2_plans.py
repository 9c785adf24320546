"""What the L2 agent decides, on the service's own documents and facts of a switch."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from tests.support.network_api import Api

from netloom.base.errors import ConfigError
from netloom.network.agents.flow import Flow, by_key, changes
from netloom.network.agents.l2.agent import report_of
from netloom.network.agents.l2.bridges import Numbers, integration_flows, provider_flows
from netloom.network.agents.l2.facts import BridgeFact, PortFact
from netloom.network.agents.l2.filtering import link_local, port_masks
from netloom.network.agents.l2.switch_plan import (
    AddBridge,
    AddPort,
    DeletePort,
    SetFailMode,
    SetTag,
    plan_switch,
)
from netloom.network.agents.l2.tunnels import TunnelBridge, tunnel_flows
from netloom.network.agents.l2.values import Wish
from netloom.network.agents.l2.wish import Vlans, derive_wish, tunnel_name
from netloom.network.agents.settings import L2Settings, load_l2_settings
from netloom.network.api.message import Request
from netloom.network.watch.replica import Replica
from netloom.openflow.flow_text import parse_flow_mod

SETTINGS = L2Settings(
    host="h1",
    bridge_mappings={"physnet1": "br-phys"},
    local_ip="192.0.2.1",
    tunnel_types=("vxlan",),
    l2_population=True,
    arp_responder=True,
)
PATCHES = {"physnet1": (1, 1)}


class Cloud:
    """A service in memory with agents on two hosts, and what is plugged in at the first."""

    def __init__(self) -> None:
        self.api = Api()
        for host, address in (("h1", "192.0.2.1"), ("h2", "192.0.2.2")):
            body = report_of(replace(SETTINGS, local_ip=address)) | {"host": host}
            assert self.api.request("PUT", "/agent/v1/report", body)[0] == 200
        self.plugged: dict[str, PortFact] = {}
        self.vlans = Vlans()
        self.numbers = Numbers()

    def network(self, kind: str = "vlan", cidr: str = "10.0.0.0/24") -> dict[str, Any]:
        more = {"provider:physical_network": "physnet1"} if kind != "vxlan" else {}
        network = self.api.make("network", **{"provider:network_type": kind}, **more)
        self.api.make("subnet", network_id=network["id"], cidr=cidr, ip_version=4)
        return network

    def port(self, network: dict[str, Any], host: str = "h1", **more: Any) -> dict[str, Any]:
        port = self.api.make("port", network_id=network["id"], **{"binding:host_id": host}, **more)
        if host == "h1":
            self.plug(port["id"])
        return port

    def plug(self, key: str, tag: int | None = None) -> str:
        ofport = len(self.plugged) + 10
        name = f"vif{ofport}"
        self.plugged[name] = PortFact(name, tag, "", ofport, key)
        return name

    def wish(self) -> Wish:
        request = Request("GET", "/agent/v1/snapshot", (), {}, b"")
        outcome = self.api.service.snapshot(request, "")
        replica = Replica()
        replica.load(json.loads(outcome.response.body))
        fact = BridgeFact("br-int", "system", "secure", self.plugged)
        return derive_wish(replica, fact, SETTINGS, self.vlans)

    def integration(self) -> dict[Any, Flow]:
        return by_key(integration_flows(self.wish(), PATCHES, self.numbers))


@pytest.fixture
def cloud() -> Cloud:
    return Cloud()


def test_every_flow_is_one_that_the_switch_can_read(cloud: Cloud) -> None:
    network, tunnelled = cloud.network(), cloud.network("vxlan", "10.1.0.0/24")
    six = {"network_id": tunnelled["id"], "cidr": "2001:db8::/64", "ip_version": 6}
    cloud.api.make("subnet", **six)
    cloud.port(network)
    cloud.port(tunnelled)
    cloud.port(tunnelled, host="h2")
    wish = cloud.wish()
    bridge = TunnelBridge(1, {("vxlan", "192.0.2.2"): 2}, True, True)
    flows = [
        *cloud.integration().values(),
        *provider_flows(wish.networks, "physnet1", 1),
        *by_key(tunnel_flows(wish, bridge)).values(),
    ]
    assert len(flows) > 100
    for flow in flows:
        mod, _ = parse_flow_mod(flow.add_text(), 0)
        assert (mod.table_id, mod.priority) == (flow.table, flow.priority)


def test_the_same_wish_twice_changes_nothing(cloud: Cloud) -> None:
    cloud.port(cloud.network())
    assert changes(cloud.integration(), cloud.integration()) == ([], [])


def test_a_new_member_of_a_group_changes_one_flow_per_version(cloud: Cloud) -> None:
    network = cloud.network()
    cloud.port(network)
    before = cloud.integration()
    member = cloud.port(network, host="h2")
    gone, new = changes(before, cloud.integration())
    address = member["fixed_ips"][0]["ip_address"]
    assert gone == []
    assert [flow.match for flow in new] == [f"ip,reg6=0x1,nw_src={address}/32"]


def test_a_rule_that_goes_takes_only_its_own_flows(cloud: Cloud) -> None:
    network = cloud.network()
    group = cloud.api.make("security_group", name="web")
    rule = cloud.api.make(
        "security_group_rule",
        security_group_id=group["id"],
        direction="ingress",
        protocol="tcp",
        port_range_min=80,
        port_range_max=80,
    )
    port = cloud.port(network, security_groups=[group["id"]])
    before = cloud.integration()
    cloud.api.request("DELETE", f"/security-group-rules/{rule['id']}")
    gone, new = changes(before, cloud.integration())
    ofport = next(one.ofport for one in cloud.plugged.values() if one.iface_id == port["id"])
    assert new == []
    assert [key[2] for key in gone] == [
        f"ct_state=+est-rel-rpl,tcp,reg5={ofport:#x},tp_dst=80",
        f"ct_state=+new-est,tcp,reg5={ofport:#x},tp_dst=80",
    ]


def test_an_unknown_interface_is_dead(cloud: Cloud) -> None:
    name = cloud.plug("not-a-port")
    wish = cloud.wish()
    assert [one for one, _ in wish.dead] == [name]
    facts = {"br-int": BridgeFact("br-int", "system", "secure", cloud.plugged)}
    assert SetTag(name, 4095, ()) in plan_switch(wish, facts, SETTINGS)
    assert (0, 65534, "in_port=10") in cloud.integration()


def test_a_port_bound_elsewhere_is_dead_here(cloud: Cloud) -> None:
    port = cloud.port(cloud.network(), host="h2")
    name = cloud.plug(port["id"])
    assert [one for one, _ in cloud.wish().dead] == [name]


def test_networks_keep_their_vlan_when_the_agent_starts_again(cloud: Cloud) -> None:
    network = cloud.network()
    port = cloud.port(network)
    (fact,) = cloud.plugged.values()
    config = (("net_uuid", network["id"]),)
    cloud.plugged[fact.name] = PortFact(fact.name, 7, "", 10, port["id"], (), config)
    assert cloud.wish().networks[0].vlan == 7


def test_a_network_without_ports_gives_its_vlan_back(cloud: Cloud) -> None:
    cloud.port(cloud.network())
    assert cloud.wish().networks[0].vlan == 1
    cloud.plugged.clear()
    cloud.wish()
    cloud.port(cloud.network(cidr="10.9.0.0/24"))
    assert cloud.wish().networks[0].vlan == 1


def test_a_machine_may_send_only_from_its_own_addresses(cloud: Cloud) -> None:
    port = cloud.port(cloud.network())
    mac, address = port["mac_address"], port["fixed_ips"][0]["ip_address"]
    allowed = {key[2] for key in cloud.integration() if key[0] == 71 and key[1] == 65}
    sender = f"reg5=0xa,in_port=10,dl_src={mac}"
    assert allowed == {
        f"ip,{sender},nw_src={address}",
        f"ipv6,{sender},ipv6_src={link_local(mac)}",
    }


def test_a_port_without_security_is_not_filtered(cloud: Cloud) -> None:
    cloud.port(cloud.network(), port_security_enabled=False)
    tables = {key[0] for key in cloud.integration() if "reg5=0xa" in key[2]}
    assert tables == {73}


def test_entries_of_other_hosts_lead_to_their_tunnels(cloud: Cloud) -> None:
    network = cloud.network("vxlan")
    cloud.port(network)
    there = cloud.port(network, host="h2")
    bridge = TunnelBridge(1, {("vxlan", "192.0.2.2"): 2}, True, True)
    flows = by_key(tunnel_flows(cloud.wish(), bridge))
    number = f"{network['provider:segmentation_id']:#x}"
    leave = f"pop_vlan,set_field:{number}->tun_id,output:2"
    assert flows[20, 2, f"dl_vlan=1,dl_dst={there['mac_address']}"].actions == leave
    assert flows[22, 1, "dl_vlan=1"].actions == leave
    address = there["fixed_ips"][0]["ip_address"]
    assert (21, 1, f"arp,dl_vlan=1,arp_tpa={address},arp_op=1") in flows


def test_solicitations_for_machines_of_other_hosts_are_answered(cloud: Cloud) -> None:
    network = cloud.network("vxlan")
    six = {"network_id": network["id"], "cidr": "2001:db8::/64", "ip_version": 6}
    cloud.api.make("subnet", enable_dhcp=False, **six)
    cloud.port(network)
    there = cloud.port(network, host="h2")
    router = cloud.port(network, host="h2", device_owner="network:router_interface")
    bridge = TunnelBridge(1, {("vxlan", "192.0.2.2"): 2}, True, True)
    flows = by_key(tunnel_flows(cloud.wish(), bridge))
    for port, flags in ((there, "0x60000000"), (router, "0xe0000000")):
        (address,) = (one["ip_address"] for one in port["fixed_ips"] if ":" in one["ip_address"])
        target = f"dl_vlan=1,nd_target={address}"
        asked = flows[21, 1, f"icmp6,icmp_type=135,icmp_code=0,{target}"].actions
        assert f"set_field:{int(flags, 16)}->nd_reserved" in asked
        answer = flows[21, 1, f"icmp6,icmp_type=136,icmp_code=0,{target}"].actions
        assert answer == f"set_field:{port['mac_address']}->nd_tll,in_port"
    from_nobody = "icmp6,icmp_type=135,icmp_code=0,ipv6_src=::"
    assert flows[21, 2, from_nobody].actions == "goto_table:22"


def test_without_population_every_tunnel_is_flooded(cloud: Cloud) -> None:
    cloud.port(cloud.network("vxlan"))
    ports = {("vxlan", "192.0.2.2"): 2, ("vxlan", "192.0.2.3"): 3, ("gre", "192.0.2.3"): 4}
    flows = by_key(tunnel_flows(cloud.wish(), TunnelBridge(1, ports, False, False)))
    assert flows[22, 1, "dl_vlan=1"].actions.endswith("output:2,output:3")
    assert not [key for key in flows if key[:2] == (20, 2)]


def test_bridges_come_before_their_ports(cloud: Cloud) -> None:
    phys = BridgeFact("br-phys", "system", "", {})
    steps = plan_switch(None, {"br-phys": phys}, SETTINGS)
    kinds = [type(step) for step in steps]
    assert kinds == [AddBridge, AddBridge, AddPort, AddPort, AddPort, AddPort]
    assert steps[2] == AddPort("br-int", "int-br-phys", "patch", (("peer", "phy-br-phys"),))


def test_a_tunnel_to_a_host_that_has_gone_is_deleted_first(cloud: Cloud) -> None:
    stale = PortFact("vxlan-c0000263", None, "vxlan", 9, "")
    facts = {
        "br-int": BridgeFact("br-int", "system", "standalone", {}),
        "br-tun": BridgeFact("br-tun", "system", "secure", {stale.name: stale}),
    }
    steps = plan_switch(cloud.wish(), facts, replace(SETTINGS, bridge_mappings={}))
    assert steps[:2] == [DeletePort("br-tun", stale.name), SetFailMode("br-int")]
    names = [step.name for step in steps if isinstance(step, AddPort)]
    assert names == ["patch-tun", "patch-int", "vxlan-c0000202"]


def test_names_of_tunnels_are_those_that_people_know() -> None:
    assert tunnel_name("gre", "127.0.0.2") == "gre-7f000002"


@pytest.mark.parametrize(("low", "high"), [(80, 80), (22, 80), (0, 65535), (1, 65535), (7, 8)])
def test_masks_of_a_range_cover_it_once(low: int, high: int) -> None:
    covered: list[int] = []
    for text in port_masks(low, high):
        value, _, mask = text.partition("/")
        bits = int(mask, 16) if mask else 0xFFFF
        covered += [port for port in range(65536) if port & bits == int(value, 0)]
    assert sorted(covered) == list(range(low, high + 1))


def test_the_address_of_a_link_comes_from_the_mac() -> None:
    assert link_local("fa:16:3e:fc:a8:a7") == "fe80::f816:3eff:fefc:a8a7"


def test_options_of_neutrons_file_are_understood() -> None:
    text = "[DEFAULT]\nhost = a\n[ovs]\nlocal_ip = 192.0.2.7\nbridge_mappings = p:br-p\n"
    settings = load_l2_settings([("o.ini", text + "[agent]\ntunnel_types = vxlan,gre\n")])
    assert (settings.host, settings.tunnel_types) == ("a", ("vxlan", "gre"))
    assert settings.bridge_mappings == {"p": "br-p"}


def test_a_wrong_option_is_named_with_file_and_line() -> None:
    with pytest.raises(ConfigError, match="has no option 'brige_mappings'") as caught:
        load_l2_settings([("o.ini", "[ovs]\nbrige_mappings = p:b\n")])
    assert "o.ini:2" in str(caught.value)


def test_tunnels_without_a_local_address_are_refused() -> None:
    with pytest.raises(ConfigError, match="local address"):
        load_l2_settings([("o.ini", "[agent]\ntunnel_types = vxlan\n")])
