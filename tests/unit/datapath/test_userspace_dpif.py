"""The data path in Python: ports, flows, upcalls, offloads. What it does with packets is in
tests/datapath."""

from __future__ import annotations

import pytest
from tests.support.dummy_datapath import FLOW, IP_A, IP_B, A, B, Bench, udp

from netloom.base.errors import ConfigError
from netloom.base.log import CONSOLE, DBG, vlog
from netloom.datapath.action_parse import parse_actions
from netloom.datapath.actions import Output, Userspace
from netloom.datapath.dpif import DpPortNo
from netloom.datapath.userspace import dpif as userspace
from netloom.flow.extract import extract_key
from netloom.flow.key import make_key
from netloom.flow.odp_parse import parse_odp_flow
from netloom.packet import build
from netloom.packet.offload import GSO_TCPV4, NEEDS_CSUM, Offload


def test_dummies_get_the_numbers_in_their_names() -> None:
    bench = Bench("p7 br0 br1 eth p7a p1x2 x1")
    assert {port.name: port.number for port in bench.dpif.ports()} == {
        "p7": 7, "br0": 100, "br1": 101, "eth": 1, "p7a": 2, "p1x2": 3, "x1": 4,
    }  # fmt: skip


def test_a_wanted_number_is_given_if_it_is_free() -> None:
    bench = Bench()
    more = [bench.factory.open(name, "dummy", {}) for name in ("a", "b")]
    assert bench.dpif.port_add(more[0], DpPortNo(50)).number == 50
    assert bench.dpif.port_add(more[1], DpPortNo(50)).number == 4


def test_a_name_can_be_added_once() -> None:
    bench = Bench()
    with pytest.raises(ConfigError, match="File exists"):
        bench.dpif.port_add(bench.factory.open("p1", "dummy", {}))


def test_packets_for_a_removed_port_are_counted_drops() -> None:
    bench = Bench()
    bench.put(FLOW, "2")
    bench.dpif.port_del(DpPortNo(2))
    bench.send("p1", udp(), udp())
    assert bench.counters.counter("datapath_drop_invalid_port").total == 2


def test_a_miss_comes_up_whole_and_in_order() -> None:
    bench = Bench()
    bench.send("p1", udp(1), udp(2))
    first, second = bench.dpif.recv_upcalls(10)
    assert (first.kind, first.packet, first.key) == ("miss", udp(1), extract_key(udp(1), 1))
    assert second.packet == udp(2)
    assert bench.dpif.recv_upcalls(10) == []


def test_upcalls_that_do_not_fit_are_lost_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(userspace, "UPCALL_QUEUE_PACKETS", 5)
    bench = Bench()
    bench.send("p1", *[udp(n) for n in range(8)])
    assert bench.dpif.stats().lost == 3
    assert bench.counters.counter("datapath_drop_upcall_error").total == 3
    assert len(bench.dpif.recv_upcalls(100)) == 5


def test_a_userspace_action_brings_its_cookie_back_and_the_packet_as_it_is_then() -> None:
    bench = Bench()
    key, mask = parse_odp_flow(FLOW)
    actions = (*parse_actions("push_vlan(vid=5,pcp=0)"), Userspace("controller", ("mine", 7)))
    bench.dpif.flow_put(key, mask, (*actions, Output(2)))
    bench.send("p1", udp())
    (upcall,) = bench.dpif.recv_upcalls(10)
    assert (upcall.kind, upcall.cookie) == ("controller", ("mine", 7))
    assert upcall.packet[12:16] == b"\x81\x00\x00\x05"
    assert upcall.key == extract_key(upcall.packet, 1)
    assert bench.sent("p2") == [upcall.packet]


def test_flows_with_and_without_a_field_live_side_by_side() -> None:
    bench = Bench()
    bench.put("in_port(1),eth(),eth_type(0x0800),ipv4(proto=17,frag=no),udp(src=1001)", "2")
    bench.put("in_port(1),eth(),eth_type(0x0800),ipv4(proto=17,frag=no),udp(src=1002)", "3")
    bench.send("p1", udp(1), udp(2), udp(1))
    assert len(bench.sent("p2")) == 2
    bench.put(FLOW.replace("(1)", "(2)"), "1")
    bench.send("p1", udp(2))
    assert len(bench.sent("p3")) == 2
    assert bench.dpif.stats().masks == 2


