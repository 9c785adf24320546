"""Checksums that devices know of, and TCP that they left uncut, on their way through the data path
in Python; and what is counted and logged of it."""

from __future__ import annotations

import pytest
from tests.support.dummy_datapath import FLOW, IP_A, IP_B, A, B, Bench, udp

from netloom.flow.key import CT_STATE_SHIFT
from netloom.netdev.tunnel import TunnelPort
from netloom.netdev.tunnel_config import TunnelConfig
from netloom.packet import build
from netloom.packet.checksum import checksum
from netloom.packet.offload import fill_checksums
from netloom.packet.parse import parse

IP_C = bytes((1, 2, 3, 4))
SET_FLOW = "set(ipv4(dst=1.2.3.4)),2"
GRE = "gre((flags=0x{flags:x},proto=0x6558){csum})"


def ip(packet: bytes) -> bytes:
    """The IPv4 checksum of a packet."""
    return packet[24:26]


def spoilt() -> bytes:
    data = bytearray(udp())
    data[24] ^= 1
    return bytes(data)


def redirected() -> bytes:
    datagram = build.udp(IP_A, IP_C, 1000, 53, b"data")
    return build.ethernet(B, A, 0x0800, build.ipv4(IP_A, IP_C, 17, datagram))


def long_tcp(n_bytes: int) -> bytes:
    header = bytes((4, 210, 0, 80)) + bytes(8) + b"\x50\x10" + bytes(6)
    data = build.ipv4(IP_A, IP_B, 6, header + bytes(n_bytes))
    return fill_checksums(build.ethernet(B, A, 0x0800, data))


def push(kind: int, headers: str, size: int, proto: int, then: str) -> str:
    return (
        f"clone(tnl_push(tnl_port(9),header(size={size},type={kind},eth(dst=02:00:00:00:00:0b,"
        "src=02:00:00:00:00:0a,dl_type=0x0800),ipv4(src=1.1.2.88,dst=1.1.2.92,"
        f"proto={proto},tos=0,ttl=64,frag=0x4000),{headers}),out_port(1)),{then})"
    )


def vxlan(then: str, csum: int = 0xFFFF) -> str:
    headers = f"udp(src=0,dst=4789,csum=0x{csum:x}),vxlan(flags=0x8000000,vni=0x7b)"
    return push(4, headers, 50, 17, then)


def options(bench: Bench, name: str, *words: str) -> None:
    bench.factory.leave_segments()
    pairs = (word.partition("=") for word in words)
    bench.factory.devices[name].set_options({key: value or "true" for key, _, value in pairs})


@pytest.mark.parametrize(
    ("said", "is_right"),
    [(None, False), ("good", True), ("bad", False), ("partial", True)],
)
def test_what_a_device_calls_good_leaves_right(said: str | None, is_right: bool) -> None:
    bench = Bench()
    options(bench, "p1", *([f"ol_ip_rx_csum_set_{said}"] if said else []))
    bench.put(FLOW, SET_FLOW)
    bench.send("p1", spoilt())
    (sent,) = bench.sent("p2")
    assert (sent == redirected()) == is_right
    assert ip(sent) != ip(spoilt())


def test_a_device_that_fills_checksums_is_given_them_as_they_were() -> None:
    bench = Bench()
    options(bench, "p1", "ol_ip_rx_csum_set_good", "ol_l4_rx_csum_set_good")
    options(bench, "p2", "ol_ip_tx_csum", "ol_ip_tx_csum_disabled", "ol_l4_tx_csum")
    bench.put(FLOW, SET_FLOW)
    bench.send("p1", spoilt())
    (sent,) = bench.sent("p2")
    assert (ip(sent), sent[26:]) == (ip(spoilt()), redirected()[26:])


@pytest.mark.parametrize("layer", ["ip", "l4"])
def test_a_packet_whose_checksum_is_bad_is_of_no_connection(layer: str) -> None:
    bench = Bench()
    bench.put(f"recirc_id(0),{FLOW}", "ct(commit),recirc(0x5)")
    events = {
        "ip": ("conntrack_l3csum_checked", "conntrack_l3csum_err"),
        "l4": ("conntrack_l4csum_checked", "conntrack_l4csum_err"),
    }[layer]

    def track(*words: str) -> tuple[bool, int, int]:
        options(bench, "p1", *words)
        bench.send("p1", udp())
        (upcall,) = bench.dpif.recv_upcalls(5)
        is_invalid = bool(upcall.key >> CT_STATE_SHIFT & 0x10)
        checked, wrong = (bench.counters.counter(name).total for name in events)
        return is_invalid, checked, wrong

    assert track() == (False, 1, 0)
    assert track(f"ol_{layer}_rx_csum_set_good") == (False, 1, 0)
    assert track(f"ol_{layer}_rx_csum_set_partial") == (False, 1, 0)
    assert track(f"ol_{layer}_rx_csum_set_bad") == (True, 1, 1)
    assert track() == (False, 2, 1)


