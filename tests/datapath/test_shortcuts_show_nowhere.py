"""By the shortcut a machine gets what it would get without: the same frames, as they are."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from pyroute2 import IPRoute, NetNS, netns
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Raw
from tests.support.kernel_backend import _libc, private_namespace
from tests.support.kernel_programs import require_programs
from tests.support.odd_packets import odd_packet

from netloom.base.clock import SystemClock
from netloom.base.counters import Counters
from netloom.datapath.action_parse import parse_actions
from netloom.datapath.dpif import DpPortNo
from netloom.datapath.ebpf.connections import KernelTracker
from netloom.datapath.ebpf.dpif import EbpfDpif
from netloom.datapath.userspace.conntrack.fragments import Fragments
from netloom.flow.odp_parse import parse_odp_flow
from netloom.netdev.device import Packet
from netloom.netdev.linux.packet_socket import PacketSocketDevice
from netloom.netdev.linux.rtnl import Rtnl
from netloom.packet.offload import GSO_TCPV4, NEEDS_CSUM, Offload

pytestmark = pytest.mark.root
CLONE_NEWNET = 0x40000000
MACHINE = "02:00:00:00:00:22"
ACTIONS = (
    "2", "set(ipv4(src=9.9.9.9)),2", "push_vlan(vid=5,pcp=1),2", "pop_vlan,2",
    f"set(eth(dst={MACHINE})),2", "set(eth(dst=02:00:00:00:00:77)),2", "set(skb_mark(0x5/0xf)),2",
    "push_mpls(label=5,tc=0,ttl=64,bos=1,eth_type=0x8847),2", "trunc(70),2", "clone(2),2",
    "ct(commit,zone=1,nat(src=9.9.9.9)),2",
)  # fmt: skip


@contextmanager
def inside(name: str) -> Iterator[None]:
    """This thread is in the named namespace."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{name}", os.O_RDONLY)
    try:
        assert not _libc.setns(there, CLONE_NEWNET)
        yield
    finally:
        _libc.setns(home, CLONE_NEWNET)
        os.close(home)
        os.close(there)


class Stand:
    """Port 1 has its other end here, port 2 in another namespace."""

    def __init__(self, name: str) -> None:
        self._rtnl = Rtnl()
        self.clock = SystemClock()
        with IPRoute() as ip, NetNS(name) as there:
            for number in (1, 2):
                ip.link("add", ifname=f"p{number}", kind="veth", peer=f"x{number}")
            ip.link("set", index=ip.link_lookup(ifname="x2")[0], address=MACHINE)
            fd = os.open(f"/run/netns/{name}", os.O_RDONLY)
            ip.link("set", index=ip.link_lookup(ifname="x2")[0], net_ns_fd=fd)
            os.close(fd)
            there.link("set", index=there.link_lookup(ifname="x2")[0], state="up")
            for device in ("p1", "p2", "x1"):
                ip.link("set", index=ip.link_lookup(ifname=device)[0], state="up")
        with inside(name):
            elsewhere = Rtnl()
            self.machine = PacketSocketDevice("x2", elsewhere)
            elsewhere.close()
        self.dpif = EbpfDpif("system", "system@ovs-system", self.clock, Counters())
        self.ports = [PacketSocketDevice(f"p{number}", self._rtnl) for number in (1, 2)]
        for number, device in enumerate(self.ports, 1):
            self.dpif.port_add(device, DpPortNo(number))
        self.sender = PacketSocketDevice("x1", self._rtnl)

    def fate(self, packet: Packet, allowed: bool) -> list[tuple[bytes, object]]:
        """What the machine gets of it."""
        tracker = self.dpif.conntrack
        assert isinstance(tracker, KernelTracker)
        tracker.flush_zone(None)
        # What is held of fragments goes on behind others.
        tracker.fragments = Fragments()
        self.dpif.allow_shortcuts(allowed)
        assert self.dpif._ports.shortcuts.has(2) == allowed
        self.sender.send([packet])
        end, turns, found = time.monotonic() + 0.004, 0, []
        while time.monotonic() < end or turns < 10:
            turns += 1
            self.dpif.run(self.clock.now_ms())
            found += [(got.data, got.offload) for got in self.machine.receive(100)]
        return found

    def close(self) -> None:
        self.dpif.close()
        for device in (*self.ports, self.sender, self.machine):
            device.close()
        self._rtnl.close()


@pytest.fixture(scope="module")
def stand() -> Iterator[Stand]:
    require_programs()
    name = f"nl-test-{os.getpid()}"
    netns.create(name)
    try:
        with private_namespace():
            made = Stand(name)
            yield made
            made.close()
    finally:
        netns.remove(name)


def packet(rng: random.Random) -> Packet:
    """For the machine or somebody else, odd, tagged, or with work left to do."""
    destination = rng.choice((MACHINE, MACHINE, "02:00:00:00:00:99", "ff:ff:ff:ff:ff:ff"))
    ether = Ether(src="02:00:00:00:00:11", dst=destination)
    if rng.random() < 0.3:
        data = odd_packet(rng)
        return Packet(bytes(ether)[:6] + data[6:].ljust(60, b"\0"))
    network = rng.choice((IP(src="10.0.0.1", dst="10.0.0.2"), IPv6(src="fd00::1", dst="fd00::2")))
    if rng.random() < 0.3:
        ether = ether / Dot1Q(vlan=rng.randrange(1, 9), prio=3)
    if rng.random() < 0.3:
        frame = bytes(
            ether / IP(src="10.0.0.1", dst="10.0.0.2") / TCP(flags="A") / Raw(bytes(4_000))
        )
        start = frame.index(b"\x45") + 20
        return Packet(frame, Offload(NEEDS_CSUM, GSO_TCPV4, start + 20, 1_000, start, 16))
    transport = rng.choice((TCP(flags="A"), UDP()))
    return Packet(bytes(ether / network / transport / Raw(bytes(rng.choice((20, 1_440))))))


@pytest.mark.parametrize("text", ACTIONS)
def test_the_machine_gets_the_same(stand: Stand, text: str) -> None:
    rng = random.Random(text)
    stand.dpif.flow_flush()
    for dl_type in ("0x0800", "0x86dd", "0x8100", "0x0806", "0x8847"):
        flow = f"recirc_id(0),in_port(1),eth(),eth_type({dl_type})"
        stand.dpif.flow_put(*parse_odp_flow(flow), parse_actions(text))
    n_gotten = 0
    for _ in range(40):
        sent = packet(rng)
        for _ in range(2):  # The second time it is known by its first bytes.
            long_way, short = (stand.fate(sent, allowed) for allowed in (False, True))
            assert short == long_way, sent.data.hex()
            n_gotten += len(short)
    assert n_gotten > 20
