"""Which thread polls which queue."""

from __future__ import annotations

import pytest

from netloom.datapath.userspace.cores import Core, cores_in_mask, first_cores, parse_cores
from netloom.datapath.userspace.rxq_assignment import (
    CYCLES,
    GROUP,
    ROUND_ROBIN,
    Assignment,
    Queue,
    assign,
)

TWO = parse_cores("0,0")
FOUR_ON_TWO_NODES = parse_cores("0,0,1,1")


def queues(n: int, node: int = 0, cycles: tuple[int, ...] = ()) -> list[Queue]:
    return [
        Queue(1, "p1", number, node, None, cycles[number] if cycles else 0) for number in range(n)
    ]


def shared(found: Assignment) -> dict[int, list[int]]:
    return {core: [queue.number for queue in slot.queues] for core, slot in found.slots.items()}


def test_cores_are_read_with_their_nodes(capsys: pytest.CaptureFixture[str]) -> None:
    assert parse_cores("0,8,8") == (Core(0, 0), Core(1, 8), Core(2, 8))
    # What is no node takes no number.
    assert parse_cores("0,-1,500,1") == (Core(0, 0), Core(1, 1))
    assert parse_cores("") == ()


@pytest.mark.parametrize(
    ("mask", "numbers"),
    [("1", [0]), ("0xc", [2, 3]), ("0X6", [1, 2]), ("f0", []), ("x3", [0, 1]), ("", [])],
)
def test_masks_choose_cores(mask: str, numbers: list[int]) -> None:
    assert [core.number for core in cores_in_mask(FOUR_ON_TWO_NODES, mask)] == numbers


def test_the_first_cores_of_each_node_are_taken() -> None:
    assert first_cores(parse_cores("1,1,0,0"), 1) == (Core(0, 1), Core(2, 0))
    assert first_cores(TWO, 0) == ()


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [
        (ROUND_ROBIN, {0: [0, 2, 4, 6], 1: [1, 3, 5, 7]}),
        (CYCLES, {0: [0, 3, 4, 7], 1: [1, 2, 5, 6]}),
        (GROUP, {0: [0, 2, 4, 6], 1: [1, 3, 5, 7]}),
    ],
)
def test_queues_without_load_are_shared_evenly(
    algorithm: str, expected: dict[int, list[int]]
) -> None:
    assert shared(assign(TWO, queues(8), algorithm)) == expected


def test_load_decides_the_order_and_who_gets_more() -> None:
    loads = (10, 90, 20, 30)
    assert shared(assign(TWO, queues(4, 0, loads), CYCLES)) == {0: [1, 0], 1: [3, 2]}
    assert shared(assign(TWO, queues(4, 0, loads), GROUP)) == {0: [1], 1: [3, 2, 0]}
    # Who goes in turn does not look at it.
    assert shared(assign(TWO, queues(4, 0, loads), ROUND_ROBIN)) == {0: [0, 2], 1: [1, 3]}


def test_threads_of_the_devices_node_come_first() -> None:
    assert shared(assign(FOUR_ON_TWO_NODES, queues(4, 1), ROUND_ROBIN)) == {
        0: [], 1: [], 2: [0, 2], 3: [1, 3],
    }  # fmt: skip


def test_other_nodes_take_turns_where_the_own_has_none() -> None:
    found = assign(parse_cores("1,2,1,2"), queues(4, 0), GROUP)
    assert shared(found) == {0: [0], 1: [1], 2: [2], 3: [3]}
    assert any(
        message.text.startswith(
            "There's no available (non-isolated) pmd thread on numa node 0. Port 'p1' rx queue 3 "
            "will be assigned to a pmd on numa node 2."
        )
        for message in found.messages
    )


def pinned(n: int, **cores: int) -> list[Queue]:
    return [queue._replace(pinned=cores.get(f"q{queue.number}")) for queue in queues(n)]


def test_a_pinned_queue_keeps_its_thread_to_itself_unless_told_otherwise() -> None:
    found = assign(TWO, pinned(4, q0=0), GROUP)
    assert shared(found) == {0: [0], 1: [1, 2, 3]}
    assert found.slots[0].is_isolated and not found.slots[1].is_isolated
    found = assign(TWO, pinned(4, q0=0), GROUP, isolates=False)
    assert shared(found) == {0: [0, 2], 1: [1, 3]}
    assert not found.slots[0].is_isolated


def test_a_core_without_a_thread_pins_nothing() -> None:
    found = assign(TWO, pinned(2, q0=5), CYCLES)
    assert shared(found) == {0: [0], 1: [1]}
    assert found.messages[0].is_warning
    assert found.messages[0].text.startswith("Core  5 cannot be pinned with port 'p1' rx queue 0.")


def test_nobody_polls_what_is_left_when_all_threads_are_isolated() -> None:
    found = assign(TWO, pinned(3, q0=0, q1=1), CYCLES)
    assert shared(found) == {0: [0], 1: [1]}
    assert found.core_of(queues(3)[2]) is None
    assert found.messages[-1].is_warning
    assert "This rx queue will not be polled." in found.messages[-1].text


def test_isolated_threads_hide_no_other_from_the_turns() -> None:
    found = assign(parse_cores("0,0,0"), pinned(5, q0=0), CYCLES)
    assert shared(found) == {0: [0], 1: [1, 4], 2: [2, 3]}


def test_ports_are_sorted_where_loads_are_the_same() -> None:
    two = [Queue(2, "b", 0, 0), Queue(1, "a", 1, 0), Queue(1, "a", 0, 0)]
    found = assign(parse_cores("0"), two, CYCLES)
    assert [(queue.name, queue.number) for queue in found.slots[0].queues] == [
        ("a", 0), ("a", 1), ("b", 0),
    ]  # fmt: skip
