"""A bridge whose only rule is NORMAL does in the kernel what it does in Python, without a miss."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Raw
from tests.support.dummy_backend import UserspaceBackend
from tests.support.kernel_backend import KernelBackend

from netloom.base.record import replace
from netloom.datapath.dpif import DpPortNo
from netloom.flow.match import MATCH_ALL
from netloom.flow.ports import NORMAL
from netloom.ofproto.backer import Backer
from netloom.ofproto.settings import BridgeSettings, BundleSettings, MirrorSettings, PortSettings
from netloom.openflow import messages as m
from netloom.openflow.actions import Output

pytestmark = pytest.mark.root
PORTS = (1, 2, 3, 4, 5, 6)
ADDRESSES = [f"02:00:00:00:00:{n:02x}" for n in range(1, 7)]
#: Destinations besides: nobody's, everybody's, a group's, those that bridges keep.
OTHERS = (
    "02:00:00:00:00:99", "ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:05", "01:80:c2:00:00:03",
    "01:00:0c:cc:cc:c5", "01:80:c2:00:00:21",
)  # fmt: skip
BUNDLES = (
    {"vlan_mode": "trunk"},
    {"vlan_mode": "access", "tag": 10},
    {"vlan_mode": "access", "tag": 20, "protected": True},
    {"vlan_mode": "trunk", "trunks": frozenset({0, 10})},
    {"vlan_mode": "native-tagged", "tag": 10, "trunks": frozenset({20}), "protected": True},
    {"vlan_mode": "native-untagged", "tag": 20},
)


class Bridge:
    """br0 over a data path, its only rule NORMAL."""

    def __init__(self, backend: UserspaceBackend | KernelBackend) -> None:
        self.backend = backend
        self.backer = Backer("system", backend.dpif, backend.clock, backend.counters)
        for number in PORTS:
            backend.dpif.port_del(DpPortNo(number))
        self.bridge = self.backer.add_bridge("br0")
        self.bridge.configure(BridgeSettings("br0", 1))
        for number, options in zip(PORTS, BUNDLES, strict=True):
            name = f"p{number}"
            settings = PortSettings(name, "system", ofport_request=number)
            assert self.bridge.port_add(settings, backend.devices[name]) == number
            self.bridge.bundle_set(BundleSettings(name, (name,), **options))
        self.put_rule(0, (Output(NORMAL),))
        self.run()

    def put_rule(
        self, priority: int, actions: tuple[Output, ...], command: int = m.OFPFC_ADD
    ) -> None:
        mod = m.FlowMod(command=command, match=MATCH_ALL, priority=priority, actions=actions)
        self.bridge.tables.apply(mod, self.backend.clock.now_ms())

    def run(self) -> None:
        for _ in range(2):
            self.backer.run()
            self.backend.run()
        self.backer.run()
        self.backend.run()

    def pass_on(self, port: int, packet: bytes) -> dict[int, list[str]]:
        """What leaves by each port."""
        before = {number: len(self.backend.sent(number)) for number in PORTS}
        self.backend.inject(port, packet)
        self.run()
        return {
            number: [data.hex() for data in self.backend.sent(number)[before[number] :]]
            for number in PORTS
        }

    def known(self) -> set[tuple[int, int, str]]:
        return {(entry.mac, entry.vlan, entry.bundle.name) for entry in self.bridge.macs}

    def totals(self) -> tuple[int, ...]:
        macs = self.bridge.macs
        self.bridge.refresh_statistics()
        (rule,) = self.bridge.tables.rules()
        return (len(macs), macs.total_learned, rule.n_packets, rule.n_bytes)

    def close(self) -> None:
        self.backer.remove_bridge("br0")


class Pair:
    """The same bridge over both data paths."""

    def __init__(self, kernel: KernelBackend) -> None:
        kernel.start()
        self.python = Bridge(UserspaceBackend(PORTS))
        self.kernel = Bridge(kernel)
        self.misses = kernel.dpif.stats().misses

    def pass_on(self, port: int, packet: bytes) -> dict[int, list[str]]:
        # A flow would tell of its packets' addresses only after a while.
        self.python.backer.revalidator.purge()
        expected = self.python.pass_on(port, packet)
        assert self.kernel.pass_on(port, packet) == expected, (port, packet.hex())
        return expected

    def assert_same(self) -> None:
        assert self.kernel.known() == self.python.known()
        assert self.kernel.totals() == self.python.totals()

    @property
    def n_misses(self) -> int:
        return self.kernel.backend.dpif.stats().misses - self.misses


@pytest.fixture
def pair(kernel: KernelBackend) -> Iterator[Pair]:
    made = Pair(kernel)
    assert made.kernel.backer.switched.reasons == {"br0": ""}
    yield made
    made.kernel.close()
    # So that the next test finds its ports again.
    for number in PORTS:
        kernel.dpif.port_add(kernel.devices[f"p{number}"], DpPortNo(number))


def frame(rng: random.Random) -> bytes:
    destination = rng.choice(ADDRESSES) if rng.random() < 0.7 else rng.choice(OTHERS)
    packet = Ether(src=rng.choice(ADDRESSES), dst=destination)
    if rng.random() < 0.6:
        packet /= Dot1Q(vlan=rng.choice((0, 10, 20, 30)), prio=rng.choice((0, 0, 5)))
        if rng.random() < 0.2:
            packet /= Dot1Q(vlan=77)
    return bytes(packet / IP(src="10.0.0.1", dst="10.0.0.2") / UDP() / Raw(bytes(30)))


@pytest.mark.parametrize("seed", range(4))
def test_random_frames_take_the_same_ways(pair: Pair, seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(60):
        pair.pass_on(rng.choice(PORTS), frame(rng))
    pair.assert_same()
    assert not pair.n_misses
    assert len(pair.kernel.known()) > 10


def change(rng: random.Random, side: Bridge) -> None:
    """One of the changes after which packets may go elsewhere."""
    macs, kind = side.bridge.macs, rng.randrange(5)
    address, vlan = int(ADDRESSES[rng.randrange(3)].replace(":", ""), 16), rng.choice((0, 10))
    if kind == 0:
        macs.flush()
    elif kind == 1:
        bundle = side.bridge.bundles[f"p{rng.choice(PORTS)}"]
        macs.add_static(address, vlan, bundle, side.backend.clock.now_ms())
    elif kind == 2:
        macs.remove(address, vlan)
    else:
        options = dict(BUNDLES[3], protected=rng.random() < 0.5)
        side.bridge.bundle_set(BundleSettings("p4", ("p4",), **options))
        options = dict(BUNDLES[0], protected=rng.random() < 0.5)
        side.bridge.bundle_set(BundleSettings("p1", ("p1",), **options))
    side.run()


@pytest.mark.parametrize("seed", range(4))
def test_frames_that_come_again_follow_every_change(pair: Pair, seed: int) -> None:
    rng = random.Random(seed)
    inside = IP(src="10.0.0.1", dst="10.0.0.2") / UDP() / Raw(bytes(30))
    pool = [
        (port, bytes(Ether(src=source, dst=to) / inside))
        for port, source, to in (
            (1, ADDRESSES[0], ADDRESSES[1]), (4, ADDRESSES[1], ADDRESSES[0]),
            (4, ADDRESSES[0], ADDRESSES[2]), (1, ADDRESSES[2], ADDRESSES[1]),
        )
    ]  # fmt: skip
    for _ in range(25):
        chosen = rng.choice(pool)
        for _ in range(rng.randrange(1, 6)):
            pair.pass_on(*chosen)
        state = rng.getstate()
        for side in (pair.python, pair.kernel):
            rng.setstate(state)
            change(rng, side)
    assert pair.kernel.known() == pair.python.known()
    assert not pair.n_misses


def test_what_is_forgotten_is_forgotten_in_the_kernel(pair: Pair) -> None:
    first = bytes(Ether(src=ADDRESSES[0], dst=ADDRESSES[1]) / Dot1Q(vlan=10) / Raw(bytes(60)))
    back = bytes(Ether(src=ADDRESSES[1], dst=ADDRESSES[0]) / Dot1Q(vlan=10) / Raw(bytes(60)))
    assert sum(map(len, pair.pass_on(1, first).values())) > 1
    assert [n for n, sent in pair.pass_on(4, back).items() if sent] == [1]
    for side in (pair.python, pair.kernel):
        side.bridge.macs.flush()
        assert not side.known()
    assert sum(map(len, pair.pass_on(4, back).values())) > 1
    for side in (pair.python, pair.kernel):
        bundle = side.bridge.bundles["p6"]
        side.bridge.macs.add_static(int(ADDRESSES[0].replace(":", ""), 16), 10, bundle, 0)
    assert [n for n, sent in pair.pass_on(4, back).items() if sent] == [6]
    pair.pass_on(1, first)
    assert pair.kernel.known() == pair.python.known()
    for side in (pair.python, pair.kernel):
        side.bridge.macs.remove(int(ADDRESSES[0].replace(":", ""), 16), 10)
    assert sum(map(len, pair.pass_on(4, back).values())) > 1
    pair.assert_same()
    assert not pair.n_misses


def test_addresses_that_move_are_followed(pair: Pair) -> None:
    first = bytes(Ether(src=ADDRESSES[0], dst=ADDRESSES[1]) / Raw(bytes(60)))
    back = bytes(Ether(src=ADDRESSES[1], dst=ADDRESSES[0]) / Raw(bytes(60)))
    for port in (1, 4, 6, 1):
        pair.pass_on(port, first)
    assert [n for n, sent in pair.pass_on(4, back).items() if sent] == [1]
    # What has no tag at port 6 is of another VLAN.
    assert pair.kernel.bridge.macs.total_moved == 2
    pair.assert_same()


def test_silent_addresses_age(pair: Pair) -> None:
    packet = bytes(Ether(src=ADDRESSES[0], dst=ADDRESSES[1]) / Raw(bytes(60)))
    pair.kernel.pass_on(1, packet)
    macs, clock = pair.kernel.bridge.macs, pair.kernel.backend.clock
    macs.configure(15, 8_192, frozenset())
    macs.run(clock.now_ms() + 14_000)
    assert len(macs) == 1
    macs.run(clock.now_ms() + 16_000)
    assert not len(macs) and macs.total_expired == 1
    assert not pair.kernel.backend.dpif.switching.addresses(0, 0)


def test_a_full_table_makes_room(pair: Pair) -> None:
    bridge = pair.kernel.bridge
    bridge.configure(replace(bridge.settings, mac_table_size=16))
    pair.kernel.run()
    for n in range(40):
        source = f"02:00:00:00:01:{n:02x}"
        pair.kernel.pass_on(1, bytes(Ether(src=source, dst=ADDRESSES[1]) / Raw(bytes(60))))
    macs = bridge.macs
    assert len(macs) <= 16 and macs.total_evicted
    assert macs.total_learned - macs.total_evicted == len(macs)
    assert not pair.n_misses


def test_what_the_kernel_cannot_do_comes_up(pair: Pair) -> None:
    side = pair.kernel
    packet = bytes(Ether(src=ADDRESSES[0], dst=ADDRESSES[1]) / Raw(bytes(60)))
    pair.pass_on(1, packet)
    mirror = MirrorSettings("m", "m", frozenset({"p1"}), frozenset(), output_port="p6")
    for bridge in (pair.python.bridge, side.bridge):
        bridge.configure(replace(bridge.settings, mirrors=(mirror,)))
    side.run()
    assert side.backer.switched.reasons == {"br0": "mirrors"}
    back = bytes(Ether(src=ADDRESSES[1], dst=ADDRESSES[0]) / Raw(bytes(60)))
    pair.pass_on(4, back)
    pair.pass_on(1, packet)
    pair.assert_same()
    assert pair.n_misses == 2
    for bridge in (pair.python.bridge, side.bridge):
        bridge.configure(replace(bridge.settings, mirrors=()))
    side.run()
    assert side.backer.switched.reasons == {"br0": ""}
    for _ in range(3):
        pair.pass_on(1, packet)
        pair.pass_on(4, back)
    pair.assert_same()
    assert pair.n_misses == 2
    for both in (pair.python, side):
        both.put_rule(5, (Output(2),))
        both.run()
    assert side.backer.switched.reasons == {"br0": "rules other than NORMAL"}
    assert [n for n, sent in pair.pass_on(1, packet).items() if sent] == [2]


def test_ports_come_and_go(pair: Pair) -> None:
    packet = bytes(Ether(src=ADDRESSES[0], dst=ADDRESSES[1]) / Raw(bytes(60)))
    assert pair.pass_on(1, packet)[4]
    for side in (pair.python, pair.kernel):
        side.bridge.bundle_del("p4")
        side.bridge.port_del("p4")
        side.run()
    assert not pair.pass_on(1, packet)[4]
    for side in (pair.python, pair.kernel):
        side.bridge.port_add(PortSettings("p4", "system"), side.backend.devices["p4"])
        side.bridge.bundle_set(BundleSettings("p4", ("p4",)))
        side.run()
    assert pair.pass_on(1, packet)[4]
    pair.assert_same()
    assert not pair.n_misses