def test_a_deleted_flow_is_returned_and_gone() -> None:
    bench = Bench()
    bench.put(FLOW, "2")
    bench.send("p1", udp())
    key, mask = parse_odp_flow(FLOW)
    gone = bench.dpif.flow_del(key, mask)
    assert gone is not None
    assert gone.stats.packets == 1
    bench.send("p1", udp())
    assert len(bench.sent("p2")) == 1
    assert bench.dpif.stats().flows == 0
    assert bench.dpif.flow_del(key, mask) is None


def test_flow_ids_depend_on_what_is_matched_alone() -> None:
    bench = Bench()
    key, mask = parse_odp_flow(FLOW)
    bench.dpif.flow_put(key, mask, ())
    (first,) = bench.dpif.flow_dump()
    bench.dpif.flow_flush()
    bench.dpif.flow_put(key | make_key(nw_src=5), mask, (Output(1),))
    (second,) = bench.dpif.flow_dump()
    assert first.ufid == second.ufid
    assert second.key != first.key


def test_more_connections_than_the_cache_holds_still_find_their_flow() -> None:
    bench = Bench()
    bench.put("in_port(1),eth(),eth_type(0x0800),ipv4(proto=17,frag=no),udp(src=0/0x0)", "2")
    bench.put("in_port(1),eth(),eth_type(0x0806),arp(sip=1.1.1.1)", "3")
    bench.put("in_port(2),eth(),eth_type(0x0800),ipv4(frag=no),udp(src=9)", "3")
    for start in range(0, 20_000, 5_000):
        bench.send("p1", *[udp(n) for n in range(start, start + 5_000)])
    assert bench.dpif.stats().hits == 20_000
    assert bench.dpif.stats().misses == 0


def tcp_gso(size: int) -> tuple[bytes, Offload]:
    segment = build.tcp(IP_A, IP_B, 1000, 80, b"x" * size)
    frame = build.ethernet(B, A, 0x0800, build.ipv4(IP_A, IP_B, 6, segment))
    return frame, Offload(NEEDS_CSUM, GSO_TCPV4, 54, 1448, 34, 16)


def test_offload_is_done_for_devices_that_cannot() -> None:
    bench = Bench()
    packet, offload = tcp_gso(5_000)
    bench.dpif.execute(packet, make_key(in_port=1), (Output(2),), offload)
    assert [len(packet) - 54 for packet in bench.sent("p2")] == [1448, 1448, 1448, 656]


def test_segments_get_their_own_label() -> None:
    bench = Bench()
    packet, offload = tcp_gso(3_000)
    push = parse_actions("push_mpls(label=5,tc=0,ttl=64,bos=1,eth_type=0x8847),2")
    bench.dpif.execute(packet, make_key(in_port=1), push, offload)
    assert [packet[12:18].hex() for packet in bench.sent("p2")] == ["884700005140"] * 3


def test_hashes_choose_by_connection() -> None:
    bench = Bench()
    bench.put(f"recirc_id(0),{FLOW}", "hash(l4(0)),recirc(0x1)")
    bench.send("p1", udp(1), udp(2), udp(1))
    hashes = [upcall.key for upcall in bench.dpif.recv_upcalls(10)]
    assert hashes[0] == hashes[2] != hashes[1]
    assert all(parse_odp_flow("recirc_id(0x1)")[0] & key for key in hashes)


def test_the_log_tells_of_flows_to_those_who_ask(capsys: pytest.CaptureFixture[str]) -> None:
    bench = Bench()
    levels = vlog.levels()
    flow = f"recirc_id(0),{FLOW}"
    bench.put(flow, "2")
    vlog.set_level(DBG, "dpif_netdev", CONSOLE)
    try:
        bench.put(flow, "3")
        bench.put(flow.replace("0x0800", "0x86dd").replace("ipv4", "ipv6"), "2,3")
    finally:
        vlog.set_levels(levels)
    changed, added = capsys.readouterr().err.splitlines()
    assert "|dpif_netdev|DBG|flow_mod: ufid:" in changed
    match = "recirc_id(0),in_port(1),eth(),eth_type(0x0800),ipv4(frag=no)"
    assert changed.endswith(f" {match}, old_actions:2, actions:3")
    assert "|dpif_netdev|DBG|flow_add: ufid:" in added
    assert added.endswith("eth_type(0x86dd),ipv6(frag=no), actions:2,3")
