"""Random flows that track, translate, meter, tunnel and look up again do to conversations in the
kernel what they do in Python; so do the ways to flows that caches know."""

from __future__ import annotations

import random

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, fragment
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrHopByHop,
)
from scapy.layers.l2 import ARP, Ether
from scapy.layers.sctp import SCTP, SCTPChunkData
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw
from tests.support.dummy_backend import UserspaceBackend
from tests.support.kernel_backend import KernelBackend

from netloom.datapath.action_parse import parse_actions
from netloom.datapath.actions import Clone, DpActions, Output, TunnelPop, TunnelPush
from netloom.datapath.dpif import DpPortNo
from netloom.datapath.meters import DpMeter, DpMeterBand
from netloom.flow.key import explain_key
from netloom.flow.odp_parse import parse_odp_flow
from netloom.netdev.tunnel import TunnelPort
from netloom.netdev.tunnel_config import parse_tunnel_config
from netloom.packet import tunnel as t

pytestmark = pytest.mark.root
PORTS = (1, 2, 3)
TUNNEL = 9
Backend = UserspaceBackend | KernelBackend
#: What packets of a table get before they go on.
COMMON = (
    "set(eth(src=02:00:00:00:00:99))", "meter(5)",
    "set(skb_mark(0x5/0xf))", "hash(l4(3))", "hash(sym_l4(0))", "ct_clear", "clone(2)",
    "ct(zone={z})", "ct(commit,zone={z})", "ct(zone={z},nat)", "ct(force_commit,zone={z})",
    "ct(commit,zone={z},mark=0x5/0xf,label=0x3/0x7)",
    "ct(commit,zone={z},helper=ftp)", "check_pkt_len(size=120,gt(2),le(3))",
    "sample(sample=100.0%,actions(3))", "userspace(pid=0,slow_path(action))",
    "ct(commit,zone={z},nat)",
)  # fmt: skip
BY_FAMILY = {
    "0x0800": (
        "set(ipv4(src=1.2.3.4))", "set(ipv4(dst=10.0.0.2,ttl=9))", "set(ipv4(tos=0x20/0xfc))",
        "ct(commit,zone={z},nat(src=10.9.9.1-10.9.9.3:100-110))", "ct(commit,zone={z},nat(src))",
        "ct(commit,zone={z},nat(dst=10.8.8.8:99))",
    ),
    "0x86dd": (
        "set(ipv6(dst=fd00::2,hlimit=3))", "set(ipv6(label=0x777))",
        "ct(commit,zone={z},nat(src=fd99::1-fd99::3))", "ct(commit,zone={z},nat(dst=[fd98::8]:99))",
    ),
}  # fmt: skip
ETHER = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
OUTER = Ether(src="02:00:00:00:00:11", dst="02:00:00:00:00:12")
UNDERLAY = IP(src="172.16.0.1", dst="172.16.0.2", flags="DF", id=0, proto=17)


def plain(data: bytes) -> str:
    """A packet, in a tunnel without the port that it is sent from: a hash of what is known of the
    packet, which is no promise."""
    return data[:34].hex() + data[36:].hex() if data[:6] == b"\2\0\0\0\0\x12" else data.hex()


class Both:
    """Both data paths, with a tunnel's port and a meter that lets all through."""

    def __init__(self, kernel: KernelBackend) -> None:
        kernel.start()
        self.sides: tuple[Backend, Backend] = (UserspaceBackend(PORTS), kernel)
        for side in self.sides:
            tracker = side.dpif.conntrack
            assert tracker is not None
            tracker.flush_zone(None)
            side.dpif.meter_set(5, DpMeter(True, False, (DpMeterBand(1, 4_000_000),)))
            if all(port.number != TUNNEL for port in side.dpif.ports()):
                config = parse_tunnel_config("t", "vxlan", {"remote_ip": "172.16.0.2"})
                side.dpif.port_add(TunnelPort(config), DpPortNo(TUNNEL))

    def put(self, flow: str, actions: DpActions) -> None:
        for side in self.sides:
            side.dpif.flow_put(*parse_odp_flow(flow), actions)

    def inject(self, port: int, packet: bytes) -> None:
        """Whose fate must be the same."""
        found = []
        for side in self.sides:
            before = [len(side.sent(number)) for number in PORTS]
            side.inject(port, packet)
            side.run()
            sent = [
                sorted(plain(data) for data in side.sent(number)[start:])
                for number, start in zip(PORTS, before, strict=True)
            ]
            upcalls = side.dpif.recv_upcalls(100)
            found.append((sent, sorted(str(explain_key(upcall.key)) for upcall in upcalls)))
        assert found[0] == found[1], packet.hex()

    def compare_ends(self) -> None:
        """Connections, counts of flows, and drops."""
        dumps, flows = [], []
        for side in self.sides:
            tracker = side.dpif.conntrack
            assert tracker is not None
            dumps.append(sorted(tracker.dump(side.clock.now_ms(), None, False, False)))
            flows.append(
                sorted((f.key, f.stats.packets, f.stats.bytes) for f in side.dpif.flow_dump())
            )
            tracker.fragments.purge(side.clock.now_ms() + 100_000)  # type: ignore[attr-defined]
            side.dpif.meter_del(5)
        assert dumps[0] == dumps[1]
        assert flows[0] == flows[1]
        drops = [side.drops() for side in self.sides]
        assert drops[0] == drops[1]


