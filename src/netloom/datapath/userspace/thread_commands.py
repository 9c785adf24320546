"""`ovs-appctl dpif-netdev/...`: the threads of a userspace data path, and what they spend time on.

There is one thread here, the daemon's own, which Open vSwitch calls the main thread. It has no
receive queues of its own to assign: commands about them have nothing to list. Of implementations to
choose from there is one of each kind.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from netloom.base.errors import CommandError
from netloom.datapath.dpif import Dpif
from netloom.datapath.userspace.dpif import UserspaceDpif

Handler = Callable[[list[str]], str]
_PERF_OPTIONS = "[-b before] [-a after] [-e|-ne] [-us usec] [-q qlen]"
_PERF_LOG = f"on|off {_PERF_OPTIONS}"
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

    def __init__(self, dpifs: Callable[[], Sequence[Dpif]]) -> None:
        self._dpifs = dpifs

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
            ("pmd-perf-log-set", _PERF_LOG, 0, 10, _set_perf_log),
            ("pmd-perf-show", _PERF, 0, 8, self._nothing),
            ("pmd-rxq-rebalance", "[dp]", 0, 1, self._rebalance),
            ("pmd-rxq-show", "[-pmd core] [-secs secs] [dp]", 0, 5, self._show_queues),
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

    def _all(self) -> list[UserspaceDpif]:
        return [dpif for dpif in self._dpifs() if isinstance(dpif, UserspaceDpif)]

    def _one(self, args: list[str]) -> tuple[UserspaceDpif, dict[str, str]]:
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

    def _nothing(self, args: list[str]) -> str:
        self._one(args)
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
        return "pmd rxq rebalance requested.\n"

    def _show_queues(self, args: list[str]) -> str:
        _, options = self._one(args)
        seconds = options.get("-secs", "")
        shown = int(seconds) if seconds.isascii() and seconds.isdigit() else 60
        return f"Displaying last {min(shown or 60, 60)} seconds pmd usage %\n"

    def _clear(self, args: list[str]) -> str:
        self._one(args)[0].clear_thread_stats()
        return ""

    def _show(self, args: list[str]) -> str:
        dpif, options = self._one(args)
        return "" if "-pmd" in options else _describe(dpif)


def _short_name(dpif: Dpif) -> str:
    return dpif.name.rpartition("@")[2]


def _describe(dpif: UserspaceDpif) -> str:
    stats = dpif.thread_stats()
    passes = stats.passes / stats.received if stats.received else 0
    lookups = stats.subtable_lookups / stats.megaflow_hits if stats.megaflow_hits else 0
    batch = stats.sent / stats.batches if stats.batches else 0
    return (
        "main thread:\n"
        f"  packets received: {stats.received}\n"
        f"  packet recirculations: {stats.passes - stats.received}\n"
        f"  avg. datapath passes per packet: {passes:.2f}\n"
        f"  phwol hits: {stats.recognised}\n"
        "  mfex opt hits: 0\n"
        "  simple match hits: 0\n"
        f"  emc hits: {stats.exact_hits}\n"
        "  smc hits: 0\n"
        f"  megaflow hits: {stats.megaflow_hits}\n"
        f"  avg. subtable lookups per megaflow hit: {lookups:.2f}\n"
        f"  miss with success upcall: {stats.misses}\n"
        f"  miss with failed upcall: {stats.lost}\n"
        f"  avg. packets per output batch: {batch:.2f}\n"
    )


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


def _set_perf_log(args: list[str]) -> str:
    if args and args[0] not in ("on", "off"):
        raise CommandError(
            f"Usage: ovs-appctl dpif-netdev/pmd-perf-log-set [on|off] {_PERF_OPTIONS}"
        )
    if args and args[0] == "on":
        raise CommandError("logging of suspicious iterations needs a polling thread")
    return ""
