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
from netloom.base.log import DBG
from netloom.datapath.actions import DpActions
from netloom.datapath.dpif import DpPort, DpPortNo, DpStats, Flow, Upcall
from netloom.datapath.polling import MAIN_THREAD
from netloom.datapath.userspace.cache import CachedFlow, FlowCache
from netloom.datapath.userspace.cores import Core
from netloom.datapath.userspace.dpif import (
    BATCH_PACKETS,
    ThreadStats,
    UserspaceDpif,
    describe_flow,
    log,
)
from netloom.datapath.userspace.flow_log import log_flow
from netloom.datapath.userspace.pmd import Counts, PollThread, RxQueue, Tally
from netloom.datapath.userspace.pmd_perf_log import PerfLog
from netloom.datapath.userspace.pollers import Pollers
from netloom.netdev.device import Device
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
    ) -> None:
        super().__init__(type_, name, clock, counters)
        self.polling = self
        self.pollers = Pollers(cores)
        self.perf_log = PerfLog()
        self._main = self._flows
        self._retired = FlowCache()
        #: Whose turn it is; None: the main thread's.
        self._turn: PollThread | None = None
        #: There may be threads, or there should be.
        self._polls = False
        self._since = self._counts()
        #: `serve` has named somebody, at that time, for so many packets.
        self._is_serving = False
        self._since_ns = 0
        self._n_served = 0
        #: What the other threads have counted, of all that the data path has.
        self._others = Tally()
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
        one_in = config.emc_inverse if config.chooses_emc else 1
        for cache in self._caches():
            cache.one_in = one_in
        self._main.one_in = one_in

    def set_port_config(self, number: int, values: Mapping[str, str]) -> None:
        self.pollers.set_port_config(number, values)

    def settle(self) -> None:
        """Have threads and queues be as was asked for so far."""
        if self.pollers.is_outdated:
            one_in = self._main.one_in
            for thread in self.pollers.reconfigure(self._clock.now_ms()):
                self._retire(thread)
            for cache in self._caches():
                cache.one_in = one_in

    def _retire(self, thread: PollThread) -> None:
        """Keep what the flows of a thread that is no more have counted."""
        if self._turn is thread:
            self.serve(None)
        for flow in thread.flows.flows():
            kept = self._retired.find_or_add(flow.key, flow.mask)
            kept.actions = flow.actions
            kept.packets += flow.packets
            kept.bytes += flow.bytes
            kept.used_ms = max(kept.used_ms, flow.used_ms)
            kept.tcp_flags |= flow.tcp_flags
        # Whoever knows the flows shall look at all of them.
        self._hidden_changes -= thread.flows.changes + 1
        thread.flows.clear()

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
        now = self._counts()
        if before is not None:
            before.tally.add(self._since, now)
            self._others.add(self._since, now)
        self._since = now
        self._turn = thread
        self._flows = self._main if thread is None else thread.flows

    def _counts(self) -> Counts:
        return Counts(
            self._hits, self._misses, self._lost, self._recirculated, self._sent, self._batches
        )

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
        return self.pollers.deadline()

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
        if log.threshold >= DBG and cache is not self._retired:
            before = cache.find(key, mask)
            old_actions = None if before is None else before.actions
            log_flow(log, key, mask, actions, old_actions, self.vlan_limit)
        flow = cache.find_or_add(key, mask)
        flow.actions = actions
        flow.program, flow.outputs = self._compiled(actions)
        if self._is_serving and cache is self._flows:
            cache.remember(key, flow)

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
        copies = self._copies(key, mask)
        for cache, flow in copies:
            cache.remove(flow)
        self._hidden_changes += max(len(copies) - 1, 0)
        return _sum(copies) if copies else None

    def flow_get(self, key: int, mask: int) -> Flow | None:
        if not self._is_shared:
            return super().flow_get(key, mask)
        copies = self._copies(key, mask)
        return _sum(copies) if copies else None

    def flow_dump(self) -> Iterator[Flow]:
        if not self._is_shared:
            return super().flow_dump()
        names = {
            (flow.key & flow.mask, flow.mask): flow
            for cache in self._caches()
            for flow in cache.flows()
        }
        return (_sum(self._copies(flow.key, flow.mask)) for flow in names.values())

    def flows_by_thread(self) -> Iterator[tuple[int, Iterator[Flow]]]:
        yield MAIN_THREAD, map(describe_flow, self._main.flows())
        for thread in self.pollers.sorted_threads():
            yield thread.number, map(describe_flow, thread.flows.flows())

    def flow_flush(self) -> None:
        for cache in (*self._caches(), self._retired):
            cache.clear()

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
        return DpStats(
            self._hits, self._misses, self._lost, sum(map(len, caches)),
            max(cache.n_masks for cache in caches),
        )  # fmt: skip

    # Statistics

    def _thread_totals(self) -> ThreadStats:
        """Those of the main thread: all that is nobody else's."""
        self._switch_to(None)
        mine, all_ = Tally(), self._counts()
        others = self._others
        mine.add(
            Counts(others.hits, others.misses, others.lost, others.recirculated, others.sent,
                   others.batches), all_,
        )  # fmt: skip
        return _thread_stats(mine, self._main)

    def stats_of(self, thread: PollThread) -> ThreadStats:
        """What a thread has done since `clear_stats_of`."""
        now = _thread_stats(thread.tally, thread.flows)
        then = thread.cleared
        if then is None:
            return now
        return ThreadStats(*(new - old for new, old in zip(now, then, strict=True)))

    def clear_stats_of(self, thread: PollThread) -> None:
        """Count from zero again."""
        thread.cleared = _thread_stats(thread.tally, thread.flows)
        thread.perf.clear(self._clock.now_ms())

    def end_iterations(self) -> None:
        """Have the last iteration of each thread be counted."""
        now_ms = self._clock.now_ms()
        for thread in self.pollers.threads.values():
            done = thread.perf.end(now_ms)
            if done is not None:
                self.perf_log.note(thread.perf, done)


def _thread_stats(tally: Tally, flows: FlowCache) -> ThreadStats:
    passes = tally.hits + tally.misses
    return ThreadStats(
        passes - tally.recirculated, passes, tally.hits - flows.group_hits, flows.group_hits,
        flows.groups_asked, tally.misses - tally.lost, tally.lost, tally.sent, tally.batches,
    )  # fmt: skip


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


def _sum(copies: Sequence[tuple[FlowCache, CachedFlow]]) -> Flow:
    return describe_flow(_summed(copies))
