"""Every data path does with the packets of the table what the table says."""

from __future__ import annotations

import pytest
from tests.support.dummy_backend import UserspaceBackend
from tests.support.kernel_backend import KernelBackend
from tests.support.packet_cases import CASES, Case

PORTS = (1, 2, 3, 4)
#: Cases whose flows the kernel programs leave to user space, and why.
SLOW = {
    "a neighbour solicitation": {"set(nd(sll, tll))"},
}
#: Those with what is shorter than an Ethernet header.
SHORT = [case for case in CASES if any(len(packet) < 14 for _, packet in case.sent)]
WIRED = [case for case in CASES if case not in SHORT]


Backend = UserspaceBackend | KernelBackend


@pytest.mark.parametrize("case", WIRED, ids=lambda case: case.name)
def test_case(case: Case, backend: Backend) -> None:
    run_case(case, backend)


@pytest.mark.parametrize("case", SHORT, ids=lambda case: case.name)
def test_case_that_no_wire_carries(case: Case) -> None:
    run_case(case, UserspaceBackend(PORTS))


def run_case(case: Case, backend: Backend) -> None:
    for flow, actions in case.flows:
        backend.put(flow, actions)
    for port, packet in case.sent:
        backend.inject(port, bytes(packet))
    backend.run()
    for port in PORTS:
        expected = [bytes(packet).hex() for number, packet in case.expected if number == port]
        assert [packet.hex() for packet in backend.sent(port)] == expected, f"port {port}"
    assert backend.drops() == case.drops
    if isinstance(backend, KernelBackend):
        assert backend.reasons() == SLOW.get(case.name, set())
    assert len(backend.dpif.recv_upcalls(100)) == case.misses


def test_every_packet_is_counted_by_one_flow_and_its_ports(backend: Backend) -> None:
    case = CASES[0]
    backend.put(*case.flows[0])
    packet = bytes(case.sent[0][1])
    hits = backend.dpif.stats().hits
    ports = [backend.devices[name].stats() for name in ("p1", "p2")]
    started_ms = backend.clock.now_ms()
    for _ in range(70):
        backend.inject(1, packet)
    backend.run()
    (flow,) = backend.dpif.flow_dump()
    assert (flow.stats.packets, flow.stats.bytes) == (70, 70 * len(packet))
    assert flow.stats.tcp_flags == 0x02
    # The kernel's clock moves in steps of some milliseconds.
    assert started_ms - 20 <= flow.stats.used_ms <= backend.clock.now_ms()
    received, sent = (backend.devices[name].stats() for name in ("p1", "p2"))
    assert received.rx_packets - ports[0].rx_packets == 70
    assert received.rx_bytes - ports[0].rx_bytes == 70 * len(packet)
    assert sent.tx_packets - ports[1].tx_packets == 70
    assert sent.tx_bytes - ports[1].tx_bytes == 70 * len(packet)
    stats = backend.dpif.stats()
    assert (stats.hits - hits, stats.flows, stats.masks) == (70, 1, 1)


def test_a_flow_whose_actions_change_keeps_its_counts(backend: Backend) -> None:
    packet = bytes(CASES[0].sent[0][1])
    for output in ("2", "3", "2,3"):
        backend.put(CASES[0].flows[0][0], output)
        backend.inject(1, packet)
        backend.run()
    assert [len(backend.sent(port)) for port in PORTS] == [0, 2, 2, 0]
    (flow,) = backend.dpif.flow_dump()
    assert (flow.stats.packets, flow.stats.bytes) == (3, 3 * len(packet))
    last = backend.dpif.flow_del(flow.key, flow.mask)
    assert last is not None and last.stats.packets == 3
    backend.inject(1, packet)
    backend.run()
    assert len(backend.dpif.recv_upcalls(10)) == 1
