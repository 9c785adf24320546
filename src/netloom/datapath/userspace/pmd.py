"""Threads that poll receive queues, as people see them ("poll mode", PMD): an account each.

The daemon is one loop, which does the work of all of them in turn. A thread here is a name (a core)
for the queues that it polls, the flows that their packets have installed, and what all this has
counted and cost. *Cycles* are nanoseconds of the machine's clock, which goes on when that of the
timers is stopped.
"""

from __future__ import annotations

from operator import add, sub
from typing import Final

from netloom.datapath.userspace.cache import FlowCache
from netloom.datapath.userspace.cores import Core
from netloom.datapath.userspace.dpif import ThreadStats
from netloom.datapath.userspace.pmd_perf import PerfStats
from netloom.datapath.userspace.rxq_assignment import Queue
from netloom.netdev.dummy import DummyDevice

#: What a queue and a thread cost is kept for so many intervals of so many milliseconds.
INTERVAL_MS: Final = 5_000
N_INTERVALS: Final = 12

#: How packets are spread over the queues that a device sends from.
BY_THREAD: Final = "thread"
BY_HASH: Final = "hash"


class IntervalRing:
    """Numbers of the last intervals."""

    __slots__ = ("_at", "_values")

    def __init__(self) -> None:
        self._values = [0] * N_INTERVALS
        self._at = 0

    def put(self, value: int) -> None:
        """The number of an interval that has ended."""
        self._values[self._at] = value
        self._at = (self._at + 1) % N_INTERVALS

    def last(self, n: int = N_INTERVALS) -> int:
        """The sum over the last `n`."""
        return sum(self._values[self._at - 1 - back] for back in range(n))

    def clear(self) -> None:
        self._values = [0] * N_INTERVALS
        self._at = 0


class RxQueue:
    """A receive queue of a port."""

    __slots__ = ("cycles", "history", "number", "pinned", "port", "thread")

    def __init__(self, port: PolledPort, number: int) -> None:
        self.port = port
        self.number = number
        #: The core that it is to be polled on, if somebody said so.
        self.pinned: int | None = None
        self.thread: PollThread | None = None
        #: What it has cost in this interval, and in those before.
        self.cycles = 0
        self.history = IntervalRing()

    def described(self) -> Queue:
        """As it is to be assigned to a thread."""
        port, cycles = self.port, self.history.last()
        return Queue(port.number, port.name, self.number, port.node, self.pinned, cycles)

    def forget(self) -> None:
        """Measure anew."""
        self.cycles = 0
        self.history.clear()


class PolledPort:
    """A port whose device has queues that threads poll."""

    def __init__(self, number: int, device: DummyDevice) -> None:
        self.number = number
        self.device = device
        self.queues: list[RxQueue] = []
        #: What pins its queues, as it was written.
        self.affinity = ""
        self.cores: dict[int, int] = {}
        self.steering = BY_THREAD
        self.has_emc = True
        #: How the device was configured when its queues were made.
        self.config = (0, 0, 0)
        #: Threads by core, with the send queues that they were given while there are too few.
        self.send_queues: dict[int, int] = {}

    @property
    def name(self) -> str:
        return self.device.name

    @property
    def node(self) -> int:
        return self.config[2]

    def is_outdated(self) -> bool:
        """Has the device been configured otherwise since?"""
        return self.config != self.device.queues.config

    def reconfigure(self) -> None:
        """Take over the configuration of the device; queues that stay keep their history."""
        self.config = self.device.queues.config
        wanted = self.config[0]
        del self.queues[wanted:]
        self.queues += [RxQueue(self, number) for number in range(len(self.queues), wanted)]
        self.send_queues.clear()
        self.pin()

    def pin(self) -> None:
        """Pin the queues as was asked for."""
        for queue in self.queues:
            queue.pinned = self.cores.get(queue.number)


NOTHING_DONE: Final = ThreadStats(*(0,) * len(ThreadStats._fields))


def add_stats(some: ThreadStats, more: ThreadStats) -> ThreadStats:
    """The sum of both, number by number."""
    return ThreadStats(*map(add, some, more))


def subtract_stats(now: ThreadStats, then: ThreadStats) -> ThreadStats:
    """What has come between two looks at the statistics."""
    return ThreadStats(*map(sub, now, then))


class PollThread:
    """The thread of a core."""

    def __init__(self, core: Core, now_ms: int, send_queue: int) -> None:
        self.core = core
        self.queues: list[RxQueue] = []
        self.flows = FlowCache()
        #: What it has done, and what it had when its statistics were cleared.
        self.stats = NOTHING_DONE
        self.cleared = NOTHING_DONE
        self.perf = PerfStats(now_ms)
        #: It sends from this queue where devices have one for each thread.
        self.send_queue = send_queue
        self.max_sleep_us = 0
        self.is_isolated = False
        #: Intervals in a row with too much load.
        self.n_overloaded = 0
        #: How long the last interval was, in cycles; 0 while none has ended.
        self.interval_cycles = 0
        self.busy = IntervalRing()
        self.next_interval_ms = now_ms + INTERVAL_MS
        self._interval_start = 0
        self._busy_before = 0
        #: What it worked on when it was loaded last.
        self.loaded: object = None

    @property
    def number(self) -> int:
        """Its core, which is its name."""
        return self.core.number

    def reload(self, now_ms: int, loaded: object) -> None:
        """It works on other queues or ports from now on: measure anew."""
        self.loaded = loaded
        self.n_overloaded = 0
        self.interval_cycles = 0
        self._interval_start = 0
        self._busy_before = self.perf.busy_cycles
        self.busy.clear()
        self.next_interval_ms = now_ms + INTERVAL_MS
        for queue in self.queues:
            queue.forget()

    def end_interval(self, now_ms: int, now_cycles: int, overload_percent: int | None) -> None:
        """Keep what the interval that ends has cost. From a load of `overload_percent` on it
        counts as too much; None: nobody asks."""
        busy = self.perf.busy_cycles - self._busy_before
        self._busy_before = self.perf.busy_cycles
        self.busy.put(busy)
        for queue in self.queues:
            queue.history.put(queue.cycles)
            queue.cycles = 0
        if self._interval_start:
            self.interval_cycles = now_cycles - self._interval_start
        self._interval_start = now_cycles
        self.next_interval_ms = now_ms + INTERVAL_MS
        if overload_percent is not None and not self.is_isolated:
            load = 100 * busy // self.interval_cycles if self.interval_cycles else 0
            self.n_overloaded = self.n_overloaded + 1 if load >= overload_percent else 0
