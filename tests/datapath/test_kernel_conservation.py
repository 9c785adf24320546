"""No packet is lost unaccounted: it leaves, goes up, or is dropped for a reason that is counted."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Dot1Q, Ether
from tests.support.dummy_backend import UserspaceBackend
from tests.support.kernel_backend import KernelBackend, private_namespace
from tests.support.kernel_programs import require_programs
from tests.support.odd_packets import odd_packet

from netloom.datapath.action_parse import parse_actions
from netloom.datapath.actions import DpActions, DropReason
from netloom.datapath.drop_reasons import PIPELINE_DROPS, drop_counter
from netloom.datapath.meters import DpMeter, DpMeterBand
from netloom.datapath.userspace.conntrack.fragments import DEFAULT_MIN_SIZES
from netloom.flow.key import explain_key
from netloom.flow.odp_parse import parse_odp_flow

pytestmark = pytest.mark.root
PORTS = (1, 2, 3)
Backend = UserspaceBackend | KernelBackend
#: Each makes one of a packet, or none: sent, up, or dropped.
FATES = (
    "2", "3", "1", "99", "", "recirc(0x1)", "recirc(0x7)", "recirc(0x2)", "meter(0),2",
    "ct(commit,zone=1),2", "ct(zone=2),recirc(0x1)", "push_vlan(vid=5,pcp=0),3", "pop_vlan,2",
    "set(ipv4(ttl=9)),3", "trunc(40),2", "push_mpls(label=5,tc=0,ttl=64,bos=1,eth_type=0x8847),2",
    "set(nd(sll=00:00:00:00:00:01)),2", "check_pkt_len(size=80,gt(2),le(99))",
    "userspace(pid=0,slow_path(action))", "hash(l4(0)),recirc(0x1)",
)  # fmt: skip


@pytest.fixture(scope="module")
def kernel() -> Iterator[KernelBackend]:
    require_programs()
    with private_namespace():
        backend = KernelBackend(PORTS)
        yield backend
        backend.close()


def put(backend: Backend, flow: str, actions: DpActions) -> None:
    backend.dpif.flow_put(*parse_odp_flow(flow), actions)


def forget_connections(backend: Backend) -> None:
    """Nothing is tracked, and no fragment waits for others: small ones are refused."""
    assert backend.dpif.conntrack is not None
    backend.dpif.conntrack.flush_zone(None)
    backend.dpif.conntrack.fragments.min_sizes = dict(DEFAULT_MIN_SIZES)


def known_packets(rng: random.Random) -> list[bytes]:
    found = []
    for number in range(30):
        ether = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
        network = IP(src="10.0.0.1", dst=f"10.0.0.{rng.randrange(2, 9)}")
        transport = rng.choice((UDP(sport=5 + number, dport=53), TCP(sport=5 + number, flags="S")))
        tag = (Dot1Q(vlan=rng.randrange(1, 5)),) if rng.random() < 0.3 else ()
        for layer in (*tag, network, transport):
            ether /= layer
        found.append(bytes(ether / bytes(rng.randrange(10, 200))))
    return found


@pytest.mark.parametrize("seed", range(25))
def test_what_comes_in_leaves_or_is_counted(kernel: KernelBackend, seed: int) -> None:
    rng = random.Random(seed)
    packets = known_packets(rng)
    packets += [data for _ in range(20) if len(data := odd_packet(rng)) >= 60]
    rng.shuffle(packets)
    fates = {(port, number): rng.choice(FATES) for port in PORTS for number in (0, 1, 2)}
    ports = [rng.choice(PORTS) for _ in packets]
    kernel.start()
    totals = []
    for backend in (kernel, UserspaceBackend(PORTS)):
        forget_connections(backend)
        backend.dpif.meter_set(0, DpMeter(False, False, (DpMeterBand(1, 10),)))
        for (port, number), text in fates.items():
            for dl_type in ("0x0800", "0x8100"):
                flow = f"recirc_id({number:#x}),in_port({port}),eth(),eth_type({dl_type})"
                put(backend, flow, parse_actions(text) if text else (DropReason(number),))
        n_up = 0
        for port, packet in zip(ports, packets, strict=True):
            backend.inject(port, packet)
            backend.run()
            n_up += len(backend.dpif.recv_upcalls(1_000))
        n_sent = sum(len(backend.sent(port)) for port in PORTS)
        drops = {name: n for name, n in backend.drops().items() if not name.startswith("conntrack")}
        assert n_sent + n_up + sum(drops.values()) == len(packets), (fates, drops)
        backend.dpif.meter_del(0)
        drops.pop("datapath_drop_meter", 0)
        totals.append((drops, n_up))
    # Meters go by the clock, which is not the same.
    if not any("meter" in text for text in fates.values()):
        assert totals[0] == totals[1]


@pytest.mark.parametrize("reason", range(len(PIPELINE_DROPS)))
def test_each_reason_of_the_pipeline_has_its_counter(kernel: KernelBackend, reason: int) -> None:
    flow = "recirc_id(0),in_port(1),eth(),eth_type(0x0800)"
    packet = known_packets(random.Random(0))
    untagged = next(data for data in packet if data[12:14] == b"\x08\x00")
    for backend in (UserspaceBackend(PORTS), kernel):
        if backend is kernel:
            kernel.start()
        put(backend, flow, (DropReason(reason),))
        backend.inject(1, untagged)
        backend.run()
        assert backend.drops() == {drop_counter(reason): 1}


def test_a_device_that_goes_while_packets_come_is_a_counted_drop(kernel: KernelBackend) -> None:
    """The programs still have the number of a device that is gone: no packet may be lost for it
    without a count, nor the copy for the other port."""
    kernel.start()
    put(kernel, "recirc_id(0),in_port(1),eth(),eth_type(0x0800)", parse_actions("2,3"))
    outputs = kernel.dpif._ports._outputs
    at = 2 * outputs.stride
    before = bytes(outputs.view[at : at + 4])
    packet = next(d for d in known_packets(random.Random(0)) if d[12:14] == b"\x08\x00")
    outputs.view[at : at + 4] = (0x7FFFFFF0).to_bytes(4, "little")
    try:
        kernel.inject(1, packet)
        kernel.run()
    finally:
        outputs.view[at : at + 4] = before
    assert (len(kernel.sent(2)), len(kernel.sent(3))) == (0, 1)
    assert kernel.drops() == {"datapath_drop_invalid_port": 1}


class Both:
    """Both data paths, at the same time of day."""

    def __init__(self, kernel: KernelBackend) -> None:
        self.kernel, self.userspace = kernel, UserspaceBackend(PORTS)
        self.sides: tuple[Backend, Backend] = (self.userspace, kernel)
        kernel.start()
        for side in self.sides:
            forget_connections(side)

    def put(self, flow: str, text: str) -> None:
        for side in self.sides:
            put(side, flow, parse_actions(text) if text else (DropReason(0),))

    def inject(self, port: int, packet: bytes) -> list[dict[str, object]]:
        """What became of it, which must be the same; returns the keys of misses."""
        found = []
        for side in self.sides:
            before = [len(side.sent(number)) for number in PORTS]
            side.inject(port, packet)
            side.run()
            sent = [
                [data.hex() for data in side.sent(number)[start:]]
                for number, start in zip(PORTS, before, strict=True)
            ]
            found.append((sent, [explain_key(u.key) for u in side.dpif.recv_upcalls(100)]))
        assert found[0] == found[1], packet.hex()
        return found[0][1]


def conversation(rng: random.Random) -> tuple[int, bytes]:
    """A packet of one of few connections, rarely what should come next."""
    side, number = rng.randrange(2), rng.randrange(6)
    hosts = ("10.0.0.1", "10.0.0.2")
    ether = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    network = IP(src=hosts[side], dst=hosts[1 - side])
    ends = (1_000 + number, 80) if side == 0 else (80, 1_000 + number)
    if rng.random() < 0.3:
        return side + 1, bytes(ether / network / UDP(sport=ends[0], dport=ends[1]) / b"data")
    flags = rng.choice(("S", "SA", "A", "A", "A", "FA", "R", "RA")) if side else rng.choice(
        ("S", "S", "A", "A", "FA", "R")
    )  # fmt: skip
    seq, ack = rng.choice((100, 101, 102)), rng.choice((100, 101, 102))
    tcp = TCP(sport=ends[0], dport=ends[1], flags=flags, seq=seq, ack=ack if "A" in flags else 0)
    return side + 1, bytes(ether / network / tcp)


@pytest.mark.parametrize("seed", range(6))
def test_a_firewall_whose_flows_change_lets_the_same_through(
    kernel: KernelBackend, seed: int
) -> None:
    """Connections come, end and are reset while flows come and go; what one data path lets
    through, the other does."""
    rng = random.Random(seed)
    both = Both(kernel)
    nat = rng.choice(("", ",nat(src=10.9.9.9)", ",nat(dst=10.8.8.8:99)"))
    tracked = [
        (
            f"recirc_id(0),in_port({port}),eth(),eth_type(0x0800)",
            f"ct(zone=3{nat and ',nat'}),recirc(0x{port})",
        )
        for port in (1, 2)
    ]
    rules = {
        "recirc_id(0x1),in_port(1),ct_state(+new-inv),eth(),eth_type(0x0800)": (
            f"ct(commit,zone=3,mark=0x7{nat}),2", ""),
        "recirc_id(0x1),in_port(1),ct_state(-new-inv+est),eth(),eth_type(0x0800)": ("2", "3"),
        "recirc_id(0x1),in_port(1),ct_state(+inv),eth(),eth_type(0x0800)": ("", "3"),
        "recirc_id(0x2),in_port(2),ct_state(+est+rpl-inv),eth(),eth_type(0x0800)": ("1", ""),
        "recirc_id(0x2),in_port(2),ct_state(-est-inv),eth(),eth_type(0x0800)": ("", "3"),
    }  # fmt: skip
    for flow, text in tracked:
        both.put(flow, text)
    for _ in range(250):
        if rng.random() < 0.1:
            flow = rng.choice(list(rules))
            if rng.random() < 0.4:
                for side in both.sides:
                    side.dpif.flow_del(*parse_odp_flow(flow))
            else:
                both.put(flow, rng.choice(rules[flow]))
        if rng.random() < 0.01:
            for side in both.sides:
                assert side.dpif.conntrack is not None
                side.dpif.conntrack.flush_zone(3)
        both.inject(*conversation(rng))
    dumps = []
    for side in both.sides:
        assert side.dpif.conntrack is not None
        dumps.append(sorted(side.dpif.conntrack.dump(side.clock.now_ms(), 3, False, False)))
    assert dumps[0] == dumps[1]
    for name in ("conntrack_invalid_state", "drop_action_of_pipeline"):
        assert kernel.drops().get(name) == both.userspace.drops().get(name)
