"""Headers on, headers off: every type of tunnel, over both families."""

from __future__ import annotations

import pytest

from netloom.datapath.action_parse import parse_actions
from netloom.datapath.action_text import format_actions
from netloom.datapath.userspace.tunnels import (
    pack_options,
    pop_tunnel,
    source_port,
    unpack_options,
)
from netloom.flow.extract import extract_key
from netloom.flow.fields import SLOT
from netloom.netdev.tunnel_config import TYPES
from netloom.packet import build
from netloom.packet import tunnel as t

TO, FROM = b"\2\0\0\0\0\2", b"\2\0\0\0\0\1"
INNER = build.ethernet(
    b"\2\0\0\0\0\x22", b"\2\0\0\0\0\x11", 0x0800,
    build.ipv4(b"\x0a\0\0\1", b"\x0a\0\0\2", 17, b"\0\1\0\2\0\x0c\0\0data"),
)  # fmt: skip
OPTION = t.build_option(0xFFFF, 0x80, b"\0\0\0\x0a")


def _outer(payload: bytes, proto: int, is_ipv6: bool) -> bytes:
    if is_ipv6:
        ip = build.ipv6(bytes(15) + b"\1", bytes(15) + b"\2", proto, payload, hlimit=64, tclass=1)
        return build.ethernet(TO, FROM, 0x86DD, ip)
    ip = build.ipv4(b"\1\1\1\1", b"\2\2\2\2", proto, payload, ttl=64, tos=1, frag=0x4000)
    return build.ethernet(TO, FROM, 0x0800, ip)


HEADERS = {
    "vxlan": t.build_udp(4789, True, t.build_vxlan(0x123456)),
    "geneve": t.build_udp(6081, False, t.build_geneve(0x123456, OPTION)),
    "gre": t.build_gre(0x6558, csum=True, key=0x123456, seq=True),
    "erspan": t.build_erspan(1, 0x156, 7),
    "ip6erspan": t.build_erspan(2, 0x156, dir_=1, hwid=4),
}


@pytest.mark.parametrize("is_ipv6", [False, True])
@pytest.mark.parametrize("type_", HEADERS)
def test_what_was_pushed_is_popped(type_: str, is_ipv6: bool) -> None:
    row = TYPES[type_]
    packet = bytearray(_outer(HEADERS[type_], row.nw_proto, is_ipv6) + INNER)
    t.finish_tunnel(packet, 40_000, 3)
    popped = pop_tunnel(bytes(packet), type_)
    assert popped is not None
    inner, key = popped
    assert inner == INNER
    assert SLOT["tun_id"].get(key) == (0x156 if "span" in type_ else 0x123456)
    assert SLOT["tun_ttl"].get(key) == 64 and SLOT["tun_tos"].get(key) == 1
    assert bool(SLOT["tun_ipv6_dst"].get(key)) is is_ipv6
    assert SLOT["tun_flags"].get(key) == (0xC if type_ in ("vxlan", "gre") else 0x8)
    if type_ == "geneve":
        assert unpack_options(key) == OPTION


@pytest.mark.parametrize("type_", HEADERS)
def test_damaged_headers_are_no_packets(type_: str) -> None:
    packet = bytearray(_outer(HEADERS[type_], TYPES[type_].nw_proto, False) + INNER)
    t.finish_tunnel(packet, 40_000, 0)
    for length in range(len(packet) - len(INNER)):
        assert pop_tunnel(bytes(packet[:length]), type_) is None
    packet[20] ^= 0xFF
    assert pop_tunnel(bytes(packet), type_) is None


def test_a_wrong_checksum_of_udp_is_noticed() -> None:
    packet = bytearray(_outer(HEADERS["vxlan"], 17, False) + INNER)
    t.finish_tunnel(packet, 40_000, 0)
    packet[-1] ^= 1
    assert pop_tunnel(bytes(packet), "vxlan") is None


def test_gtp_carries_ip() -> None:
    ip = INNER[14:]
    packet = bytearray(_outer(t.build_udp(2152, False, t.build_gtpu(77)), 17, False) + ip)
    t.finish_tunnel(packet, 40_000, 0, is_gtpu=True)
    popped = pop_tunnel(bytes(packet), "gtpu")
    assert popped is not None and popped[0] == ip
    assert SLOT["packet_type"].get(popped[1]) == 0x10800
    assert SLOT["tun_gtpu_msgtype"].get(popped[1]) == 255


def _srv6(how: int, inner: bytes, segments_left: int = 0) -> bytearray:
    """A packet by segment routing to its only station; `how` is the flow label made?"""
    routing = bytearray(t.build_srv6(41 if inner[0] >> 4 == 6 else 4, [bytes(15) + b"\2"]))
    routing[3] = segments_left
    packet = bytearray(_outer(bytes(routing), 43, is_ipv6=True) + inner)
    packet[17] = how
    t.finish_srv6(packet, 0xABCDE)
    return packet


