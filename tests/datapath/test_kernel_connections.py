"""The programs keep connections by themselves, as the tracker in Python would."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator

import pytest
from scapy.layers.inet import IP, TCP, UDP, fragment
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment, fragment6
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw
from tests.support.dummy_backend import UserspaceBackend
from tests.support.kernel_backend import KernelBackend, private_namespace
from tests.support.kernel_programs import require_programs

from netloom.base.counters import Counters
from netloom.datapath.ebpf.connections import KernelTracker
from netloom.datapath.ebpf.maps import HashMap, SharedArray
from netloom.datapath.ebpf.spec import CONNECTION, ENTRY, MAPS, MAX_CONNECTIONS, TRACKER
from netloom.datapath.ebpf.syscall import test_run as run_program
from netloom.flow.key import explain_key

pytestmark = pytest.mark.root
NEW, EST, REL, RPL, INV, TRK = (1 << bit for bit in range(6))
SPECS = {spec.name: spec for spec in MAPS}
ETHER = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
_MAX = 3_000_000
#: What a program that is run by hand is told of its packet: the device, in `__sk_buff`.
_IFINDEX_AT, _CONTEXT_BYTES = 40, 44


@pytest.fixture(scope="module")
def kernel() -> Iterator[KernelBackend]:
    require_programs()
    with private_namespace():
        made = KernelBackend((1, 2, 3))
        yield made
        made.close()


@pytest.fixture
def backend(kernel: KernelBackend) -> Iterator[KernelBackend]:
    kernel.start()
    tracker_of(kernel).flush()
    yield kernel
    tracker_of(kernel).max_connections = _MAX


def tracker_of(backend: KernelBackend) -> KernelTracker:
    tracker = backend.dpif.conntrack
    assert isinstance(tracker, KernelTracker)
    return tracker


Backend = KernelBackend | UserspaceBackend


def put(backend: Backend, text: str, ports: tuple[int, ...] = (1, 2)) -> None:
    """What is done with packets of these ports, and an upcall behind it."""
    for port in ports:
        for dl_type in (0x0800, 0x86DD):
            flow = f"recirc_id(0),in_port({port}),eth(),eth_type({dl_type:#06x})"
            backend.put(flow, f"{text},recirc(0x1)")


def states(backend: Backend, port: int, *packets: bytes) -> list[int]:
    """ct_state of each packet, as the next table sees it."""
    found = []
    for packet in packets:
        backend.inject(port, packet)
        backend.run()
        found += backend.dpif.recv_upcalls(1_000)
    return [int(explain_key(upcall.key).get("ct_state", 0)) for upcall in found]


def udp(sport: int, dport: int = 53, src: str = "10.0.0.1", dst: str = "10.0.0.2") -> bytes:
    network: Packet = IPv6(src=src, dst=dst) if ":" in src else IP(src=src, dst=dst)
    return bytes(ETHER / network / UDP(sport=sport, dport=dport) / b"data")


def tcp(flags: str, sport: int = 1000, dport: int = 80, seq: int = 1, ack: int = 0) -> bytes:
    ends = ("10.0.0.1", "10.0.0.2") if sport >= 1000 else ("10.0.0.2", "10.0.0.1")
    segment = TCP(sport=sport, dport=dport, flags=flags, seq=seq, ack=ack)
    return bytes(ETHER / IP(src=ends[0], dst=ends[1]) / segment)


def alter(backend: KernelBackend, member: str, value: int) -> None:
    """Write a member of every connection's entry."""
    entries = tracker_of(backend)._entries
    for _, place in tracker_of(backend)._alive():
        at = place * entries.stride + CONNECTION.offsets[member]
        entries.view[at : at + 8] = value.to_bytes(8, "little")


def test_new_connections_take_no_upcall_and_are_listed(backend: KernelBackend) -> None:
    put(backend, "ct(commit,zone=7,mark=0x9,label=0x5)")
    slow = backend.dpif.slow_packets
    assert states(backend, 1, *(udp(5_000 + n) for n in range(40))) == [NEW | TRK] * 40
    assert states(backend, 2, udp(53, 5_000, "10.0.0.2", "10.0.0.1")) == [EST | RPL | TRK]
    tracker, now_ms = tracker_of(backend), backend.clock.now_ms()
    assert backend.dpif.slow_packets == slow
    assert len(tracker) == tracker.limits.count(7) == 40
    shown = tracker.dump(now_ms, 7, False, False)
    assert len(shown) == 40 and not tracker.dump(now_ms, 8, False, False)
    # Oldest first.
    assert "sport=5000" in shown[0] and "zone=7,mark=9,labels=0x5" in shown[0]
    assert "sport=5039" in shown[-1]
    assert "UDP: 40" in tracker.describe(now_ms, 7, False)


