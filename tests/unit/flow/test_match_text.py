"""The text of matches, as Open vSwitch reads and prints it."""

from __future__ import annotations

import pytest

from netloom.base.errors import ConfigError
from netloom.flow.fields import FIELD, SLOT
from netloom.flow.match import Match
from netloom.flow.prerequisites import normalize_match, prerequisites_met
from netloom.flow.print import format_flow, format_match, format_megaflow
from netloom.flow.text import parse_flow, parse_match, parse_subfield
from netloom.flow.value_text import format_field_value, parse_field_value
from netloom.flow.words import split_words

PRINTED = """
tcp,in_port=1,nw_src=1.2.3.4,tp_dst=80 | tcp,in_port=1,nw_src=1.2.3.4,tp_dst=80
tp_dst=80,nw_src=1.2.3.4,in_port=1,tcp | tcp,in_port=1,nw_src=1.2.3.4,tp_dst=80
tcp in_port=1 | tcp,in_port=1
tcp,,in_port:1 | tcp,in_port=1
tcp(x),in_port=LOCAL | tcp,in_port=LOCAL
dl_type=0x800,nw_proto=6,tcp_dst=0x50 | tcp,tp_dst=80
ip,nw_proto=0 | ip,nw_proto=0
ip4,ip_src=10.9.8.7/8 | ip,nw_src=10.0.0.0/8
ip,nw_src=1.2.3.4/255.0.255.0 | ip,nw_src=1.0.3.0/255.0.255.0
ip,nw_src=1.2.3.4/0 | ip
dl_type=0x1234 | dl_type=0x1234
dl_vlan=5000 | dl_vlan=904
dl_vlan=0xffff | vlan_tci=0x0000
dl_vlan=5,dl_vlan_pcp=3 | dl_vlan=5,dl_vlan_pcp=3
dl_vlan_pcp=9 | dl_vlan_pcp=1
vlan_tci=0x1005 | dl_vlan=5,dl_vlan_pcp=0
vlan_tci=0x1000/0x1000 | vlan_tci=0x1000/0x1000
vlan_vid=0x1005 | dl_vlan=5
vlan_vid=0x1000/0x1000 | vlan_tci=0x1000/0x1000
ip,nw_tos=7 | ip,nw_tos=4
ip,ip_dscp=3,nw_ecn=5,nw_ttl=9 | ip,nw_tos=12,nw_ecn=1,nw_ttl=9
ip,nw_frag=NOT_LATER | ip,nw_frag=not_later
tcp,tp_src=010 | tcp,tp_src=8
tcp,tp_src | tcp
tcp,tp_src=0x1/0xff | tcp,tp_src=0x1/0xff
tcp,tcp_flags=+syn-ack | tcp,tcp_flags=+syn-ack
tcp,tcp_flags=syn|ack | tcp,tcp_flags=syn|ack
tcp,tcp_flags=0x12/0x3f | tcp,tcp_flags=-fin+syn-rst-psh+ack-urg
ct_state=+trk+est-inv | ct_state=+est-inv+trk
ct_state=0x21 | ct_state=new|trk
ct_label=0 | ct_label=0
ct_label=0x5/0xf | ct_label=0x5/0xf
ct_zone=5,ct_mark=0x7/0xff | ct_zone=5,ct_mark=0x7/0xff
pkt_mark=5/7 | pkt_mark=0x5/0x7
reg0[1..3]=5 | reg0=0xa/0xe
NXM_NX_REG0[0..3]=5 | reg0=0x5/0xf
reg0[4]=1,reg0[0]=0 | reg0=0x10/0x11
xreg0=5 | reg0=0,reg1=0x5
xxreg1=5/0xf | reg7=0x5/0xf
reg31=1 | reg31=0x1
metadata=0/0 |
tunnel_id=5,tun_src=1.2.3.4,tun_flags=oam | tun_id=0x5,tun_src=1.2.3.4,tun_flags=+oam
packet_type=(1,0x800) | packet_type=(1,0x800)
conj_id=5,actset_output=3,dp_hash=5 | dp_hash=0x5,conj_id=5,actset_output=3
arp,arp_op=1,nw_src=1.2.3.4,arp_sha=1:2:3:4:5:6 | arp,arp_spa=1.2.3.4,arp_op=1,arp_sha=01:02:03:04:05:06
mpls,mpls_label=9999999,mpls_bos=1 | mpls,mpls_label=562815,mpls_bos=1
ipv6,ipv6_src=::1/ffff::,ipv6_label=0x12345 | ipv6,ipv6_src=::/16,ipv6_label=0x12345
icmp6,icmpv6_type=135,icmpv6_code=0,nd_target=::1,nd_sll=1:2:3:4:5:6 | icmp6,icmp_type=135,icmp_code=0,nd_target=::1,nd_sll=01:02:03:04:05:06
icmp,icmp_type=3 | icmp,icmp_type=3
dl_type=0x894f,nsh_spi=1,nsh_flags=1/3,nsh_mdtype=1,nsh_c1=3/3 | dl_type=0x894f,nsh_flags=0x01/0x03,nsh_mdtype=1,nsh_spi=0x1,nsh_c1=0x3/0x3
eth |
"""  # noqa: E501


