"""What a change to a table costs does not grow with the table."""

from __future__ import annotations

import gc
import time

import pytest

from netloom.flow.fields import FIELD
from netloom.flow.match import Match
from netloom.ofproto.groups import Groups
from netloom.ofproto.meters import MeterNumbers
from netloom.ofproto.tables import Tables
from netloom.openflow import actions as a
from netloom.openflow import messages as m
from netloom.openflow import messages_groups as g

SMALL, LARGE, BATCH, BATCHES = 2_500, 100_000, 200, 10
#: Larger tables miss more of the processor's caches; anything linear would be a hundred times.
FACTOR = 4.0
ACTIONS = (a.Output(1),)
IP = Match().with_field(FIELD["eth_type"], 0x0800)


def flow_mod(number: int, command: int = m.OFPFC_ADD) -> m.FlowMod:
    match = IP.with_field(FIELD["ip_dst"], number)
    return m.FlowMod(command, match, 1, 0, ACTIONS, new_cookie=number)


def best(change: object, numbers: range) -> float:
    """CPU seconds of the quickest batch: others were disturbed."""
    assert callable(change)
    times = []
    for start in range(numbers.start, numbers.stop, BATCH):
        began = time.process_time()
        for number in range(start, start + BATCH):
            change(number)
        times.append(time.process_time() - began)
    return min(times)


def costs(change: object, grow: object) -> list[float]:
    """What the changes cost with few and with many entries."""
    assert callable(grow)
    found = []
    gc.disable()
    try:
        for start, size in ((0, SMALL), (SMALL * 10, LARGE)):
            for number in range(start, size):
                grow(number)
            found.append(best(change, range(size, size + BATCH * BATCHES)))
    finally:
        gc.enable()
    return found


@pytest.mark.parametrize("command", [m.OFPFC_ADD, m.OFPFC_MODIFY_STRICT, m.OFPFC_DELETE_STRICT])
def test_a_flow_mod_costs_as_much_in_a_large_table_as_in_a_small_one(command: int) -> None:
    tables = Tables()

    def grow(number: int) -> None:
        tables.apply(flow_mod(number), 0)

    def change(number: int) -> None:
        known = number if command == m.OFPFC_ADD else number - BATCH * BATCHES
        tables.apply(flow_mod(known, command), 0)

    small, large = costs(change, grow)
    assert large < FACTOR * small


def test_a_group_costs_as_much_among_many_as_among_few() -> None:
    groups = Groups()

    def add(number: int) -> None:
        groups.apply(g.GroupMod(g.OFPGC_ADD, number, g.OFPGT_ALL), 0)

    small, large = costs(add, add)
    assert large < FACTOR * small


def test_a_meter_number_costs_as_much_among_many_as_among_few() -> None:
    numbers = MeterNumbers()
    small, large = costs(lambda number: numbers.take(), lambda number: numbers.take())
    assert large < FACTOR * small


def test_the_lowest_free_meter_number_is_given_out() -> None:
    numbers = MeterNumbers()
    assert [numbers.take() for _ in range(4)] == [0, 1, 2, 3]
    for number in (2, 0):
        numbers.give_back(number)
    assert [numbers.take() for _ in range(3)] == [0, 2, 4]
