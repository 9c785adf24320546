"""The data path in Python with dummies for ports, and packets for it."""

from __future__ import annotations

from netloom.base.clock import ManualClock
from netloom.base.counters import Counters
from netloom.datapath.action_parse import parse_actions
from netloom.datapath.userspace.dpif import UserspaceDpif
from netloom.flow.odp_parse import parse_odp_flow
from netloom.netdev.dummy import DummyFactory
from netloom.packet import build

A, B = bytes.fromhex("02000000000a"), bytes.fromhex("02000000000b")
IP_A, IP_B = bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2))
FLOW = "in_port(1),eth(),eth_type(0x0800),ipv4(frag=no)"


def udp(number: int = 0) -> bytes:
    datagram = build.udp(IP_A, IP_B, 1000 + number, 53, b"data")
    return build.ethernet(B, A, 0x0800, build.ipv4(IP_A, IP_B, 17, datagram))


class Bench:
    def __init__(self, names: str = "p1 p2 p3") -> None:
        self.counters = Counters()
        self.factory = DummyFactory(None)
        self.dpif = UserspaceDpif("dummy", "ovs-dummy", ManualClock(1_000), self.counters)
        for name in names.split():
            self.dpif.port_add(self.factory.open(name, "dummy", {}))

    def put(self, flow: str, actions: str) -> None:
        self.dpif.flow_put(*parse_odp_flow(flow), parse_actions(actions))

    def send(self, name: str, *packets: bytes) -> None:
        for packet in packets:
            self.factory.devices[name].inject(packet)
        while self.dpif.run(2_000):
            pass

    def sent(self, name: str) -> list[bytes]:
        return [packet.data for packet in self.factory.devices[name].sent]
