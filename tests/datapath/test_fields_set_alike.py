"""Every field that can be set is set in the kernel as in Python, under any mask, in any packet."""

from __future__ import annotations

import random

import pytest
from scapy.contrib.mpls import MPLS
from scapy.contrib.nsh import NSH
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_RR
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptSrcLLAddr,
    ICMPv6NDOptUnknown,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
)
from scapy.layers.l2 import ARP, Dot1AD, Dot1Q, Ether
from scapy.layers.sctp import SCTP, SCTPChunkData
from scapy.packet import Packet, Raw
from tests.support.dummy_backend import UserspaceBackend
from tests.support.kernel_backend import KernelBackend
from tests.support.odd_packets import odd_packet

from netloom.datapath.action_text import format_actions
from netloom.datapath.actions import DpAction, Output, PushVlan, Set
from netloom.flow.extract import extract_key
from netloom.flow.fields import SLOT
from netloom.flow.key import mask_of
from netloom.packet.parse import parse

pytestmark = pytest.mark.root
PORTS = (1, 2)
MASK = mask_of("in_port") | mask_of("recirc_id") | mask_of("dl_type")
TAGS = (0x8100, 0x88A8)
ETH = Ether(src="02:00:00:00:00:0a", dst="02:00:00:00:00:0b")
V4 = IP(src="10.0.0.1", dst="10.0.0.2", id=7, ttl=64, tos=0x28)
V6 = IPv6(src="fd00::1", dst="fd00::2", fl=0x12345, tc=0x28)
NS = ICMPv6ND_NS(tgt="fd00::2")
SLL, TLL = ICMPv6NDOptSrcLLAddr(), ICMPv6NDOptDstLLAddr()
DATA = Raw(b"0123456789" * 6)
#: Slots by the header whose they are.
HEADERS = {
    "eth": "dl_src dl_dst",
    "vlan": "vlan_tci",
    "mpls": "mpls_lse0",
    "ipv4": "nw_src nw_dst nw_tos nw_ttl",
    "ipv6": "ipv6_src ipv6_dst nw_tos ipv6_label nw_ttl",
    "arp": "nw_proto arp_sha nw_src arp_tha nw_dst",
    "tcp": "tp_src tp_dst",
    "udp": "tp_src tp_dst",
    "sctp": "tp_src tp_dst",
    "icmp": "tp_src tp_dst",
    "icmpv6": "tp_src tp_dst",
    "nd": "nd_target arp_sha arp_tha",
    "nsh": "nsh_flags nsh_ttl nsh_path nsh_c1 nsh_c2 nsh_c3 nsh_c4",
    "skb_mark": "pkt_mark",
    "skb_priority": "skb_priority",
}
#: Of slots that have more room than their fields.
BITS = {
    "ipv6_label": 0xFFFFF,
    "nw_proto": 0xFF,
    "nsh_flags": 3,
    "nsh_ttl": 0x3F,
    "vlan_tci": 0xEFFF,
}
PROTOCOLS = {"tcp": 6, "udp": 17, "sctp": 132, "icmp": 1, "icmpv6": 58, "nd": 58}
PACKETS: tuple[Packet, ...] = (
    ETH / V4 / TCP(sport=1, dport=2, flags="PA") / DATA,
    ETH / V4 / UDP(sport=1, dport=2) / DATA,
    ETH / V4 / UDP(sport=1, dport=2, chksum=0) / DATA,
    ETH / V4 / SCTP(sport=1, dport=2, tag=7) / SCTPChunkData(data=b"some data"),
    ETH / V4 / ICMP(type=8, id=4) / DATA,
    ETH / IP(src="10.0.0.1", dst="10.0.0.2", flags="MF") / UDP(sport=1, dport=2) / DATA,
    ETH / IP(src="10.0.0.1", dst="10.0.0.2", frag=100, proto=17) / DATA,
    ETH / IP(src="10.0.0.1", dst="10.0.0.2", options=[IPOption_RR(routers=["1.2.3.4"])]) / TCP(),
    ETH / V6 / TCP(sport=1, dport=2, flags="S"),
    ETH / V6 / UDP(sport=1, dport=2) / DATA,
    ETH / V6 / SCTP(sport=1, dport=2, tag=7) / SCTPChunkData(data=b"some data"),
    ETH / V6 / ICMPv6EchoRequest(id=4, data=b"some data"),
    ETH / V6 / IPv6ExtHdrDestOpt() / UDP(sport=1, dport=2) / DATA,
    ETH / V6 / IPv6ExtHdrFragment(offset=100, nh=17) / DATA,
    ETH / V6 / NS / SLL,
    ETH / V6 / NS / TLL / SLL,
    ETH / V6 / NS / ICMPv6NDOptUnknown(type=14, len=2, data=bytes(14)) / SLL,
    ETH / V6 / ICMPv6ND_NA(tgt="fd00::2") / TLL,
    ETH / V6 / NS,
    ETH / ARP(op=1, psrc="10.0.0.1", pdst="10.0.0.2"),
    ETH / ARP(op=0x102, psrc="10.0.0.1", pdst="10.0.0.2") / Raw(bytes(18)),
    ETH / MPLS(label=5, cos=3, s=0, ttl=9) / MPLS(label=6, s=1, ttl=8) / V4 / UDP() / DATA,
    ETH / NSH(mdtype=1, nextproto=1, spi=5, si=9) / V4 / UDP() / DATA,
    ETH / NSH(mdtype=2, nextproto=3, spi=5, si=9) / ETH / V4 / UDP() / DATA,
    ETH / Dot1Q(vlan=9, prio=3) / V4 / TCP(sport=1, dport=2) / DATA,
    ETH / Dot1Q(vlan=9, prio=3) / V6 / NS / SLL,
    ETH / Dot1AD(vlan=9, prio=3) / ARP(psrc="10.0.0.1", pdst="10.0.0.2"),
)  # fmt: skip


