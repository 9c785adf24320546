"""Every data path does with the packets of the table what the table says."""

from __future__ import annotations

import pytest
from tests.support.packet_cases import CASES, Case

from netloom.base.clock import ManualClock
from netloom.base.counters import Counters
from netloom.datapath.action_parse import parse_actions
from netloom.datapath.userspace.dpif import UserspaceDpif
from netloom.flow.odp_parse import parse_odp_flow
from netloom.netdev.dummy import DummyFactory

PORTS = (1, 2, 3, 4)


class UserspaceBackend:
    """The data path in Python, over dummy devices p1 to p4."""

    def __init__(self) -> None:
        self.counters = Counters()
        self.clock = ManualClock(1_000)
        factory = DummyFactory(None)
        self.dpif = UserspaceDpif("dummy", "ovs-dummy", self.clock, self.counters)
        for number in PORTS:
            factory.open(f"p{number}", "dummy", {})
            assert self.dpif.port_add(factory.devices[f"p{number}"]).number == number
        self.devices = factory.devices

    def put(self, flow: str, actions: str) -> None:
        self.dpif.flow_put(*parse_odp_flow(flow), parse_actions(actions))

    def inject(self, port: int, packet: bytes) -> None:
        self.devices[f"p{port}"].inject(packet)

    def run(self) -> None:
        while self.dpif.run(self.clock.now_ms()):
            pass

    def sent(self, port: int) -> list[bytes]:
        return [packet.data for packet in self.devices[f"p{port}"].sent]

    def drops(self) -> dict[str, int]:
        counters = self.counters.all()
        return {counter.name: counter.total for counter in counters if counter.total}


BACKENDS = {"userspace": UserspaceBackend}


@pytest.mark.parametrize("backend_name", BACKENDS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Case, backend_name: str) -> None:
    backend = BACKENDS[backend_name]()
    for flow, actions in case.flows:
        backend.put(flow, actions)
    for port, packet in case.sent:
        backend.inject(port, bytes(packet))
    backend.run()
    for port in PORTS:
        expected = [bytes(packet).hex() for number, packet in case.expected if number == port]
        assert [packet.hex() for packet in backend.sent(port)] == expected, f"port {port}"
    assert backend.drops() == case.drops
    assert len(backend.dpif.recv_upcalls(100)) == case.misses


@pytest.mark.parametrize("backend_name", BACKENDS)
def test_every_packet_is_counted_by_one_flow_and_its_ports(backend_name: str) -> None:
    backend = BACKENDS[backend_name]()
    case = CASES[0]
    backend.put(*case.flows[0])
    packet = bytes(case.sent[0][1])
    for _ in range(70):
        backend.inject(1, packet)
    backend.run()
    (flow,) = backend.dpif.flow_dump()
    assert (flow.stats.packets, flow.stats.bytes) == (70, 70 * len(packet))
    assert (flow.stats.used_ms, flow.stats.tcp_flags) == (1_000, 0x02)
    received = backend.devices["p1"].stats()
    sent = backend.devices["p2"].stats()
    assert (received.rx_packets, received.rx_bytes) == (70, 70 * len(packet))
    assert (sent.tx_packets, sent.tx_bytes) == (70, 70 * len(packet))
    stats = backend.dpif.stats()
    assert (stats.hits, stats.misses, stats.flows, stats.masks) == (70, 0, 1, 1)
