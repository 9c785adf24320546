"""Data-path flow text. The strings were printed by Open vSwitch."""

from __future__ import annotations

import pytest

from netloom.base.errors import ConfigError
from netloom.flow.fields import SLOT
from netloom.flow.key import explain_key
from netloom.flow.odp_parse import parse_odp_flow, parse_odp_key
from netloom.flow.odp_text import format_odp_flow
from netloom.flow.text import parse_match

ETH = "packet_type(ns=0,id=0),eth(src=00:00:00:00:00:01,dst=00:00:00:00:00:02)"

PRINTED = [
    f"recirc_id(0),in_port(1),{ETH},eth_type(0x0800),ipv4(src=1.2.3.4,dst=5.6.7.8,proto=6,tos=0,"
    "ttl=64,frag=no),tcp(src=1,dst=2),tcp_flags(syn)",
    "recirc_id(0),in_port(1),packet_type(ns=0,id=0),eth_type(0x0800),ipv4(frag=later)",
    "recirc_id(0),in_port(1),eth(src=00:00:00:00:00:01),eth_type(0x8100),vlan(vid=5,pcp=3),"
    "encap(eth_type(0x0806),arp(sip=1.2.3.4,op=1))",
    "recirc_id(0),in_port(1),eth(),eth_type(0x8100),vlan(vid=5/0xff,pcp=1/0x1),"
    "encap(eth_type(0x0800),ipv4(frag=no))",
    "recirc_id(0),in_port(1),eth(),eth_type(0x8100),vlan(vid=5),encap(eth_type(0x8100),vlan(pcp=1),"
    "encap(eth_type(0x0800),ipv4(frag=no)))",
    "recirc_id(0),in_port(1),packet_type(ns=0,id=0),eth_type(0x8100),vlan(vid=5,pcp=3/0x0),"
    "encap(eth_type(0x8100),encap(eth_type(0x0800),ipv4(frag=no)))",
    "recirc_id(0),in_port(1),ct_state(-new+trk),ct_zone(0x3/0x7),ct_mark(0x5),ct_label(0x1/0xf),"
    "eth(),eth_type(0x0800),ipv4(frag=no)",
    "recirc_id(0),dp_hash(0x1/0x1),skb_priority(0x5),in_port(1),skb_mark(0x7/0xf),"
    "packet_type(ns=1,id=0x800),eth_type(0x0800),ipv4(proto=17,frag=first),udp(src=5/0xff)",
    "recirc_id(0),in_port(1),eth(),eth_type(0x8847),mpls(label=5/0xfffff,tc=1/7,ttl=64/0xff,"
    "bos=0/1,label=7/0xfffff,tc=0/0,ttl=3/0x3,bos=1/1)",
    "recirc_id(0),in_port(1),eth(),eth_type(0x8847),mpls(label=5,tc=0,ttl=64,bos=1)",
    "recirc_id(0),in_port(1),eth(),eth_type(0x0806),arp(sip=1.2.3.4/255.255.0.0)",
    "recirc_id(0),in_port(1),eth(),eth_type(0x86dd),ipv6(src=fe80::/ffff::,label=0x5,proto=58,"
    "frag=no),icmpv6(type=135,code=0),nd(target=::5,sll=00:00:00:00:00:05)",
    "recirc_id(0),in_port(1),eth(),eth_type(0x86dd),ipv6(proto=58,frag=no),icmpv6(type=136),"
    "nd(target=::5)",
    "recirc_id(0),tunnel(tun_id=0x5,ipv6_src=::1,ipv6_dst=::2,tos=0x4,ttl=1,"
    "vxlan(gbp(id=5,flags=0)),flags(key)),in_port(1),eth(),eth_type(0x0800),ipv4(frag=no)",
    "recirc_id(0),tunnel(tun_id=0x1,src=1.2.3.4,dst=5.6.7.8,ttl=64,erspan(ver=1,idx=0x7),"
    "flags(+key)),in_port(1),eth(),eth_type(0x0800),ipv4(frag=no)",
    "recirc_id(0),tunnel(src=1.2.3.4,dst=5.6.7.8,ttl=64,erspan(ver=2,dir=1,hwid=0x7/0xf),"
    "flags(-df+csum)),in_port(1),eth(),eth_type(0x0800),ipv4(frag=no)",
    "recirc_id(0),tunnel(src=1.2.3.4,dst=5.6.7.8,ttl=64,gtpu(flags=0x30,msgtype=255)),"
    "in_port(1),eth(),eth_type(0x0800),ipv4(frag=no)",
    "recirc_id(0),tunnel(tun_id=0x5,src=1.2.3.4,dst=5.6.7.8,ttl=64,tp_dst=4789,flags(df|key)),"
    "in_port(1),packet_type(ns=0,id=0),eth_type(0x0800),ipv4(frag=no)",
    "recirc_id(0),in_port(1),ct_state(-new+est-rel-rpl-inv+trk-snat-dnat),"
    "ct_tuple4(src=1.2.3.4,dst=0.0.0.0,proto=6,tp_src=5,tp_dst=0),eth(),eth_type(0x0800),ipv4(frag=no)",
    "recirc_id(0),in_port(1),packet_type(ns=0,id=0),eth_type(0/0xffff)",
    "recirc_id(0x5),in_port(1),eth(),eth_type(0x1234)",
    "recirc_id(0),in_port(2),packet_type(ns=0,id=0),eth_type(0x0800),ipv4(proto=1,frag=no),"
    "icmp(type=8,code=0)",
    "recirc_id(0),in_port(2),packet_type(ns=0,id=0),eth_type(0x0800),ipv4(proto=132,frag=no),"
    "sctp(dst=8)",
    "recirc_id(0),in_port(1),packet_type(ns=0,id=0),eth_type(0x894f),nsh(np=0,spi=0x0,c1=0x0)",
]


