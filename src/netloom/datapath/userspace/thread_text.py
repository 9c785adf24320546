"""The texts of `ovs-appctl dpif-netdev/pmd-...`: who polls what, and what that has cost."""

from __future__ import annotations

from typing import Final

from netloom.base.clock import Clock, format_time
from netloom.datapath.userspace.dpif import ThreadStats
from netloom.datapath.userspace.pmd import INTERVAL_MS, N_INTERVALS, PollThread
from netloom.datapath.userspace.pmd_perf import PerfStats
from netloom.datapath.userspace.pmd_perf_text import (
    format_histograms,
    format_iterations,
    format_milliseconds,
    format_overall,
)

INTERVAL_S: Final = INTERVAL_MS // 1_000
#: As long as the cost of queues is known.
MAX_SECONDS: Final = N_INTERVALS * INTERVAL_S


def shown_seconds(text: str | None) -> int:
    """How many seconds `-secs` asks for, in whole intervals; what is no number is all."""
    seconds = int(text) if text is not None and text.isascii() and text.isdigit() else 0
    if not 0 < seconds <= MAX_SECONDS:
        return MAX_SECONDS
    return -(-seconds // INTERVAL_S) * INTERVAL_S


def title(thread: PollThread) -> str:
    """`pmd thread numa_id 0 core_id 1:`"""
    return f"pmd thread numa_id {thread.core.node} core_id {thread.number}:\n"


def describe_queues(thread: PollThread, seconds: int) -> str:
    """What a thread polls, and what share of the last `seconds` each queue took."""
    n_intervals = seconds // INTERVAL_S
    total = thread.interval_cycles * n_intervals
    busy = min(thread.busy.last(n_intervals), total)
    lines = [title(thread), f"  isolated : {'true' if thread.is_isolated else 'false'}\n"]
    spent = 0
    for queue in sorted(thread.queues, key=lambda queue: (queue.port.name, queue.number)):
        cycles = queue.history.last(n_intervals)
        spent += cycles
        lines.append(
            f"  port: {queue.port.name:<16}  queue-id: {queue.number:2} (enabled) "
            f"  pmd usage: {_share(cycles, total)}\n"
        )
    if thread.queues:
        lines.append(f"  overhead: {_share(max(busy - spent, 0), total)}\n")
    return "".join(lines)


def _share(cycles: int, total: int) -> str:
    return f"{100 * cycles / total:2.0f} %" if total else "NOT AVAIL"


def describe_sleep(thread: PollThread) -> str:
    """How long a thread may sleep."""
    return f"{title(thread)}  max sleep: {thread.max_sleep_us:4} us\n"


def describe_stats(heading: str, stats: ThreadStats, perf: PerfStats | None = None) -> str:
    """What a thread has done; without `perf` nobody knows what it cost."""
    passes = stats.passes / stats.received if stats.received else 0
    lookups = stats.subtable_lookups / stats.megaflow_hits if stats.megaflow_hits else 0
    batch = stats.sent / stats.batches if stats.batches else 0
    return (
        f"{heading}"
        f"  packets received: {stats.received}\n"
        f"  packet recirculations: {stats.passes - stats.received}\n"
        f"  avg. datapath passes per packet: {passes:.2f}\n"
        f"  phwol hits: {stats.recognised}\n"
        "  mfex opt hits: 0\n"
        "  simple match hits: 0\n"
        f"  emc hits: {stats.exact_hits}\n"
        "  smc hits: 0\n"
        f"  megaflow hits: {stats.megaflow_hits}\n"
        f"  avg. subtable lookups per megaflow hit: {lookups:.2f}\n"
        f"  miss with success upcall: {stats.misses}\n"
        f"  miss with failed upcall: {stats.lost}\n"
        f"  avg. packets per output batch: {batch:.2f}\n"
    ) + ("" if perf is None else _describe_cycles(stats, perf))


def _describe_cycles(stats: ThreadStats, perf: PerfStats) -> str:
    totals = perf.totals()
    idle, busy = totals.idle_cycles, totals.busy_cycles
    total, packets = idle + busy, stats.received
    if not total:
        return ""
    text = (
        f"  idle cycles: {idle} ({100 * idle / total:.2f}%)\n"
        f"  processing cycles: {busy} ({100 * busy / total:.2f}%)\n"
    )
    if not packets:
        return text
    return text + (
        f"  avg cycles per packet: {total / packets:.2f} ({total}/{packets})\n"
        f"  avg processing cycles per packet: {busy / packets:.2f} ({busy}/{packets})\n"
    )


def describe_performance(
    thread: PollThread,
    stats: ThreadStats,
    clock: Clock,
    histograms: bool,
    n_iterations: int,
    n_milliseconds: int,
) -> str:
    """What the iterations of a thread have cost; details if they are kept."""
    perf = thread.perf
    seconds = (clock.now_ms() - perf.start_ms) / 1_000
    parts = [
        f"\nTime: {format_time('%H:%M:%S.###', clock.wall_ms(), utc=True)}\n"
        f"Measurement duration: {seconds:.3f} s\n\n{title(thread)}\n"
        f"{format_overall(perf, stats, seconds)}"
    ]
    if perf.measures:
        if histograms:
            parts.append(format_histograms(perf))
        if n_iterations:
            parts.append(format_iterations(perf, n_iterations))
        if n_milliseconds:
            parts.append(format_milliseconds(perf, n_milliseconds))
    return "\n".join(parts)
