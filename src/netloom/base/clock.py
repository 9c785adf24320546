"""The only module that reads the time.

Everybody else is handed a `Clock`, or the time itself as an argument `now_ms`: milliseconds on a
monotonic scale whose zero means nothing. `WarpClock` is what the daemons run on: it follows the
system's clock until `stop()`, and then moves only by `warp()` (`ovs-appctl time/stop`,
`time/warp`), so that a test rules every timer. `ManualClock` never moves by itself.
"""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol
else:
    # `typing` takes 5 ms to import, which the classic tools do not have.
    Protocol = object


def format_time(template: str, wall_ms: int, *, utc: bool) -> str:
    """`wall_ms` by strftime's `template`; each run of `#` becomes that many decimals of a second.

    Sub-second time is known to the millisecond; further decimals are zeros.
    """
    seconds, ms = divmod(wall_ms, 1000)
    if "#" in template:
        decimals = f"{ms:03d}"
        pieces: list[str] = []
        position = 0
        for char in template:
            if char == "#":
                pieces.append(decimals[position] if position < len(decimals) else "0")
                position += 1
            else:
                pieces.append(char)
                position = 0
        template = "".join(pieces)
    return time.strftime(template, time.gmtime(seconds) if utc else time.localtime(seconds))


def stopwatch_ns() -> int:
    """Nanoseconds, for measuring what work costs: no timer's time, it goes on while that is
    stopped."""
    return time.perf_counter_ns()


class Clock(Protocol):
    """A source of time: `now_ms` is monotonic, `wall_ms` is milliseconds since the Unix epoch."""

    def now_ms(self) -> int: ...

    def wall_ms(self) -> int: ...


class SystemClock:
    """The machine's own clocks."""

    def now_ms(self) -> int:
        return time.monotonic_ns() // 1_000_000

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000


class ManualClock:
    """A clock that a test moves by hand."""

    def __init__(self, now_ms: int = 0, wall_ms: int = 0) -> None:
        self._now_ms = now_ms
        self._wall_ms = wall_ms

    def now_ms(self) -> int:
        return self._now_ms

    def wall_ms(self) -> int:
        return self._wall_ms

    def advance(self, ms: int) -> None:
        """Move both scales forward by `ms` (>= 0)."""
        assert ms >= 0
        self._now_ms += ms
        self._wall_ms += ms


class WarpClock:
    """The system's clock until `stop()`; from then on it moves only by `warp()`."""

    def __init__(self, system: Clock | None = None) -> None:
        self._system: Clock = system or SystemClock()
        self._stopped_at_ms: int | None = None
        self._warped_ms = 0

    @property
    def stopped(self) -> bool:
        return self._stopped_at_ms is not None

    def now_ms(self) -> int:
        base = self._system.now_ms() if self._stopped_at_ms is None else self._stopped_at_ms
        return base + self._warped_ms

    def wall_ms(self) -> int:
        return self._system.wall_ms() + self._warped_ms

    def stop(self) -> None:
        if self._stopped_at_ms is None:
            self._stopped_at_ms = self._system.now_ms()

    def warp(self, ms: int) -> None:
        """Move forward by `ms` (>= 0) at once."""
        assert ms >= 0
        self._warped_ms += ms
