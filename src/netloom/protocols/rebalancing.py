"""Which buckets of a bond's hash are to go from loaded members to others."""

from __future__ import annotations

from typing import NamedTuple

#: A difference of load, in bytes, that is not worth moving anything, and which part of the less
#: load it must be (a shift): 3 percent.
SMALL_LOAD = 100_000
SMALL_PART = 5
#: Moving must bring the loads closer by one part of so many.
WORTHWHILE_PART = 10


class Move(NamedTuple):
    """A bucket that changes members, and what both carry then."""

    bucket: int
    source: str
    target: str
    source_load: int
    target_load: int


def moves(loads: dict[str, dict[int, int]]) -> list[Move]:
    """What to move, given the bytes of each bucket of each enabled member. What has been moved
    once stays there."""
    load = {name: sum(shares.values()) for name, shares in loads.items()}
    # The sort is stable: buckets with the same load in the order of their numbers.
    buckets = {
        name: sorted(shares, key=shares.__getitem__, reverse=True) for name, shares in loads.items()
    }
    found: list[Move] = []
    while len(load) > 1:
        source, target = max(load, key=load.__getitem__), min(load, key=load.__getitem__)
        excess = load[source] - load[target]
        if excess < max(load[target] >> SMALL_PART, SMALL_LOAD):
            break
        shares = loads[source]
        chosen = _choose([(number, shares[number]) for number in buckets[source]], excess)
        if not chosen:
            # Nothing that it carries can be moved usefully.
            del load[source]
            continue
        for number in chosen:
            load[source] -= shares[number]
            load[target] += shares[number]
            buckets[source].remove(number)
            found.append(Move(number, source, target, load[source], load[target]))
    return found


def _choose(buckets: list[tuple[int, int]], excess: int) -> list[int]:
    """Numbers of buckets that together carry about half of what one member has more than another;
    `buckets` are those of the first with their loads, largest first. None if they gain too little,
    or if they are all that it has."""
    if len(buckets) < 2:
        return []
    half = excess // 2
    least_gain = half // WORTHWHILE_PART
    chosen, moved = [], 0
    for number, n_bytes in buckets:
        if moved + n_bytes <= half:
            chosen.append(number)
            moved += n_bytes
        if half - moved < least_gain:
            break
    if not chosen:
        chosen, moved = [buckets[-1][0]], buckets[-1][1]
    # The less loaded of the two then has this more than it had.
    gain = min(excess - moved, moved)
    return chosen if gain > 0 and gain >= least_gain else []