def test_a_wrong_checksum_is_invalid_where_nothing_is_committed(backend: KernelBackend) -> None:
    put(backend, "ct(zone=1)")
    packet = bytearray(udp(9))
    packet[-1] ^= 1
    assert states(backend, 1, bytes(packet), udp(9), udp(10)) == [INV | TRK, NEW | TRK, NEW | TRK]
    assert backend.counters.counter("conntrack_l4csum_err").total == 1


def test_each_packet_is_counted_by_its_flow_once(backend: KernelBackend) -> None:
    put(backend, "ct(commit,zone=1)")
    packet = bytearray(udp(9))
    packet[-1] ^= 1  # Wrong checksum: that is for Python to say.
    slow = backend.dpif.slow_packets
    assert states(backend, 1, bytes(packet), udp(10)) == [INV | TRK, NEW | TRK]
    assert backend.dpif.slow_packets == slow + 1
    assert sum(flow.stats.packets for flow in backend.dpif.flow_dump()) == 2
    assert sum(flow.stats.bytes for flow in backend.dpif.flow_dump()) == 2 * len(packet)
    assert backend.drops() == {"conntrack_l4csum_err": 1}


NATS = (
    "src=10.9.9.9", "src=10.9.9.1-10.9.9.7", "src=10.9.9.9:5000-5005", "dst=10.8.8.1-10.8.8.3:99",
    "src=10.9.9.1-10.9.9.7,persistent", "dst=10.8.8.8", "src=10.9.9.9:7000-9000,hash", "src",
)  # fmt: skip


@pytest.mark.parametrize("nat", NATS)
def test_translations_are_chosen_alike(backend: KernelBackend, nat: str) -> None:
    userspace = UserspaceBackend((1, 2, 3))
    rng = random.Random(nat)
    put(backend, f"ct(commit,zone=3,nat({nat}))")
    put(userspace, f"ct(commit,zone=3,nat({nat}))")
    slow = backend.dpif.slow_packets
    packets = [
        udp(rng.choice((100, 600, 1023, 5_000 + n)), 53, f"10.0.0.{rng.randrange(1, 9)}")
        for n in range(40)
    ]
    assert states(backend, 1, *packets) == states(userspace, 1, *packets)
    now_ms = backend.clock.now_ms()
    tracker, expected = backend.dpif.conntrack, userspace.dpif.conntrack
    assert tracker is not None and expected is not None
    assert tracker.dump(now_ms, 3, False, False) == expected.dump(
        userspace.clock.now_ms(), 3, False, False
    )
    # Where all ports are taken, Python says so.
    assert backend.dpif.slow_packets - slow == expected_exhausted(userspace)


def expected_exhausted(backend: UserspaceBackend) -> int:
    return backend.drops().get("conntrack_nat_exhausted", 0)


def test_ipv6_is_translated_in_its_range(backend: KernelBackend) -> None:
    userspace = UserspaceBackend((1, 2, 3))
    packets = [udp(5_000 + n, 53, "fd00::1", "fd00::2") for n in range(20)]
    for each in (backend, userspace):
        put(each, "ct(commit,zone=3,nat(src=fd99::1-fd99::f))")
        states(each, 1, *packets)
    slow = backend.dpif.slow_packets
    dumps = []
    for each in (backend, userspace):
        assert each.dpif.conntrack is not None
        dumps.append(each.dpif.conntrack.dump(each.clock.now_ms(), 3, False, False))
    assert dumps[0] == dumps[1] and len(dumps[0]) == 20 and "fd99::" in dumps[0][0]
    assert backend.dpif.slow_packets == slow


def test_a_zones_limit_holds_in_the_kernel(backend: KernelBackend) -> None:
    put(backend, "ct(commit,zone=5)")
    tracker = tracker_of(backend)
    tracker.limits.set(5, 3)
    try:
        slow = backend.dpif.slow_packets
        assert states(backend, 1, *(udp(6_000 + n) for n in range(5))) == [NEW | TRK] * 5
        assert len(tracker) == tracker.limits.count(5) == 3
        assert backend.dpif.slow_packets == slow
        assert backend.drops() == {"conntrack_zone_full": 2}
    finally:
        tracker.limits.delete(5)
    tracker.limits.default = 4
    try:
        states(backend, 1, *(udp(6_000 + n) for n in range(3, 7)))
        assert tracker.limits.count(5) == 4
    finally:
        tracker.limits.default = 0