@pytest.mark.parametrize("text", PRINTED)
def test_printed_flow_is_read_and_printed_again(text: str) -> None:
    assert format_odp_flow(*parse_odp_flow(text)) == text


def test_metadata_have_one_order_and_flows_in_the_kernel_no_packet_type() -> None:
    key, mask = parse_odp_flow(
        "tunnel(tun_id=0x1,src=1.1.1.1,dst=2.2.2.2,ttl=64),skb_mark(0x3),ct_state(+est+trk),"
        "ct_zone(0x5),recirc_id(0x2),in_port(1),packet_type(ns=0,id=0),eth_type(0x0800),"
        "ipv4(frag=no)"
    )
    text = format_odp_flow(key, mask, in_kernel=True)
    assert text == (
        "recirc_id(0x2),tunnel(tun_id=0x1,src=1.1.1.1,dst=2.2.2.2,ttl=64,flags(+key)),in_port(1),"
        "skb_mark(0x3),ct_state(+est+trk),ct_zone(0x5),eth(),eth_type(0x0800),ipv4(frag=no)"
    )


def test_verbose_flow_shows_the_packet_behind_the_mask() -> None:
    key = parse_odp_key(
        "in_port(1),packet_type(ns=0,id=0),eth(src=00:00:00:00:00:01,dst=ff:ff:ff:ff:ff:ff),"
        "eth_type(0x8100),vlan(vid=5,pcp=3),encap(eth_type(0x0800),ipv4(src=1.2.3.4,dst=5.6.7.8,"
        "proto=6,ttl=64,frag=no))"
    )
    mask = parse_match("recirc_id=0,in_port=1,eth,dl_vlan=5").mask | 3 << SLOT["nw_frag"].shift
    mask |= SLOT["dl_type"].mask
    assert format_odp_flow(key, mask, {1: "p1"}, verbose=True) == (
        "recirc_id(0),dp_hash(0/0),skb_priority(0/0),in_port(p1),skb_mark(0/0),ct_state(0/0),"
        "ct_zone(0/0),ct_mark(0/0),ct_label(0/0),packet_type(ns=0,id=0),"
        "eth(src=00:00:00:00:00:01/00:00:00:00:00:00,dst=ff:ff:ff:ff:ff:ff/00:00:00:00:00:00),"
        "eth_type(0x8100),vlan(vid=5,pcp=3/0x0),encap(eth_type(0x0800),ipv4(src=1.2.3.4/0.0.0.0,"
        "dst=5.6.7.8/0.0.0.0,proto=6/0,tos=0/0,ttl=64/0,frag=no),tcp(src=0/0,dst=0/0))"
    )