def test_segment_routing_carries_ip_and_a_flow_label() -> None:
    inside = build.ipv6(bytes(16), bytes(16), 17, b"\0\1\0\2\0\x08\0\0", hlimit=9)
    inside = inside[:1] + b"\1\2\3" + inside[4:]
    for how, label in ((0, 0x10203), (1, 0), (2, 0xABCDE)):
        packet = bytes(_srv6(how, inside))
        assert int.from_bytes(packet[14:18], "big") & 0xFFFFF == label
        assert int.from_bytes(packet[18:20], "big") == len(packet) - 54
        popped = pop_tunnel(packet, "srv6")
        assert popped is not None and popped[0] == inside
        assert SLOT["packet_type"].get(popped[1]) == 0x186DD
    ipv4 = pop_tunnel(bytes(_srv6(0, INNER[14:])), "srv6")
    assert ipv4 is not None and SLOT["packet_type"].get(ipv4[1]) == 0x10800
    assert pop_tunnel(bytes(_srv6(0, inside, segments_left=1)), "srv6") is None
    assert pop_tunnel(bytes(_srv6(0, inside))[:70], "srv6") is None


def test_what_lies_behind_the_outer_packet_stays() -> None:
    packet = bytearray(_outer(HEADERS["erspan"], 47, False) + INNER)
    t.finish_tunnel(packet, 40_000, 0)
    popped = pop_tunnel(bytes(packet) + b"padding", "erspan")
    assert popped is not None and popped[0] == INNER + b"padding"


def test_group_policy_travels() -> None:
    header = t.build_udp(4789, False, t.build_vxlan(5, (0x77, t.VXLAN_GBP_POLICY_APPLIED)))
    packet = bytearray(_outer(header, 17, False) + INNER)
    t.finish_tunnel(packet, 1, 0)
    popped = pop_tunnel(bytes(packet), "vxlan")
    assert popped is not None
    assert (SLOT["tun_gbp_id"].get(popped[1]), SLOT["tun_gbp_flags"].get(popped[1])) == (0x77, 8)


def test_options_fit_into_a_key() -> None:
    options = OPTION + t.build_option(1, 2, b"")
    assert unpack_options(pack_options(0, options)) == options
    assert t.split_options(options) == [(0xFFFF, 0x80, b"\0\0\0\x0a"), (1, 2, b"")]


def test_one_connection_leaves_from_one_port() -> None:
    key = extract_key(INNER)
    assert source_port(key, (32768, 61000)) == source_port(key, (32768, 61000))
    assert 10 <= source_port(key, (10, 20)) < 20


@pytest.mark.parametrize(
    "text",
    [
        "tnl_pop(4789)",
        "push_eth(src=00:00:00:00:00:01,dst=00:00:00:00:00:02),3",
        "pop_eth,3",
        "clone(tnl_push(tnl_port(6081),header(size=62,type=5,eth(dst=f8:bc:12:44:34:b6,"
        "src=aa:55:aa:55:00:00,dl_type=0x0800),ipv4(src=1.1.2.88,dst=1.1.2.92,proto=17,tos=0,"
        "ttl=64,frag=0x4000),udp(src=0,dst=6081,csum=0x0),geneve(crit,vni=0x7b,"
        "options({class=0xffff,type=0x80,len=4,0xa}{class=0xffff,type=0x81,len=0}))),"
        "out_port(100)),1)",
        "tnl_push(tnl_port(3),header(size=50,type=3,eth(dst=f8:bc:12:44:34:b6,"
        "src=aa:55:aa:55:00:00,dl_type=0x0800),ipv4(src=1.1.2.88,dst=1.1.2.92,proto=47,tos=0x20,"
        "ttl=55,frag=0x4000),gre((flags=0xb000,proto=0x6558),csum=0x0,key=0x0,seq=0x0)),"
        "out_port(100))",
        "tnl_push(tnl_port(6),header(size=94,type=112,eth(dst=f8:bc:12:44:34:b6,"
        "src=aa:55:aa:55:00:00,dl_type=0x86dd),ipv6(src=2001:cafe::88,dst=2001:cafe::92,label=1,"
        "proto=43,tclass=0x0,hlimit=64),srv6(segments_left=1,"
        "segs(2001:cafe::92,2001:cafe::93))),out_port(100))",
    ],
)
def test_actions_of_tunnels_read_what_they_print(text: str) -> None:
    assert format_actions(parse_actions(text)) == text
