"""What the programs count, brought into the counters of this process (`coverage/show`)."""

from __future__ import annotations

from netloom.base.counters import Counters
from netloom.datapath.drop_reasons import drop_counter
from netloom.datapath.ebpf.maps import SharedArray, possible_cpus
from netloom.datapath.ebpf.spec import COUNTER, COUNTER_STRIDE, N_REASONS
from netloom.datapath.userspace.conntrack.tracker import (
    FULL,
    INVALID_STATE,
    TCP_FLAGS,
    TCP_SEQUENCE,
    TCP_UNCHECKED,
    ZONE_FULL,
)
from netloom.datapath.userspace.dpif import DROP_PORT, DROP_UPCALL
from netloom.datapath.userspace.execute import (
    DROP_INVALID,
    DROP_METER,
    DROP_RECIRCULATION,
)
from netloom.datapath.userspace.layers import DROP_NSH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_UPCALLS_AT: Final = 8 * COUNTER["UPCALLS"]
#: Packets for which the programs left something to Python.
SLOW_PACKETS: Final = "dpif_slow_packet"
#: Counters of the programs -> coverage counters. What the rings lost counts as lost upcalls.
_DROPS: Final = {
    "DROP_PORT": DROP_PORT,
    "DROP_RECIRCULATION": DROP_RECIRCULATION,
    "DROP_INVALID": DROP_INVALID,
    "DROP_METER": DROP_METER,
    "DROP_ACTION": "datapath_drop_userspace_action_error",
    "LOST": DROP_UPCALL,
    "SLOW": SLOW_PACKETS,
    "CT_INVALID": INVALID_STATE,
    "CT_FLAGS": TCP_FLAGS,
    "CT_SEQUENCE": TCP_SEQUENCE,
    "CT_UNCHECKED": TCP_UNCHECKED,
    "CT_FULL": FULL,
    "CT_ZONE_FULL": ZONE_FULL,
    "DROP_NSH": DROP_NSH,
    "DROP_REASON": drop_counter(0),
    **{f"DROP_REASON_{number}": drop_counter(number) for number in range(1, N_REASONS)},
}


class KernelCounters:
    """The programs' counters, one of each for a processor; `totals` are their sums when they were
    last taken, which include those of an earlier daemon."""

    def __init__(self, array: SharedArray, counters: Counters) -> None:
        self._array = array
        self._counters = counters
        self._n_cpus = possible_cpus()
        counters.counter(SLOW_PACKETS)
        self.totals = self._read()
        self._seen = b""

    def take(self) -> None:
        """Bring what was counted since the last time into the counters of this process."""
        view, stride = self._array.view, 8 * COUNTER_STRIDE
        # Every miss counts as an upcall, which nobody asks for here.
        seen = b"".join(
            [
                bytes(view[start : start + _UPCALLS_AT])
                + bytes(view[start + _UPCALLS_AT + 8 : start + stride])
                for start in range(0, stride * self._n_cpus, stride)
            ]
        )
        if seen == self._seen:
            return
        self._seen = seen
        totals = self._read()
        for name, counter in _DROPS.items():
            if grown := totals[name] - self.totals[name]:
                self._counters.counter(counter).add(grown)
        self.totals = totals

    def close(self) -> None:
        self._array.close()

    def _read(self) -> dict[str, int]:
        words = self._array.view.cast("Q")
        end = COUNTER_STRIDE * self._n_cpus
        totals = {name: sum(words[number:end:COUNTER_STRIDE]) for name, number in COUNTER.items()}
        words.release()
        return totals
