"""Text of data-path actions: as Debian's `ovs-dpctl parse-actions` prints it, and back."""

from __future__ import annotations

import pytest

from netloom.base.errors import ConfigError
from netloom.datapath import actions as dp
from netloom.datapath.action_parse import parse_actions
from netloom.datapath.action_text import format_actions

CONTROLLER = (
    "userspace(pid=0,controller(reason=1,dont_send=0,continuation=0,recirc_id=1,"
    "rule_cookie=0x10,controller_id=0,max_len=65535))"
)
SAMPLE = (
    "userspace(pid=0,flow_sample(probability=123,collector_set_id=1234,obs_domain_id=2345,"
    "obs_point_id=3456,output_port=10{}))"
)

SAME = [
    "drop",
    "1,2",
    "push_vlan(vid=10,pcp=3),2",
    "push_vlan(tpid=0x88a8,vid=10,pcp=3,cfi=0),2",
    "pop_vlan,1",
    "set(eth(src=00:11:22:33:44:55,dst=00:11:22:33:44:66)),1",
    "set(eth(dst=00:00:22:33:44:66/ff:00:ff:ff:ff:ff)),1",
    "set(ipv4(src=1.2.0.0/255.255.0.0,ttl=63)),2",
    "set(ipv4(src=1.2.3.4,dst=2.2.2.2,proto=6,tos=0,ttl=63,frag=no)),2",
    "set(ipv4(tos=0x8/0xfc)),2",
    "set(tcp(src=80,dst=81)),1",
    "set(tcp(src=80/0xff))",
    "set(udp(src=1))",
    "set(sctp(src=1)),1",
    "set(tcp_flags(syn)),1",
    "set(icmp(type=8)),1",
    "set(icmpv6(type=1))",
    "set(nd(target=::1)),1",
    "set(arp(sip=1.1.1.1,op=2)),1",
    "set(ipv6(src=::1,label=0x5,tclass=0x3,hlimit=9)),1",
    "set(vlan(vid=5,pcp=0)),1",
    "set(mpls(label=10,tc=0,ttl=1,bos=0)),1",
    "set(mpls(label=10/0xfffff,tc=0/7,ttl=1/0xff,bos=0/0))",
    "set(skb_priority(0x1)),1",
    "set(skb_mark(0x5/0xff)),1",
    "push_mpls(label=0,tc=0,ttl=64,bos=1,eth_type=0x8847),2",
    "pop_mpls(eth_type=0x800),2",
    "recirc(0x1)",
    "hash(l4(0)),recirc(0x1)",
    "hash(sym_l4(5)),recirc(0x1)",
    "trunc(100),2",
    "clone(1,pop_vlan),2",
    "clone(drop)",
    "sample(sample=50.0%,actions(1,2))",
    "sample(sample=0.1%,actions(1))",
    "psample(group=12)",
    "psample(group=12,cookie=0xf1020304050607080910111213141516)",
    "sample(sample=50.0%,actions(psample(group=12,cookie=0xf1020304),2))",
    "meter(1),2",
    "ct_clear,2",
    "check_pkt_len(size=100,gt(set(eth(dst=00:11:22:33:44:66)),1),le(drop)),3",
    "userspace(pid=0,slow_path(action))",
    "userspace(pid=0,slow_path(0))",
    "userspace(pid=0,sFlow(vid=9,pcp=7,output=10))",
    "userspace(pid=0,sFlow(vid=9,pcp=7,output=10),actions)",
    "userspace(pid=0,ipfix(output_port=10),tunnel_out_port=10)",
    "userspace(pid=0,ipfix(output_port=10))",
    SAMPLE.format(""),
    SAMPLE.format(",ingress"),
    CONTROLLER,
]


@pytest.mark.parametrize("text", [text for text in SAME if text != "clone(drop)"])
def test_text_survives_reading_and_printing(text: str) -> None:
    assert format_actions(parse_actions(text)) == text


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("", "drop"),
        ("clone()", "clone(drop)"),
        (" 1 , 2", "1,2"),
        ("1 2", "1,2"),
        ("0x5", "5"),
        ("psample(group=0x5,cookie=0x0102)", "psample(group=5,cookie=0x102)"),
        ("psample(group=5,cookie=0x102)", "psample(group=5,cookie=0x102)"),
        ("psample(group=5,cookie=0x00)", "psample(group=5,cookie=0)"),
        ("recirc(1)", "recirc(0x1)"),
        ("check_pkt_len(size=100,gt(1),le())", "check_pkt_len(size=100,gt(1),le(drop))"),
        ("userspace(pid=9,slow_path())", "userspace(pid=0,slow_path(0))"),
        ("set(eth(dst=00:11:22:33:44:66/ff:ff:ff:ff:ff:ff))", "set(eth(dst=00:11:22:33:44:66))"),
    ],
)
def test_text_is_printed_in_one_form(text: str, printed: str) -> None:
    assert format_actions(parse_actions(text)) == printed


@pytest.mark.parametrize(
    "text",
    [
        *("bogus", "1,bogus(2)", "drop,1", "1,drop", "drop(1)", "p1", "userspace(1)", "-1"),
        *("set(eth(dst=00:11:22:33:44:66)", "push_vlan(vid=5000,pcp=0)", "push_vlan(vid=5)"),
        *("sample(sample=50%,actions(drop))", "clone(drop)", "set(bogus(1))", "4294967296"),
        *("psample(group_id=12,cookie=0x01)", "psample(cookie=0x010203)", "psample(group=abc)"),
        *("psample(group=12,cookie=0x01,group=12)", "psample(group=12,cookie=wrong)", "psample()"),
        *("psample(group=1,cookie=0x" + 17 * "01" + ")", "psample(group=1,cookie=0xg)"),
        *("set(in_port(1))", "trunc(x)", "userspace(pid=0,bogus(1))", "hash(l7(0))"),
    ],
)
def test_what_is_no_action_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_actions(text)


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(ConfigError):
        parse_actions("clone(" * 40 + "1" + ")" * 40)


def test_ports_have_names_where_they_are_known() -> None:
    actions = parse_actions("p1,clone(p2),3", {"p1": 1, "p2": 2})
    assert actions == (dp.Output(1), dp.Clone((dp.Output(2),)), dp.Output(3))
    assert format_actions(actions, {1: "p1", 2: "p2"}) == "p1,clone(p2),3"


def test_a_cookie_keeps_more_than_it_shows() -> None:
    action = dp.Userspace("slow_path", ("lacp", "for the caller"))
    assert format_actions((action,)) == "userspace(pid=0,slow_path(lacp))"


def test_an_output_to_a_bond_is_read_as_it_is_printed() -> None:
    (action,) = parse_actions("lb_output(7)")
    assert action == dp.LbOutput(7)
    assert format_actions((action,)) == "lb_output(7)"
    with pytest.raises(ConfigError):
        parse_actions("lb_output(x)")
