"""A bridge over a data path with threads that poll: each has its flows, which are one to it."""

from __future__ import annotations

from netloom.base.clock import ManualClock
from netloom.base.counters import Counters
from netloom.datapath.polling import MAIN_THREAD
from netloom.datapath.userspace.cores import parse_cores
from netloom.datapath.userspace.polling import PollingDpif
from netloom.netdev.dummy import DummyFactory
from netloom.ofproto.backer import Backer
from netloom.ofproto.settings import BridgeSettings, PortSettings
from netloom.openflow import messages as m
from netloom.openflow.flow_text import parse_flow_mod
from netloom.packet import build

A, B = bytes.fromhex("02000000000a"), bytes.fromhex("02000000000b")
IP_A, IP_B = bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2))
FRAME = build.ethernet(
    B, A, 0x0800, build.ipv4(IP_A, IP_B, 17, build.udp(IP_A, IP_B, 1000, 53, b"data"))
)


class Bench:
    """br0 with p1, whose two queues are polled on two cores, and p2."""

    def __init__(self, affinity: str = "") -> None:
        self.clock = ManualClock(1_000_000)
        counters = Counters()
        self.dpif = PollingDpif("dummy", "ovs-dummy", self.clock, counters, parse_cores("0,0"))
        self.dpif.set_config({"pmd-cpu-mask": "3"})
        self.backer = Backer("dummy", self.dpif, self.clock, counters)
        self.bridge = self.backer.add_bridge("br0")
        self.bridge.configure(BridgeSettings("br0", 1, "secure"))
        devices = DummyFactory(None)
        self.p1, self.p2 = (
            devices.open("p1", "dummy-pmd", {"n_rxq": "2"}),
            devices.open("p2", "dummy", {}),
        )
        polling = (("pmd-rxq-affinity", affinity),) if affinity else ()
        self.bridge.port_add(PortSettings("p1", "dummy-pmd", 1, polling=polling), self.p1)
        self.bridge.port_add(PortSettings("p2", "dummy", 2), self.p2)
        self.devices = devices
        self.change("in_port=1,actions=2")
        self.backer.run()

    def change(self, flow: str) -> None:
        mod, _ = parse_flow_mod(flow, m.OFPFC_ADD)
        self.bridge.tables.apply(mod, self.clock.now_ms())

    def send(self, queue: int, n_packets: int = 1) -> None:
        for _ in range(n_packets):
            self.devices.devices["p1"].inject(FRAME, queue)
        self.backer.run()

    def packets(self) -> dict[int, list[int]]:
        return {
            thread: [flow.stats.packets for flow in flows]
            for thread, flows in self.dpif.flows_by_thread()
        }

    def n_credited(self) -> int:
        self.bridge.refresh_statistics()
        (rule,) = [rule for rule in self.bridge.tables.rules() if rule.priority == 0x8000]
        return rule.n_packets


def test_a_second_thread_gets_the_flow_that_is_known_already() -> None:
    bench = Bench()
    bench.send(0)
    bench.send(1)
    assert bench.packets() == {MAIN_THREAD: [], 0: [0], 1: [0]}
    assert bench.backer.revalidator.n_flows == 1
    bench.send(0, 2)
    bench.send(1, 3)
    assert bench.packets() == {MAIN_THREAD: [], 0: [2], 1: [3]}
    assert bench.n_credited() == 7
    assert len(bench.devices.devices["p2"].sent) == 7


def test_a_change_of_tables_reaches_the_flows_of_all_threads() -> None:
    bench = Bench()
    for queue in (0, 1):
        bench.send(queue)
    bench.change("in_port=1,actions=drop")
    bench.backer.run()
    for queue in (0, 1):
        bench.send(queue)
    assert len(bench.devices.devices["p2"].sent) == 2
    assert bench.dpif.stats().misses == 2


def test_what_a_thread_that_goes_has_counted_is_credited() -> None:
    bench = Bench()
    bench.send(1)
    bench.send(1, 4)
    bench.dpif.set_config({"pmd-cpu-mask": "1"})
    bench.backer.run()
    bench.clock.advance(1_000)
    bench.backer.run()
    assert bench.n_credited() == 5
    assert bench.backer.revalidator.n_flows == 0
    bench.send(1, 2)
    assert bench.packets() == {MAIN_THREAD: [], 0: [0]}
    bench.send(1)
    assert bench.n_credited() == 8


def test_the_settings_of_a_port_pin_its_queues() -> None:
    bench = Bench("0:1,1:0")
    threads = bench.dpif.pollers.sorted_threads()
    assert [[queue.number for queue in thread.queues] for thread in threads] == [[1], [0]]
