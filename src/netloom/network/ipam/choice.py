"""Choosing a free address.

What must hold: a free address is found if there is one; the cost does not grow with the subnet.
How: look at a window of the pools, not at all of them. The first window is the start of the pools,
so that small networks use their low addresses; once that is crowded, windows begin at random
places, and only when those are full too does it walk. Among the free ones of a window the choice is
random, so that concurrent requests rarely want the same one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ipaddress import ip_address

from netloom.network.document import Document
from netloom.network.ipam.addresses import address_of_key

#: Addresses looked at together.
WINDOW = 256
#: Among how many free ones the choice is.
SPREAD = 48
RANDOM_WINDOWS = 4

#: (subnet id, lowest key, highest key) -> keys that are taken
Used = Callable[[str, str, str], list[str]]


def choose_address(
    subnet: Document, used: Used, choose: Callable[[int], int], avoid: frozenset[str] = frozenset()
) -> str | None:
    """A free address of the subnet's pools, not one of `avoid`; None if there is none."""
    spans = [
        (int(ip_address(pool["start"])), int(ip_address(pool["end"])))
        for pool in subnet["allocation_pools"]
    ]
    total = sum(high - low + 1 for low, high in spans)
    avoided = {int(ip_address(address)) for address in avoid}
    for low, high in _windows(spans, total, choose):
        taken = {int(key, 16) for key in used(subnet["id"], f"{low:032x}", f"{high:032x}")}
        free = [number for number in range(low, high + 1) if number not in taken | avoided]
        if free:
            number = free[choose(min(len(free), SPREAD))]
            return address_of_key(f"{number:x}", subnet["ip_version"])
    return None


def _windows(
    spans: list[tuple[int, int]], total: int, choose: Callable[[int], int]
) -> Iterator[tuple[int, int]]:
    """Windows of the pools: the first, some random ones, then every one."""
    if not total:
        return
    if total > WINDOW:
        yield spans[0][0], min(spans[0][0] + WINDOW - 1, spans[0][1])
        for _ in range(RANDOM_WINDOWS):
            offset = choose(total)
            for low, high in spans:
                if offset <= high - low:
                    yield low + offset, min(low + offset + WINDOW - 1, high)
                    break
                offset -= high - low + 1
    for low, high in spans:
        for start in range(low, high + 1, WINDOW):
            yield start, min(start + WINDOW - 1, high)