@pytest.mark.parametrize("row", [row for row in PRINTED.split("\n") if row])
def test_printed_match(row: str) -> None:
    # A flag set may contain the bar that separates the columns.
    text, _, printed = row.partition(" | ") if " | " in row else row.partition(" |")
    match, lines = normalize_match(parse_match(text))
    assert lines == []
    assert format_match(match) == printed
    assert format_match(parse_match(printed)) == printed


ERRORS = """
ip,nw_tos=300 @ 300: value too large for 1-byte field nw_tos
tcp,tp_src=-1 @ -1: value too large for 2-byte field tcp_src
tcp,tp_src=5/70000 @ 5/70000: mask too large for 2-byte field tcp_src
tcp,tp_src=x @ x: bad syntax for tcp_src value
tcp,tp_src=09 @ 09: bad syntax for tcp_src value
tcp,tp_src=5/x @ 5/x: bad syntax for tcp_src mask
dl_src=1:2:3:4:5 @ 1:2:3:4:5: invalid Ethernet address
ip,nw_src=1.2.3 @ 1.2.3: invalid IP address
ip,nw_src=1.2.3.4/33 @ 1.2.3.4/33: IPv4 network prefix bits not between 0 and 32, inclusive
ipv6,ipv6_src=zz @ zz: invalid IPv6 address
ipv6,ipv6_src=::1/129 @ ::1/129: IPv6 network prefix bits not between 0 and 128, inclusive
ipv6,ipv6_src=::1/1:: @ ::1/1::: invalid IPv6 address
in_port=foo @ foo: invalid or unknown port for in_port
in_port= @ 0/0: invalid or unknown port for in_port
actset_output=zz @ zz: port value out of range for actset_output
ip,nw_frag=maybe @ maybe: unknown fragment type (valid types are "no", "yes", "first", "later", "not_later"
tcp,tcp_flags=+foo @ foo: unknown TCP flag(s)
tcp,tcp_flags=syn|foo @ syn|foo: unknown TCP flag(s)
tcp,tcp_flags=+syn+syn @ syn: Each TCP flag can be specified only once
ct_state=+foo @ foo: unknown ct_state flag(s)
tun_flags=+df @ df: unknown tunnel flag(s)
packet_type=1 @ 1: bad syntax for packet type missing '('
packet_type=(x,1) @ x,1): bad syntax for packet type ns
foo=1 @ unknown keyword foo
foo @ field foo missing value
dl_vlan=10/0xf @ 10/0xf: invalid mask for field dl_vlan
reg0[1..3]=50 @ reg0[1..3]: value 0x32 does not fit into 3 bits
reg0[]=x @ reg0[]: cannot parse integer value: x
reg0[1..40]=1 @ reg0[1..40]: ending bit 40 is not valid because field is only 32 bits wide
reg0[3..1]=1 @ reg0[3..1]: starting bit 3 is after ending bit 1
reg0[1..3]x=1 @ unexpected input following field syntax
reg99[]=1 @ reg99[]: unknown field `reg99'
"""  # noqa: E501


