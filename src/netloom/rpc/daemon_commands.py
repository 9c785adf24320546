"""The commands that every daemon has: `vlog/*`, `coverage/*`, `memory/show`.

(`list-commands` and `version` come with the registry; `exit` and `time/*` belong to the main loop,
see `netloom.programs.control`.)
"""

from __future__ import annotations

from netloom.base.counters import Counters
from netloom.base.errors import CommandError
from netloom.base.log_modules import modules_of

from .unixctl import CommandRegistry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from netloom.base.log import Vlog


def register_vlog_commands(registry: CommandRegistry, vlog: Vlog) -> None:
    """`vlog/set`, `vlog/list` and the others of ovs-appctl(8), on `vlog`."""
    vlog.declare(modules_of(vlog.program))

    def set_levels(args: list[str]) -> str:
        for spec in args or ["any:any:dbg"]:
            vlog.apply(spec)
        return ""

    def reopen(args: list[str]) -> str:
        if vlog.file_name is None:
            raise CommandError("Logging to file not configured")
        try:
            vlog.reopen_file()
        except OSError as error:
            raise CommandError(error.strerror or str(error)) from None
        return ""

    def close(args: list[str]) -> str:
        vlog.close_file()
        return ""

    def limits(honor: bool) -> Callable[[list[str]], str]:
        def handler(args: list[str]) -> str:
            vlog.set_rate_limits(args, honor)
            return ""

        return handler

    registry.register("vlog/set", "{spec | PATTERN:destination:pattern}", 0, None, set_levels)
    registry.register("vlog/list", "", 0, 0, lambda args: vlog.format_levels())
    registry.register("vlog/list-pattern", "", 0, 0, lambda args: vlog.format_patterns())
    registry.register("vlog/enable-rate-limit", "[module]...", 0, None, limits(True))
    registry.register("vlog/disable-rate-limit", "[module]...", 0, None, limits(False))
    registry.register("vlog/reopen", "", 0, 0, reopen)
    registry.register("vlog/close", "", 0, 0, close)


def format_coverage(counters: Counters) -> str:
    """What `coverage/show` prints: every counter that is not zero, with its rates."""
    hit = [counter for counter in counters.all() if counter.total]
    # The hash tells at a glance whether two snapshots saw the same set of events.
    digest = 0
    for counter in hit:
        for byte in counter.name.encode():
            digest = (digest * 31 + byte) & 0xFFFFFFFF
    lines = [
        "Event coverage, avg rate over last: 5 seconds, last minute, last hour,  "
        f"hash={digest:08x}:\n"
    ]
    for counter in hit:
        five, minute, hour = counter.rates()
        lines.append(
            f"{counter.name:<24} {five:5.1f}/sec {minute:9.3f}/sec {hour / 3600:13.4f}/sec   "
            f"total: {counter.total}\n"
        )
    lines.append(f"{len(counters.all()) - len(hit)} events never hit\n")
    return "".join(lines)


def register_coverage_commands(registry: CommandRegistry, counters: Counters) -> None:
    """`coverage/show` and `coverage/read-counter`."""

    def read(args: list[str]) -> str:
        found = counters.find(args[0])
        if found is None:
            raise CommandError("No such counter")
        return f"{found.total}\n"

    registry.register("coverage/show", "", 0, 0, lambda args: format_coverage(counters))
    registry.register("coverage/read-counter", "COUNTER", 1, 1, read)


def format_memory(usage: Mapping[str, int]) -> str:
    """`name:count` pairs, sorted, as `memory/show` prints them."""
    return " ".join(f"{name}:{usage[name]}" for name in sorted(usage))


def register_memory_commands(
    registry: CommandRegistry, usage: Callable[[], Mapping[str, int]]
) -> None:
    """`memory/show`; `usage` gives what there is of each kind of thing."""
    registry.register("memory/show", "", 0, 0, lambda args: format_memory(usage()))
