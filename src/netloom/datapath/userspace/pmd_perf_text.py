"""The tables of `dpif-netdev/pmd-perf-show`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Final

from netloom.datapath.userspace.dpif import ThreadStats
from netloom.datapath.userspace.pmd_perf import Iteration, PerfStats

_HZ: Final = 1_000_000_000
_US_PER_CYCLE: Final = 1_000_000 / _HZ


def _share(part: float, whole: float) -> float:
    return 100.0 * part / whole if whole else 0.0


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def format_overall(perf: PerfStats, stats: ThreadStats, seconds: float) -> str:
    """The totals over the last `seconds`; nothing before any time has passed."""
    if not seconds:
        return ""
    return _iterations(perf, seconds) + _received(perf, stats, seconds) + _sent(stats, seconds)


def _iterations(perf: PerfStats, seconds: float) -> str:
    totals = perf.totals()
    n, cycles = totals.iterations, totals.idle_cycles + totals.busy_cycles
    return (
        f"  Iterations:         {n:12}  ({_ratio(cycles * _US_PER_CYCLE, n):.2f} us/it)\n"
        f"  - Used TSC cycles:  {cycles:12}  "
        f"({_share(cycles / seconds, _HZ):5.1f} % of total cycles)\n"
        f"  - idle iterations:  {totals.idle:12}  "
        f"({_share(totals.idle_cycles, cycles):5.1f} % of used cycles)\n"
        f"  - busy iterations:  {n - totals.idle:12}  "
        f"({_share(totals.busy_cycles, cycles):5.1f} % of used cycles)\n"
        f"  - sleep iterations: {0:12}  ({0.0:5.1f} % of iterations)\n"
        f"  Sleep time (us):    {0:12}  ({0:3} us/iteration avg.)\n"
    )


def _received(perf: PerfStats, stats: ThreadStats, seconds: float) -> str:
    packets, passes = stats.received, stats.passes
    if not packets:
        return f"  Rx packets:         {0:12}\n"
    totals, upcalls = perf.totals(), stats.misses
    lookups = _ratio(stats.subtable_lookups, stats.megaflow_hits)
    per_upcall = _ratio(totals.upcall_cycles * _US_PER_CYCLE, upcalls)
    rows = (
        ("PHWOL hits:       ", stats.recognised, ""),
        ("MFEX Opt hits:    ", 0, ""),
        ("Simple Match hits:", 0, ""),
        ("EMC hits:         ", stats.exact_hits, ""),
        ("SMC hits:         ", 0, ""),
        ("Megaflow hits:    ", stats.megaflow_hits, f", {lookups:.2f} subtbl lookups/hit"),
        ("Upcalls:          ", upcalls, f", {per_upcall:.1f} us/upcall"),
        ("Lost upcalls:     ", stats.lost, ""),
    )
    return (
        f"  Rx packets:         {packets:12}  ({packets / seconds / 1_000:.0f} Kpps, "
        f"{totals.busy_cycles / packets:.0f} cycles/pkt)\n"
        f"  Datapath passes:    {passes:12}  ({passes / packets:.2f} passes/pkt)\n"
        + "".join(f"  - {title}{count:12}  ({_share(count, passes):5.1f} %{more})\n"
                  for title, count, more in rows)
    )  # fmt: skip


def _sent(stats: ThreadStats, seconds: float) -> str:
    if not stats.sent:
        return f"  Tx packets:         {0:12}\n\n"
    return (
        f"  Tx packets:         {stats.sent:12}  ({stats.sent / seconds / 1_000:.0f} Kpps)\n"
        f"  Tx batches:         {stats.batches:12}  "
        f"({_ratio(stats.sent, stats.batches):.2f} pkts/batch)\n"
    )


def format_histograms(perf: PerfStats) -> str:
    """All histograms side by side, with the means below."""
    columns = list(perf.columns())
    titles = [title for title, _ in columns]
    histograms = [histogram for _, histogram in columns]
    lines = ["Histograms\n", _row(21, titles)]
    for at in range(len(histograms[0].bins)):
        is_last = at == len(histograms[0].bins) - 1
        cells = [
            f"{'>' if is_last else histogram.limits[at]:<9} {histogram.bins[at]:<11}"
            for histogram in histograms
        ]
        lines.append(_row(21, cells))
    means = [title.removeprefix("max ") for title in titles]
    lines += ["-" * 154 + "\n", _row(21, means), _row(21, _means(perf.detailed))]
    return "".join(lines)


def _row(width: int, cells: Sequence[str]) -> str:
    return "   " + "  ".join(f"{cell:<{width}}" for cell in cells) + "\n"


def _means(total: Iteration) -> list[str]:
    n = total.iterations
    return [
        str(int(_ratio(total.cycles, n))),
        f"{_ratio(total.packets, n):.5f}",
        str(int(_ratio(total.busy_cycles, total.packets))),
        f"{_ratio(total.packets, total.batches):.5f}",
        f"{0.0:.5f}",
        f"{_ratio(total.upcalls, n):.5f}",
        str(int(_ratio(total.upcall_cycles, total.upcalls))),
    ]


def format_iterations(perf: PerfStats, n: int) -> str:
    """The last `n` iterations, the latest first."""
    titles = ("cycles", "packets", "cycles/pkt", "pkts/batch", "vhost qlen", "upcalls",
              "cycles/upcall")  # fmt: skip
    lines = [f"   {'iter':<17}   " + "   ".join(f"{title:<10}" for title in titles) + "\n"]
    for one in islice(reversed(perf.iterations), n):
        cells = (one.cycles, one.packets, _ratio(one.cycles, one.packets),
                 _ratio(one.packets, one.batches), 0, one.upcalls,
                 _ratio(one.upcall_cycles, one.upcalls))  # fmt: skip
        row = "  ".join(f"{int(cell):<11}" for cell in cells)
        lines.append(f"   {one.stamp:<17}   {row}\n")
    return "".join(lines)


def format_milliseconds(perf: PerfStats, n: int) -> str:
    """The last `n` milliseconds that had iterations, the latest first."""
    titles = ("iterations", "cycles/it", "Kpps", "cycles/pkt", "pkts/batch", "vhost qlen",
              "upcalls", "cycles/upcall")  # fmt: skip
    lines = [f"   {'ms':<12}   " + "   ".join(f"{title:<10}" for title in titles) + "\n"]
    for one in islice(reversed(perf.milliseconds), n):
        cells = (one.iterations, _ratio(one.cycles, one.iterations), one.packets,
                 _ratio(one.busy_cycles, one.packets), _ratio(one.packets, one.batches), 0,
                 one.upcalls, _ratio(one.upcall_cycles, one.upcalls))  # fmt: skip
        row = "  ".join(f"{int(cell):<11}" for cell in cells)
        lines.append(f"   {one.stamp:<12}   {row}\n")
    return "".join(lines)
