"""Ingress policing by the programs: the buckets of ports are in a map, which outlives the daemon.

The programs look at them only while some port has any (`config.n_policers`). Time is the kernel's
monotonic clock.
"""

from __future__ import annotations

import time
from struct import Struct

from netloom.datapath.ebpf.maps import SharedArray
from netloom.datapath.ebpf.spec import CONFIG, MAX_PORTS, POLICER
from netloom.netdev.qos import FREE, Policing

_U32, _U64 = Struct("<I"), Struct("<Q")
_RATES = Struct("<QQ")
_AT = POLICER.offsets
assert _AT["kpps"] == _AT["kbps"] + 8


class KernelPolicers:
    """The buckets of all ports of one data path."""

    def __init__(self, array: SharedArray, config: SharedArray) -> None:
        self._array = array
        self._config = config
        self._known: dict[int, Policing] = {}
        #: Ports that have buckets, those of an earlier daemon too.
        self._policed = {
            number
            for number in range(MAX_PORTS)
            if any(_RATES.unpack_from(array.view, number * array.stride + _AT["kbps"]))
        }
        self._count()

    def set(self, number: int, policing: Policing) -> None:
        """Have these buckets at a port, full ones, unless it has them already."""
        if number >= MAX_PORTS:
            return
        limits = bool(policing.kbps or policing.kpps)
        if not limits:
            policing = FREE
        if self._known.get(number) == policing:
            return
        self._known[number] = policing
        view, start = self._array.view, number * self._array.stride
        # Nobody is limited by a mixture of old and new.
        _RATES.pack_into(view, start + _AT["kbps"], 0, 0)
        if limits:
            bits, packets = policing.buckets()
            for member, value in (
                ("used_ms", time.monotonic_ns() // 1_000_000), ("max_bits", bits), ("bits", bits),
                ("max_packets", packets), ("packets", packets),
            ):  # fmt: skip
                _U64.pack_into(view, start + _AT[member], value)
            _RATES.pack_into(view, start + _AT["kbps"], policing.kbps, policing.kpps)
            self._policed.add(number)
        else:
            self._policed.discard(number)
        self._count()

    def forget(self, number: int) -> None:
        """The port is no more."""
        self.set(number, FREE)
        self._known.pop(number, None)
        if number < MAX_PORTS:
            at = number * self._array.stride + _AT["dropped"]
            _U64.pack_into(self._array.view, at, 0)

    def dropped(self, number: int) -> int:
        """Packets that were too much."""
        if number >= MAX_PORTS:
            return 0
        at = number * self._array.stride + _AT["dropped"]
        return int(_U64.unpack_from(self._array.view, at)[0])

    def close(self) -> None:
        self._array.close()
        self._config.close()

    def _count(self) -> None:
        _U32.pack_into(self._config.view, CONFIG.offsets["n_policers"], len(self._policed))