def test_ports_by_name() -> None:
    assert explain_key(parse_odp_key("in_port(p2),eth(),eth_type(0x1234)", {"p2": 2})) == {
        "in_port": 2, "dl_type": 0x1234,
    }  # fmt: skip


def test_flow_without_ethernet_header_has_its_type_as_packet_type() -> None:
    key, mask = parse_odp_flow("in_port(1),eth_type(0x0800),ipv4(frag=no)")
    assert SLOT["packet_type"].get(key) == 0x10800
    assert SLOT["packet_type"].get(mask) == 0


def test_frame_without_type_is_8023() -> None:
    assert SLOT["dl_type"].get(parse_odp_key("in_port(1),eth(src=00:00:00:00:00:01)")) == 0x05FF


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("in_port(2),foo(1)", "foo(1)"),
        ("in_port(zz),eth()", "in_port(zz),eth()"),
        ("in_port(1),ipv4(src=1.2.3)", "ipv4(src=1.2.3)"),
        ("in_port(1),ipv4(src=1.2.3.0/24,frag=no)", "ipv4(src=1.2.3.0/24,frag=no)"),
        ("in_port(1),ipv4(proto=256)", "ipv4(proto=256)"),
        ("in_port(1),ipv4(frag=x)", "ipv4(frag=x)"),
        ("eth(src=1)", "eth(src=1)"),
        ("in_port(1", "in_port(1"),
        ("ct_state(foo)", "ct_state(foo)"),
        ("tunnel(x=1)", "tunnel(x=1)"),
        ("tunnel(flags(foo))", "tunnel(flags(foo))"),
        ("vlan(vid=4096)", "vlan(vid=4096)"),
        ("mpls(label=1,label=2,label=3,label=4)", "mpls(label=1,label=2,label=3,label=4)"),
        ("eth_type(0x12345)", "eth_type(0x12345)"),
    ],
)
def test_error_shows_the_text_from_the_bad_attribute_on(text: str, rest: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_odp_flow(text)
    assert str(error.value) == f"syntax error at {rest}"


def test_whole_key_prints_without_masks() -> None:
    text = (
        "recirc_id(0),dp_hash(0),skb_priority(0),in_port(1),skb_mark(0),ct_state(0),ct_zone(0),"
        f"ct_mark(0),ct_label(0),{ETH},eth_type(0x0806),arp(sip=1.2.3.4,tip=5.6.7.8,op=1,"
        "sha=00:00:00:00:00:01,tha=00:00:00:00:00:00)"
    )
    assert format_odp_flow(parse_odp_key(text)) == text


def test_the_id_in_front_of_a_dumped_flow_is_passed_over() -> None:
    text = f"in_port(1),{ETH}"
    ufid = "ufid:12345678-9abc-def0-1234-56789abcdef0"
    assert parse_odp_flow(f"{ufid}{text}") == parse_odp_flow(f"{ufid} {text}")
    assert parse_odp_flow(f"{ufid} {text}") == parse_odp_flow(text)
    with pytest.raises(ConfigError, match="syntax error at , in_port"):
        parse_odp_flow(f"{ufid}, {text}")
    with pytest.raises(ConfigError, match="syntax error at ufid:1234,in_port"):
        parse_odp_flow("ufid:1234,in_port(1)")


@pytest.mark.parametrize(
    ("layer3", "dl_type"),
    [
        ("ipv4(proto=1,frag=no)", 0x0800),
        ("ipv6(proto=6,frag=no)", 0x86DD),
        ("mpls(label=1,tc=0,ttl=3,bos=1)", 0x8847),
    ],
)
def test_headers_tell_the_ethernet_type_that_is_not_given(layer3: str, dl_type: int) -> None:
    key, mask = parse_odp_flow(f"in_port(1),eth(),{layer3}")
    assert SLOT["dl_type"].get(key) == dl_type and SLOT["dl_type"].get(mask) == 0xFFFF
    key, _ = parse_odp_flow(f"in_port(1),eth(),eth_type(0x1234),{layer3}")
    assert SLOT["dl_type"].get(key) == 0x1234
