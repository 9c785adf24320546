"""Flows on their way into the kernel: compiled, and put in batches.

A batch of misses makes a batch of flows, and one system call puts them all. So between the upcalls
that `recv_upcalls` handed out and whatever is asked of the data path next, new flows only gather
here; `settle` puts them. (What changes a flow is put at once.) Nobody can tell the difference: a
packet that comes before goes up, where the data path in Python has the flow already.

Most flows do what others do: what actions compile to is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from netloom.base.log import get_logger
from netloom.datapath.actions import DpActions
from netloom.datapath.ebpf.compile import compile_actions
from netloom.datapath.ebpf.flowtable import FlowTable, fits
from netloom.datapath.ebpf.registry import Registry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

log: Final = get_logger("dpif")

#: Lists of actions whose records are kept.
_MAX_KEPT: Final = 1_024
FlowRow = tuple[int, int, DpActions]


class Installs:
    """See the module. `now_ms` tells the time."""

    def __init__(
        self, name: str, table: FlowTable, registry: Registry, now_ms: Callable[[], int]
    ) -> None:
        self._name = name
        self._table = table
        self._registry = registry
        self._now_ms = now_ms
        self._waiting: list[FlowRow] = []
        self._kept: dict[DpActions, list[bytes]] = {}
        #: The same by identity, which is found sooner; the actions are kept, too, so that nothing
        #: else gets their id.
        self._same: dict[int, tuple[DpActions, list[bytes]]] = {}
        #: Why flows that are not in the kernel are not: reason -> number of times.
        self.reasons: dict[str, int] = {}

    def later(self, row: FlowRow) -> None:
        """Put a flow (key, mask, actions) when `settle` is called."""
        self._waiting.append(row)

    def settle(self) -> None:
        """Put what waits."""
        if self._waiting:
            rows, self._waiting = self._waiting, []
            self._put(rows)

    def put(self, rows: Iterable[FlowRow]) -> None:
        """Put flows now, behind those that wait."""
        self._put([*self._waiting, *rows])
        self._waiting = []

    def forget_records(self) -> None:
        """What actions compile to has changed."""
        self._kept.clear()
        self._same.clear()

    def _put(self, rows: list[FlowRow]) -> None:
        now_ms = self._now_ms()
        fitting = []
        for key, mask, actions in rows:
            if reason := fits(mask):
                self._count_reason(reason)
                self._table.delete(key, mask, now_ms)
            else:
                fitting.append((key, mask, self._compile(actions)))
        for _ in self._table.put_many(fitting, now_ms):
            self._count_reason("no room")

    def _compile(self, actions: DpActions) -> list[bytes]:
        same = self._same.get(id(actions))
        if same is not None and same[0] is actions:
            return same[1]
        records = self._kept.get(actions)
        if records is not None:
            if len(self._same) >= _MAX_KEPT:
                self._same.clear()
            self._same[id(actions)] = actions, records
            return records
        records, reasons = compile_actions(actions, self._registry)
        for reason in reasons:
            self._count_reason(reason)
        if not reasons:
            if len(self._kept) >= _MAX_KEPT:
                self._kept.clear()
            self._kept[actions] = records
        return records

    def _count_reason(self, reason: str) -> None:
        self.reasons[reason] = self.reasons.get(reason, 0) + 1
        log.dbg("%s: a flow runs in user space: %s", self._name, reason)
