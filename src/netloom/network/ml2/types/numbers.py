"""Choosing a free number from ranges, for types that number their segments."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from netloom.network.settings import Range

if TYPE_CHECKING:
    from netloom.network.store.transaction import Transaction

#: Numbers looked at together, and among how many free ones the choice is.
WINDOW = 1024
SPREAD = 64


def free_number(
    tx: Transaction,
    kind: str,
    physical: str,
    ranges: tuple[Range, ...],
    choose: Callable[[int], int],
) -> int | None:
    """A number of the ranges that no network has; None if all are taken."""
    for first, last in ranges:
        for low in range(first, last + 1, WINDOW):
            high = min(low + WINDOW - 1, last)
            used = tx.relations.used_segments(kind, physical, low, high)
            free = [number for number in range(low, high + 1) if number not in used]
            if free:
                return free[choose(min(len(free), SPREAD))]
    return None