@pytest.mark.parametrize("row", [row for row in ERRORS.split("\n") if row])
def test_error_in_a_match(row: str) -> None:
    text, _, message = row.partition(" @ ")
    with pytest.raises(ConfigError) as error:
        parse_match(text)
    assert str(error.value) == message


def test_port_names_in_matches() -> None:
    match = parse_match("in_port=eth0", {"eth0": 7})
    assert format_match(match, {7: "eth0"}) == "in_port=eth0"
    assert format_match(match) == "in_port=7"


def test_words_nest_parentheses() -> None:
    text = "a=1, b(c(d,e),f) g:(h,i)j,k bundle_load(x)->y,m"
    assert list(split_words(text)) == [
        ("a", "1"), ("b", "c(d,e),f"), ("g", "(h,i)j"), ("k", ""), ("bundle_load", "x)->y"),
        ("m", ""),
    ]  # fmt: skip
    assert list(split_words("a(b")) == [("a", "b")]
    assert list(split_words(" , ")) == []


def test_normalization_drops_what_lacks_prerequisites_and_says_so() -> None:
    match, lines = normalize_match(parse_match("tp_src=1,in_port=3"))
    assert format_match(match) == "in_port=3"
    assert lines == [
        "normalization changed ofp_match, details:",
        " pre: in_port=3,tp_src=1",
        "post: in_port=3",
    ]


def test_normalization_drops_flags_of_tcp_in_silence() -> None:
    for text, left in (("ip,tcp_flags=+syn", "ip"), ("arp,nw_frag=later", "arp,nw_frag=later")):
        assert normalize_match(parse_match(text)) == (parse_match(left), [])


def test_normalized_match_on_an_icmp_type_demands_eight_bits() -> None:
    match, _ = normalize_match(parse_match("icmp,tp_src=0x108/0x10f"))
    assert match == parse_match("icmp,icmp_type=8")


PREREQUISITES = """
tcp_src tcp yes
tcp_src tcp6 yes
tcp_src udp no
tcp_src tcp,nw_frag=first yes
tcp_src tcp,nw_frag=later no
nw_src ip yes
nw_src arp no
arp_spa arp yes
ipv6_src ip no
icmp_type icmp yes
nd_target icmp6,icmpv6_type=136,icmpv6_code=0 yes
nd_target icmp6,icmpv6_type=136 yes
nd_target icmp6,icmpv6_type=136,icmpv6_code=1 no
nd_target icmp6 no
nd_sll icmp6,icmpv6_type=136,icmpv6_code=0 no
vlan_pcp dl_vlan=5 yes
vlan_pcp vlan_tci=0 no
mpls_label mplsm yes
reg0 ip yes
eth_src packet_type=(1,0x800) no
eth_src ip yes
ct_nw_src ct_state=+trk no
ct_nw_src ct_state=+trk-inv yes
ct_nw_src ct_state=+trk+est yes
"""


@pytest.mark.parametrize("row", [row for row in PREREQUISITES.split("\n") if row])
def test_prerequisites(row: str) -> None:
    field, text, answer = row.split()
    assert prerequisites_met(FIELD[field], parse_match(text)) == (answer == "yes")


def test_prerequisite_on_a_partly_matched_slot_is_not_met() -> None:
    partly = Match(0x0800 << SLOT["dl_type"].shift, 0xFF00 << SLOT["dl_type"].shift)
    assert not prerequisites_met(FIELD["nw_src"], partly)


