"""The programs judge packets of connections as the tracker in Python does."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    IPv6,
)
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from tests.support.kernel_backend import KernelBackend, kernel_backend

from netloom.base.counters import Counters
from netloom.datapath.action_parse import parse_actions
from netloom.datapath.actions import Ct
from netloom.datapath.dpif import Upcall
from netloom.datapath.ebpf.connections import KernelTracker
from netloom.datapath.userspace.conntrack.key import write_tracked
from netloom.datapath.userspace.conntrack.nat import translate_packet
from netloom.datapath.userspace.conntrack.tracker import ConnTracker, Tracked
from netloom.flow.key import CT_MASK, explain_key
from netloom.packet.parse import parse

pytestmark = pytest.mark.root
#: What is done with packets of the one who opens connections and of the other, by port.
ROLES = {
    "plain": ("ct(commit,zone=3)", "ct(zone=3)"),
    "marked": (
        "ct(commit,zone=3,mark=0x5/0xff,label=0x1234/0xffff)",
        "ct(zone=3,mark=0x100/0xf00,label=0x10000000000000000/0x10000000000000000)",
    ),
    "source": ("ct(commit,zone=4,nat(src=10.9.9.9))", "ct(zone=4,nat)"),
    "destination": ("ct(commit,zone=5,nat(dst=10.8.8.8:99))", "ct(zone=5,nat)"),
    "not committed": ("ct(zone=6)", "ct(zone=6)"),
}
TYPES = (0x0800, 0x86DD)


@pytest.fixture(scope="module")
def backend() -> Iterator[KernelBackend]:
    with kernel_backend((1, 2)) as made:
        yield made


class Both:
    """The kernel data path and a tracker of its own."""

    def __init__(self, backend: KernelBackend, role: str) -> None:
        backend.start()
        backend.dpif.conntrack.flush()
        self.backend = backend
        self.tracker = ConnTracker(Counters(), lambda: 5)
        self.actions: list[Ct] = []
        for port, text in enumerate(ROLES[role], 1):
            (action,) = parse_actions(text)
            assert isinstance(action, Ct)
            self.actions.append(action)
            for dl_type in TYPES:
                backend.put(
                    f"recirc_id(0),in_port({port}),eth(),eth_type({dl_type:#06x})",
                    f"{text},recirc(0x1)",
                )

    def pass_on(self, port: int, packet: bytes) -> tuple[Upcall, bytes]:
        """Send a packet through both, which must say the same; what came of it."""
        self.backend.inject(port, packet)
        self.backend.run()
        (upcall,) = self.backend.dpif.recv_upcalls(10)
        verdict = self.tracker.track(
            packet, parse(packet), Tracked(), self.actions[port - 1], self.backend.clock.now_ms()
        )
        data = bytearray(packet)
        if (how := verdict.translation) is not None:
            translate_packet(data, parse(packet), how.wanted, how.action, how.inner, None)
        expected = write_tracked(0, verdict.tracked)
        assert explain_key(upcall.key & CT_MASK) == explain_key(expected), packet.hex()
        assert upcall.packet.hex() == data.hex()
        return upcall, bytes(data)


class Talk:
    """One TCP connection whose ends mostly do what they should."""

    def __init__(self, rng: random.Random, is_ipv6: bool) -> None:
        self.rng = rng
        self.is_ipv6 = is_ipv6
        self.ports = (rng.randrange(1, 60_000), rng.randrange(1, 60_000))
        self.next = [rng.randrange(1 << 32), rng.randrange(1 << 32)]
        self.step = 0

    def segment(self) -> tuple[int, str, int, int, int, list[tuple[str, int]]]:
        """Side, flags, sequence number, acknowledgement, length, options."""
        rng, step = self.rng, self.step
        self.step += 1
        options = [("WScale", rng.choice((2, 7)))] if rng.random() < 0.7 else []
        if step < 3:
            side, flags = step & 1, ("S", "SA", "A")[step]
            seq = self.next[side]
            self.next[side] += step < 2
            return side, flags, seq, self.next[1 - side] if step else 0, 0, options
        side = rng.randrange(2)
        length = rng.choice((0, 10, 500, 1000))
        flags = rng.choices(("A", "PA", "FA", "R", "RA", "S", "SA", "F", "SF"),
                            (60, 20, 6, 2, 2, 3, 2, 1, 1))[0]  # fmt: skip
        seq, ack = self.next[side], self.next[1 - side]
        if rng.random() < 0.1:
            seq += rng.choice((1, -1, -500, 100_000, 1 << 31))
        elif "F" in flags or length:
            self.next[side] += length + ("F" in flags)
        if rng.random() < 0.05:
            ack += rng.choice((-70_000, 70_000, 5))
        return side, flags, seq, ack, length, []

    def packet(self) -> tuple[int, bytes]:
        """The next packet: from which side, and its bytes."""
        side, flags, seq, ack, length, options = self.segment()
        ends = self.ports if side == 0 else self.ports[::-1]
        tcp = TCP(sport=ends[0], dport=ends[1], flags=flags, seq=seq & 0xFFFFFFFF,
                  ack=ack & 0xFFFFFFFF, window=5_000, options=options)  # fmt: skip
        return side, bytes(between(side, self.is_ipv6) / tcp / Raw(bytes(length)))


def between(side: int, is_ipv6: bool, answers: str = "") -> Ether:
    hosts = ("fd00::1", "fd00::2") if is_ipv6 else ("10.0.0.1", "10.0.0.2")
    src, dst = (hosts[side], hosts[1 - side])
    network = IPv6(src=src, dst=answers or dst) if is_ipv6 else IP(src=src, dst=answers or dst)
    return Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / network


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("is_ipv6", [False, True], ids=["ipv4", "ipv6"])
def test_tcp_conversations_are_judged_alike(
    backend: KernelBackend, is_ipv6: bool, seed: int
) -> None:
    both = Both(backend, "marked" if seed & 1 else "plain")
    rng = random.Random(seed)
    slow = backend.dpif.slow_packets
    n_packets = 0
    for _ in range(3):
        talk = Talk(rng, is_ipv6)
        for _ in range(18):
            side, packet = talk.packet()
            both.pass_on(side + 1, packet)
            n_packets += 1
    # Few go to Python: those that repeat what was invalid.
    assert backend.dpif.slow_packets - slow < n_packets * 0.1


def test_a_whole_connection_never_comes_up(backend: KernelBackend) -> None:
    both = Both(backend, "plain")
    slow = backend.dpif.slow_packets
    numbers = (
        (0, "S", 100, 0, 0), (1, "SA", 500, 101, 0), (0, "A", 101, 501, 0),
        (0, "PA", 101, 501, 20), (1, "PA", 501, 121, 30), (0, "FA", 121, 531, 0),
        (1, "FA", 531, 122, 0), (0, "A", 122, 532, 0),
    )  # fmt: skip
    for side, flags, seq, ack, length in numbers:
        ends = (1000, 80) if side == 0 else (80, 1000)
        tcp = TCP(sport=ends[0], dport=ends[1], flags=flags, seq=seq, ack=ack)
        both.pass_on(side + 1, bytes(between(side, False) / tcp / Raw(bytes(length))))
    assert backend.dpif.slow_packets == slow
    now_ms = backend.clock.now_ms()
    (shown,) = backend.dpif.conntrack.dump(now_ms, None, False, False)
    assert shown == both.tracker.dump(now_ms, None, False, False)[0]
    assert "TIME_WAIT" in shown or "FIN_WAIT_2" in shown or "CLOSING" in shown, shown


@pytest.mark.parametrize("is_ipv6", [False, True], ids=["ipv4", "ipv6"])
def test_questions_and_answers_are_judged_alike(backend: KernelBackend, is_ipv6: bool) -> None:
    both = Both(backend, "plain")
    slow = backend.dpif.slow_packets
    ping, pong = (ICMPv6EchoRequest, ICMPv6EchoReply) if is_ipv6 else (ICMP, ICMP)
    kinds: tuple[dict[str, int], dict[str, int]] = ({}, {}) if is_ipv6 else ({}, {"type": 0})
    for side in (0, 0, 0, 1, 0, 1):
        udp = UDP(sport=(5, 53)[side], dport=(53, 5)[side]) / b"data"
        both.pass_on(side + 1, bytes(between(side, is_ipv6) / udp))
        echo = (ping, pong)[side](id=7, **kinds[side])
        both.pass_on(side + 1, bytes(between(side, is_ipv6) / echo))
    assert backend.dpif.slow_packets == slow


@pytest.mark.parametrize("role", ["source", "destination"])
def test_connections_are_translated_alike(backend: KernelBackend, role: str) -> None:
    both = Both(backend, role)
    slow = backend.dpif.slow_packets
    for make in (TCP, UDP):
        first = between(0, False) / make(sport=1000, dport=80)
        if make is TCP:
            first[TCP].flags, first[TCP].seq = "S", 100
        _, translated = both.pass_on(1, bytes(first))
        seen = Ether(translated)
        answer = between(1, False, seen[IP].src)
        answer[IP].src = seen[IP].dst
        answer = answer / make(sport=seen[make].dport, dport=seen[make].sport)
        if make is TCP:
            answer[TCP].flags, answer[TCP].seq, answer[TCP].ack = "SA", 900, 101
        both.pass_on(2, bytes(answer))
        if make is TCP:
            first[TCP].flags, first[TCP].seq, first[TCP].ack = "A", 101, 901
            both.pass_on(1, bytes(first / Raw(b"odd")))
    assert backend.dpif.slow_packets == slow


def test_packets_of_no_connection_are_new_without_python(backend: KernelBackend) -> None:
    both = Both(backend, "not committed")
    slow = backend.dpif.slow_packets
    for _ in range(3):
        tcp = TCP(sport=1000, dport=80, flags="S", seq=1)
        both.pass_on(1, bytes(between(0, False) / tcp))
    assert backend.dpif.slow_packets == slow


def test_connections_outlive_the_daemon(backend: KernelBackend) -> None:
    both = Both(backend, "marked")
    for side, flags, seq, ack in ((0, "S", 100, 0), (1, "SA", 500, 101), (0, "A", 101, 501)):
        ends = (1000, 80) if side == 0 else (80, 1000)
        tcp = TCP(sport=ends[0], dport=ends[1], flags=flags, seq=seq, ack=ack)
        both.pass_on(side + 1, bytes(between(side, False) / tcp))
    now_ms = backend.clock.now_ms()
    shown = backend.dpif.conntrack.dump(now_ms, None, False, True)
    successor = KernelTracker(backend.dpif._loaded, Counters(), lambda: 5, now_ms)
    try:
        assert successor.dump(now_ms, None, False, True) == shown
        assert len(shown) == 1 and "ESTABLISHED" in shown[0]
        assert successor.flush() == 1
    finally:
        successor.close()


def error_about(packet: bytes, side: int, is_ipv6: bool, kind: int, rest: int = 8) -> bytes:
    """An ICMP error from `side` (or a router there) that quotes `packet`."""
    quoted = packet[14 : 14 + (40 if is_ipv6 else 20) + rest]
    hosts = ("fd00::1", "fd00::2") if is_ipv6 else ("10.0.0.1", "10.0.0.2")
    routers = ("fd00::99", "fd00::99") if is_ipv6 else ("10.0.0.99", "10.0.0.99")
    ether = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    if is_ipv6:
        network = IPv6(src=routers[side], dst=hosts[1 - side])
        return bytes(ether / network / ICMPv6DestUnreach(code=kind) / quoted)
    network = IP(src=routers[side], dst=hosts[1 - side])
    return bytes(ether / network / ICMP(type=kind, code=1) / quoted)


@pytest.mark.parametrize("is_ipv6", [False, True], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize("make", [TCP, UDP, "echo"])
def test_errors_about_connections_are_related(
    backend: KernelBackend, is_ipv6: bool, make: Any
) -> None:
    both = Both(backend, "marked")
    ping = ICMPv6EchoRequest if is_ipv6 else ICMP
    opener = ping(id=7) if make == "echo" else make(sport=1000, dport=80)
    first = bytes(between(0, is_ipv6) / opener)
    both.pass_on(1, first)
    slow = backend.dpif.slow_packets
    for kind in (0, 1, 3) if is_ipv6 else (3, 4, 11, 12):
        upcall, _ = both.pass_on(2, error_about(first, 1, is_ipv6, kind))
        assert explain_key(upcall.key)["ct_state"] == 0x2C, explain_key(upcall.key)
    assert backend.dpif.slow_packets == slow
    # Quoted too short, about nobody's packet, not for its sender, quoting an error: all invalid.
    other = bytearray(first)
    other[-1 if make == "echo" else 36] ^= 0xFF
    bad = bytes(other) if make != "echo" else bytes(between(0, is_ipv6) / ping(id=8))
    both.pass_on(2, error_about(first, 1, is_ipv6, 3, rest=4))
    both.pass_on(2, error_about(bad, 1, is_ipv6, 3))
    both.pass_on(2, error_about(first, 0, is_ipv6, 3))
    both.pass_on(2, error_about(error_about(first, 1, is_ipv6, 3), 1, is_ipv6, 3))


def test_errors_about_translated_connections_are_translated(backend: KernelBackend) -> None:
    both = Both(backend, "source")
    first = between(0, False) / UDP(sport=1000, dport=80)
    _, translated = both.pass_on(1, bytes(first))
    quoted = translated[14:42]
    network = IP(src="10.0.0.99", dst="10.9.9.9")
    ether = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    both.pass_on(2, bytes(ether / network / ICMP(type=3, code=1) / quoted))