def test_a_packet_is_looked_at_once_however_often_it_is_tracked() -> None:
    bench = Bench()
    bench.put(FLOW, "ct(zone=1),ct(zone=2),ct(commit,zone=3,nat),2")
    bench.send("p1", udp(), udp(1))
    assert bench.counters.counter("conntrack_l3csum_checked").total == 2


def test_nat_puts_off_what_is_good() -> None:
    bench = Bench()
    options(bench, "p1", "ol_ip_rx_csum_set_good", "ol_l4_rx_csum_set_good")
    bench.put(FLOW, "ct(commit,nat(dst=1.2.3.4)),2")
    bench.send("p1", spoilt())
    assert bench.sent("p2") == [redirected()]


def test_segments_in_a_tunnel_are_cut_when_they_leave_and_count_up() -> None:
    bench = Bench()
    options(bench, "p1", "ol_tso_segsz=500")
    for number, actions in enumerate(
        (
            vxlan("2"),
            push(3, GRE.format(flags=0, csum=""), 38, 47, "2"),
            push(3, GRE.format(flags=0x8000, csum=",csum=0x0"), 42, 47, "2"),
        )
    ):
        bench.put(FLOW, actions)
        bench.send("p1", long_tcp(1_200))
        parts = bench.sent("p2")[3 * number :]
        assert [part[18:20] for part in parts] == [b"\0\0", b"\0\1", b"\0\2"]
        for part in parts:
            headers = parse(part)
            assert headers.end == len(part) < 650
            assert not checksum(part[14:34])
            if headers.proto == 47:
                assert not part[34] & 0x80 or not checksum(part[34:])
            else:
                assert fill_checksums(part) == part
            inside = part[-554 if len(part) > 554 + 30 else -254 :]
            assert fill_checksums(inside) == inside
    assert bench.factory.n_segmented == 3


def test_what_is_in_a_tunnel_already_is_cut_before_it_is_in_another() -> None:
    bench = Bench()
    options(bench, "p1", "ol_tso_segsz=1000")
    bench.put(FLOW, vxlan(vxlan("2")))
    bench.send("p1", long_tcp(35_000))
    assert len(bench.sent("p2")) == 35
    counts = {
        name: bench.counters.counter(name).total
        for name in ("dp_packet_gso", "dp_packet_batch_grow", "dpif_netdev_output_grow_queues")
    }
    assert list(counts.values()) == [1, 2, 1]
    assert bench.factory.n_segmented == 0


def test_a_packet_that_is_too_long_for_headers_more_is_cut_before() -> None:
    bench = Bench()
    options(bench, "p1", "ol_tso_segsz=1000")
    bench.put(FLOW, vxlan("2"))
    bench.send("p1", long_tcp(65_400))
    assert len(bench.sent("p2")) == 66
    assert all(fill_checksums(packet) == packet for packet in bench.sent("p2"))


@pytest.mark.parametrize("csum", [0, 0xFFFF])
def test_both_headers_are_right_whoever_fills_them(csum: int) -> None:
    bench = Bench()
    bench.put(FLOW, vxlan("2", csum))
    bench.send("p1", udp())
    for device in ((), ("ol_ip_tx_csum", "ol_l4_tx_csum"), ("ol_out_udp_tx_csum",)):
        options(bench, "p2", *device)
        options(bench, "p1", "ol_ip_rx_csum_set_partial", "ol_l4_rx_csum_set_partial")
        bench.send("p1", spoilt())
        assert bench.sent("p2")[-1] == bench.sent("p2")[0]


def test_headers_of_a_tunnel_that_a_device_calls_bad_do_not_go_off() -> None:
    bench = Bench()
    bench.dpif.port_add(TunnelPort(TunnelConfig("vxlan", dst_port=4789)))
    number = next(p.number for p in bench.dpif.ports() if p.name == "vxlan_sys_4789")
    bench.put(FLOW, vxlan("2"))
    bench.send("p1", udp())
    (outside,) = bench.sent("p2")
    in_3 = FLOW.replace("(1)", "(3)")
    bench.put(f"recirc_id(0),{in_3}", f"tnl_pop({number})")
    events = [f"native_tnl_l{layer}csum_{what}" for layer in "34" for what in ("checked", "err")]

    def look() -> list[int]:
        bench.send("p3", outside)
        return [bench.counters.counter(name).total for name in events]

    assert look() == [1, 0, 1, 0]
    options(bench, "p3", "ol_ip_rx_csum_set_good", "ol_l4_rx_csum_set_good")
    assert look() == [1, 0, 1, 0]
    options(bench, "p3", "ol_ip_rx_csum_set_bad")
    assert look() == [1, 1, 1, 0]
    options(bench, "p3", "ol_l4_rx_csum_set_bad")
    assert look() == [2, 1, 1, 1]
    assert len(bench.dpif.recv_upcalls(10)) == 2