def explain(packet: bytes, actions: tuple[DpAction, ...]) -> str:
    return f"{packet.hex()} {format_actions(actions)}"


def random_set(rng: random.Random, header: str) -> Set:
    value = mask = 0
    for name in HEADERS[header].split():
        slot = SLOT[name]
        kind = rng.random()
        if kind < 0.3:
            continue
        bits = BITS.get(name, (1 << 8 * slot.n_bytes) - 1)
        if header in ("icmp", "icmpv6"):
            bits = 0xFF
        if kind < 0.6:
            bits &= rng.getrandbits(8 * slot.n_bytes) | rng.getrandbits(8 * slot.n_bytes)
        mask = slot.put(mask, bits)
        value = slot.put(value, bits & rng.getrandbits(8 * slot.n_bytes))
    return Set(header, value, mask)


def random_sets(rng: random.Random, packet: bytes) -> list[DpAction]:
    """Of headers that the packet has, mostly: those that go together in a list of actions."""
    actions: list[DpAction] = []
    proto = parse(packet).proto
    # Ports are set of packets that are known to have them.
    headers = [header for header in HEADERS if PROTOCOLS.get(header, proto) == proto]
    for header in rng.sample(headers, 5):
        actions.append(random_set(rng, header))
    if rng.random() < 0.2:
        actions.insert(rng.randrange(4), PushVlan(rng.choice(TAGS), 0x1000 | rng.randrange(4096)))
    return actions


def packets_of(rng: random.Random) -> list[bytes]:
    odd = [data for _ in range(10) if len(data := odd_packet(rng)) >= 60]
    known = [bytes(packet) for packet in PACKETS]
    # Nobody sets fields behind a tag that the key does not tell of.
    return [d for d in known + odd if SLOT["dl_type"].get(extract_key(d, 1)) not in TAGS]


@pytest.mark.parametrize("seed", range(10))
def test_fields_are_set_alike(kernel: KernelBackend, seed: int) -> None:
    rng = random.Random(seed)
    for packet in packets_of(rng):
        actions = (*random_sets(rng, packet), Output(2))
        kernel.start()
        userspace = UserspaceBackend(PORTS)
        for backend in (userspace, kernel):
            backend.dpif.flow_put(extract_key(packet, 1), MASK, actions)
            backend.inject(1, packet)
            backend.run()
        sent = [data.hex() for data in kernel.sent(2)]
        assert sent == [data.hex() for data in userspace.sent(2)], explain(packet, actions)


@pytest.mark.parametrize("header", HEADERS)
def test_each_header_alone_is_set_alike(kernel: KernelBackend, header: str) -> None:
    for seed in range(1):
        rng = random.Random(f"{header} {seed}")
        for packet in map(bytes, PACKETS):
            if PROTOCOLS.get(header, 0) not in (0, parse(packet).proto):
                continue
            actions = (random_set(rng, header), Output(2))
            kernel.start()
            userspace = UserspaceBackend(PORTS)
            for backend in (userspace, kernel):
                backend.dpif.flow_put(extract_key(packet, 1), MASK, actions)
                backend.inject(1, packet)
                backend.run()
            sent = [data.hex() for data in kernel.sent(2)]
            assert sent == [data.hex() for data in userspace.sent(2)], explain(packet, actions)
