"""Packets that the kernel sends for user space, many at once, leave as if each were sent alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pyroute2 import IPRoute
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Packet, Raw
from tests.support.kernel_backend import KernelBackend, kernel_backend

from netloom.datapath.action_parse import parse_actions
from netloom.datapath.actions import DpActions
from netloom.datapath.ebpf.connections import KernelTracker
from netloom.datapath.ebpf.outbox import Errand
from netloom.datapath.ebpf.spec import PARCEL_BYTES, PARCELS
from netloom.flow.extract import extract_key

pytestmark = pytest.mark.root
ETHER = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
COMMIT = parse_actions("ct(commit,zone=7,mark=0x9),2,3")
FULL = "conntrack_full"


@pytest.fixture
def backend() -> Iterator[KernelBackend]:
    with kernel_backend((1, 2, 3)) as made:
        yield made


def udp(number: int, n_bytes: int = 4, ttl: int = 64) -> bytes:
    network = IP(src="10.0.0.1", dst="10.0.0.2", ttl=ttl)
    return bytes(ETHER / network / UDP(sport=5_000 + number, dport=53) / Raw(bytes(n_bytes)))


def execute(backend: KernelBackend, packets: list[bytes], actions: DpActions) -> None:
    """As answers to misses."""
    for packet in packets:
        backend.dpif.execute(packet, extract_key(packet, 1), actions, from_upcall=True)
    backend.dpif.flush()
    backend.run()


def tracker_of(backend: KernelBackend) -> KernelTracker:
    tracker = backend.dpif.conntrack
    assert isinstance(tracker, KernelTracker)
    return tracker


def test_they_leave_in_order_and_their_connections_are_known(backend: KernelBackend) -> None:
    packets = [udp(number, number % 90) for number in range(3 * PARCELS)]
    execute(backend, packets, COMMIT)
    assert backend.sent(2) == backend.sent(3) == packets
    shown = tracker_of(backend).dump(backend.clock.now_ms(), 7, False, False)
    assert len(shown) == len(packets)
    assert "sport=5000" in shown[0] and "zone=7,mark=9" in shown[0]
    backend.put("recirc_id(0),in_port(2),eth(),eth_type(0x0800)", "ct(zone=7),recirc(0x1)")
    backend.put("recirc_id(0x1),in_port(2),eth(),eth_type(0x0800),ct_state(+est+rpl+trk)", "1")
    answer = bytes(ETHER / IP(src="10.0.0.2", dst="10.0.0.1") / UDP(sport=53, dport=5_003))
    backend.inject(2, answer)
    backend.run()
    assert backend.sent(1) == [answer]


def test_every_kind_of_packet_arrives_as_it_was(backend: KernelBackend) -> None:
    ipv6 = IPv6(src="fd00::1", dst="fd00::2")
    kinds: list[Packet] = [
        ETHER / ipv6 / TCP(), ETHER / ARP(), ETHER / ipv6 / UDP() / Raw(bytes(400)),
        ETHER / Dot1Q(vlan=5) / IP(dst="10.0.0.2") / UDP(), Ether(dst=ETHER.dst, type=0x88CC),
        ETHER / IP(dst="10.0.0.2") / UDP() / Raw(bytes(PARCEL_BYTES)), ETHER / ARP(),
    ]  # fmt: skip
    packets = [bytes(kind) for kind in kinds for _ in range(2)]
    execute(backend, packets, parse_actions("3,2"))
    assert backend.sent(2) == backend.sent(3) == packets


def test_packets_of_one_connection_open_one(backend: KernelBackend) -> None:
    packets = [udp(1, ttl=ttl) for ttl in range(20, 30)]
    execute(backend, packets, COMMIT)
    assert sorted(backend.sent(2)) == packets
    assert len(tracker_of(backend)) == 1


def test_others_do_not_overtake_them(backend: KernelBackend) -> None:
    plain, changed = parse_actions("2"), parse_actions("set(ipv4(ttl=64)),2")
    packets = [udp(number) for number in range(20)]
    for number, packet in enumerate(packets):
        actions = changed if number % 3 == 1 else plain
        backend.dpif.execute(packet, extract_key(packet, 1), actions, from_upcall=True)
    backend.dpif.flush()
    backend.run()
    assert backend.sent(2) == packets


def test_a_full_table_tracks_nothing_and_is_counted(backend: KernelBackend) -> None:
    tracker = tracker_of(backend)
    tracker.max_connections = 5
    packets = [udp(number) for number in range(12)]
    execute(backend, packets, COMMIT)
    assert len(tracker) == 5
    assert sorted(backend.sent(3)) == packets
    assert backend.counters.counter(FULL).total == 7


def test_a_limit_of_the_zone_holds(backend: KernelBackend) -> None:
    tracker = tracker_of(backend)
    tracker.limits.set(7, 4)
    execute(backend, [udp(number) for number in range(9)], COMMIT)
    assert len(tracker) == tracker.limits.count(7) == 4
    assert len(backend.sent(3)) == 9


def test_what_a_port_cannot_take_is_counted_there(backend: KernelBackend) -> None:
    with IPRoute() as ip:
        ip.link("set", index=ip.link_lookup(ifname="p3")[0], state="down")
    packets = [udp(number) for number in range(5)]
    execute(backend, packets, parse_actions("3,2,77"))
    assert backend.sent(2) == packets and not backend.sent(3)
    assert backend.devices["p3"].stats().tx_dropped == 5
    assert backend.drops() == {"datapath_drop_invalid_port": 5}


def test_only_outputs_behind_a_plain_commit_go_this_way() -> None:
    for text in ("2", "2,3", "ct(commit,zone=1),2", "ct(commit),2,3"):
        assert Errand(parse_actions(text)).head, text
    others = (
        "", "ct(commit,zone=1)", "ct(zone=1),2", "2,ct(commit)", "ct(commit,nat(src=1.2.3.4)),2",
        "ct(force_commit),2", "ct(commit,helper=ftp),2", "ct(commit),recirc(0x1)", "trunc(20),2",
        "2,3,4,5,6,7,8,9,10", "push_vlan(vid=5,pcp=0),2",
    )  # fmt: skip
    for text in others:
        assert not Errand(parse_actions(text)).head, text
