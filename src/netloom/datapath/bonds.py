"""Bonds that a data path spreads packets over by itself (the action `lb_output`).

A bond has 256 buckets, each of which leads to a port; the low byte of a packet's hash says which
bucket it is in. Whoever moves buckets between ports sets all of them anew; what each bucket has
carried is counted on, so that they can be balanced.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

BUCKETS = 256


class _Bond:
    __slots__ = ("n_bytes", "ports")

    def __init__(self) -> None:
        self.ports: tuple[int, ...] = ()
        self.n_bytes = [0] * BUCKETS


class Bonds:
    """Those of one data path, by number."""

    def __init__(self) -> None:
        self._bonds: dict[int, _Bond] = {}

    def set(self, bond: int, ports: Sequence[int]) -> None:
        """Make a bond, or lead its buckets elsewhere: a data-path port for each."""
        assert len(ports) == BUCKETS
        self._bonds.setdefault(bond, _Bond()).ports = tuple(ports)

    def remove(self, bond: int) -> None:
        """Forget a bond; packets that are sent to it are dropped."""
        self._bonds.pop(bond, None)

    def choose(self, bond: int, hash_: int, n_bytes: int) -> int | None:
        """The port that a packet of that hash and size leaves by; None if there is no such bond."""
        found = self._bonds.get(bond)
        if found is None:
            return None
        bucket = hash_ % BUCKETS
        found.n_bytes[bucket] += n_bytes
        return found.ports[bucket]

    def n_bytes(self, bond: int) -> Sequence[int]:
        """What each bucket has carried; nothing of a bond that is not there."""
        found = self._bonds.get(bond)
        return () if found is None else tuple(found.n_bytes)

    def __iter__(self) -> Iterator[tuple[int, tuple[int, ...]]]:
        """Numbers and ports."""
        return iter([(number, self._bonds[number].ports) for number in sorted(self._bonds)])
