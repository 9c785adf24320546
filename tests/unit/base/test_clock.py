from __future__ import annotations

from netloom.base.clock import ManualClock, SystemClock, WarpClock
from netloom.base.counters import SAMPLE_MS, Counters


def test_the_system_clock_does_not_go_back() -> None:
    clock = SystemClock()
    assert clock.now_ms() <= clock.now_ms()


def test_a_warp_clock_follows_the_system_until_it_is_stopped() -> None:
    system = ManualClock(1_000)
    clock = WarpClock(system)
    system.advance(5)
    assert clock.now_ms() == 1_005
    clock.stop()
    system.advance(5)
    assert clock.now_ms() == 1_005


def test_a_stopped_clock_moves_by_warp_only() -> None:
    clock = WarpClock(ManualClock(1_000))
    clock.stop()
    clock.warp(250)
    assert clock.now_ms() == 1_250


def test_a_second_stop_changes_nothing() -> None:
    system = ManualClock(1_000)
    clock = WarpClock(system)
    clock.stop()
    system.advance(50)
    clock.stop()
    assert clock.now_ms() == 1_000


def test_counter_rates_cover_five_seconds_a_minute_and_an_hour() -> None:
    counters = Counters()
    counter = counters.counter("flow_extract")
    counters.sample(0)
    counter.add(10)
    counters.sample(SAMPLE_MS)
    assert counter.rates() == (2.0, 10 / 60, 10)
    counters.sample(2 * SAMPLE_MS)
    assert counter.rates() == (0.0, 10 / 60, 10)
    assert counter.total == 10


def test_counters_are_shown_by_name() -> None:
    counters = Counters()
    counters.counter("b").add()
    counters.counter("a").add()
    assert [counter.name for counter in counters.all()] == ["a", "b"]
