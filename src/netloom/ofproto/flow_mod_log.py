"""How many flow mods a connection has sent: one line for the log now and then, not one each."""

from __future__ import annotations

from netloom.base.log import get_logger
from netloom.openflow import messages as m

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

log: Final = get_logger("connmgr")

#: The first line comes so long after the first flow mod, later ones so much after one another.
_FIRST_MS: Final = 10_000
_AGAIN_MS: Final = 60_000
#: Flow mods have one of so many commands, from OFPFC_ADD to OFPFC_DELETE_STRICT.
N_COMMANDS: Final = m.OFPFC_DELETE_STRICT + 1


class FlowModLog:
    """Counts the flow mods of one connection."""

    __slots__ = ("_adds", "_backoff_ms", "_deletes", "_first_ms", "_last_ms", "_modifies",
                 "_report_ms")  # fmt: skip

    def __init__(self) -> None:
        self._adds = self._deletes = self._modifies = 0
        self._first_ms = self._last_ms = 0
        self._report_ms: int | None = None
        self._backoff_ms = 0

    def note(self, command: int, now_ms: int, count: int = 1) -> None:
        """So many of a command were carried out."""
        if command == m.OFPFC_ADD:
            self._adds += count
        elif command >= m.OFPFC_DELETE:
            self._deletes += count
        else:
            self._modifies += count
        self._last_ms = now_ms
        if self._report_ms is None:
            self._first_ms = now_ms
            self._report_ms = max(now_ms + _FIRST_MS, self._backoff_ms)
            self._backoff_ms = self._report_ms + _AGAIN_MS

    def deadline(self) -> int | None:
        return self._report_ms

    def run(self, name: str, now_ms: int) -> None:
        if self._report_ms is not None and now_ms >= self._report_ms:
            self.report(name, now_ms)

    def report(self, name: str, now_ms: int) -> None:
        """Log what has come since the last time, if anything."""
        total = self._adds + self._deletes + self._modifies
        if not total:
            return
        ago_s = (now_ms - self._first_ms) // 1_000
        lasted_s = (self._last_ms - self._first_ms) // 1_000
        if lasted_s == ago_s:
            when = f"in the last {ago_s} s"
        elif lasted_s:
            when = f"in the {lasted_s} s starting {ago_s} s ago"
        else:
            when = f"{ago_s} s ago"
        kinds = (
            (self._adds, "adds"),
            (self._deletes, "deletes"),
            (self._modifies, "modifications"),
        )
        counts = ", ".join(f"{count} {kind}" for count, kind in kinds if count)
        log.info("%s: %d flow_mods %s (%s)", name, total, when, counts)
        self._adds = self._deletes = self._modifies = 0
        self._report_ms = None