def test_flow_text_wants_prerequisites_first_and_nothing_twice() -> None:
    for text, message in (
        ("in_port=1,udp,tp_src=5", "prerequisites not met for setting tp_src"),
        ("tcp_src=1,tcp", "prerequisites not met for setting tcp_src"),
        ("ip,tcp", "Ethernet type set multiple times"),
        ("dl_vlan=5,dl_vlan=6", "field dl_vlan set multiple times"),
        ("foo=3", "unknown field foo"),
        ("tcp,nw_src=1.2.3.4/24",
         "bad value for nw_src (1.2.3.4/24: wildcards not allowed here)"),
        ("tcp,nw_src=1.2.3", "bad value for nw_src (1.2.3: invalid IP address)"),
    ):  # fmt: skip
        with pytest.raises(ConfigError) as error:
            parse_flow(text)
        assert str(error.value) == f"{text}: {message}"


def test_printed_flows() -> None:
    key = parse_flow("in_port=1,tcp,nw_src=1.2.3.4,tcp_dst=80,tcp_flags=syn,dl_vlan=5")
    assert format_flow(key) == (
        "tcp,in_port=1,dl_vlan=5,dl_vlan_pcp=0,vlan_tci1=0x0000,dl_src=00:00:00:00:00:00,"
        "dl_dst=00:00:00:00:00:00,nw_src=1.2.3.4,nw_dst=0.0.0.0,nw_tos=0,nw_ecn=0,nw_ttl=0,"
        "nw_frag=no,tp_src=0,tp_dst=80,tcp_flags=syn"
    )
    assert format_flow(parse_flow("arp,arp_op=1,reg3=7")) == (
        "arp,reg3=0x7,in_port=ANY,vlan_tci=0x0000,dl_src=00:00:00:00:00:00,"
        "dl_dst=00:00:00:00:00:00,arp_spa=0.0.0.0,arp_tpa=0.0.0.0,arp_op=1,"
        "arp_sha=00:00:00:00:00:00,arp_tha=00:00:00:00:00:00"
    )


def test_megaflow_always_has_recirc_id_and_packet_type() -> None:
    match = parse_match("tcp,in_port=1,nw_frag=no")
    assert format_megaflow(match) == "recirc_id=0,eth,tcp,in_port=1,nw_frag=no"


@pytest.mark.parametrize(
    ("field", "text", "value", "mask", "printed"),
    [
        ("nw_src", "1.2.3.4", 0x01020304, 0xFFFFFFFF, "1.2.3.4"),
        ("dl_src", "1:2:3:4:5:6/ff:0:0:0:0:0", 0x010203040506, 0xFF0000000000,
         "01:02:03:04:05:06/ff:00:00:00:00:00"),
        ("reg1", "0x10", 16, 0xFFFFFFFF, "0x10"),
        ("metadata", "7/0xf", 7, 15, "0x7/0xf"),
        ("tcp_src", "80", 80, 0xFFFF, "80"),
        ("nw_tos", "33", 32, 0xFC, "32"),
        ("in_port", "LOCAL", 0xFFFFFFFE, 0xFFFFFFFF, "LOCAL"),
        ("ct_state", "+trk", 32, 32, "+trk"),
        ("tun_flags", "oam", 1, 1, "oam"),
        ("ip_frag", "yes", 1, 1, "yes"),
        ("packet_type", "(1,0x8847)", 0x18847, 0xFFFFFFFF, "(1,0x8847)"),
        ("reg1", "0/0", 0, 0, "ANY"),
    ],
)  # fmt: skip
def test_value_of_one_field(field: str, text: str, value: int, mask: int, printed: str) -> None:
    assert parse_field_value(FIELD[field], text) == (value, mask)
    assert format_field_value(FIELD[field], value, mask) == printed


def test_subfields() -> None:
    assert parse_subfield("reg0[4..7]") == (FIELD["reg0"], 4, 4)
    assert parse_subfield("NXM_OF_IN_PORT[]")[0] is FIELD["in_port"]
    assert parse_subfield("reg0") == (FIELD["reg0"], 0, 32)


def test_subfield_is_as_wide_as_the_field_on_the_wire() -> None:
    assert parse_subfield("NXM_OF_IN_PORT[]")[2] == 16
    assert parse_subfield("icmp_type[]")[2] == 8
    assert parse_subfield("tcp_flags[]")[2] == 12
    assert parse_subfield("xxreg0[]")[2] == 128
