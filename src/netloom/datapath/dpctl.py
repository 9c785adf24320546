"""`ovs-appctl dpctl/...`: looking at data paths and their flows, and changing them by hand.

Every command takes arguments and returns text, or raises CommandError with the text of the failure,
as ovs-dpctl(8) has it. Options may stand anywhere among the arguments. A command for one data path
may leave out its name if there is only one. What a person installs here lives until `ofproto` next
checks its flows.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from netloom.base.counters import Counters
from netloom.base.errors import CommandError, ConfigError
from netloom.base.log import get_logger
from netloom.datapath.action_parse import parse_actions
from netloom.datapath.action_text import format_actions
from netloom.datapath.dpctl_ct import COMMANDS as CT_COMMANDS
from netloom.datapath.dpctl_ct import CtCommand, Failure, describe
from netloom.datapath.dpctl_ipf import COMMANDS as IPF_COMMANDS
from netloom.datapath.dpctl_ports import COMMANDS as PORT_COMMANDS
from netloom.datapath.dpctl_ports import DatapathOwner, PortCommand
from netloom.datapath.dpctl_small import (
    cache_sizes,
    describe_offload,
    normalize_actions,
    refuse_cache_size,
)
from netloom.datapath.dpif import Dpif, DpPort, Flow, full_name
from netloom.datapath.dpif_log import is_told, log_deletion, log_flow, log_operation
from netloom.datapath.flow_text import format_flow, format_flow_stats, format_ufid, parse_ufid
from netloom.datapath.polling import MAIN_THREAD
from netloom.flow.key import DL_TYPE_MASK, IN_PORT_MASK, PACKET_TYPE_MASK, RECIRC_ID_MASK
from netloom.flow.match import Match
from netloom.flow.odp_parse import FlowTooLong, parse_odp_flow
from netloom.flow.text import parse_flow, parse_match
from netloom.netdev.device import UNKNOWN_COUNT
from netloom.openflow.number_text import atoi

#: The data path's module, since it is what it would say.
log = get_logger("dpif_netdev")

_LONG = frozenset(
    {"--more", "--statistics", "--names", "--no-names", "--clear", "--may-create"}
)  # fmt: skip
_SHORT = {"m": "--more", "s": "--statistics"}
_FLOW_TYPES = frozenset(
    {"ovs", "tc", "dpdk", "offloaded", "non-offloaded", "partially-offloaded", "all"}
)
#: What is told of a flow by how far hardware runs it.
_OFFLOADED = {
    "non-offloaded": "",
    "partially-offloaded": ", offloaded:partial",
    "offloaded": ", offloaded:yes",
}
#: Bits that every flow of a data path matches, whether its text says so or not.
_ALWAYS = IN_PORT_MASK | RECIRC_ID_MASK


class DpctlCommand(NamedTuple):
    """A command as a daemon registers it; `max_args` None is no limit."""

    name: str
    usage: str
    min_args: int
    max_args: int | None
    handler: Callable[[list[str]], str]


class Dpctl:
    """The commands over the data paths that `dpifs` returns. `program` starts error messages;
    `now_ms` is the clock of flow statistics; `read_file` reads flow files, and raises OSError."""

    def __init__(
        self,
        dpifs: Callable[[], Sequence[Dpif]],
        now_ms: Callable[[], int],
        read_file: Callable[[str], str],
        program: str = "ovs-vswitchd",
        owner: DatapathOwner | None = None,
        counters: Counters | None = None,
    ) -> None:
        self._count = (counters or Counters()).counter
        self._owner = owner
        self._dpifs = dpifs
        self._now_ms = now_ms
        self._read_file = read_file
        self._program = program
        self._listing: list[str] = []
        #: Numbers that flows were given by hand, by (key & mask, mask).
        self._given: dict[tuple[int, int], int] = {}

    def commands(self) -> list[DpctlCommand]:
        """All commands, `dpctl/list-commands` included."""
        rows: list[tuple[str, str, int, int | None, Callable[[_Call], None]]] = [
            ("dump-dps", "", 0, 0, self._dump_dps),
            ("show", "[-s] [dp...]", 0, None, self._show),
            (
                "dump-flows",
                "[-m] [--names] [dp] [filter=..] [type=..] [pmd=..]",
                0,
                6,
                self._dump_flows,
            ),
            ("add-flow", "[dp] flow actions", 2, 3, self._add_flow),
            ("mod-flow", "[dp] flow actions", 2, 3, self._mod_flow),
            ("get-flow", "[dp] ufid", 1, 2, self._get_flow),
            ("del-flow", "[dp] flow", 1, 2, self._del_flow),
            ("add-flows", "[dp] file", 1, 2, self._add_flows),
            ("mod-flows", "[dp] file", 1, 2, self._mod_flows),
            ("del-flows", "[dp] [file]", 0, 2, self._del_flows),
        ]
        ports = [
            (c.name, c.usage, c.min_args, c.max_args, self._port_runner(c)) for c in PORT_COMMANDS
        ]
        rows = [*ports, *rows]
        rows += [
            ("offload-stats-show", "[dp]", 0, 1, self._offload_stats),
            ("cache-get-size", "[dp]", 0, 1, self._cache_sizes),
            ("cache-set-size", "dp cache <size>", 3, 3, self._set_cache_size),
        ]
        rows += [
            (c.name, c.usage, c.min_args, c.max_args, self._ct_runner(c))
            for c in (*CT_COMMANDS, *IPF_COMMANDS)
        ]
        rows += [
            ("list-commands", "", 0, None, self._list_commands),
            ("parse-actions", "actions", 1, None, self._parse_actions),
            ("normalize-actions", "actions", 2, None, self._normalize_actions),
        ]
        commands = [
            DpctlCommand(f"dpctl/{name}", usage, least, most, self._handler(run))
            for name, usage, least, most, run in rows
        ]
        self._listing = [f"  {command.name:<28}  {command.usage}\n" for command in commands]
        return commands

    def _ct_runner(self, command: CtCommand) -> Callable[[_Call], None]:
        def run(call: _Call) -> None:
            dpif = self._one(call, command.own_args(call.args))
            if dpif is None:
                if command.name == "flush-conntrack":
                    self._fail(call, "Cannot open dpif", errno.EINVAL)
                return
            if dpif.conntrack is None:
                self._fail(call, f"{command.name} of this datapath", errno.EOPNOTSUPP)
                return
            try:
                call.out.append(command.run(dpif.conntrack, call, self._now_ms()))
            except Failure as failure:
                self._fail(call, describe(failure))

        return run

    def _port_runner(self, command: PortCommand) -> Callable[[_Call], None]:
        def run(call: _Call) -> None:
            type_, at, name = call.args[0].rpartition("@")
            if self._owner is None:
                self._fail(call, f"{command.name} of this program", errno.EOPNOTSUPP)
                return
            try:
                failures = command.run(self._owner, type_ if at else "system", name, call.args[1:])
            except Failure as failure:
                failures = [failure]
            for text in map(describe, failures):
                self._fail(call, text)

        return run

    def _cache_sizes(self, call: _Call) -> None:
        for name in call.args:
            if self._find(name) is None:
                self._fail(call, f"Opening datapath {name} failed", errno.ENODEV)
                return
        chosen = [self._find(name) for name in call.args] or list(self._dpifs())
        call.out += [cache_sizes(full_name(dpif)) for dpif in chosen if dpif is not None]

    def _set_cache_size(self, call: _Call) -> None:
        if self._one(call, 2) is not None:
            self._fail(call, describe(refuse_cache_size()))

    def _offload_stats(self, call: _Call) -> None:
        dpif = self._one(call, 0)
        if dpif is not None:
            call.out.append(describe_offload(full_name(dpif), dpif.hardware))

    def _normalize_actions(self, call: _Call) -> None:
        for word in call.args[2:]:
            if "=" not in word:
                self._fail(call, f"{word}: expected NAME=NUMBER")
                return
        ports = {port.name: int(port.number) for dpif in self._dpifs() for port in dpif.ports()}
        try:
            call.out.append(normalize_actions(call.args[0], call.args[1], ports))
        except Failure as failure:
            self._fail(call, describe(failure))

    def _list_commands(self, call: _Call) -> None:
        call.out += ["The available commands are:\n", *self._listing]

    def _handler(self, run: Callable[[_Call], None]) -> Callable[[list[str]], str]:
        def handle(args: list[str]) -> str:
            call = _Call(args)
            run(call)
            if call.errors:
                raise CommandError("".join(call.out).removesuffix("\n"))
            return "".join(call.out)

        return handle

    def _fail(self, call: _Call, message: str, code: int = 0, is_error: bool = True) -> None:
        """Say what is wrong; `is_error`: the command has failed by that."""
        reason = f" ({os.strerror(code)})" if code else ""
        call.out.append(f"{self._program}: {message}{reason}\n")
        call.errors += is_error

    def _find(self, name: str) -> Dpif | None:
        """The data path `name` or `type@name`."""
        wanted = name if "@" in name else f"system@{name}"
        return next((dpif for dpif in self._dpifs() if full_name(dpif) == wanted), None)

    def _one(self, call: _Call, n_args: int) -> Dpif | None:
        """The data path that a command with `n_args` further arguments is for; takes its name off
        the arguments. None, and an error, if it cannot be told."""
        if len(call.args) > n_args:
            dpif = self._find(call.args.pop(0))
        else:
            dpifs = self._dpifs()
            if len(dpifs) != 1:
                several = "multiple datapaths, specify one"
                self._fail(call, several if dpifs else "no datapaths exist")
            dpif = dpifs[0] if len(dpifs) == 1 else None
        if dpif is None:
            self._fail(call, "datapath not found", errno.EINVAL)
        return dpif

    def _dump_dps(self, call: _Call) -> None:
        call.out += [f"{full_name(dpif)}\n" for dpif in self._dpifs()]

    def _show(self, call: _Call) -> None:
        named = [(name, self._find(name)) for name in call.args]
        for name, dpif in named or [("", dpif) for dpif in self._dpifs()]:
            if dpif is None:
                names = (full_name(found).rpartition("@")[2] for found in self._dpifs())
                of_another_type = name.rpartition("@")[2] in names
                code = errno.EINVAL if of_another_type else errno.ENODEV
                self._fail(call, f"opening datapath {name} failed", code)
            else:
                call.out += _describe_dpif(dpif, "--statistics" in call.options)

    def _dump_flows(self, call: _Call) -> None:
        found: dict[str, str] = {}
        while call.args and (word := call.args[-1].partition("="))[0] in ("filter", "type", "pmd"):
            found[word[0]] = word[2]
            call.args.pop()
        dpif = self._one(call, 0)
        if dpif is None:
            return
        types = frozenset(found.get("type", "all").split(","))
        if not types <= _FLOW_TYPES:
            self._fail(call, f"Failed to parse type ({found['type']})", errno.EINVAL)
            return
        try:
            wanted = _parse_filter(found.get("filter", ""), _numbers(dpif))
        except ConfigError as error:
            self._fail(call, f"Failed to parse filter ({error})")
            return
        thread = None
        if "pmd" in found:
            thread = atoi(found["pmd"])
            call.errors += not found["pmd"].lstrip("+-")[:1].isdigit()
        for number, dump in _flows_by_thread(dpif):
            flows = [flow for flow in dump if _is_wanted(flow, wanted, types)]
            if flows and thread is None:
                call.out.append(_heading(dpif, number))
            if thread in (None, number):
                call.out += [self._line(call, dpif, flow) for flow in flows]

    def _line(self, call: _Call, dpif: Dpif, flow: Flow) -> str:
        verbose = "--more" in call.options
        with_names = (verbose or "--names" in call.options) and "--no-names" not in call.options
        names = {int(port.number): port.name for port in dpif.ports()} if with_names else None
        limit, in_kernel = dpif.vlan_limit, dpif.in_kernel
        line = format_flow(flow, self._now_ms(), names, verbose, limit, in_kernel)
        if verbose:
            head, mid, actions = line.partition(", actions:")
            where = f"{_OFFLOADED[_kind(flow)]}, dp:{flow.layer}"
            line = f"{format_ufid(self._ufid_of(flow))}, {head}{where}{mid}{actions}"
        return f"{line}\n"

    def _add_flow(self, call: _Call) -> None:
        if (dpif := self._one(call, 2)) is not None:
            self._put(call, dpif, call.args, create=True, modify=False)

    def _mod_flow(self, call: _Call) -> None:
        if (dpif := self._one(call, 2)) is not None:
            create = "--may-create" in call.options
            self._put(call, dpif, call.args, create=create, modify=True)

    def _put(self, call: _Call, dpif: Dpif, words: list[str], create: bool, modify: bool) -> None:
        flow, actions = words
        ufid, flow = self._split_ufid(call, flow)
        parsed = self._parse_flow(call, dpif, flow) if flow else None
        if parsed is None:
            return
        try:
            new_actions = parse_actions(actions, _numbers(dpif))
        except ConfigError:
            self._fail(call, "parsing actions", errno.EINVAL)
            return
        key, mask = parsed
        if mask & IN_PORT_MASK != IN_PORT_MASK and not dpif.in_kernel:
            what = "modify" if modify and not create else "create"
            log.err_rl("failed to put[%s] flow: in_port is not an exact match", what)
            self._fail(call, "updating flow table", errno.EINVAL)
            return
        mask |= _ALWAYS
        if not mask & DL_TYPE_MASK:
            self._fail(call, "updating flow table", errno.EINVAL)
            return
        old = _find_flow(dpif, key, mask)
        code = errno.ENOENT if old is None and not create else 0
        code = errno.EEXIST if old is not None and not modify else code
        if "--clear" in call.options:
            code = errno.EOPNOTSUPP
        if code:
            self._fail(call, "updating flow table", code)
            return
        self._count("dpif_flow_put").add()
        if is_told():
            operation = "put[create]" if old is None else "put[modify]"
            log_flow(dpif, operation, key, mask, new_actions)
        dpif.flow_put(key, mask, new_actions)
        if ufid is not None:
            there = {(flow.key & flow.mask, flow.mask) for flow in dpif.flow_dump()}
            self._given = {name: n for name, n in self._given.items() if name in there}
            self._given[key & mask, mask] = ufid
        if "--statistics" in call.options and old is not None:
            call.out.append(format_flow_stats(old.stats, self._now_ms()) + "\n")

    def _parse_flow(
        self, call: _Call, dpif: Dpif, text: str, failure: str = "parsing flow key ({})"
    ) -> tuple[int, int] | None:
        try:
            key, mask = parse_odp_flow(text, _numbers(dpif))
        except ConfigError as error:
            code = errno.E2BIG if isinstance(error, FlowTooLong) else errno.EINVAL
            self._fail(call, failure.format(error), code)
            return None
        if dpif.in_kernel and not key & PACKET_TYPE_MASK:
            mask |= PACKET_TYPE_MASK  # what eth() means there, where packet_type() is not printed
        return key, mask

    def _get_flow(self, call: _Call) -> None:
        dpif = self._one(call, 1)
        if dpif is None:
            return
        ufid = parse_ufid(call.args[0])
        if ufid is None:
            is_broken = call.args[0].startswith("ufid:")
            code = errno.EINVAL if is_broken else 0
            self._fail(call, "parsing flow ufid", code, is_error=False)
            return
        self._count("dpif_flow_get").add()
        for flow in dpif.flow_dump():
            if self._ufid_of(flow) == ufid:
                call.out.append(self._line(call, dpif, flow))
                return
        self._fail(call, "getting flow", errno.ENOENT)

    def _split_ufid(self, call: _Call, text: str) -> tuple[int | None, str]:
        """The number that a flow is given in front of its text, and the text; "" and an error if
        there is one, but a wrong one."""
        if not text.startswith("ufid:"):
            return None, text
        head, _, rest = text.partition(",")
        ufid = parse_ufid(head.strip())
        if ufid is None:
            self._fail(call, "parsing flow ufid", errno.EINVAL)
            return None, ""
        return ufid, rest

    def _ufid_of(self, flow: Flow) -> int:
        """The number that somebody gave the flow, or its own."""
        return self._given.get((flow.key & flow.mask, flow.mask)) or flow.ufid

    def _del_flow(self, call: _Call) -> None:
        if (dpif := self._one(call, 1)) is not None:
            self._delete(call, dpif, call.args[0])

    def _delete(self, call: _Call, dpif: Dpif, text: str) -> None:
        ufid, rest = self._split_ufid(call, text)
        if ufid is not None:
            # That alone names the flow.
            flows = [flow for flow in dpif.flow_dump() if self._ufid_of(flow) == ufid]
            key, mask = (flows[0].key, flows[0].mask) if flows else (0, 0)
        else:
            parsed = self._parse_flow(call, dpif, rest, "{}") if rest else None
            if parsed is None:
                return
            key, mask = parsed[0], parsed[1] | _ALWAYS
        self._count("dpif_flow_del").add()
        flow = dpif.flow_del(key, mask)
        self._given.pop((key & mask, mask), None)
        if flow is None:
            self._fail(call, "deleting flow", errno.ENOENT)
            call.out.append("Perhaps you need to specify a UFID?\n")
            return
        if is_told():
            log_deletion(dpif, key, mask, flow.stats, self._now_ms())
        if "--statistics" in call.options:
            call.out.append(format_flow_stats(flow.stats, self._now_ms()) + "\n")

    def _add_flows(self, call: _Call) -> None:
        self._from_file(call, "add")

    def _mod_flows(self, call: _Call) -> None:
        self._from_file(call, "modify")

    def _del_flows(self, call: _Call) -> None:
        if not call.args or (len(call.args) == 1 and self._find(call.args[0]) is not None):
            if (dpif := self._one(call, 0)) is not None:
                self._count("dpif_flow_flush").add()
                dpif.flow_flush()
                log_operation(dpif, "flow_flush success")
        else:
            self._from_file(call, "delete")

    def _from_file(self, call: _Call, default: str) -> None:
        dpif = self._one(call, 1)
        if dpif is None:
            return
        path = call.args[0]
        try:
            text = self._read_file(path)
        except OSError as error:
            self._fail(
                call, f'Opening file "{path}" failed', error.errno or errno.EIO, is_error=False
            )
            return
        for number, line in enumerate(text.split("\n"), 1):
            words = line.partition("#")[0].split()
            if words:
                self._flow_line(call, dpif, default, words, number)

    def _flow_line(
        self, call: _Call, dpif: Dpif, default: str, words: list[str], number: int
    ) -> None:
        verb = words.pop(0) if words[0] in ("add", "modify", "delete") else default
        if len(words) != (1 if verb == "delete" else 2):
            self._fail(call, f"Failed parsing line number {number}, skipped!", is_error=False)
        elif verb == "delete":
            self._delete(call, dpif, words[0])
        else:
            self._put(call, dpif, words, create=verb == "add", modify=verb == "modify")

    def _parse_actions(self, call: _Call) -> None:
        for text in call.args:
            try:
                call.out.append(format_actions(parse_actions(text)) + "\n")
            except ConfigError:
                self._fail(call, "odp_actions_from_string", errno.EINVAL)
                return


class _Call:
    """One command on its way: arguments without options, the options, the text so far."""

    __slots__ = ("args", "errors", "options", "out")

    def __init__(self, args: list[str]) -> None:
        self.args = [arg for arg in args if not arg.startswith("-") or arg == "-"]
        self.options = {option for arg in args for option in _read_option(arg)}
        self.out: list[str] = []
        self.errors = 0


def _read_option(arg: str) -> list[str]:
    if not arg.startswith("-") or arg == "-":
        return []
    if arg.startswith("--"):
        if arg not in _LONG:
            raise CommandError(f"Unrecognized option {arg}")
        return [arg]
    for letter in arg[1:]:
        if letter not in _SHORT:
            raise CommandError(f"Unrecognized option {arg}")
    return [_SHORT[letter] for letter in arg[1:]]


def _flows_by_thread(dpif: Dpif) -> Iterable[tuple[int, Iterator[Flow]]]:
    """The flows of each thread, which `pmd=` chooses from."""
    if dpif.polling is not None:
        return dpif.polling.flows_by_thread()
    return ((MAIN_THREAD, dpif.flow_dump()),)


def _heading(dpif: Dpif, thread: int) -> str:
    if thread == MAIN_THREAD:
        return dpif.dump_heading
    return f"flow-dump from pmd on cpu core: {thread}\n"


def _numbers(dpif: Dpif) -> dict[str, int]:
    return {port.name: port.number for port in dpif.ports()}


def _parse_filter(text: str, port_names: dict[str, int]) -> Match:
    """The match of a filter, which must be a flow: no masks, prerequisites first."""
    parse_flow(text, port_names)
    return parse_match(text, port_names)


def _kind(flow: Flow) -> str:
    """How far hardware runs the flow, as type=... calls it."""
    if not flow.is_offloaded:
        return "non-offloaded"
    return "partially-offloaded" if flow.layer == "ovs" else "offloaded"


def _is_wanted(flow: Flow, wanted: Match, types: frozenset[str]) -> bool:
    """Whether the flow is of one of the types, and says nothing else about what both `wanted` and
    it look at."""
    if types.isdisjoint({"all", flow.layer, _kind(flow)}):
        return False
    return not (flow.key ^ wanted.value) & flow.mask & wanted.mask


def _find_flow(dpif: Dpif, key: int, mask: int) -> Flow | None:
    for flow in dpif.flow_dump():
        if flow.mask == mask and flow.key & mask == key & mask:
            return flow
    return None


def _describe_dpif(dpif: Dpif, with_statistics: bool) -> list[str]:
    stats = dpif.stats()
    lines = [
        f"{full_name(dpif)}:\n",
        f"  lookups: hit:{stats.hits} missed:{stats.misses} lost:{stats.lost}\n",
        f"  flows: {stats.flows}\n",
    ]
    for port in dpif.ports():
        options = ", ".join(f"{name}={value}" for name, value in port.options)
        kind = f"{port.type}: {options}" if options else port.type
        type_ = "" if port.type == "system" else f" ({kind})"
        lines.append(f"  port {port.number}: {port.name}{type_}\n")
        if with_statistics:
            lines += _describe_port(dpif, port)
    return lines


def _describe_port(dpif: Dpif, port: DpPort) -> list[str]:
    stats = dpif.port_stats(port.number)
    return [
        f"    RX packets:{_count(stats.rx_packets)} errors:{_count(stats.rx_errors)}"
        f" dropped:{_count(stats.rx_dropped)} overruns:{_count(stats.rx_over_err)}"
        f" frame:{_count(stats.rx_frame_err)}\n",
        f"    TX packets:{_count(stats.tx_packets)} errors:{_count(stats.tx_errors)}"
        f" dropped:{_count(stats.tx_dropped)} aborted:{_count(stats.tx_aborted)}"
        f" carrier:{_count(stats.tx_carrier)}\n",
        f"    collisions:{_count(stats.collisions)}\n",
        f"    RX bytes:{_size(stats.rx_bytes)}  TX bytes:{_size(stats.tx_bytes)}\n",
    ]


def _count(value: int) -> str:
    return "?" if value == UNKNOWN_COUNT else str(value)


def _size(n_bytes: int) -> str:
    """`2048 (2.0 KiB)`; the unit is left out below one KiB."""
    if n_bytes == UNKNOWN_COUNT:
        return "?"
    for exponent, unit in ((4, "TiB"), (3, "GiB"), (2, "MiB"), (1, "KiB")):
        if n_bytes >= 1 << 10 * exponent:
            return f"{n_bytes} ({n_bytes / (1 << 10 * exponent):.1f} {unit})"
    return str(n_bytes)
