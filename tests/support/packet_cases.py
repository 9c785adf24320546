"""The packet table: what every data path must do with packets, as data.

A case is flows (text of key and actions), packets that come in at ports, and what must leave: the
packets by port, in order, or the counted reason of a drop. Backends of `test_packet_table` run all
of them. Expected packets are made by scapy, whose checksums are its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from scapy.contrib.mpls import MPLS
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6ND_NS, ICMPv6NDOptSrcLLAddr, IPv6
from scapy.layers.l2 import ARP, Dot1AD, Dot1Q, Ether
from scapy.packet import Raw

A, B = "02:00:00:00:00:0a", "02:00:00:00:00:0b"
NEW = "02:00:00:00:00:cc"
ETH = Ether(src=A, dst=B)
DATA = Raw(b"0123456789" * 5)


@dataclass(frozen=True)
class Case:
    """`sent` and `expected` are (port, packet); `flows` are (flow, actions)."""

    name: str
    flows: tuple[tuple[str, str], ...]
    sent: tuple[tuple[int, Any], ...]
    expected: tuple[tuple[int, Any], ...] = ()
    drops: dict[str, int] = field(default_factory=dict)
    misses: int = 0


IN1 = "in_port(1),eth(),eth_type(0x0800),ipv4(frag=no)"
IN1_V6 = "in_port(1),eth(),eth_type(0x86dd),ipv6(frag=no)"
VLAN1 = "in_port(1),eth(),eth_type(0x8100),vlan(vid=10),encap(eth_type(0x0800),ipv4(frag=no))"


def tcp4(**ip: Any) -> Any:
    fields = {"src": "10.0.0.1", "dst": "10.0.0.2", "ttl": 64, "id": 7} | ip
    return ETH / IP(**fields) / TCP(sport=1000, dport=80, flags="S", seq=5) / DATA


def udp4(**udp: Any) -> Any:
    ip = IP(src="10.0.0.1", dst="10.0.0.2", id=7)
    return ETH / ip / UDP(**({"sport": 1000, "dport": 53} | udp)) / DATA


def tcp6(**ip: Any) -> Any:
    fields = {"src": "fd00::1", "dst": "fd00::2"} | ip
    return ETH / IPv6(**fields) / TCP(sport=1000, dport=80, flags="S") / DATA


def rewritten(packet: Any, **ether: Any) -> Any:
    return Ether(**({"src": A, "dst": B} | ether)) / packet.payload


def tagged(packet: Any, vid: int, pcp: int = 0, kind: Any = Dot1Q) -> Any:
    outer = Ether(src=packet.src, dst=packet.dst)
    tag = kind(vlan=vid, prio=pcp, type=Ether(bytes(packet)).type)
    return outer / tag / packet.payload


def action(name: str, actions: str, sent: Any, expected: Any, flow: str = IN1) -> Case:
    """One packet in at 1, one out at 2."""
    return Case(name, ((flow, f"{actions},2"),), ((1, sent),), ((2, expected),))


CASES = [
    Case("a packet leaves as it came", ((IN1, "2"),), ((1, tcp4()),), ((2, tcp4()),)),
    Case(
        "outputs are in order",
        ((IN1, "2,3,2"),),
        ((1, tcp4(id=1)), (1, tcp4(id=2))),
        (
            *((2, tcp4(id=1)), (2, tcp4(id=1)), (2, tcp4(id=2)), (2, tcp4(id=2))),
            *((3, tcp4(id=1)), (3, tcp4(id=2))),
        ),
    ),
    Case("a packet may go back", ((IN1, "1"),), ((1, tcp4()),), ((1, tcp4()),)),
    Case("no actions drop", ((IN1, "drop"),), ((1, tcp4()),), drops={"drop_action_of_pipeline": 1}),
    Case("a packet without a flow comes up", ((IN1, "2"),), ((2, tcp4()),), misses=1),
    Case(
        "a port that is not there drops",
        ((IN1, "9"),),
        ((1, tcp4()),),
        drops={"datapath_drop_invalid_port": 1},
    ),
    Case(
        "masks tell flows apart",
        (
            ("in_port(1),eth(),eth_type(0x0800),ipv4(dst=10.0.0.0/255.255.255.0,frag=no)", "2"),
            ("in_port(1),eth(),eth_type(0x0800),ipv4(dst=10.1.0.0/255.255.0.0,frag=no)", "3"),
        ),
        ((1, tcp4()), (1, tcp4(dst="10.1.2.3")), (1, tcp4(dst="10.0.1.9"))),
        ((2, tcp4()), (3, tcp4(dst="10.1.2.3"))),
        misses=1,
    ),
    Case(
        "masks of many fields stand beside masks of few",
        (
            (
                "in_port(1),eth(src=02:00:00:00:00:0a,dst=02:00:00:00:00:0b),eth_type(0x0800),"
                "ipv4(src=10.0.0.1,dst=10.0.0.2,proto=6,frag=no),tcp(src=1000,dst=80)",
                "2",
            ),
            ("in_port(2),eth(),eth_type(0x0800),ipv4(frag=no)", "3"),
            ("in_port(3),eth(),eth_type(0x0800),ipv4(proto=17,frag=no),udp(dst=53)", "4"),
        ),
        ((1, tcp4()), (2, tcp4()), (3, udp4()), (1, tcp4()), (2, udp4())),
        ((2, tcp4()), (3, tcp4()), (4, udp4()), (2, tcp4()), (3, udp4())),
    ),
    action(
        "Ethernet addresses",
        f"set(eth(src={B},dst={NEW}))",
        tcp4(),
        rewritten(tcp4(), src=B, dst=NEW),
    ),
    action(
        "half of an Ethernet address",
        "set(eth(dst=0a:0b:00:00:00:00/ff:ff:00:00:00:00))",
        tcp4(),
        rewritten(tcp4(), dst="0a:0b:00:00:00:0b"),
    ),
    action("a TTL", "set(ipv4(ttl=63))", tcp4(), tcp4(ttl=63)),
    action(
        "IPv4 addresses of TCP",
        "set(ipv4(src=192.168.0.1,dst=192.168.0.2))",
        tcp4(),
        tcp4(src="192.168.0.1", dst="192.168.0.2"),
    ),
    action(
        "a part of an IPv4 address",
        "set(ipv4(src=172.16.0.0/255.255.0.0))",
        udp4(),
        ETH / IP(src="172.16.0.1", dst="10.0.0.2", id=7) / UDP(sport=1000, dport=53) / DATA,
    ),
    action("DSCP without ECN", "set(ipv4(tos=0x28/0xfc))", tcp4(tos=3), tcp4(tos=0x2B)),
    action(
        "TCP ports",
        "set(tcp(src=5,dst=6))",
        tcp4(),
        ETH / IP(src="10.0.0.1", dst="10.0.0.2", id=7) / TCP(sport=5, dport=6, seq=5) / DATA,
    ),
    action("a UDP port", "set(udp(dst=5353))", udp4(), udp4(dport=5353)),
    action(
        "a missing UDP checksum stays missing",
        "set(udp(dst=9))",
        udp4(chksum=0),
        udp4(dport=9, chksum=0),
    ),
    action(
        "an ICMP type",
        "set(icmp(type=0))",
        ETH / IP(src="10.0.0.1", dst="10.0.0.2") / ICMP(type=8, id=1, seq=2) / DATA,
        ETH / IP(src="10.0.0.1", dst="10.0.0.2") / ICMP(type=0, id=1, seq=2) / DATA,
    ),
    action(
        "IPv6 fields",
        "set(ipv6(src=fd00::9,dst=fd00::8,label=0x12345,tclass=8,hlimit=9))",
        tcp6(),
        tcp6(src="fd00::9", dst="fd00::8", fl=0x12345, tc=8, hlim=9),
        IN1_V6,
    ),
    action(
        "ARP fields",
        "set(arp(sip=1.1.1.1,tip=2.2.2.2,op=2,sha=02:00:00:00:00:cc,tha=02:00:00:00:00:0a))",
        ETH / ARP(op=1, hwsrc=A, psrc="10.0.0.1", pdst="10.0.0.2"),
        ETH / ARP(op=2, hwsrc=NEW, hwdst=A, psrc="1.1.1.1", pdst="2.2.2.2"),
        "in_port(1),eth(),eth_type(0x0806)",
    ),
    action(
        "a neighbour solicitation",
        "set(nd(target=fd00::77,sll=02:00:00:00:00:cc))",
        ETH
        / IPv6(src="fd00::1", dst="fd00::2", hlim=255)
        / ICMPv6ND_NS(tgt="fd00::2")
        / ICMPv6NDOptSrcLLAddr(lladdr=A),
        ETH
        / IPv6(src="fd00::1", dst="fd00::2", hlim=255)
        / ICMPv6ND_NS(tgt="fd00::77")
        / ICMPv6NDOptSrcLLAddr(lladdr=NEW),
        IN1_V6,
    ),
    action("a tag is pushed", "push_vlan(vid=10,pcp=3)", tcp4(), tagged(tcp4(), 10, 3)),
    action(
        "a service tag is pushed",
        "push_vlan(tpid=0x88a8,vid=10,pcp=0)",
        tcp4(),
        tagged(tcp4(), 10, kind=Dot1AD),
    ),
    action("a tag is popped", "pop_vlan", tagged(tcp4(), 10, 3), tcp4(), VLAN1),
    action(
        "a tag is swapped",
        "pop_vlan,push_vlan(vid=20,pcp=0)",
        tagged(tcp4(), 10, 3),
        tagged(tcp4(), 20),
        VLAN1,
    ),
    action(
        "a tag's number is set",
        "set(vlan(vid=20,pcp=1))",
        tagged(tcp4(), 10, 3),
        tagged(tcp4(), 20, 1),
        VLAN1,
    ),
    action("popping no tag is nothing", "pop_vlan", tcp4(), tcp4()),
    action(
        "what is behind a tag is rewritten",
        "set(ipv4(dst=10.9.9.9)),set(tcp(dst=8080))",
        tagged(tcp4(), 10),
        tagged(
            ETH
            / IP(src="10.0.0.1", dst="10.9.9.9", id=7)
            / TCP(sport=1000, dport=8080, seq=5)
            / DATA,
            10,
        ),
        VLAN1,
    ),
    action(
        "a label is pushed",
        "push_mpls(label=5,tc=1,ttl=60,bos=1,eth_type=0x8847)",
        tcp4(),
        Ether(src=A, dst=B, type=0x8847) / MPLS(label=5, cos=1, s=1, ttl=60) / tcp4().payload,
    ),
    action(
        "a label is popped",
        "pop_mpls(eth_type=0x0800)",
        Ether(src=A, dst=B, type=0x8847) / MPLS(label=5, s=1, ttl=60) / tcp4().payload,
        tcp4(),
        "in_port(1),eth(),eth_type(0x8847)",
    ),
    action(
        "a label is pushed behind a tag",
        "push_mpls(label=5,tc=1,ttl=60,bos=1,eth_type=0x8847)",
        tagged(tcp4(), 10, 3),
        ETH
        / Dot1Q(vlan=10, prio=3, type=0x8847)
        / MPLS(label=5, cos=1, s=1, ttl=60)
        / tcp4().payload,
        VLAN1,
    ),
    action(
        "a label is popped behind a tag",
        "pop_mpls(eth_type=0x0800),set(ipv4(ttl=9))",
        ETH / Dot1Q(vlan=10, prio=3, type=0x8847) / MPLS(label=5, s=1, ttl=60) / tcp4().payload,
        tagged(tcp4(ttl=9), 10, 3),
        "in_port(1),eth(),eth_type(0x8100),vlan(vid=10),encap(eth_type(0x8847))",
    ),
    Case(
        "labels are stacked, set and popped",
        (
            (
                IN1,
                "push_mpls(label=5,tc=1,ttl=60,bos=1,eth_type=0x8847),"
                "push_mpls(label=6,tc=0,ttl=50,bos=0,eth_type=0x8848),"
                "set(mpls(label=7,tc=2,ttl=9,bos=0)),3,pop_mpls(eth_type=0x8847),4,"
                f"pop_mpls(eth_type=0x0800),set(eth(dst={NEW})),2",
            ),
        ),
        ((1, tcp4()),),
        (
            (2, rewritten(tcp4(), dst=NEW)),
            (
                3,
                Ether(src=A, dst=B, type=0x8848)
                / MPLS(label=7, cos=2, s=0, ttl=9)
                / MPLS(label=5, cos=1, s=1, ttl=60)
                / tcp4().payload,
            ),
            (
                4,
                Ether(src=A, dst=B, type=0x8847)
                / MPLS(label=5, cos=1, s=1, ttl=60)
                / tcp4().payload,
            ),
        ),
    ),
    action(
        "a label of another packet",
        "push_mpls(label=5,tc=1,ttl=60,bos=1,eth_type=0x8847)",
        ETH / ARP(psrc="10.0.0.1", pdst="10.0.0.2") / Raw(bytes(18)),
        Ether(src=A, dst=B, type=0x8847)
        / MPLS(label=5, cos=1, s=1, ttl=60)
        / ARP(psrc="10.0.0.1", pdst="10.0.0.2")
        / Raw(bytes(18)),
        "in_port(1),eth(),eth_type(0x0806)",
    ),
    action(
        "the fields of a label",
        "set(mpls(label=77,tc=3,ttl=5,bos=0))",
        Ether(src=A, dst=B, type=0x8847)
        / MPLS(label=5, s=0, ttl=60)
        / MPLS(label=6, s=1, ttl=3)
        / DATA,
        Ether(src=A, dst=B, type=0x8847)
        / MPLS(label=77, cos=3, s=0, ttl=5)
        / MPLS(label=6, s=1, ttl=3)
        / DATA,
        "in_port(1),eth(),eth_type(0x8847)",
    ),
    Case(
        "changes do not reach earlier outputs",
        ((IN1, f"2,set(eth(dst={NEW})),3,push_vlan(vid=5,pcp=0),4"),),
        ((1, tcp4()),),
        (
            (2, tcp4()),
            (3, rewritten(tcp4(), dst=NEW)),
            (4, tagged(rewritten(tcp4(), dst=NEW), 5)),
        ),
    ),
    Case(
        "a clone's changes stay in the clone",
        ((IN1, f"clone(set(eth(dst={NEW})),2),3"),),
        ((1, tcp4()),),
        ((2, rewritten(tcp4(), dst=NEW)), (3, tcp4())),
    ),
    Case(
        "a packet is cut for one output",
        ((IN1, "trunc(30),2,3"),),
        ((1, tcp4()),),
        ((2, Raw(bytes(tcp4())[:30])), (3, tcp4())),
    ),
    Case(
        "a packet is looked up again",
        (
            (f"recirc_id(0),{IN1}", "push_vlan(vid=10,pcp=0),recirc(0x5)"),
            (f"recirc_id(0x5),{VLAN1}", "2"),
        ),
        ((1, tcp4()),),
        ((2, tagged(tcp4(), 10)),),
    ),
    Case(
        "a loop of lookups ends",
        ((f"recirc_id(0),{IN1}", "recirc(0x5)"), (f"recirc_id(0x5),{IN1}", "recirc(0x5)")),
        ((1, tcp4()),),
        drops={"datapath_drop_recirc_error": 1},
    ),
    Case(
        "length decides",
        ((IN1, "check_pkt_len(size=100,gt(3),le(2))"),),
        ((1, tcp4()), (1, ETH / IP(src="10.0.0.1", dst="10.0.0.2") / UDP())),
        ((2, ETH / IP(src="10.0.0.1", dst="10.0.0.2") / UDP()), (3, tcp4())),
    ),
    Case(
        "what a clone changes is undone behind it",
        (
            (
                IN1,
                f"clone(set(eth(dst={NEW})),set(ipv4(src=1.2.3.4,ttl=9)),set(tcp(dst=99)),"
                "push_vlan(vid=5,pcp=0),2),3",
            ),
        ),
        ((1, tcp4()),),
        (
            (
                2,
                tagged(
                    Ether(src=A, dst=NEW)
                    / IP(src="1.2.3.4", dst="10.0.0.2", ttl=9, id=7)
                    / TCP(sport=1000, dport=99, flags="S", seq=5)
                    / DATA,
                    5,
                ),
            ),
            (3, tcp4()),
        ),
    ),
    Case(
        "clones may drop, one after the other",
        ((IN1, "clone(),clone(set(ipv4(ttl=3)),2),4"),),
        ((1, tcp4()),),
        ((2, tcp4(ttl=3)), (4, tcp4())),
        drops={"drop_action_of_pipeline": 1},
    ),
    Case(
        "branches of different length",
        (
            (
                IN1,
                f"check_pkt_len(size=100,gt(set(eth(dst={NEW})),3,4),le(set(ipv4(ttl=1)),2)),2",
            ),
        ),
        ((1, tcp4()), (1, ETH / IP(src="10.0.0.1", dst="10.0.0.2") / UDP())),
        (
            (2, tcp4()),
            (2, ETH / IP(src="10.0.0.1", dst="10.0.0.2", ttl=1) / UDP()),
            (2, ETH / IP(src="10.0.0.1", dst="10.0.0.2") / UDP()),
            (3, rewritten(tcp4(), dst=NEW)),
            (4, rewritten(tcp4(), dst=NEW)),
        ),
    ),
    Case(
        "a copy is cut, the packet is not",
        ((IN1, "trunc(40),2,set(ipv4(ttl=5)),3"),),
        ((1, tcp4()),),
        ((2, Raw(bytes(tcp4())[:40])), (3, tcp4(ttl=5))),
    ),
    Case(
        "a packet that is no frame is dropped",
        ((IN1, "2"),),
        ((1, Raw(b"12345678")),),
        drops={"datapath_drop_rx_invalid_packet": 1},
    ),
    Case(
        "a sample of all is all, of nothing nothing",
        ((IN1, "sample(sample=100.0%,actions(2)),sample(sample=0.0%,actions(3))"),),
        ((1, tcp4()), (1, tcp4(id=8))),
        ((2, tcp4()), (2, tcp4(id=8))),
    ),
]
