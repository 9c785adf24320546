"""What becomes of packets for tunnels, and of those that came out of one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "trace"))
from small_switch import SmallSwitch

from netloom.flow.mapped import parse_mapped, parse_mapped_prefix
from netloom.netdev.tunnel import TunnelDevice
from netloom.ofproto.settings import BundleSettings, PortSettings

MAC = 0x0200_0000_0092
FLOW = "in_port(1),eth(src=00:00:00:00:00:01,dst=00:00:00:00:00:02),eth_type(0x0800),ipv4(frag=no)"


@pytest.fixture
def switch() -> SmallSwitch:
    switch = SmallSwitch()
    switch.add_bridge("br0")
    for number in (1, 2):
        switch.add_port("br0", f"p{number}", number, {})
    return switch


def add_tunnel(switch: SmallSwitch, name: str, number: int, type_: str, **options: str) -> None:
    bridge = switch.backer.bridges["br0"]
    bridge.port_add(PortSettings(name, type_, number), TunnelDevice(name, type_, options))
    bridge.bundle_set(BundleSettings(name, (name,)))


def mapped(text: str) -> int:
    address = parse_mapped(text)
    assert address is not None
    return address


def know_the_way(switch: SmallSwitch, network: str, hop: str) -> None:
    underlay = switch.backer.underlay
    prefix = parse_mapped_prefix(network)
    assert prefix is not None
    underlay.give("br0", *prefix)
    underlay.neighbours.set("br0", mapped(hop), MAC, switch.clock.now_ms())


def actions(switch: SmallSwitch, flow: str = FLOW) -> str:
    return switch.control("ofproto/trace", "ovs-dummy", flow).splitlines()[-1].partition(": ")[2]


def megaflow(switch: SmallSwitch, flow: str) -> str:
    lines = switch.control("ofproto/trace", "ovs-dummy", flow).splitlines()
    return next(line for line in lines if line.startswith("Megaflow: "))


def test_a_copy_that_finds_no_way_is_dropped_and_says_so(switch: SmallSwitch) -> None:
    add_tunnel(switch, "t1", 5, "geneve", remote_ip="1.1.1.1")
    switch.replace_flows("br0", "in_port=1 actions=output:5,output:2\npriority=0 actions=output:2")
    assert actions(switch) == "clone(drop),2"
    know_the_way(switch, "1.1.1.2/24", "1.1.1.3")
    assert actions(switch) == "clone(drop),2"
    know_the_way(switch, "1.1.1.2/24", "1.1.1.1")
    assert actions(switch).startswith("clone(tnl_push(")


def test_what_was_cut_comes_in_anew_at_the_bridge_below(switch: SmallSwitch) -> None:
    add_tunnel(switch, "t1", 5, "geneve", remote_ip="1.1.1.1")
    cut = "output(port=5,max_len=100)"
    switch.replace_flows("br0", f"in_port=1 actions={cut}\npriority=0 actions=output:2")
    know_the_way(switch, "1.1.1.2/24", "1.1.1.1")
    assert actions(switch).startswith("trunc(100),tnl_push(")
    assert actions(switch).endswith(",recirc(0)")
    switch.replace_flows("br0", f"in_port=1 actions={cut},2\npriority=0 actions=output:2")
    assert actions(switch).startswith("trunc(100),clone(tnl_push(")
    assert actions(switch).endswith(",recirc(0)),2")


def test_gre_over_ipv6_is_a_type_of_its_own_to_a_data_path(switch: SmallSwitch) -> None:
    add_tunnel(switch, "t1", 5, "gre", remote_ip="fc00::1")
    switch.replace_flows("br0", "in_port=1 actions=output:5\npriority=0 actions=output:2")
    know_the_way(switch, "fc00::2/64", "fc00::1")
    assert ",type=109," in actions(switch)


def test_segment_routing_needs_ip_over_ipv6(switch: SmallSwitch) -> None:
    options = {"remote_ip": "fc00::1", "srv6_segs": "fc00::1,fc00::9", "srv6_flowlabel": "zero"}
    add_tunnel(switch, "t1", 5, "srv6", **options)
    switch.replace_flows("br0", "in_port=1 actions=output:5\npriority=0 actions=output:2")
    know_the_way(switch, "fc00::2/64", "fc00::1")
    pushed = actions(switch)
    assert ",label=1,proto=43," in pushed
    assert "srv6(segments_left=1,segs(fc00::1,fc00::9))" in pushed
    assert actions(switch, FLOW.replace("0x0800),ipv4(frag=no)", "0x0806)")).endswith("drop")
    # For IPv4 and IPv6 inside.
    assert switch.backer.underlay.listeners.show().count("srv6_sys (6) ref_cnt=1\n") == 2


def test_of_what_came_by_a_tunnel_flows_match_what_told_it_and_what_is_read(
    switch: SmallSwitch,
) -> None:
    add_tunnel(switch, "t1", 5, "vxlan", remote_ip="1.1.1.1")
    switch.replace_flows("br0", "in_port=5 actions=set_field:fc00::1->tun_ipv6_dst,output:2")
    found = megaflow(
        switch,
        "tunnel(tun_id=0,src=1.1.1.1,dst=1.1.1.2,ttl=64,flags(df|csum|key)),in_port(4789),"
        "eth(),eth_type(0x1234)",
    )
    assert "tun_flags=+key," in found and "ipv6" not in found


def test_neighbours_of_a_port_go_with_it(switch: SmallSwitch) -> None:
    neighbours = switch.backer.underlay.neighbours
    for name in ("p1", "p2"):
        neighbours.set(name, mapped("1.1.1.1"), MAC, switch.clock.now_ms())
    switch.backer.bridges["br0"].port_del("p1")
    assert neighbours.on(("p1", "p2")) == [("p2", mapped("1.1.1.1"))]


def test_while_revalidation_is_paused_flows_stay_as_they_are(switch: SmallSwitch) -> None:
    switch.replace_flows("br0", "in_port=1 actions=output:2")
    switch.devices.find("p1").inject(bytes(60))
    switch.backer.run()
    (flow,) = switch.backer.dpif.flow_dump()
    switch.control("revalidator/pause")
    switch.replace_flows("br0", "in_port=1 actions=drop")
    switch.clock.advance(60_000)
    switch.backer.run()
    assert [found.actions for found in switch.backer.dpif.flow_dump()] == [flow.actions]
    assert switch.backer.has_settled(switch.clock.now_ms())
    switch.control("revalidator/resume")
    switch.backer.run()
    assert [found.actions for found in switch.backer.dpif.flow_dump()] != [flow.actions]
