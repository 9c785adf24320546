"""`ovs-appctl dpif-netdev/...`: the threads of a userspace data path, and what they spend time on.

The daemon's own thread is what Open vSwitch calls the main thread. It has no receive queues that
could be assigned; those that poll (`userspace.pmd`) have. Of implementations to choose from there
is one of each kind.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from netloom.base.clock import Clock
from netloom.base.errors import CommandError
from netloom.base.numbers import decimal, leading_int
from netloom.datapath.dpif import Dpif
from netloom.datapath.userspace.pmd import PollThread
from netloom.datapath.userspace.pmd_perf import HISTORY
from netloom.datapath.userspace.pmd_perf_log import OPTIONS, LogSettings, parse_settings
from netloom.datapath.userspace.polling import PollingDpif
from netloom.datapath.userspace.thread_text import (
    describe_performance,
    describe_queues,
    describe_sleep,
    describe_stats,
    shown_seconds,
    title,
)

Handler = Callable[[list[str]], str]
_PERF_LOG = f"on|off {OPTIONS}"
_PERF = "[-nh] [-it iter-history-len] [-ms ms-history-len] [-pmd core] [dp]"
_PARSER = "[-pmd core] miniflow_implementation_name [study_pkt_cnt]"
_OPTIONS_WITH_VALUE = frozenset({"-pmd", "-secs", "-it", "-ms"})


class ThreadCommand(NamedTuple):
    """A command as a daemon registers it."""

    name: str
    usage: str
    min_args: int
    max_args: int
    handler: Handler


class ThreadCommands:
    """The commands over the data paths that `dpifs` returns."""

    def __init__(self, dpifs: Callable[[], Sequence[Dpif]], clock: Clock) -> None:
        self._dpifs = dpifs
        self._clock = clock
        self._log_settings = LogSettings()

    def commands(self) -> list[ThreadCommand]:
        """All of them."""
        rows: list[tuple[str, str, int, int, Handler]] = [
            ("bond-show", "[dp]", 0, 1, self._show_bonds),
            ("dpif-impl-get", "", 0, 0, _says(
                "Available DPIF implementations:\n  dpif_scalar (pmds: none)\n")),
            ("dpif-impl-set", "dpif_implementation_name", 1, 1, _set_dpif),
            ("miniflow-parser-get", "", 0, 0, _says(
                "Available MFEX implementations:\n  scalar (available: True pmds: none)\n")),
            ("miniflow-parser-set", _PARSER, 1, 5, _set_parser),
            ("pmd-perf-log-set", _PERF_LOG, 0, 10, self._set_perf_log),
            ("pmd-perf-show", _PERF, 0, 8, self._show_performance),
            ("pmd-rxq-rebalance", "[dp]", 0, 1, self._rebalance),
            ("pmd-rxq-show", "[-pmd core] [-secs secs] [dp]", 0, 5, self._show_queues),
            ("pmd-sleep-show", "[dp]", 0, 1, self._show_sleeps),
            ("pmd-stats-clear", "[-pmd core] [dp]", 0, 3, self._clear),
            ("pmd-stats-show", "[-pmd core] [dp]", 0, 3, self._show),
            ("subtable-lookup-info-get", "", 0, 0, _says(
                "Available dpcls implementations:\n  generic (Use count: 1, Priority: 1)\n")),
            ("subtable-lookup-prio-set", "[lookup_func] [prio]", 2, 2, _set_lookup),
        ]  # fmt: skip
        found = [ThreadCommand(f"dpif-netdev/{name}", *rest) for name, *rest in rows]  # type: ignore[arg-type]
        found.append(ThreadCommand("odp-execute/action-impl-set", "name", 1, 1, _set_actions))
        found.append(ThreadCommand("odp-execute/action-impl-show", "", 0, 0, _says(
            "Available Actions implementations:\n  scalar (available: Yes, active: Yes)\n"
        )))  # fmt: skip
        return found

    def _all(self) -> list[PollingDpif]:
        return [dpif for dpif in self._dpifs() if isinstance(dpif, PollingDpif)]

    def _one(self, args: list[str]) -> tuple[PollingDpif, dict[str, str]]:
        """The data path that is meant (the only one, if there is one only), and the options."""
        options: dict[str, str] = {}
        words = list(args)
        name = ""
        while words:
            word = words.pop(0)
            if word in _OPTIONS_WITH_VALUE and words:
                options[word] = words.pop(0)
            elif not word.startswith("-"):
                name = word
        dpifs = self._all()
        named = [dpif for dpif in dpifs if name in (_short_name(dpif), dpif.name)]
        if len(dpifs) == 1:
            return dpifs[0], options
        if len(named) != 1:
            raise CommandError("please specify an existing datapath")
        return named[0], options

    def _named(self, args: list[str]) -> None:
        """Of a command that takes nothing but a name: it must be a data path's."""
        names = {_short_name(dpif) for dpif in self._all()}
        if names.isdisjoint(args) if args else len(names) != 1:
            raise CommandError("please specify an existing datapath")

    def _chosen(self, args: list[str]) -> tuple[PollingDpif, list[PollThread], dict[str, str]]:
        """The data path that is meant, its threads, or the one of the core that `-pmd` names, and
        the options."""
        dpif, options = self._one(args)
        dpif.settle()
        dpif.end_iterations()
        threads = dpif.pollers.sorted_threads()
        core = decimal(options.get("-pmd", ""))
        if core is not None:
            threads = [thread for thread in threads if thread.number == core]
        return dpif, threads, options

    def _show_performance(self, args: list[str]) -> str:
        dpif, threads, options = self._chosen(args)
        n_iterations, n_milliseconds = (
            min(max(leading_int(options.get(key, "")), 0), HISTORY) for key in ("-it", "-ms")
        )
        return "".join(
            describe_performance(thread, dpif.stats_of(thread), self._clock, "-nh" not in args,
                                 n_iterations, n_milliseconds)
            for thread in threads
        )  # fmt: skip

    def _show_sleeps(self, args: list[str]) -> str:
        dpif, threads, _ = self._chosen(args)
        heading = f"Default max sleep: {dpif.pollers.config.sleep_us:4} us\n"
        return heading + "".join(map(describe_sleep, threads))

    def _set_perf_log(self, args: list[str]) -> str:
        self._log_settings = parse_settings(args, self._log_settings)
        for dpif in self._all():
            dpif.perf_log.settings = self._log_settings
        return ""

    def _show_bonds(self, args: list[str]) -> str:
        self._named(args)
        wanted = set(args) or {_short_name(dpif) for dpif in self._all()}
        lines: list[str] = []
        for dpif in self._all():
            for number, ports in dpif.bonds if _short_name(dpif) in wanted else ():
                lines.append(f"  bond-id {number}:\n")
                lines += [f"    bucket {at} - member {port}\n" for at, port in enumerate(ports)]
        return "".join(["Bonds:\n", *lines]) if lines else ""

    def _rebalance(self, args: list[str]) -> str:
        self._named(args)
        wanted = set(args) or {_short_name(dpif) for dpif in self._all()}
        for dpif in self._all():
            if _short_name(dpif) in wanted:
                dpif.pollers.ask()
        return "pmd rxq rebalance requested.\n"

    def _show_queues(self, args: list[str]) -> str:
        _, threads, options = self._chosen(args)
        seconds = shown_seconds(options.get("-secs"))
        if "-pmd" in options and not threads:
            return ""
        heading = f"Displaying last {seconds} seconds pmd usage %\n"
        return heading + "".join(describe_queues(thread, seconds) for thread in threads)

    def _clear(self, args: list[str]) -> str:
        dpif, threads, options = self._chosen(args)
        if "-pmd" not in options:
            dpif.clear_thread_stats()
        for thread in threads:
            dpif.clear_stats_of(thread)
        return ""

    def _show(self, args: list[str]) -> str:
        dpif, threads, options = self._chosen(args)
        texts = [
            describe_stats(title(thread), dpif.stats_of(thread), thread.perf) for thread in threads
        ]
        if "-pmd" not in options:
            texts.append(describe_stats("main thread:\n", dpif.thread_stats()))
        return "".join(texts)


def _short_name(dpif: Dpif) -> str:
    return dpif.name.rpartition("@")[2]


def _says(text: str) -> Handler:
    return lambda args: text


def _set_dpif(args: list[str]) -> str:
    if args[0] != "dpif_scalar":
        raise CommandError(
            f"DPIF implementation not available: Unknown DPIF implementation {args[0]}."
        )
    return f"DPIF implementation set to {args[0]}.\n"


def _set_parser(args: list[str]) -> str:
    name = args[2] if args[0] == "-pmd" and len(args) > 2 else args[0]
    if name != "scalar":
        raise CommandError(f"Error: unknown miniflow extract implementation {name}.")
    return f"Miniflow extract implementation set to {name}.\n"


def _set_actions(args: list[str]) -> str:
    if args[0] != "scalar":
        raise CommandError(f"Error: unknown action implementation, {args[0]}, specified!")
    return "Action implementation set to scalar.\n"


def _set_lookup(args: list[str]) -> str:
    if args[0] != "generic":
        raise CommandError("error, subtable lookup function not found")
    return "Lookup priority change affected 0 dpcls ports and 0 subtables.\n"
