"""What the turns ("iterations") of a thread that polls have cost: `dpif-netdev/pmd-perf-show`.

An iteration is one round over the thread's queues, with what its packets caused. Totals are always
kept; histograms and histories only on request (`other_config:pmd-perf-metrics`), and while
`pmd-perf-log-set on` holds, iterations that took too long are told to the log. Limits of the
histograms are those of Open vSwitch, cycles are nanoseconds.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterator
from math import exp, log
from typing import Final

from netloom.base.record import Record

N_BINS: Final = 32
#: Iterations and milliseconds that are remembered.
HISTORY: Final = 1_000
_NO_LIMIT: Final = 0xFFFFFFFF


def linear_limits(least: int, most: int) -> list[int]:
    """The upper limits of bins of the same width; the last bin takes all that is more."""
    steps = N_BINS - 2
    return [least + at * (most - least) // steps for at in range(N_BINS - 1)] + [_NO_LIMIT]


def logarithmic_limits(least: int, most: int) -> list[int]:
    """The upper limits of bins that grow by the same factor, by 1 at least."""
    limits = [] if least else [0]
    n_bins = N_BINS - 1 - len(limits)
    low, high = log(least or 1), log(most)
    limit = len(limits)
    for at in range(n_bins):
        limit = max(limit, int(exp(low + at * (high - low) / (n_bins - 1))))
        limits.append(limit)
        limit += 1
    limits[-1] = max(limits[-1], most)
    return [*limits, _NO_LIMIT]


class Histogram:
    """How often numbers of each size came."""

    __slots__ = ("bins", "limits")

    def __init__(self, limits: list[int]) -> None:
        self.limits = limits
        self.bins = [0] * N_BINS

    def add(self, value: int) -> None:
        self.bins[min(bisect_left(self.limits, value), N_BINS - 1)] += 1

    def samples(self) -> int:
        return sum(self.bins)


class Iteration:
    """One iteration, or the sum over those of a millisecond. `stamp` is the number of the
    iteration, or the time in milliseconds."""

    __slots__ = ("batches", "busy_cycles", "cycles", "iterations", "packets", "stamp",
                 "upcall_cycles", "upcalls")  # fmt: skip

    def __init__(self, stamp: int) -> None:
        self.stamp = stamp
        self.iterations = self.cycles = self.busy_cycles = self.packets = self.batches = 0
        self.upcalls = self.upcall_cycles = 0

    def add(self, other: Iteration) -> None:
        self.iterations += 1
        self.cycles += other.cycles
        self.busy_cycles += other.cycles if other.packets else 0
        self.packets += other.packets
        self.batches += other.batches
        self.upcalls += other.upcalls
        self.upcall_cycles += other.upcall_cycles


class Totals(Record):
    """Sums over all iterations since the last `clear`."""

    iterations: int
    idle: int
    idle_cycles: int
    busy_cycles: int
    upcall_cycles: int


class PerfStats:
    """The account of one thread's iterations."""

    def __init__(self, now_ms: int) -> None:
        self._number = 0
        #: Cycles of all iterations that had packets, which nobody clears.
        self.busy_cycles = 0
        #: Are details kept?
        self.measures = False
        self.current: Iteration | None = None
        self.clear(now_ms)

    def clear(self, now_ms: int) -> None:
        """Start over."""
        self.start_ms = now_ms
        self._busy_at_start = self.busy_cycles
        self._idle_cycles = self._upcall_cycles = 0
        self.cycles = Histogram(logarithmic_limits(500, 24_000_000))
        self.packets = Histogram(logarithmic_limits(0, 1_000))
        self.cycles_per_packet = Histogram(linear_limits(100, 30_000))
        self.packets_per_batch = Histogram(linear_limits(0, 32))
        self.upcalls = Histogram(linear_limits(0, 30))
        self.cycles_per_upcall = Histogram(logarithmic_limits(1_000, 1_000_000))
        self.queue_lengths = Histogram(logarithmic_limits(0, 512))
        self.iterations: deque[Iteration] = deque(maxlen=HISTORY)
        self.milliseconds: deque[Iteration] = deque(maxlen=HISTORY)
        self.detailed = Iteration(0)

    def begin(self) -> Iteration:
        """A new iteration; the one before must have ended."""
        self._number += 1
        self.current = Iteration(self._number)
        return self.current

    def batch(self, n_packets: int) -> None:
        """A batch of packets has come in."""
        if self.current is not None:
            self.current.packets += n_packets
            self.current.batches += 1
        if self.measures:
            self.packets_per_batch.add(n_packets)

    def spent(self, cycles: int) -> None:
        """The iteration has cost something."""
        if self.current is not None:
            self.current.cycles += cycles
        else:
            self.busy_cycles += cycles

    def answered(self, n_upcalls: int, cycles: int) -> None:
        """Packets of the iteration went up, which cost so much."""
        self.spent(cycles)
        self._upcall_cycles += cycles
        if self.measures and n_upcalls:
            self.cycles_per_upcall.add(cycles // n_upcalls)
        if self.current is not None:
            self.current.upcalls += n_upcalls
            self.current.upcall_cycles += cycles

    def end(self, now_ms: int) -> Iteration | None:
        """The iteration that was begun is over; returns it if details are kept."""
        done, self.current = self.current, None
        if done is None:
            return None
        if done.packets:
            self.busy_cycles += done.cycles
        else:
            self._idle_cycles += done.cycles
        self.cycles.add(done.cycles)
        self.packets.add(done.packets)
        if not self.measures:
            return None
        if done.packets:
            self.cycles_per_packet.add(done.cycles // done.packets)
        self.upcalls.add(done.upcalls)
        self.queue_lengths.add(0)
        self.iterations.append(done)
        if not self.milliseconds or self.milliseconds[-1].stamp != now_ms:
            self.milliseconds.append(Iteration(now_ms))
        self.milliseconds[-1].add(done)
        self.detailed.add(done)
        return done

    def totals(self) -> Totals:
        """The sums."""
        return Totals(
            iterations=self.packets.samples(),
            idle=self.packets.bins[0],
            idle_cycles=self._idle_cycles,
            busy_cycles=self.busy_cycles - self._busy_at_start,
            upcall_cycles=self._upcall_cycles,
        )

    def columns(self) -> Iterator[tuple[str, Histogram]]:
        """The histograms with their titles, in the order in which they are shown."""
        yield "cycles/it", self.cycles
        yield "packets/it", self.packets
        yield "cycles/pkt", self.cycles_per_packet
        yield "pkts/batch", self.packets_per_batch
        yield "max vhost qlen", self.queue_lengths
        yield "upcalls/it", self.upcalls
        yield "cycles/upcall", self.cycles_per_upcall
