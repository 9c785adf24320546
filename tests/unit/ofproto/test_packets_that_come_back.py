"""Packets that the data path sends up again: connections, hashes, headers under labels."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from scapy.all import IP, TCP, UDP, Ether, Raw
from scapy.contrib.mpls import MPLS

sys.path.insert(0, str(Path(__file__).parents[2] / "trace"))
from small_switch import SmallSwitch

PORTS = ("p1", "p2", "p3", "p4")
FIREWALL = """\
table=0,priority=10,arp actions=NORMAL
table=0,priority=5,ip actions=ct(table=1,zone=7)
table=1,in_port=1,ct_state=+trk+new,ip,priority=10 actions=ct(commit,zone=7),output:2
table=1,ct_state=+trk+est,priority=10,in_port=1 actions=output:2
table=1,ct_state=+trk+est,priority=10,in_port=2 actions=output:1
"""
NAT = """\
table=0,ip,in_port=1 actions=ct(commit,zone=1,nat(src=10.9.9.1:5000-5999),table=1)
table=0,ip,in_port=2 actions=ct(zone=1,nat,table=1)
table=1,in_port=1 actions=output:2
table=1,in_port=2,ct_state=+est+trk actions=output:1
"""


@pytest.fixture
def switch() -> SmallSwitch:
    switch = SmallSwitch()
    switch.add_bridge("br0")
    for number, name in enumerate(PORTS, 1):
        switch.add_port("br0", name, number, {})
    return switch


def send(switch: SmallSwitch, port: str, packet: Ether) -> dict[str, Ether]:
    """What leaves, by port, when `packet` comes in on `port`."""
    switch.devices.find(port).inject(bytes(packet))
    for _ in range(2):
        switch.backer.run()
    sent = {}
    for name in PORTS:
        frames = switch.devices.find(name).sent
        if frames:
            (frame,) = frames
            sent[name] = Ether(bytes(frame.data if hasattr(frame, "data") else frame))
            frames.clear()
    return sent


def tcp(src: int, dst: int, sport: int, dport: int, flags: str, seq: int, ack: int) -> Ether:
    ether = Ether(src=f"00:00:00:00:00:0{src}", dst=f"00:00:00:00:00:0{dst}")
    header = TCP(sport=sport, dport=dport, flags=flags, seq=seq, ack=ack, window=1000)
    return ether / IP(src=f"10.0.0.{src}", dst=f"10.0.0.{dst}") / header


def test_only_what_was_begun_inside_is_let_in(switch: SmallSwitch) -> None:
    switch.replace_flows("br0", FIREWALL)
    assert send(switch, "p2", tcp(2, 1, 80, 1000, "S", 5, 0)) == {}
    assert list(send(switch, "p1", tcp(1, 2, 1000, 80, "S", 100, 0))) == ["p2"]
    assert list(send(switch, "p2", tcp(2, 1, 80, 1000, "SA", 200, 101))) == ["p1"]
    assert list(send(switch, "p1", tcp(1, 2, 1000, 80, "A", 101, 201))) == ["p2"]
    assert send(switch, "p2", tcp(2, 1, 80, 1001, "A", 200, 101)) == {}


def test_each_rule_counts_each_packet_once_however_often_it_comes_up(switch: SmallSwitch) -> None:
    switch.replace_flows("br0", FIREWALL)
    for n in range(3):
        send(switch, "p1", tcp(1, 2, 1000 + n, 80, "S", 100, 0))
    for _ in range(2):
        send(switch, "p2", tcp(2, 1, 80, 1000, "SA", 200, 101))
    bridge = switch.backer.bridges["br0"]
    bridge.refresh_statistics()
    counts = {rule.match.value & 0xFFFFFFFF: rule.n_packets
              for rule in bridge.tables.rules() if rule.table_id == 1}  # fmt: skip
    first = [rule.n_packets for rule in bridge.tables.rules() if rule.table_id == 0]
    assert sum(first) == 5
    assert counts[2] == 2


def test_addresses_are_translated_there_and_back(switch: SmallSwitch) -> None:
    switch.replace_flows("br0", NAT)
    out = send(switch, "p1", tcp(1, 2, 1000, 80, "S", 100, 0))["p2"]
    assert out[IP].src == "10.9.9.1"
    assert 5000 <= out[TCP].sport <= 5999
    answer = tcp(2, 1, 80, out[TCP].sport, "SA", 7, 101)
    answer[IP].dst = "10.9.9.1"
    back = send(switch, "p2", Ether(bytes(answer)))["p1"]
    assert (back[IP].dst, back[TCP].dport) == ("10.0.0.1", 1000)


def test_what_is_under_a_label_is_seen_when_the_packet_comes_back(switch: SmallSwitch) -> None:
    switch.replace_flows(
        "br0",
        "priority=5,mpls,mpls_label=20 actions=pop_mpls:0x0800,resubmit(,1),output:4\n"
        "table=1,udp,udp_dst=53 actions=dec_ttl,output:2\n"
        "table=1,priority=1 actions=output:3\n",
    )
    inside = IP(src="10.0.0.1", dst="10.0.0.2", ttl=9) / UDP(sport=5, dport=53) / Raw(b"x")
    label = MPLS(label=20, s=1, ttl=64)
    packet = Ether(src="00:00:00:00:00:01", dst="00:00:00:00:00:02", type=0x8847) / label / inside
    sent = send(switch, "p1", packet)
    assert sorted(sent) == ["p2", "p4"]
    assert sent["p2"][IP].ttl == 8
    assert sent["p2"][UDP].dport == 53
    packet[UDP].dport = 54
    assert sorted(send(switch, "p1", packet)) == ["p3", "p4"]


def test_a_select_group_keeps_a_connection_on_its_link(switch: SmallSwitch) -> None:
    switch.replace_groups("br0", "group_id=1,type=select,bucket=output:2,bucket=output:3")
    switch.replace_flows("br0", "ip actions=group:1")
    chosen = {}
    for n in range(20):
        for flags in ("S", "A"):
            (port,) = send(switch, "p1", tcp(1, 2, 1000 + n, 80, flags, 1, 1))
            assert chosen.setdefault(n, port) == port
    assert set(chosen.values()) == {"p2", "p3"}
    (group,) = switch.backer.bridges["br0"].groups
    switch.backer.bridges["br0"].refresh_statistics()
    assert group.n_packets == 40
    assert [bucket.n_packets for bucket in group.buckets] == [
        2 * list(chosen.values()).count(port) for port in ("p2", "p3")
    ]


def test_fast_failover_follows_the_link(switch: SmallSwitch) -> None:
    switch.replace_groups(
        "br0", "group_id=1,type=ff,bucket=watch_port:2,output:2,bucket=watch_port:3,output:3"
    )
    switch.replace_flows("br0", "ip actions=group:1")
    assert list(send(switch, "p1", tcp(1, 2, 1, 2, "S", 1, 1))) == ["p2"]
    switch.devices.find("p2").set_admin_up(False)
    switch.backer.bridges["br0"].devices_changed()
    switch.backer.run()
    assert list(send(switch, "p1", tcp(1, 2, 1, 2, "S", 1, 1))) == ["p3"]


def test_a_changed_rule_behind_a_recirculation_takes_effect_at_once(switch: SmallSwitch) -> None:
    switch.replace_flows("br0", FIREWALL)
    packet = tcp(1, 2, 1000, 80, "S", 100, 0)
    assert list(send(switch, "p1", packet)) == ["p2"]
    assert list(send(switch, "p1", packet)) == ["p2"]
    switch.add_flow("br0", "table=1,priority=20,in_port=1 actions=output:4")
    assert list(send(switch, "p1", packet)) == ["p4"]
    switch.add_flow("br0", "table=0,priority=5,ip actions=output:3")
    assert list(send(switch, "p1", packet)) == ["p3"]


def test_states_go_with_the_flows_that_mention_them(switch: SmallSwitch) -> None:
    switch.replace_flows("br0", FIREWALL)
    send(switch, "p1", tcp(1, 2, 1000, 80, "S", 100, 0))
    assert len(switch.backer.recirculations) == 1
    switch.backer.revalidator.purge()
    switch.clock.advance(1_000)
    switch.backer.run()
    assert len(switch.backer.recirculations) == 0


def test_a_pipeline_that_comes_back_for_ever_ends(switch: SmallSwitch) -> None:
    switch.replace_flows("br0", "ip actions=ct(table=0)")
    for _ in range(2):
        assert send(switch, "p1", tcp(1, 2, 1000, 80, "S", 100, 0)) == {}
    assert switch.counters.counter("datapath_drop_recirc_error").total == 2
