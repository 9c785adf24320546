"""Event counters and their rates."""

from __future__ import annotations

from netloom.base.counters import SAMPLE_MS, Counters


def test_a_counter_is_there_when_it_is_declared() -> None:
    counters = Counters()
    assert counters.find("a") is None
    counters.declare(["b", "a"])
    assert [counter.name for counter in counters.all()] == ["a", "b"]
    assert counters.find("a") is counters.counter("a")


def test_what_is_followed_counts_and_stays_counted() -> None:
    counters = Counters()
    counter, numbers = counters.counter("a"), [3, 4]
    counter.add(2)
    leave = counter.follow(lambda: numbers[0])
    counter.follow(lambda: numbers[1])
    assert counter.total == 9
    numbers[0] = 10
    leave()
    leave()
    numbers[0] = 100
    assert counter.total == 16


def test_rates_are_of_whole_samples() -> None:
    counters = Counters()
    counter, number = counters.counter("a"), [0]
    counter.follow(lambda: number[0])
    counters.sample(0)
    number[0] = 10
    counter.add(5)
    counters.sample(SAMPLE_MS)
    assert counter.rates() == (3.0, 15 / 60, 15)
    counters.sample(2 * SAMPLE_MS)
    assert counter.rates() == (0.0, 15 / 60, 15)
