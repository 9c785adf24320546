"""Packets that come up: in order, with fair shares for the ports, none lost uncounted."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from tests.support.kernel_backend import KernelBackend, kernel_backend

from netloom.datapath.action_parse import parse_actions
from netloom.datapath.dpif import Upcall
from netloom.flow.fields import SLOT
from netloom.flow.odp_parse import parse_odp_flow

pytestmark = pytest.mark.root
N_FLOOD = 6_000


@pytest.fixture
def backend() -> Iterator[KernelBackend]:
    with kernel_backend((1, 2)) as made:
        yield made


def packet(number: int) -> bytes:
    network = IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=1000, dport=2000)
    return bytes(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / network) + (
        number.to_bytes(4, "big")
    )


def numbered(number: int) -> bytes:
    """Packets of which each is a flow of its own."""
    network = IP(src=f"10.1.{number >> 8}.{number & 255}", dst="10.0.0.2") / UDP()
    return bytes(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / network)


def test_a_flood_at_one_port_starves_no_other_and_its_losses_are_counted(
    backend: KernelBackend,
) -> None:
    before = backend.dpif.stats()
    for number in range(N_FLOOD):
        backend.inject(1, numbered(number))
    for number in range(20):
        backend.inject(2, numbered(number))
    upcalls: list[Upcall] = []
    while backend.dpif.run(backend.clock.now_ms()) or not upcalls:
        upcalls += backend.dpif.recv_upcalls(1_000)
    upcalls += backend.dpif.recv_upcalls(100_000)
    ports = [SLOT["in_port"].get(upcall.key) for upcall in upcalls]
    assert ports.count(2) == 20
    stats = backend.dpif.stats()
    lost = stats.lost - before.lost
    assert 0 < ports.count(1) < N_FLOOD and ports.count(1) + lost == N_FLOOD
    assert stats.misses - before.misses == N_FLOOD + 20
    assert backend.drops() == {"datapath_drop_upcall_error": lost}


def test_packets_of_a_missed_flow_leave_in_order(backend: KernelBackend) -> None:
    for number in range(50):
        backend.inject(1, packet(number))
    backend.dpif.run(backend.clock.now_ms())
    (first,) = backend.dpif.recv_upcalls(1)
    assert first.packet == packet(0)
    key, mask = parse_odp_flow("in_port(1),eth(),eth_type(0x0800),ipv4()")
    actions = parse_actions("2")
    backend.dpif.flow_put(key, mask, actions)
    backend.dpif.execute(first.packet, first.key, actions, first.offload)
    backend.run()
    assert backend.sent(2) == [packet(number) for number in range(50)]
    (flow,) = backend.dpif.flow_dump()
    assert flow.stats.packets == 49