def test_the_limit_of_all_connections_holds_in_the_kernel(backend: KernelBackend) -> None:
    put(backend, "ct(commit,zone=5)")
    tracker_of(backend).max_connections = 2
    assert states(backend, 1, *(udp(6_000 + n) for n in range(5))) == [NEW | TRK] * 5
    assert len(tracker_of(backend)) == 2
    assert backend.drops() == {"conntrack_full": 3}


def test_a_policy_says_how_long_connections_live(backend: KernelBackend) -> None:
    tracker = tracker_of(backend)
    put(backend, "ct(commit,zone=5,timeout=brief)")
    tracker.set_timeout_policy("brief", {"udp_first": 7})
    states(backend, 1, udp(6_000))
    (shown,) = tracker.dump(backend.clock.now_ms(), 5, False, True)
    assert "timeout=6" in shown or "timeout=7" in shown
    tracker.set_timeout_policy("brief", {"udp_first": 900})
    states(backend, 1, udp(6_001))
    assert "timeout=899" in tracker.dump(backend.clock.now_ms(), 5, False, True)[1]


def test_expired_connections_are_gone(backend: KernelBackend) -> None:
    put(backend, "ct(commit,zone=5)")
    tracker = tracker_of(backend)
    slow = backend.dpif.slow_packets
    first = states(backend, 1, udp(6_000), udp(6_000), udp(6_000))
    assert first == [NEW | TRK] * 3
    alter(backend, "expires_ns", time.monotonic_ns() - 1_000_000_000)
    assert not tracker.dump(backend.clock.now_ms(), None, False, False)
    # The programs remove it when they meet it.
    assert states(backend, 1, udp(6_000)) == [NEW | TRK]
    assert len(tracker) == 1 and backend.dpif.slow_packets == slow
    alter(backend, "expires_ns", time.monotonic_ns() - 1_000_000_000)
    tracker._next_sweep_ms = 0
    tracker.expire(backend.clock.now_ms())
    assert len(tracker) == tracker.limits.count(5) == 0
    assert tracker.n_free == MAX_CONNECTIONS


def test_connections_that_are_over_make_way_for_new_ones(backend: KernelBackend) -> None:
    put(backend, "ct(commit,zone=5)")
    slow = backend.dpif.slow_packets
    talk = (
        (1, tcp("S")), (2, tcp("SA", 80, 1_000, 500, 2)), (1, tcp("A", seq=2, ack=501)),
        (1, tcp("FA", seq=2, ack=501)), (2, tcp("FA", 80, 1_000, 501, 3)),
        (1, tcp("A", seq=3, ack=502)),
    )  # fmt: skip
    for _ in range(3):
        found = [states(backend, port, packet)[0] for port, packet in talk]
        assert found == [
            NEW | TRK,
            EST | RPL | TRK,
            EST | TRK,
            EST | TRK,
            EST | RPL | TRK,
            EST | TRK,
        ]
        assert len(tracker_of(backend)) == 1
    assert backend.dpif.slow_packets == slow


def test_force_begins_anew_from_the_other_side(backend: KernelBackend) -> None:
    put(backend, "ct(commit,zone=5)", (1,))
    put(backend, "ct(force_commit,zone=5)", (2,))
    assert states(backend, 1, udp(6_000)) == [NEW | TRK]
    assert states(backend, 2, udp(53, 6_000, "10.0.0.2", "10.0.0.1")) == [NEW | TRK]
    (shown,) = tracker_of(backend).dump(backend.clock.now_ms(), 5, False, False)
    assert "orig=(src=10.0.0.2" in shown


@pytest.mark.parametrize("flags", ["SA", "F", "SF", "SR"])
def test_what_can_open_nothing_is_invalid_without_python(
    backend: KernelBackend, flags: str
) -> None:
    put(backend, "ct(commit,zone=5)")
    slow = backend.dpif.slow_packets
    assert states(backend, 1, tcp(flags)) == [INV | TRK]
    assert backend.dpif.slow_packets == slow and not len(tracker_of(backend))
    reasons = {"conntrack_invalid_state"}
    if "A" not in flags:
        reasons.add("conntrack_invalid_tcp_flags")
    assert backend.drops() == dict.fromkeys(reasons, 1)


