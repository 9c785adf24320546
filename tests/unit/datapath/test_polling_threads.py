"""Threads that poll the queues of a data path's ports: who polls what, whose flows and counts
packets are, and when the queues are shared out anew."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from netloom.base.clock import ManualClock
from netloom.base.counters import Counters
from netloom.base.log import CONSOLE, DBG, vlog
from netloom.datapath.action_parse import parse_actions
from netloom.datapath.dpif import DpPortNo
from netloom.datapath.polling import MAIN_THREAD
from netloom.datapath.userspace.cores import parse_cores
from netloom.datapath.userspace.load_balance import variance
from netloom.datapath.userspace.pmd import IntervalRing
from netloom.datapath.userspace.polling import PollingDpif
from netloom.datapath.userspace.thread_commands import ThreadCommands
from netloom.flow.odp_parse import parse_odp_flow
from netloom.netdev.dummy import DummyFactory
from netloom.packet import build

A, B = bytes.fromhex("02000000000a"), bytes.fromhex("02000000000b")
IP_A, IP_B = bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2))
FLOW = "in_port(1),eth(),eth_type(0x0800),ipv4(frag=no)"
MINUTE_MS = 60_000


def udp(number: int = 0) -> bytes:
    datagram = build.udp(IP_A, IP_B, 1000 + number, 53, b"data")
    return build.ethernet(B, A, 0x0800, build.ipv4(IP_A, IP_B, 17, datagram))


class Bench:
    """A data path with p1, of two queues, on two cores, and p2, which nobody polls."""

    def __init__(self, cores: str = "0,0", mask: str = "3", queues: str = "2") -> None:
        self.clock = ManualClock(1_000)
        self.factory = DummyFactory(None)
        self.dpif = PollingDpif(
            "dummy", "dummy@ovs-dummy", self.clock, Counters(), parse_cores(cores)
        )
        self.commands = {
            command.name.partition("/")[2]: command.handler
            for command in ThreadCommands(lambda: [self.dpif], self.clock).commands()
        }
        self.config = {"pmd-cpu-mask": mask}
        self.configure()
        self.add("p1", "dummy-pmd", n_rxq=queues)
        self.add("p2", "dummy")
        self.run()

    def configure(self, **more: str) -> None:
        self.config |= {key.replace("_", "-"): value for key, value in more.items()}
        self.dpif.set_config(self.config)

    def add(self, name: str, type_: str, **options: str) -> None:
        self.dpif.port_add(self.factory.open(name, type_, options))

    def run(self) -> None:
        while self.dpif.run(self.clock.now_ms()):
            pass

    def send(self, queue: int, *packets: bytes, name: str = "p1") -> None:
        for packet in packets:
            self.factory.devices[name].inject(packet, queue)
        self.run()

    def put(self, flow: str = FLOW, actions: str = "2") -> None:
        self.dpif.flow_put(*parse_odp_flow(flow), parse_actions(actions))

    def answer(self, flow: str = FLOW, actions: str = "2") -> list[int]:
        """Answer what came up, as `ofproto` does; whose packets these were."""
        key, mask = parse_odp_flow(flow)
        threads = []
        for upcall in self.dpif.recv_upcalls(100):
            self.dpif.serve(upcall.thread, 1)
            threads.append(upcall.thread)
            self.dpif.execute(upcall.packet, upcall.key, parse_actions(actions), None, True)
            if self.dpif.flow_get(key, mask) is None:
                self.dpif.flow_put(key, mask, parse_actions(actions))
            else:
                self.dpif.share(key, mask)
        self.dpif.serve(None)
        self.dpif.flush()
        return threads

    def polled(self) -> dict[int, list[tuple[str, int]]]:
        self.dpif.settle()
        return {
            thread.number: [(queue.port.name, queue.number) for queue in thread.queues]
            for thread in self.dpif.pollers.sorted_threads()
        }

    def packets_by_thread(self) -> dict[int, list[int]]:
        return {
            number: [flow.stats.packets for flow in flows]
            for number, flows in self.dpif.flows_by_thread()
        }

    def show(self, command: str, *args: str) -> str:
        return self.commands[command](list(args))


@pytest.fixture
def console(capsys: pytest.CaptureFixture[str]) -> Iterator[pytest.CaptureFixture[str]]:
    levels = vlog.levels()
    vlog.set_level(DBG, "dpif_netdev", CONSOLE)
    yield capsys
    vlog.set_levels(levels)


def test_queues_are_shared_out_among_the_cores_of_the_mask() -> None:
    bench = Bench()
    assert bench.polled() == {0: [("p1", 0)], 1: [("p1", 1)]}
    bench.configure(pmd_cpu_mask="2")
    assert bench.polled() == {1: [("p1", 0), ("p1", 1)]}
    del bench.config["pmd-cpu-mask"]
    bench.configure()
    assert bench.polled() == {0: [("p1", 0), ("p1", 1)]}


def test_threads_go_with_the_last_port_that_they_poll() -> None:
    bench = Bench()
    bench.dpif.port_del(DpPortNo(1))
    assert bench.polled() == {}
    assert bench.show("pmd-rxq-show") == "Displaying last 60 seconds pmd usage %\n"


def test_a_device_that_is_configured_otherwise_is_polled_otherwise() -> None:
    bench = Bench(cores="0,1", mask="3")
    assert bench.polled() == {0: [("p1", 0), ("p1", 1)], 1: []}
    bench.factory.devices["p1"].set_options({"n_rxq": "3", "numa_id": "1"})
    assert bench.polled() == {0: [], 1: [("p1", 0), ("p1", 1), ("p1", 2)]}


def test_affinity_pins_queues_and_a_wrong_one_changes_nothing(
    console: pytest.CaptureFixture[str],
) -> None:
    bench = Bench(queues="3")
    bench.dpif.set_port_config(1, {"pmd-rxq-affinity": "0:1"})
    assert bench.polled() == {0: [("p1", 1), ("p1", 2)], 1: [("p1", 0)]}
    assert bench.show("pmd-rxq-show", "-pmd", "1").startswith(
        "Displaying last 60 seconds pmd usage %\npmd thread numa_id 0 core_id 1:\n"
        "  isolated : true\n"
    )
    bench.dpif.set_port_config(1, {"pmd-rxq-affinity": "nonsense"})
    assert "pmd-rxq-affinity 'nonsense' is wrong" in console.readouterr().err
    assert bench.polled() == {0: [("p1", 1), ("p1", 2)], 1: [("p1", 0)]}


def test_each_thread_misses_and_gets_flows_of_its_own() -> None:
    bench = Bench()
    bench.send(0, udp())
    assert bench.answer() == [0]
    bench.send(1, udp())
    assert bench.answer() == [1]
    assert bench.packets_by_thread() == {MAIN_THREAD: [], 0: [0], 1: [0]}
    bench.send(1, udp(), udp())
    bench.send(0, udp())
    assert bench.packets_by_thread() == {MAIN_THREAD: [], 0: [1], 1: [2]}
    assert len(bench.factory.devices["p2"].sent) == 5


def test_who_asks_for_a_flow_gets_the_sum_of_all_threads() -> None:
    bench = Bench()
    bench.put()
    before = bench.dpif.n_changes
    assert before == 1
    bench.send(0, udp())
    bench.send(1, udp(), udp())
    (flow,) = bench.dpif.flow_dump()
    assert flow.stats.packets == 3
    used, changes = bench.dpif.take_used()
    assert [flow.packets for flow in used] == [3] and changes == before
    key, mask = parse_odp_flow(FLOW)
    gone = bench.dpif.flow_del(key, mask)
    assert gone is not None and gone.stats.packets == 3
    assert bench.dpif.n_changes == before + 1
    assert bench.packets_by_thread() == {MAIN_THREAD: [], 0: [], 1: []}


def test_a_flow_that_is_changed_is_changed_for_all_threads() -> None:
    bench = Bench()
    bench.put()
    bench.put(actions="drop")
    for number in (0, 1):
        bench.send(number, udp())
    assert not bench.factory.devices["p2"].sent
    assert bench.dpif.n_changes == 1


def test_nothing_that_a_thread_counted_is_lost_with_it() -> None:
    bench = Bench()
    bench.send(1, udp())
    bench.answer()
    bench.send(1, udp(), udp())
    known = bench.dpif.take_used()[1]
    bench.configure(pmd_cpu_mask="1")
    bench.run()
    # Its flow is not shown any more, which whoever installed it is made to find out ...
    assert bench.dpif.take_used()[1] != known
    assert list(bench.dpif.flow_dump()) == []
    key, mask = parse_odp_flow(FLOW)
    gone = bench.dpif.flow_del(key, mask)
    assert gone is not None and gone.stats.packets == 2
    # ... and if another thread gets the same, their counts are added.
    assert bench.dpif.flow_del(key, mask) is None


def test_packets_that_nobody_polls_are_the_main_threads() -> None:
    bench = Bench()
    bench.put("in_port(2),eth(),eth_type(0x0800),ipv4(frag=no)", "1")
    bench.send(0, udp(), name="p2")
    assert bench.packets_by_thread() == {MAIN_THREAD: [1], 0: [0], 1: [0]}
    assert bench.dpif.thread_stats().received == 1
    assert "main thread:\n  packets received: 1\n" in bench.show("pmd-stats-show")


def test_statistics_are_kept_and_cleared_by_thread() -> None:
    bench = Bench()
    bench.send(0, udp())
    bench.answer()
    bench.send(0, *[udp()] * 3)
    first, second = bench.dpif.pollers.sorted_threads()
    stats = bench.dpif.stats_of(first)
    assert (stats.received, stats.misses, stats.exact_hits) == (4, 1, 3)
    # The packet that came up counts as sent by its thread.
    assert (stats.sent, stats.batches) == (4, 2)
    assert bench.dpif.stats_of(second).received == 0
    assert bench.dpif.thread_stats().received == 0
    bench.show("pmd-stats-clear", "-pmd", "0")
    assert bench.dpif.stats_of(first).received == 0
    assert bench.dpif.stats().hits == 3


def test_performance_is_shown_with_details_if_they_are_measured() -> None:
    bench = Bench()
    bench.clock.advance(1_000)
    bench.put()
    bench.send(0, udp(), udp())
    shown = bench.show("pmd-perf-show", "-pmd", "0")
    assert "Measurement duration: 1.000 s\n\npmd thread numa_id 0 core_id 0:\n\n" in shown
    assert "  - busy iterations:             1  (" in shown
    assert "  Datapath passes:               2  (1.00 passes/pkt)\n" in shown
    assert "  - Megaflow hits:               1  ( 50.0 %, 1.00 subtbl lookups/hit)\n" in shown
    assert "  Tx batches:                    1  (2.00 pkts/batch)\n" in shown
    assert "Histograms" not in shown
    bench.configure(pmd_perf_metrics="true")
    bench.send(0, udp())
    shown = bench.show("pmd-perf-show", "-it", "5", "-ms", "5", "-pmd", "0")
    assert "\nHistograms\n   cycles/it              packets/it  " in shown
    assert "\n   iter                cycles       packets  " in shown
    assert "\n   ms             iterations   cycles/it  " in shown
    assert "Histograms" not in bench.show("pmd-perf-show", "-nh")


def test_usage_is_what_the_last_intervals_were_spent_on() -> None:
    bench = Bench()
    assert bench.show("pmd-rxq-show", "-pmd", "1") == (
        "Displaying last 60 seconds pmd usage %\n"
        "pmd thread numa_id 0 core_id 1:\n"
        "  isolated : false\n"
        "  port: p1                queue-id:  1 (enabled)   pmd usage: NOT AVAIL\n"
        "  overhead: NOT AVAIL\n"
    )
    bench.put()
    for _ in range(3):
        bench.clock.advance(5_001)
        bench.send(1, *[udp(number) for number in range(30)])
    (idle, busy) = bench.dpif.pollers.sorted_threads()
    assert not idle.busy.last() and busy.queues[0].history.last()
    assert busy.interval_cycles >= busy.busy.last(1) >= busy.queues[0].history.last(1)
    assert "NOT AVAIL" not in bench.show("pmd-rxq-show")
    # Another configuration is measured from its start.
    bench.factory.devices["p1"].set_options({"n_rxq": "4"})
    assert "NOT AVAIL" in bench.show("pmd-rxq-show")


@pytest.mark.parametrize(
    ("asked", "shown"), [("-1", 60), ("0", 60), ("1", 5), ("5", 5), ("6", 10), ("61", 60)]
)
def test_usage_is_shown_for_whole_intervals(asked: str, shown: int) -> None:
    heading = Bench().show("pmd-rxq-show", "-secs", asked).splitlines()[0]
    assert heading == f"Displaying last {shown} seconds pmd usage %"


def test_rings_forget_the_oldest() -> None:
    ring = IntervalRing()
    for value in range(1, 15):
        ring.put(value)
    assert (ring.last(1), ring.last(2), ring.last()) == (14, 27, sum(range(3, 15)))
    ring.clear()
    assert ring.last() == 0


def test_packets_leave_by_queues_of_threads_or_of_hashes() -> None:
    bench = Bench()
    bench.add("p3", "dummy-pmd", n_txq="3")
    bench.put(actions="3")
    for number in (0, 1):
        bench.send(number, *[udp()] * (number + 1))

    def sent() -> list[int]:
        counts = dict(bench.factory.devices["p3"].stats().custom)
        return [n for name, n in counts.items() if name[:4] == "tx_q" and name[5:] == "_packets"]

    assert sent() == [0, 1, 2]
    # With fewer queues than threads, those share that must.
    bench.factory.devices["p3"].set_options({"n_txq": "2"})
    bench.send(0, udp())
    bench.send(1, udp())
    assert sent() == [1, 1]
    bench.dpif.set_port_config(3, {"tx-steering": "hash"})
    bench.send(0, *[udp(number) for number in range(40)])
    assert sum(sent()) == 42 and min(sent()) > 1


def test_the_exact_match_cache_may_be_left_out() -> None:
    bench = Bench()
    bench.configure(emc_insert_inv_prob="0")
    bench.put()
    bench.send(0, *[udp()] * 4)
    stats = bench.dpif.stats_of(bench.dpif.pollers.threads[0])
    assert (stats.exact_hits, stats.megaflow_hits) == (0, 4)
    bench.configure(emc_insert_inv_prob="1")
    bench.dpif.set_port_config(1, {"emc-enable": "false"})
    bench.send(0, *[udp()] * 4)
    stats = bench.dpif.stats_of(bench.dpif.pollers.threads[0])
    assert (stats.exact_hits, stats.megaflow_hits) == (0, 8)
    bench.dpif.set_port_config(1, {})
    bench.send(0, *[udp()] * 4)
    stats = bench.dpif.stats_of(bench.dpif.pollers.threads[0])
    assert (stats.exact_hits, stats.megaflow_hits) == (3, 9)


def test_sleeps_are_shown() -> None:
    bench = Bench()
    bench.configure(pmd_sleep_max="50,1:100")
    assert bench.show("pmd-sleep-show") == (
        "Default max sleep:   50 us\n"
        "pmd thread numa_id 0 core_id 0:\n  max sleep:   50 us\n"
        "pmd thread numa_id 0 core_id 1:\n  max sleep:  100 us\n"
    )


def pass_minutes(bench: Bench, n: int) -> None:
    for _ in range(n * 6):
        bench.clock.advance(MINUTE_MS // 6)
        bench.run()


def test_load_is_balanced_only_where_that_may_help(console: pytest.CaptureFixture[str]) -> None:
    bench = Bench()
    bench.configure(pmd_auto_lb="true", pmd_auto_lb_load_threshold="0")
    pass_minutes(bench, 5)
    shown = console.readouterr().err
    assert "nothing to do, not enough non-isolated PMDs or RxQs." in shown
    assert "nothing to do, no configuration changes since last check." in shown
    bench.factory.devices["p1"].set_options({"n_rxq": "3"})
    pass_minutes(bench, 5)
    shown = console.readouterr().err
    assert "performing dry run." in shown
    assert "Variance improvement 0%." in shown and "threshold 25% is not met." in shown
    bench.configure(pmd_rxq_assign="roundrobin")
    pass_minutes(bench, 5)
    assert "pmd-rxq-assign=roundrobin assignment type configured." in console.readouterr().err


def test_load_that_would_be_spread_better_is_shared_out_anew() -> None:
    bench = Bench(queues="4")
    pollers = bench.dpif.pollers
    first, second = pollers.sorted_threads()
    # All load is on the queues of one thread.
    for thread in (first, second):
        thread.interval_cycles = 1_000
    for queue in first.queues:
        for _ in range(12):
            queue.history.put(400)
    assert pollers.balancer.wants(pollers.config, pollers.threads, pollers.plan)
    before = {queue.number for queue in first.queues}
    bench.show("pmd-rxq-rebalance")
    bench.dpif.settle()
    assert len(before & {queue.number for queue in first.queues}) == 1
    # The history is another's now: there is nothing to gain.
    pollers.balancer.recheck()
    assert not pollers.balancer.wants(pollers.config, pollers.threads, pollers.plan)


@pytest.mark.parametrize(
    ("values", "expected"), [([], 0), ([5, 5], 0), ([0, 80], 1_600), ([1, 2], 0)]
)
def test_variance_is_in_whole_numbers(values: list[int], expected: int) -> None:
    assert variance(values) == expected


def test_long_iterations_are_told_to_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    bench = Bench()
    bench.configure(pmd_perf_metrics="true")
    assert bench.show("pmd-perf-log-set", "on", "-us", "0", "-b", "1", "-a", "1") == ""
    bench.put()
    for _ in range(4):
        bench.send(0, udp())
    shown = capsys.readouterr().err
    assert "Suspicious iteration (Excessive total cycles): iter=" in shown
    assert "Neighborhood of suspicious iteration:\n   iter  " in shown


def test_the_threads_ask_to_be_run_when_an_interval_ends() -> None:
    bench = Bench()
    assert bench.dpif.deadline() == 1_000 + 5_000 + 1
    bench.dpif.port_del(DpPortNo(1))
    bench.run()
    assert bench.dpif.deadline() is None
