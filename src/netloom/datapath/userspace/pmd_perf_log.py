"""Telling the log of iterations that took suspiciously long: `dpif-netdev/pmd-perf-log-set`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from netloom.base.errors import CommandError
from netloom.base.log import get_logger
from netloom.base.numbers import decimal
from netloom.base.record import Record
from netloom.datapath.userspace.pmd_perf import HISTORY, Iteration, PerfStats
from netloom.datapath.userspace.pmd_perf_text import format_iterations

log: Final = get_logger("pmd_perf")

OPTIONS: Final = "[-b before] [-a after] [-e|-ne] [-us usec] [-q qlen]"
_USAGE: Final = f"Usage: ovs-appctl dpif-netdev/pmd-perf-log-set [on|off] {OPTIONS}"
#: Above so many iterations in one message the defaults return, lest the log be its own reason.
_MANY: Final = 100
_NS_PER_US: Final = 1_000


class LogSettings(Record):
    """What is told: iterations longer than `longest_us`, with those `before` and `after`.
    `extends`: another such one on the way makes the message longer. `longest_queue` is of queues
    of virtual machines, which there are none of."""

    is_on: bool = False
    before: int = 5
    after: int = 5
    extends: bool = False
    longest_us: int = 250
    longest_queue: int = 128


def parse_settings(args: Sequence[str], old: LogSettings) -> LogSettings:
    """The settings after a command; raises CommandError with its usage."""
    numbers = {"-b": old.before, "-a": old.after, "-us": old.longest_us, "-q": old.longest_queue}
    is_on, extends = old.is_on, old.extends
    words = list(args)
    while words:
        word = words.pop(0)
        if word in ("on", "off"):
            is_on = word == "on"
        elif word in ("-e", "-ne"):
            extends = word == "-e"
        elif word in numbers and words and (value := decimal(words.pop(0))) is not None:
            numbers[word] = value
        else:
            raise CommandError(_USAGE)
    before = min(numbers["-b"], HISTORY - 2)
    after = min(numbers["-a"], HISTORY - 2 - before)
    settings = LogSettings(is_on, before, after, extends, numbers["-us"], numbers["-q"])
    log.info(
        "pmd-perf-log-set: %s, before=%d, after=%d, extend=%s, us_thr=%d, q_thr=%d",
        "on" if is_on else "off", before, after, str(extends).lower(), settings.longest_us,
        settings.longest_queue,
    )  # fmt: skip
    return settings


class PerfLog:
    """Watches the iterations of all threads."""

    def __init__(self) -> None:
        self.settings = LogSettings()
        #: Of threads: the iteration that is to be told, and the number of the last one to show.
        self._pending: dict[PerfStats, tuple[Iteration, int, int]] = {}

    def note(self, perf: PerfStats, done: Iteration) -> None:
        """An iteration, which is in the history already, has ended."""
        settings = self.settings
        if not settings.is_on:
            self._pending.clear()
            return
        if done.cycles > settings.longest_us * _NS_PER_US:
            self._suspect(perf, done)
        pending = self._pending.get(perf)
        if pending is not None and done.stamp >= pending[2]:
            del self._pending[perf]
            self._tell(perf, pending[0], done.stamp - pending[1] + 1)

    def _suspect(self, perf: PerfStats, done: Iteration) -> None:
        pending = self._pending.get(perf)
        last = done.stamp + self.settings.after
        if pending is None:
            self._pending[perf] = (done, done.stamp - self.settings.before, last)
        elif self.settings.extends:
            _tell_one(pending[0])
            self._pending[perf] = (done, pending[1], min(last, pending[1] + HISTORY - 1))

    def _tell(self, perf: PerfStats, suspect: Iteration, n_iterations: int) -> None:
        _tell_one(suspect)
        text = format_iterations(perf, n_iterations)
        log.warn_rl("Neighborhood of suspicious iteration:\n%s", text.removesuffix("\n"))
        if n_iterations > _MANY:
            default = LogSettings()
            self.settings = LogSettings(
                True, default.before, default.after, default.extends, self.settings.longest_us,
                self.settings.longest_queue,
            )  # fmt: skip


def _tell_one(iteration: Iteration) -> None:
    log.warn_rl(
        "Suspicious iteration (Excessive total cycles): iter=%d duration=%d us",
        iteration.stamp,
        iteration.cycles // _NS_PER_US,
    )
