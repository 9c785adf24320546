"""A packet that goes into several tunnels and elsewhere does so in the kernel, and as in Python."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether
from tests.support.dummy_backend import UserspaceBackend
from tests.support.kernel_backend import KernelBackend

from netloom.datapath.action_parse import parse_actions
from netloom.datapath.actions import Clone, DpAction, DpActions, Output, Sample, TunnelPush
from netloom.flow.odp_parse import parse_odp_flow
from netloom.packet import tunnel as t
from netloom.packet.checksum import pseudo_sum
from netloom.packet.offload import GSO_TCPV4, NEEDS_CSUM, Offload, finish_offload

pytestmark = pytest.mark.root
PORTS = (1, 2, 3, 4)
ETH = Ether(src="02:00:00:00:00:0a", dst="02:00:00:00:00:0b")
INNER = {
    "tcp": ETH / IP(src="10.0.0.1", dst="10.0.0.2") / TCP(sport=1, dport=2) / bytes(100),
    "udp6": ETH / IPv6(src="fd00::1", dst="fd00::2") / UDP(sport=1, dport=2) / b"hello",
    "arp": ETH / ARP(psrc="10.0.0.1", pdst="10.0.0.2"),
    "tagged": ETH / Dot1Q(vlan=7) / IP(src="10.0.0.1", dst="10.0.0.2") / UDP() / bytes(30),
    "twice": ETH / Dot1Q(vlan=7) / Dot1Q(vlan=8) / IP() / UDP() / bytes(30),
    "other": Ether(src="02:00:00:00:00:0a", dst="02:00:00:00:00:0b", type=0x88B5) / bytes(60),
}


def push(number: int, kind: str = "vxlan", is_ipv6: bool = False, csum: bool = False) -> TunnelPush:
    """A tunnel to the machine of that number."""
    ether = Ether(src="02:00:00:00:00:01", dst=f"02:00:00:00:01:{number:02x}")
    payload = t.build_vxlan(77) if kind == "vxlan" else t.build_geneve(77)
    if kind == "gre":
        proto, behind = 47, t.build_gre(0x6558, key=0x12345, csum=csum)
    else:
        proto, behind = 17, t.build_udp({"vxlan": 4789, "geneve": 6081}[kind], csum, payload)
    outer = IP(src="172.16.0.1", dst=f"172.16.0.{number}", proto=proto, flags="DF", id=0)
    if is_ipv6:
        outer = IPv6(src="fd01::1", dst=f"fd01::{number:x}", nh=proto, hlim=64)
    number_of = {"gre": 3, "vxlan": 4, "geneve": 5}
    return TunnelPush(4789, 100, number_of[kind], bytes(ether / outer) + behind)


def into(tunnel: TunnelPush, *actions: DpAction) -> Clone:
    return Clone((tunnel, *(actions or (Output(2),))))


def text(actions: str) -> DpActions:
    return parse_actions(actions)


TWO = (into(push(2)), into(push(3)))
LISTS: dict[str, DpActions] = {
    "two of a kind": TWO,
    "ports between": (*text("3"), TWO[0], *text("4,3"), TWO[1], *text("3")),
    "with checksums": (into(push(2, csum=True)), into(push(3, csum=True)), Output(3)),
    "over IPv6": tuple(into(push(n, is_ipv6=True, csum=True)) for n in (2, 3, 4)),
    "by GRE": tuple(into(push(n, "gre", csum=True)) for n in (2, 3)),
    "of all kinds": (into(push(2)), into(push(3, "geneve")), into(push(4, "gre")), Output(3)),
    "of both families": (into(push(2)), into(push(3, is_ipv6=True, csum=True)), into(push(4))),
    "then changed": (*TWO, *text("push_vlan(vid=5,pcp=0),3,set(eth(src=02:00:00:00:00:77)),4")),
    "then set": (*TWO, *text("set(ipv4(ttl=3)),3,set(ipv6(hlimit=3)),4")),
    "behind a tag of its own": (into(push(2), *text("push_vlan(vid=9,pcp=0),2")), *TWO, Output(3)),
    "changed before": (*text("push_vlan(vid=5,pcp=0),3"), *TWO, *text("pop_vlan,4")),
    "sampled": (Sample(0xFFFFFFFE, TWO[0].actions), TWO[1], Output(3)),
    "looked up again": (*TWO, *text("ct(zone=1),recirc(1)")),
}  # fmt: skip


#: Python tracks what is no IP, or what IP is behind more tags than the key has; and three tags are
#: more than the programs take off.
SLOW = {
    ("looked up again", "arp"), ("looked up again", "other"), ("looked up again", "twice"),
    ("changed before", "twice"),
}  # fmt: skip
#: Of what is to be segmented: no other tunnel's headers go on once there were some.
SLOW_WHOLE = ("of all kinds", "of both families", "sampled")


@pytest.fixture
def both(kernel: KernelBackend) -> Iterator[tuple[UserspaceBackend, KernelBackend]]:
    kernel.start()
    userspace = UserspaceBackend(PORTS)
    yield userspace, kernel


def without_id(packets: list[bytes]) -> list[str]:
    """The outer IPv4 identification, and the checksum over it, are the sender's to choose."""
    shown = []
    for data in packets:
        l3 = 18 if data[12] == 0x81 else 14
        is_ipv4 = data[l3] == 0x45
        shown.append(
            (data[: l3 + 4] + data[l3 + 6 : l3 + 10] + data[l3 + 12 :] if is_ipv4 else data).hex()
        )
    return sorted(shown)


