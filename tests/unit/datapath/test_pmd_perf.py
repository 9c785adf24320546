"""What iterations of polling threads have cost."""

from __future__ import annotations

from itertools import pairwise

import pytest

from netloom.base.errors import CommandError
from netloom.datapath.userspace.pmd import NOTHING_DONE
from netloom.datapath.userspace.pmd_perf import (
    HISTORY,
    N_BINS,
    Histogram,
    PerfStats,
    linear_limits,
    logarithmic_limits,
)
from netloom.datapath.userspace.pmd_perf_log import LogSettings, parse_settings
from netloom.datapath.userspace.pmd_perf_text import (
    format_histograms,
    format_iterations,
    format_milliseconds,
    format_overall,
)


def iterate(perf: PerfStats, now_ms: int, cycles: int, *batches: int) -> None:
    perf.begin()
    for n_packets in batches:
        perf.batch(n_packets)
    perf.spent(cycles)
    perf.end(now_ms)


@pytest.mark.parametrize(
    ("limits", "first", "last"),
    [
        (linear_limits(0, 32), [0, 1, 2, 3], 32),
        (linear_limits(100, 30_000), [100, 1_096, 2_093], 30_000),
        (logarithmic_limits(0, 1_000), [0, 1, 2, 3, 4], 1_000),
        (logarithmic_limits(500, 24_000_000), [499, 716], 24_000_000),
    ],
)
def test_limits_grow_from_the_least_to_the_most(
    limits: list[int], first: list[int], last: int
) -> None:
    assert len(limits) == N_BINS
    assert limits[: len(first)] == first and limits[-2] == last
    assert all(low < high for low, high in pairwise(limits))


def test_a_number_is_in_the_first_bin_that_is_not_too_small() -> None:
    histogram = Histogram(linear_limits(0, 30))
    for value in (0, 1, 1, 30, 31, 1 << 40):
        histogram.add(value)
    assert (histogram.bins[0], histogram.bins[1], histogram.bins[30]) == (1, 2, 1)
    assert histogram.bins[31] == 2 and histogram.samples() == 6


def test_iterations_are_busy_or_idle() -> None:
    perf = PerfStats(0)
    iterate(perf, 1, 100)
    iterate(perf, 2, 3_000, 20, 12)
    totals = perf.totals()
    assert (totals.iterations, totals.idle) == (2, 1)
    assert (totals.idle_cycles, totals.busy_cycles) == (100, 3_000)
    assert not perf.iterations and perf.packets_per_batch.samples() == 0
    perf.clear(5)
    assert perf.totals().busy_cycles == 0 and perf.busy_cycles == 3_000


def test_answers_belong_to_the_iteration_that_asked() -> None:
    perf = PerfStats(0)
    perf.measures = True
    perf.begin()
    perf.batch(3)
    perf.spent(100)
    perf.answered(2, 1_000)
    done = perf.end(7)
    assert done is not None
    assert (done.cycles, done.upcalls, done.upcall_cycles) == (1_100, 2, 1_000)
    assert perf.totals().upcall_cycles == 1_000


def test_details_are_kept_for_a_while() -> None:
    perf = PerfStats(0)
    perf.measures = True
    for number in range(HISTORY + 5):
        iterate(perf, number // 2, 1_000, 4)
    assert len(perf.iterations) == HISTORY
    assert [one.stamp for one in perf.iterations][-1] == HISTORY + 5
    assert (perf.milliseconds[-2].iterations, perf.milliseconds[-2].packets) == (2, 8)
    assert format_iterations(perf, 1).splitlines()[1].split() == [
        str(HISTORY + 5), "1000", "4", "250", "4", "0", "0", "0",
    ]  # fmt: skip
    assert format_milliseconds(perf, 2).splitlines()[2].split() == [
        "501", "2", "1000", "8", "250", "4", "0", "0", "0",
    ]  # fmt: skip
    lines = format_histograms(perf).splitlines()
    assert len(lines) == 2 + N_BINS + 3
    assert lines[-1].split() == ["1000", "4.00000", "250", "4.00000", "0.00000", "0.00000", "0"]


def test_totals_are_shown_with_their_shares() -> None:
    perf = PerfStats(0)
    iterate(perf, 1, 1_000_000)
    iterate(perf, 2, 3_000_000, 4)
    stats = NOTHING_DONE._replace(
        received=4, passes=5, exact_hits=2, megaflow_hits=2, subtable_lookups=3, misses=1, sent=6,
        batches=3,
    )  # fmt: skip
    assert format_overall(perf, stats, 0) == ""
    lines = [line.split("  (") for line in format_overall(perf, stats, 2.0).splitlines()]
    shown = {words[0].strip(): words[1] for words in lines if len(words) > 1}
    assert shown["- Used TSC cycles:       4000000"] == "  0.2 % of total cycles)"
    assert shown["- busy iterations:             1"] == " 75.0 % of used cycles)"
    assert shown["Rx packets:                    4"] == "0 Kpps, 750000 cycles/pkt)"
    assert shown["Datapath passes:               5"] == "1.25 passes/pkt)"
    assert shown["- Megaflow hits:               2"] == " 40.0 %, 1.50 subtbl lookups/hit)"
    assert shown["Tx batches:                    3"] == "2.00 pkts/batch)"
    nothing = format_overall(perf, NOTHING_DONE, 2.0)
    assert nothing.endswith(f"  Rx packets:         {0:12}\n  Tx packets:         {0:12}\n\n")


def test_settings_of_the_log_are_read_and_kept() -> None:
    first = parse_settings(["on", "-us", "50", "-e"], LogSettings())
    assert first == LogSettings(is_on=True, extends=True, longest_us=50)
    second = parse_settings(["off", "-ne", "-b", "9000", "-a", "7"], first)
    assert (second.is_on, second.extends, second.longest_us) == (False, False, 50)
    assert (second.before, second.after) == (HISTORY - 2, 0)
    for wrong in (["maybe"], ["-b"], ["-b", "x"], ["on", "-z"]):
        with pytest.raises(CommandError, match=r"^Usage: "):
            parse_settings(wrong, first)