def test_flushing_takes_those_that_are_meant(backend: KernelBackend) -> None:
    tracker = tracker_of(backend)
    for zone in (1, 2):
        backend.dpif.flow_flush()
        put(backend, f"ct(commit,zone={zone})")
        states(backend, 1, *(udp(6_000 + n) for n in range(4)))
    tracker.flush_matching(1, ["ct_nw_src=10.0.0.1,ct_nw_proto=17,ct_tp_src=6001"])
    assert (tracker.limits.count(1), tracker.limits.count(2)) == (3, 4)
    tracker.flush_zone(2)
    assert (tracker.limits.count(1), tracker.limits.count(2)) == (3, 0)
    tracker.flush_zone(None)
    assert len(tracker) == 0 and tracker.n_free == MAX_CONNECTIONS


def test_what_a_helper_expects_is_related_in_the_kernel(backend: KernelBackend) -> None:
    put(backend, "ct(commit,zone=5,helper=ftp)", (1,))
    put(backend, "ct(zone=5)", (2,))
    put(backend, "ct(commit,zone=5)", (3,))
    tracker = tracker_of(backend)
    states(backend, 1, tcp("S", dport=21))
    states(backend, 2, tcp("SA", 21, 1_000, 500, 2))
    port = Raw(b"PORT 10,0,0,1,10,0\r\n")
    segment = TCP(sport=1_000, dport=21, flags="PA", seq=2, ack=501)
    assert states(
        backend, 1, bytes(ETHER / IP(src="10.0.0.1", dst="10.0.0.2") / segment / port)
    ) == [EST | TRK]
    assert states(backend, 3, tcp("S", 20, 2_560)) == [NEW | REL | TRK]
    assert states(backend, 1, tcp("SA", 2_560, 20, 7, 2)) == [EST | REL | RPL | TRK]
    tracker.flush()
    slow = backend.dpif.slow_packets
    assert states(backend, 3, tcp("S", 20, 2_560)) == [NEW | TRK]
    assert backend.dpif.slow_packets == slow


def test_without_a_place_python_keeps_connections(backend: KernelBackend) -> None:
    put(backend, "ct(commit,zone=5)")
    tracker = tracker_of(backend)
    at = TRACKER.offsets["head"]
    view = SharedArray(backend.dpif._loaded.maps["tracker"], SPECS["tracker"])
    head = bytes(view.view[at : at + 8])
    view.view[at : at + 8] = view.view[at + 8 : at + 16]
    try:
        assert states(backend, 1, udp(6_000), udp(6_001)) == [NEW | TRK] * 2
        assert len(tracker) == tracker.limits.count(5) == 2
        assert states(backend, 2, udp(53, 6_000, "10.0.0.2", "10.0.0.1")) == [EST | RPL | TRK]
    finally:
        view.view[at : at + 8] = head
        view.close()
    tracker.flush()
    slow = backend.dpif.slow_packets
    assert states(backend, 1, udp(6_000)) == [NEW | TRK]
    assert backend.dpif.slow_packets == slow


def test_the_next_daemon_finds_connections_of_the_kernel(backend: KernelBackend) -> None:
    put(backend, "ct(commit,zone=5,nat(src=10.9.9.9))")
    states(backend, 1, udp(6_000), udp(6_001))
    now_ms = backend.clock.now_ms()
    shown = tracker_of(backend).dump(now_ms, None, False, False)
    successor = KernelTracker(backend.dpif._loaded, Counters(), lambda: 5, now_ms)
    try:
        assert successor.dump(now_ms, None, False, False) == shown
        assert successor.limits.count(5) == len(successor) == 2
    finally:
        successor.close()


