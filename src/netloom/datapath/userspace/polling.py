"""A data path in user space with ports whose queues threads poll (`datapath.polling`).

One loop does the work of all threads, in turn. Whose turn it is decides in which flows packets are
looked up and to whom they are counted; the way of a packet is that of `userspace.dpif`, and a data
path without such ports is no slower than one of that kind.

Flows of threads that are no more stay in `_retired` until their last counters are collected with
their removal.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial

from netloom.base.clock import Clock, stopwatch_ns
from netloom.base.counters import Counters
from netloom.base.record import replace
from netloom.datapath.actions import DpActions
from netloom.datapath.dpif import DpPort, DpPortNo, DpStats, Flow, FlowStats, Upcall
from netloom.datapath.offload import OffloadPolicy
from netloom.datapath.polling import MAIN_THREAD
from netloom.datapath.userspace.cache import CachedFlow, FlowCache
from netloom.datapath.userspace.cores import Core
from netloom.datapath.userspace.dpif import (
    ThreadStats,
    UserspaceDpif,
)
from netloom.datapath.userspace.pmd import (
    NOTHING_DONE,
    PollThread,
    RxQueue,
    add_stats,
    subtract_stats,
)
from netloom.datapath.userspace.pmd_perf_log import PerfLog
from netloom.datapath.userspace.pollers import Pollers
from netloom.netdev.device import BATCH_PACKETS, Device
from netloom.netdev.dummy import DummyDevice


class PollingDpif(UserspaceDpif):
    """See the module. `cores` are those of the machine."""

    def __init__(
        self,
        type_: str,
        name: str,
        clock: Clock,
        counters: Counters,
        cores: Sequence[Core] = (),
        policy: OffloadPolicy | None = None,
    ) -> None:
        super().__init__(type_, name, clock, counters, policy)
        self.polling = self
        self.pollers = Pollers(cores)
        self.perf_log = PerfLog()
        self._main = self._flows
        self._retired = FlowCache()
        #: Whose turn it is; None: the main thread's.
        self._turn: PollThread | None = None
        #: There may be threads, or there should be.
        self._polls = False
        #: What the main thread has done before its present turn, and all that was done before it.
        self._main_stats = NOTHING_DONE
        self._since = NOTHING_DONE
        #: `serve` has named somebody, at that time, for so many packets.
        self._is_serving = False
        self._since_ns = 0
        self._n_served = 0
        #: Changes of threads' flows that are none to who knows only the sums.
        self._hidden_changes = 0

    # Ports and configuration

    def port_add(self, device: Device, number: DpPortNo | None = None) -> DpPort:
        port = super().port_add(device, number)
        if isinstance(device, DummyDevice) and device.is_polled:
            self._polls = True
            self.pollers.add_port(port.number, device)
            polled = self.pollers.ports[port.number]
            device.choose_queue = partial(self._send_queue, polled.number)
        return port

    def port_del(self, number: DpPortNo) -> None:
        polled = self.pollers.ports.get(number)
        if polled is not None:
            polled.device.choose_queue = None
            self.pollers.del_port(number)
        super().port_del(number)

    def _send_queue(self, number: int, data: bytes) -> int:
        port = self.pollers.ports.get(number)
        return 0 if port is None else self.pollers.send_queue(port, self._turn, data)

    def set_config(self, values: Mapping[str, str]) -> None:
        self.pollers.set_config(values, self._clock.now_ms())
        config = self.pollers.config
        self._main.one_in = config.emc_inverse if config.chooses_emc else 1

    def set_port_config(self, number: int, values: Mapping[str, str]) -> None:
        self.pollers.set_port_config(number, values)

    def settle(self) -> None:
        """Have threads and queues be as was asked for so far."""
        if self.pollers.is_outdated:
            for thread in self.pollers.reconfigure(self._clock.now_ms()):
                self._retire(thread)

    def _retire(self, thread: PollThread) -> None:
        """Keep what the flows of a thread that is no more have counted."""
        if self._turn is thread:
            self.serve(None)
        for flow in self._dump_from(thread.flows):
            kept = self._retired.find_or_add(flow.key, flow.mask)
            kept.actions = flow.actions
            kept.packets += flow.stats.packets
            kept.bytes += flow.stats.bytes
            kept.used_ms = max(kept.used_ms, flow.stats.used_ms)
            kept.tcp_flags |= flow.stats.tcp_flags
            self._del_from(thread.flows, flow.key, flow.mask)
        # Whoever knows the flows shall look at all of them.
        self._hidden_changes -= thread.flows.changes + 1

    # Turns

    @property
    def has_threads(self) -> bool:
        return bool(self.pollers.threads)

    def run(self, now_ms: int) -> bool:
        is_busy = super().run(now_ms)
        if not self._polls:
            return is_busy
        self.settle()
        threads = self.pollers.threads
        self._polls = bool(threads or self.pollers.ports)
        self.pollers.end_intervals(now_ms, stopwatch_ns())
        for thread in list(threads.values()):
            if thread.queues:
                is_busy |= self._take_turn(thread, now_ms)
        return is_busy

    def _run_ports(self, numbers: Iterable[int]) -> list[int]:
        if self._polls:
            polled = self.pollers.ports
            numbers = [number for number in numbers if number not in polled]
        return super()._run_ports(numbers)

    def _take_turn(self, thread: PollThread, now_ms: int) -> bool:
        """One round over the queues of a thread; False if they are empty."""
        perf = thread.perf
        done = perf.end(now_ms)
        if done is not None:
            self.perf_log.note(perf, done)
        iteration = perf.begin()
        self._switch_to(thread)
        for queue in thread.queues:
            self._take_from(queue, thread)
        self._switch_to(None)
        return bool(iteration.packets)

    def _take_from(self, queue: RxQueue, thread: PollThread) -> None:
        started = stopwatch_ns()
        number = queue.port.number
        packets = queue.port.device.receive_from(queue.number, BATCH_PACKETS)
        if packets:
            self._bursts += 1
            self._flows.one_in = self._main.one_in if queue.port.has_emc else 0
            thread.perf.batch(len(packets))
            if number in self._policers:
                packets = self._policers[number].admit(packets, self._now_ms)
            for packet in packets:
                self._receive(packet, number)
            if self._outbox:
                self.flush()
        cycles = stopwatch_ns() - started
        thread.perf.spent(cycles)
        if packets:
            queue.cycles += cycles

    def _switch_to(self, thread: PollThread | None) -> None:
        """It is another thread's turn."""
        before = self._turn
        if before is thread:
            return
        if self._outbox:
            self.flush()
        done = self._done_in_turn()
        if before is None:
            self._main_stats = done
        else:
            before.stats = done
        self._turn = thread
        self._flows = self._main if thread is None else thread.flows
        self._since = super()._thread_totals()

    def _done_in_turn(self) -> ThreadStats:
        """What the thread whose turn it is has done."""
        before = self._main_stats if self._turn is None else self._turn.stats
        now = super()._thread_totals()
        return add_stats(before, subtract_stats(now, self._since))

    def serve(self, thread: int | None, n_upcalls: int = 0) -> None:
        served = self._turn
        if served is not None:
            now_ns = stopwatch_ns()
            if self._outbox:
                self.flush()
            served.perf.answered(self._n_served, now_ns - self._since_ns)
        self._is_serving = thread is not None
        found = None if thread is None else self.pollers.threads.get(thread)
        self._switch_to(found)
        self._n_served = n_upcalls
        self._since_ns = stopwatch_ns()

    def _enqueue(self, upcall: Upcall, lost: str) -> None:
        if self._turn is not None:
            upcall.thread = self._turn.number
        super()._enqueue(upcall, lost)

    def deadline(self) -> int | None:
        return self.pollers.deadline() if self._polls else None

    # Flows

    def _caches(self) -> list[FlowCache]:
        """The flows of all threads, the main one's first."""
        return [self._main, *(thread.flows for thread in self.pollers.threads.values())]

    @property
    def _is_shared(self) -> bool:
        """Do several threads have flows, or have had them?"""
        return bool(self.pollers.threads or len(self._retired))

    def _copies(self, key: int, mask: int) -> list[tuple[FlowCache, CachedFlow]]:
        """A flow as each thread has it, with whose flows that is."""
        caches = [*self._caches(), self._retired]
        found = [(cache, cache.find(key, mask)) for cache in caches]
        return [(cache, flow) for cache, flow in found if flow is not None]

    def flow_put(self, key: int, mask: int, actions: DpActions) -> None:
        if not self._is_shared:
            super().flow_put(key, mask, actions)
            return
        held = [cache for cache, _ in self._copies(key, mask)]
        takers = list(held)
        if self._is_serving:
            if self._flows not in held:
                takers.append(self._flows)
        elif not held:
            takers = self._caches()
        self._hidden_changes += len(takers) - len(held) - (not held)
        for cache in takers:
            self._put_into(cache, key, mask, actions)

    def _put_into(self, cache: FlowCache, key: int, mask: int, actions: DpActions) -> None:
        own, self._flows = self._flows, cache
        super().flow_put(key, mask, actions)
        self._flows = own
        if self._is_serving and cache is own:
            flow = cache.find(key, mask)
            assert flow is not None
            cache.remember(key, flow)

    def _del_from(self, cache: FlowCache, key: int, mask: int) -> Flow | None:
        own, self._flows = self._flows, cache
        flow = super().flow_del(key, mask)
        self._flows = own
        return flow

    def _get_from(self, cache: FlowCache, key: int, mask: int) -> Flow | None:
        own, self._flows = self._flows, cache
        flow = super().flow_get(key, mask)
        self._flows = own
        return flow

    def _dump_from(self, cache: FlowCache) -> Iterator[Flow]:
        own, self._flows = self._flows, cache
        flows = super().flow_dump()
        self._flows = own
        return flows

    def share(self, key: int, mask: int) -> None:
        if not self._is_serving or self._flows.find(key, mask) is not None:
            return
        copies = self._copies(key, mask)
        if copies:
            self._hidden_changes += 1
            self._put_into(self._flows, key, mask, copies[0][1].actions)

    def flow_del(self, key: int, mask: int) -> Flow | None:
        if not self._is_shared:
            return super().flow_del(key, mask)
        caches = [cache for cache, _ in self._copies(key, mask)]
        gone = [self._del_from(cache, key, mask) for cache in caches]
        self._hidden_changes += max(len(gone) - 1, 0)
        return _sum(gone)

    def flow_get(self, key: int, mask: int) -> Flow | None:
        if not self._is_shared:
            return super().flow_get(key, mask)
        caches = [cache for cache, _ in self._copies(key, mask)]
        return _sum([self._get_from(cache, key, mask) for cache in caches])

    def flow_dump(self) -> Iterator[Flow]:
        if not self._is_shared:
            return super().flow_dump()
        names = {
            (flow.key & flow.mask, flow.mask): None
            for cache in self._caches()
            for flow in cache.flows()
        }
        flows = (self.flow_get(*name) for name in names)
        return (flow for flow in flows if flow is not None)

    def flows_by_thread(self) -> Iterator[tuple[int, Iterator[Flow]]]:
        yield MAIN_THREAD, self._dump_from(self._main)
        for thread in self.pollers.sorted_threads():
            yield thread.number, self._dump_from(thread.flows)

    def flow_flush(self) -> None:
        own = self._flows
        for cache in (*self._caches(), self._retired):
            self._flows = cache
            super().flow_flush()
        self._flows = own

    def take_used(self) -> tuple[list[CachedFlow], int]:
        used, changes = super().take_used()
        if not self._is_shared:
            return used, changes
        names = {(flow.key & flow.mask, flow.mask): flow for flow in used}
        return [_summed(self._copies(f.key, f.mask)) for f in names.values()], self.n_changes

    @property
    def n_changes(self) -> int:
        """How many flows were added and removed so far, of which those of one name are one."""
        changes = sum(cache.changes for cache in (*self._caches(), self._retired))
        return changes - self._hidden_changes

    def stats(self) -> DpStats:
        caches = self._caches()
        n_masks = max(cache.n_masks for cache in caches)
        return replace(super().stats(), flows=sum(map(len, caches)), masks=n_masks)

    # Statistics

    def _thread_totals(self) -> ThreadStats:
        """Those of the main thread."""
        return self._done_in_turn() if self._turn is None else self._main_stats

    def stats_of(self, thread: PollThread) -> ThreadStats:
        """What a thread has done since `clear_stats_of`."""
        return subtract_stats(thread.stats, thread.cleared)

    def clear_stats_of(self, thread: PollThread) -> None:
        """Count from zero again."""
        thread.cleared = thread.stats
        thread.perf.clear(self._clock.now_ms())

    def end_iterations(self) -> None:
        """Have the last iteration of each thread be counted."""
        now_ms = self._clock.now_ms()
        for thread in self.pollers.threads.values():
            done = thread.perf.end(now_ms)
            if done is not None:
                self.perf_log.note(thread.perf, done)


def _summed(copies: Sequence[tuple[FlowCache, CachedFlow]]) -> CachedFlow:
    """One flow with the counters of all copies."""
    first = copies[0][1]
    total = CachedFlow(first.key, first.mask)
    total.actions = first.actions
    for _, flow in copies:
        total.packets += flow.packets
        total.bytes += flow.bytes
        total.used_ms = max(total.used_ms, flow.used_ms)
        total.tcp_flags |= flow.tcp_flags
    return total


def _sum(flows: Sequence[Flow | None]) -> Flow | None:
    """One flow with the counters of all; None if there is none."""
    found = [flow for flow in flows if flow is not None]
    if len(found) < 2:
        return found[0] if found else None
    counts = [flow.stats for flow in found]
    flags = 0
    for count in counts:
        flags |= count.tcp_flags
    stats = FlowStats(
        sum(count.packets for count in counts),
        sum(count.bytes for count in counts),
        max(count.used_ms for count in counts),
        flags,
    )
    return replace(found[0], stats=stats)
