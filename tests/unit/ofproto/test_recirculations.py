"""Frozen states: who holds them, and for how long they are there."""

from __future__ import annotations

from netloom.ofproto.recirculations import GRACE_MS, FrozenState, Recirculations

STATE = FrozenState("br0", 1, 0)


def test_equal_states_that_are_held_have_one_number() -> None:
    states = Recirculations()
    number = states.acquire(STATE)
    assert states.acquire(FrozenState("br0", 1, 0)) == number
    assert states.acquire(FrozenState("br0", 2, 0)) != number
    assert states.find(number) == STATE


def test_a_state_that_nobody_holds_is_forgotten_after_a_while() -> None:
    states = Recirculations()
    number = states.acquire(STATE)
    states.acquire(STATE)
    states.release((number,), 1_000)
    states.run(1_000 + GRACE_MS)
    assert states.find(number) == STATE
    states.release((number,), 2_000)
    states.run(2_000 + GRACE_MS - 1)
    assert states.find(number) == STATE
    states.run(2_000 + GRACE_MS)
    assert states.find(number) is None
    assert not len(states)


def test_a_number_that_nobody_holds_is_not_given_out_again() -> None:
    states = Recirculations()
    number = states.acquire(STATE)
    states.release((number,), 0)
    assert states.acquire(STATE) != number
    assert states.find(number) == STATE


def test_no_packet_has_number_0() -> None:
    states = Recirculations()
    assert states.find(0) is None
    assert states.acquire(STATE) == 1


def test_numbers_that_flows_of_before_have_are_not_given_out() -> None:
    states = Recirculations(frozenset({1, 2, 4}))
    assert [states.acquire(FrozenState("br0", table, 0)) for table in range(3)] == [3, 5, 6]
    assert states.find(1) is None