def pieces(seed: int, is_ipv6: bool) -> list[bytes]:
    """Fragments of two datagrams, in any order, some twice or lost."""
    rng = random.Random(seed)
    found = []
    for ident in (1, 2):
        body = UDP(sport=6_000 + ident, dport=53) / Raw(rng.randbytes(4_000))
        if is_ipv6:
            packet = IPv6(src="fd00::1", dst="fd00::2") / IPv6ExtHdrFragment(id=ident) / body
            found += [bytes(ETHER / piece) for piece in fragment6(packet, 1_400)]
        else:
            packet = IP(src="10.0.0.1", dst="10.0.0.2", id=ident) / body
            found += [bytes(ETHER / piece) for piece in fragment(packet, 1_392)]
    rng.shuffle(found)
    if seed % 3 == 1:
        found.append(found[0])
    if seed % 3 == 2:
        found.pop()
    return found


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("is_ipv6", [False, True], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize("nat", ["", ",nat(src={})"], ids=["plain", "translated"])
def test_fragments_are_tracked_whole_by_both(
    backend: KernelBackend, is_ipv6: bool, nat: str, seed: int
) -> None:
    userspace = UserspaceBackend((1, 2, 3))
    nat = nat.format("fd99::9" if is_ipv6 else "10.9.9.9")
    packets = pieces(seed, is_ipv6)
    slow = backend.dpif.slow_packets
    dl_type = "0x86dd" if is_ipv6 else "0x0800"
    for each in (backend, userspace):
        put(each, f"ct(commit,zone=4{nat})", (1,))
        each.put(f"recirc_id(0x1),in_port(1),ct_state(+new),eth(),eth_type({dl_type})", "2")
        for packet in packets:
            each.inject(1, packet)
            each.run()
        assert not each.dpif.recv_upcalls(10)
    assert [data.hex() for data in backend.sent(2)] == [data.hex() for data in userspace.sent(2)]
    assert backend.dpif.slow_packets - slow == len(packets)
    assert backend.drops() == userspace.drops()
    backend.dpif.conntrack.fragments.purge(backend.clock.now_ms() + 100_000)  # type: ignore[union-attr]


def check(backend: KernelBackend) -> None:
    """Entries, tuples, counts and free places are of the same connections."""
    tracker = tracker_of(backend)
    alive = {place: serial for serial, place in tracker._alive()}
    tuples = HashMap(backend.dpif._loaded.maps["tuples"], SPECS["tuples"])
    found: dict[int, set[int]] = {}
    for _, value in tuples.items():
        where, serial = ENTRY.unpack_from(value)
        assert alive.get(where >> 1) == serial
        found.setdefault(where >> 1, set()).add(where & 1)
    assert found.keys() == alive.keys() and all(ends == {0, 1} for ends in found.values())
    assert len(tracker) == sum(tracker.limits.count(zone) for zone in (1, 2)) == len(alive)
    assert tracker.n_free + len(alive) == MAX_CONNECTIONS
    places = SharedArray(backend.dpif._loaded.maps["places"], SPECS["places"])
    free = places.view.cast("Q").tolist()
    places.view.release()
    assert sorted([n - 1 for n in free if n] + list(alive)) == list(range(MAX_CONNECTIONS))


class Rusher(threading.Thread):
    """Runs the programs on packets of few connections, as fast as it can."""

    def __init__(self, program: int, ifindex: int, seed: int) -> None:
        super().__init__()
        self.program = program
        self.context = bytearray(_CONTEXT_BYTES)
        self.context[_IFINDEX_AT:] = ifindex.to_bytes(4, "little")
        rng = random.Random(seed)
        self.packets = [
            packet
            for _ in range(300)
            for packet in (
                udp(6_000 + rng.randrange(40)),
                tcp(rng.choice(("S", "S", "R", "FA", "A")), 1_000 + rng.randrange(20)),
                tcp(rng.choice(("SA", "A", "FA", "RA")), 80, 1_000 + rng.randrange(20), 500, 2),
            )
        ]
        self.n_runs = 0

    def run(self) -> None:
        for _ in range(4):
            for packet in self.packets:
                run_program(self.program, packet, bytes(self.context), repeat=3)
                self.n_runs += 1


def test_racing_processors_leave_the_table_whole(backend: KernelBackend) -> None:
    put(backend, "ct(commit,zone=1,nat(src=10.9.9.1-10.9.9.2)),ct(commit,zone=2)", (1,))
    for dl_type in (0x0800, 0x86DD):
        backend.put(f"recirc_id(0x1),in_port(1),eth(),eth_type({dl_type:#06x})", "drop")
    backend.devices["p1"].stats()
    ifindex = backend.devices["p1"].hand_over()
    program = backend.dpif._loaded.programs["nl_ingress"]
    rushers = [Rusher(program, ifindex, seed) for seed in range(3)]
    for rusher in rushers:
        rusher.start()
    tracker, rng = tracker_of(backend), random.Random(5)
    while any(rusher.is_alive() for rusher in rushers):
        draw = rng.random()
        if draw < 0.3:
            tracker.flush_zone(rng.choice((1, 2, None)))
        elif draw < 0.6:
            alter(backend, "expires_ns", time.monotonic_ns() - 1)
        else:
            tracker._sweep("SWEEP", 0)
        backend.dpif.run(backend.clock.now_ms())
    backend.run()
    assert all(rusher.n_runs == 3_600 for rusher in rushers)
    check(backend)
    tracker.flush()
    check(backend)
    assert len(tracker) == 0
