"""Packets through one bridge: misses become flows, flows obey the tables, counters are exact."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from netloom.base.record import replace
from netloom.flow.compose import compose_packet
from netloom.flow.fields import SLOT
from netloom.flow.text import parse_flow
from netloom.ofproto.settings import ControllerSettings
from netloom.openflow.codec import decode_message
from netloom.openflow.connection import Connection
from netloom.openflow.constants import OFP13_VERSION
from netloom.openflow.messages import PacketIn

sys.path.insert(0, str(Path(__file__).parents[2] / "trace"))
from small_switch import SmallSwitch

A_TO_B = "tcp,dl_src=00:00:00:00:00:0a,dl_dst=00:00:00:00:00:0b,nw_ttl=9"
B_TO_A = "tcp,dl_src=00:00:00:00:00:0b,dl_dst=00:00:00:00:00:0a,nw_ttl=9"


@pytest.fixture
def switch() -> SmallSwitch:
    switch = SmallSwitch()
    switch.add_bridge("br0")
    for number in (1, 2, 3):
        switch.add_port("br0", f"p{number}", number, {})
    switch.replace_flows("br0", "priority=0 actions=NORMAL")
    return switch


def send(switch: SmallSwitch, port: str, flow: str) -> list[str]:
    """The ports on which a packet leaves that comes in on `port`."""
    switch.devices.find(port).inject(compose_packet(parse_flow(flow)))
    for _ in range(3):
        switch.backer.run()
    names = [name for name in ("p1", "p2", "p3") if switch.devices.find(name).sent]
    for name in names:
        switch.devices.find(name).sent.clear()
    return names


def counters(switch: SmallSwitch) -> list[tuple[int, int]]:
    bridge = switch.backer.bridges["br0"]
    bridge.refresh_statistics()
    return [(rule.n_packets, rule.n_bytes) for rule in bridge.tables.rules()]


def test_unknown_destination_is_flooded_and_known_one_is_not(switch: SmallSwitch) -> None:
    assert send(switch, "p1", A_TO_B) == ["p2", "p3"]
    assert send(switch, "p2", B_TO_A) == ["p1"]
    switch.clock.advance(1_000)
    assert send(switch, "p1", A_TO_B) == ["p2"]


def test_address_that_moves_is_followed(switch: SmallSwitch) -> None:
    send(switch, "p1", A_TO_B)
    send(switch, "p2", B_TO_A)
    send(switch, "p3", A_TO_B)
    switch.clock.advance(1_000)
    assert send(switch, "p2", B_TO_A) == ["p3"]


@pytest.mark.parametrize("change", ["removed", "in another VLAN"])
def test_packets_counted_after_a_port_changed_teach_nothing(
    switch: SmallSwitch, change: str
) -> None:
    for _ in range(3):
        send(switch, "p2", B_TO_A)
    bridge = switch.backer.bridges["br0"]
    if change == "removed":
        bridge.bundle_del("p2")
        bridge.port_del("p2")
    else:
        bundle = bridge.bundles["p2"]
        bridge.bundle_set(replace(bundle.settings, vlan_mode="access", tag=7))
    switch.clock.advance(1_000)
    switch.backer.run()
    assert not list(bridge.macs)
    assert "p3" in send(switch, "p1", A_TO_B)


def test_flow_mod_governs_the_next_packet(switch: SmallSwitch) -> None:
    send(switch, "p1", A_TO_B)
    switch.add_flow("br0", "priority=5,tcp actions=drop")
    assert send(switch, "p1", A_TO_B) == []


def test_controllers_are_told_of_the_connection_of_each_packet(switch: SmallSwitch) -> None:
    switch.backer.run()
    connections = switch.backer.bridges["br0"].connections
    link = Connection("unix", (OFP13_VERSION,))
    connections.accept(link, ControllerSettings("tcp:127.0.0.1:6653"), switch.clock.now_ms())
    link.receive_data(bytes((OFP13_VERSION, 0, 0, 8, 0, 0, 0, 1)))
    connections.run(switch.clock.now_ms())
    link.data_to_send()
    switch.add_flow("br0", "priority=5,udp actions=ct(table=1)")
    switch.add_flow("br0", "table=1,priority=5 actions=controller")
    told = []
    for port in (1_000, 1_001, 1_002):
        send(switch, "p1", f"udp,dl_src=00:00:00:00:00:0a,udp_src={port},udp_dst=53,nw_ttl=9")
        message = decode_message(link.data_to_send())[0]
        assert isinstance(message, PacketIn)
        told.append(SLOT["ct_tp_src"].get(message.match.value))
    assert told == [1_000, 1_001, 1_002]


def test_every_packet_is_counted_once(switch: SmallSwitch) -> None:
    size = len(compose_packet(parse_flow(A_TO_B)))
    for _ in range(5):
        send(switch, "p1", A_TO_B)
    assert counters(switch) == [(5, 5 * size)]
    switch.clock.advance(20_000)
    switch.backer.run()
    assert switch.backer.revalidator.n_flows == 0
    send(switch, "p1", A_TO_B)
    assert counters(switch) == [(6, 6 * size)]


def test_what_a_data_path_cannot_write_is_done_packet_by_packet(switch: SmallSwitch) -> None:
    switch.add_flow("br0", "priority=5,arp actions=set_field:2->arp_op,output:2")
    for _ in range(3):
        assert send(switch, "p1", "arp,arp_op=1") == ["p2"]
    dumped = switch.control("dpif/dump-flows", "br0")
    assert dumped.rstrip().endswith("actions:userspace(pid=0,slow_path(action))")
    assert counters(switch)[0][0] + counters(switch)[1][0] == 3


def test_disabled_megaflows_match_one_connection_each(switch: SmallSwitch) -> None:
    switch.control("upcall/disable-megaflows")
    for port in (1, 2, 3):
        send(switch, "p1", f"{A_TO_B},tcp_src={port}")
    assert switch.backer.revalidator.n_flows == 3
    switch.control("upcall/enable-megaflows")
    switch.control("revalidator/purge")
    for port in (1, 2, 3):
        send(switch, "p1", f"{A_TO_B},tcp_src={port}")
    assert switch.backer.revalidator.n_flows == 1


def test_both_ends_of_a_patch_count_what_crosses(switch: SmallSwitch) -> None:
    switch.add_bridge("br1")
    switch.add_port("br1", "q1", 1, {})
    switch.add_port("br0", "here", 9, {}, "there")
    switch.add_port("br1", "there", 9, {}, "here")
    switch.replace_flows("br1", "priority=0 actions=NORMAL")
    for _ in range(3):
        send(switch, "p1", A_TO_B)
    switch.backer.bridges["br0"].refresh_statistics()
    assert switch.backer.bridges["br0"].ports_by_name["here"].tx_packets == 3
    assert switch.backer.bridges["br1"].ports_by_name["there"].rx_packets == 3
