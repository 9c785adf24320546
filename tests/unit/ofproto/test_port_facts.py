from __future__ import annotations

from netloom.ofproto.port_facts import PortOrder

LOCAL = 0xFFFFFFFE


def hash_order(numbers: list[int]) -> list[int]:
    order = PortOrder()
    for number in numbers:
        order.add(number)
    return list(order)


def test_ports_are_counted_in_the_order_of_the_hash_of_their_numbers() -> None:
    # What Debian's switch printed.
    expected = [LOCAL, 8, 10, 26, 27, 14, 30, 25, 28, 23, 18, 17, 24, 11, 13, 22, 16, 5, 9, 12,
                20, 15, 21, 7, 6, 4, 1, 19, 2, 29, 3]  # fmt: skip
    assert hash_order([LOCAL, *range(1, 31)]) == expected


def test_few_ports_have_their_order_too() -> None:
    assert hash_order([LOCAL]) == [LOCAL]
    assert hash_order([LOCAL, 1, 2, 3]) == [LOCAL, 1, 2, 3]


def test_the_order_of_the_ports_that_stay_does_not_change() -> None:
    every = [LOCAL, *range(1, 41)]
    order = PortOrder()
    for number in every:
        order.add(number)
    before = list(order)
    for number in every[::3]:
        order.remove(number)
    kept = [number for number in every if number not in every[::3]]
    assert list(order) == [number for number in before if number in kept] != hash_order(kept)
