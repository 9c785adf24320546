"""Policies of timeouts: from their names in `ct` actions to the numbers that programs know.

A name has its number from its first use on, whether or not anybody has said yet what it means; the
numbers outlive the daemon, as the flows do that have them.
"""

from __future__ import annotations

from zlib import crc32

from netloom.datapath.ebpf.loader import Loaded
from netloom.datapath.ebpf.maps import SharedArray
from netloom.datapath.ebpf.spec import CT_LIMITS, MAPS, MAX_POLICIES, POLICY
from netloom.datapath.userspace.conntrack.connection import TIMEOUTS_S

_SPEC = next(spec for spec in MAPS if spec.name == "policies")
_DEFAULT = ""


class Policies:
    """See the module."""

    def __init__(self, loaded: Loaded) -> None:
        self._rows = SharedArray(loaded.maps["policies"], _SPEC)
        self._numbers: dict[int, int] = {}
        for number in range(MAX_POLICIES):
            name, *_ = POLICY.unpack_from(self._rows.view, number * self._rows.stride)
            if not name:
                break
            self._numbers[name] = number
        self.set(_DEFAULT, TIMEOUTS_S)

    def close(self) -> None:
        self._rows.close()

    def number(self, name: str) -> int | None:
        """The number of a policy; None if there is none left."""
        number = self._numbers.get(_name(name))
        if number is None:
            if len(self._numbers) >= MAX_POLICIES:
                return None
            self.set(name, TIMEOUTS_S)
            number = self._numbers[_name(name)]
        return number

    def set(self, name: str, timeouts_s: dict[str, int]) -> None:
        """What a policy means from now on, for connections to come."""
        number = self._numbers.setdefault(_name(name), len(self._numbers))
        if number >= MAX_POLICIES:
            del self._numbers[_name(name)]
            return
        rows = [[timeouts_s[limit] for limit in names] for names in CT_LIMITS.values()]
        words = [word for row in rows for word in (*row, *[0] * (8 - len(row)))]
        start = number * self._rows.stride
        self._rows.view[start : start + POLICY.size] = POLICY.pack(_name(name), *words)


def _name(name: str) -> int:
    """A number that stands for a name, never 0."""
    return 1 << 32 | crc32(name.encode())