def push() -> DpActions:
    header = bytes(OUTER / UNDERLAY) + t.build_udp(4789, False, t.build_vxlan(77))
    return (Clone((TunnelPush(TUNNEL, 2, 4, header), Output(2))),)


def random_actions(rng: random.Random, family: str, number: int) -> DpActions:
    """Some of what a table may do; it goes on in a later table, or sends."""
    words = []
    for _ in range(rng.randrange(4)):
        words.append(rng.choice(COMMON + BY_FAMILY[family]).format(z=rng.randrange(1, 4)))
    draw = rng.random()
    if draw < 0.45 and number < 3:
        words.append(f"recirc({rng.randrange(number + 1, 4):#x})")
    elif draw < 0.9 or not words:
        tag = rng.choice(("", "", "push_vlan(vid=5,pcp=1),"))
        words.append(tag + str(rng.choice(PORTS)))
    actions = parse_actions(",".join(words))
    if draw < 0.6 and rng.random() < 0.4 and "recirc" not in words[-1]:
        actions = (*actions, *push())
    return actions


def tables(both: Both, rng: random.Random) -> None:
    """Flows that do not overlap, for all packets but some."""
    for family in BY_FAMILY:
        for port in (1, 2, TUNNEL):
            ends = "tunnel(tun_id=0x4d,src=172.16.0.1,dst=172.16.0.2)," if port == TUNNEL else ""
            for number in range(4):
                states = ("",) if not number else ("ct_state(-inv),", "ct_state(+inv),")
                for state in states:
                    if rng.random() < 0.1:
                        continue
                    flow = f"{ends}recirc_id({number:#x}),in_port({port}),{state}eth(),"
                    actions = random_actions(rng, family, number)
                    both.put(f"{flow}eth_type({family})", actions)
    outer = "recirc_id(0),in_port(3),eth(),eth_type(0x0800),ipv4(proto=17,frag=no)"
    both.put(outer, (TunnelPop(DpPortNo(TUNNEL)),))


def said(rng: random.Random) -> list[Packet]:
    """A packet of one of few connections, or what comes with it."""
    version, side, number = rng.choice((4, 4, 6)), rng.randrange(2), rng.randrange(3)
    hosts = ("10.0.0.1", "10.0.0.2") if version == 4 else ("fd00::1", "fd00::2")
    kind = IP if version == 4 else IPv6
    network: Packet = kind(src=hosts[side], dst=hosts[1 - side])
    if version == 6 and rng.random() < 0.3:
        network = network / rng.choice((IPv6ExtHdrHopByHop(), IPv6ExtHdrDestOpt()))
    sport, dport = (1_000 + number, 80) if not side else (80, 1_000 + number)
    data = Raw(bytes(range(rng.choice((5, 60)))))
    draw = rng.random()
    if draw < 0.4:
        flags = rng.choice(("S", "SA", "A", "A", "PA", "FA", "R"))
        seq, ack = rng.choice((100, 101)), rng.choice((100, 101)) if "A" in flags else 0
        return [network / TCP(sport=sport, dport=dport, flags=flags, seq=seq, ack=ack) / data]
    if draw < 0.65:
        return [network / UDP(sport=sport, dport=dport) / data]
    if draw < 0.75:
        if version == 4:
            return [network / ICMP(type=rng.choice((8, 0)), id=number) / data]
        return [network / rng.choice((ICMPv6EchoRequest, ICMPv6EchoReply))(id=number) / data]
    if draw < 0.85:
        quoted = kind(src=hosts[1 - side], dst=hosts[side]) / UDP(sport=dport, dport=sport) / data
        error = ICMP(type=3, code=3) if version == 4 else ICMPv6DestUnreach(code=4)
        return [kind(src=hosts[side], dst=hosts[1 - side]) / error / Raw(bytes(quoted))]
    if draw < 0.92 and version == 4:
        whole = IP(src=hosts[side], dst=hosts[1 - side], id=rng.randrange(1, 9))
        return list(fragment(whole / UDP(sport=sport, dport=dport) / Raw(bytes(300)), 160))
    if draw < 0.96:
        return [network / SCTP(sport=sport, dport=dport) / SCTPChunkData(data=b"abc")]
    return [ARP(psrc="10.0.0.1", pdst="10.0.0.2")]


def packets(rng: random.Random) -> list[tuple[int, bytes]]:
    """With the ports that they come in at."""
    port, found = rng.choice((1, 1, 2, 2, 3)), []
    for network in said(rng):
        frame = ETHER / network
        if port == 3:
            udp = UDP(sport=40_000, dport=4789, chksum=0)
            frame = OUTER / UNDERLAY / udp / VXLAN(vni=77) / frame
        found.append((port, bytes(frame)))
    return found


@pytest.mark.parametrize("seed", range(40))
def test_random_flows_do_the_same(kernel: KernelBackend, seed: int) -> None:
    rng = random.Random(seed)
    both = Both(kernel)
    tables(both, rng)
    for _ in range(60):
        for port, packet in packets(rng):
            both.inject(port, packet)
            if rng.random() < 0.2:
                # What came before is in the caches; some other flow changes.
                both.inject(port, packet)
        if rng.random() < 0.1:
            tables(both, rng)
    both.compare_ends()