def put(backend: UserspaceBackend | KernelBackend, actions: DpActions) -> None:
    for dl_type in ("0x0800", "0x86dd", "0x0806", "0x8100", "0x88b5"):
        for number, done in ((0, actions), (1, text("3"))):
            flow = f"recirc_id({number}),in_port(1),eth(),eth_type({dl_type})"
            backend.dpif.flow_put(*parse_odp_flow(flow), done)


@pytest.mark.parametrize("inner", INNER)
@pytest.mark.parametrize("name", LISTS)
def test_all_tunnels_and_ports_get_it(
    both: tuple[UserspaceBackend, KernelBackend], name: str, inner: str
) -> None:
    packet = bytes(INNER[inner])
    userspace, kernel = both
    slow = kernel.dpif.slow_packets
    for backend in both:
        assert backend.dpif.conntrack is not None
        backend.dpif.conntrack.flush_zone(None)
        put(backend, LISTS[name])
        for _ in range(2):
            backend.inject(1, packet)
            backend.run()
    for port in PORTS:
        assert without_id(kernel.sent(port)) == without_id(userspace.sent(port)), port
    assert kernel.drops() == userspace.drops()
    assert not kernel.reasons()
    assert kernel.dpif.slow_packets - slow == (2 if (name, inner) in SLOW else 0)


SEGMENT = 1_000


def unfinished(n_tags: int) -> tuple[bytes, Offload]:
    """Three segments as a machine hands them to a device that cuts."""
    packet = ETH
    for number in range(n_tags):
        packet = packet / Dot1Q(vlan=9 + number)
    ip = IP(src="10.0.0.1", dst="10.0.0.2")
    data = bytearray(bytes(packet / ip / TCP(sport=1_000, dport=80) / bytes(3 * SEGMENT)))
    l4 = 34 + 4 * n_tags
    total = pseudo_sum(bytes(data[l4 - 8 : l4 - 4]), bytes(data[l4 - 4 : l4]), 6, len(data) - l4)
    data[l4 + 16 : l4 + 18] = total.to_bytes(2, "big")
    return bytes(data), Offload(NEEDS_CSUM, GSO_TCPV4, l4 + 20, SEGMENT, l4, 16)


@pytest.mark.parametrize("n_tags", [0, 1])
@pytest.mark.parametrize("name", LISTS)
def test_long_packets_go_into_all_tunnels(
    both: tuple[UserspaceBackend, KernelBackend], name: str, n_tags: int
) -> None:
    packet, offload = unfinished(n_tags)
    userspace, kernel = both
    slow = kernel.dpif.slow_packets
    for backend in both:
        assert backend.dpif.conntrack is not None
        backend.dpif.conntrack.flush_zone(None)
        put(backend, LISTS[name])
    kernel.inject(1, packet, offload)
    kernel.run()
    for part in finish_offload(packet, offload):
        userspace.inject(1, part)
    userspace.run()
    for port in PORTS:
        assert without_id(kernel.sent(port)) == without_id(userspace.sent(port)), port
    assert kernel.dpif.slow_packets - slow == (name in SLOW_WHOLE)
    assert kernel.drops() == userspace.drops()
