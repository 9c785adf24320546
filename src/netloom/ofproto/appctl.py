"""The `ovs-appctl` commands of bridges: MAC tables, data-path flows, upcalls (ovs-vswitchd(8)).

Each command takes words and returns the text that a user reads, or raises CommandError. A program
registers the rows of `OfprotoCommands.commands`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from netloom.base.clock import Clock
from netloom.base.errors import CommandError
from netloom.base.log import get_logger
from netloom.datapath.dpif import Flow, full_name
from netloom.datapath.flow_text import format_flow, format_ufid
from netloom.flow.address import format_mac, parse_mac
from netloom.flow.key import IN_PORT_MASK
from netloom.netdev.dummy import DummyDevice
from netloom.netdev.tunnel import TunnelDevice
from netloom.ofproto import mcast_commands
from netloom.ofproto.aggregation import LacpCommands
from netloom.ofproto.backer import Backer
from netloom.ofproto.bond_commands import BondCommands
from netloom.ofproto.bridge import Ofproto
from netloom.ofproto.detrace import USAGE as DETRACE_USAGE
from netloom.ofproto.detrace import describe_rule, detrace
from netloom.ofproto.fault_management import CFM_WORDS
from netloom.ofproto.features import list_features
from netloom.ofproto.link_watch import LinkWatchCommands
from netloom.ofproto.monitoring import BFD_WORDS
from netloom.ofproto.neighbours import neighbour_commands
from netloom.ofproto.trace import command_trace, command_trace_packet_out
from netloom.ofproto.tree_commands import TreeCommands
from netloom.openflow.number_text import atoi

log = get_logger("ofproto_dpif")

_TRACE_USAGE = "{[dp_name] odp_flow | bridge br_flow} [OPTIONS...] [-generate|packet]"


_FEATURES_USAGE = "[--force] bridge [feature [value]]"
_PACKET_OUT_USAGE = f"[-consistent] {_TRACE_USAGE} actions"


class OfprotoCommand(NamedTuple):
    """A command as a daemon registers it; `max_args` None is no limit."""

    name: str
    usage: str
    min_args: int
    max_args: int | None
    handler: Callable[[list[str]], str]


class OfprotoCommands:
    """The commands over the backers that `backers` returns; to ofproto/trace, its `World`."""

    def __init__(self, backers: Callable[[], Sequence[Backer]], clock: Clock) -> None:
        self._backers = backers
        self._clock = clock
        self._use_ufid = True

    def commands(self) -> list[OfprotoCommand]:
        rows: list[tuple[str, str, int, int | None, Callable[[list[str]], str]]] = [
            ("ofproto/list", "", 0, 0, self._list),
            ("ofproto/trace", _TRACE_USAGE, 1, None, self._trace),
            ("ofproto/trace-packet-out", _PACKET_OUT_USAGE, 2, None, self._trace_packet_out),
            ("ofproto/detrace", DETRACE_USAGE, 1, 2, self._detrace),
            ("ofproto/list-tunnels", "", 0, 0, self._tunnels),
            ("fdb/add", "bridge port vlan mac", 4, 4, self._fdb_add),
            ("fdb/del", "bridge vlan mac", 3, 3, self._fdb_del),
            ("fdb/flush", "[bridge]", 0, 1, self._fdb_flush),
            ("fdb/show", "bridge", 1, 1, self._fdb_show),
            ("fdb/stats-clear", "[bridge]", 0, 1, self._fdb_stats_clear),
            ("fdb/stats-show", "bridge", 1, 1, self._fdb_stats_show),
            *TreeCommands(self._bridges, self._clock.now_ms).commands(),
            *LinkWatchCommands(
                CFM_WORDS,
                lambda: [bridge.faults.machines for bridge in self._bridges().values()],
                self._clock.now_ms,
            ).commands(),
            *LinkWatchCommands(
                BFD_WORDS,
                lambda: [bridge.monitoring.machines for bridge in self._bridges().values()],
                self._clock.now_ms,
            ).commands(),
            *neighbour_commands(lambda: [bridge.neighbours for bridge in self._bridges().values()]),
            *LacpCommands(lambda: list(self._bridges().values())).commands(),
            *BondCommands(lambda: list(self._bridges().values()), self._clock.now_ms).commands(),
            *mcast_commands.commands(self._bridge, lambda: list(self._bridges().values())),
            ("dpif/dump-dps", "", 0, 0, self._dump_dps),
            ("dpif/show", "", 0, 0, self._show),
            ("dpif/show-dp-features", "bridge", 1, 1, self._show_features),
            ("dpif/set-dp-features", _FEATURES_USAGE, 1, 4, self._set_features),
            ("dpif-dummy/change-port-number", "dp port new-number", 3, 3, self._renumber),
            ("dpif/dump-flows", "[-m] [--names | --no-names] bridge", 1, None, self._dump_flows),
            ("bridge/dump-flows", "[--offload-stats] bridge", 1, 2, self._dump_rules),
            ("upcall/show", "", 0, 0, self._upcall_show),
            ("upcall/set-flow-limit", "flow-limit-number", 1, 1, self._set_flow_limit),
            ("upcall/disable-megaflows", "", 0, 0, self._megaflows(False)),
            ("upcall/enable-megaflows", "", 0, 0, self._megaflows(True)),
            ("upcall/disable-ufid", "", 0, 0, self._ufid(False)),
            ("upcall/enable-ufid", "", 0, 0, self._ufid(True)),
            ("revalidator/wait", "", 0, 0, self._revalidator_wait),
            ("revalidator/pause", "", 0, 0, self._pause(True)),
            ("revalidator/resume", "", 0, 0, self._pause(False)),
            ("revalidator/purge", "", 0, 0, self._revalidator_purge),
        ]
        return [OfprotoCommand(*row) for row in rows]

    def _bridges(self) -> dict[str, Ofproto]:
        """All bridges by name, sorted."""
        found = {
            name: bridge
            for backer in self._backers()
            for name, bridge in backer.bridges.items()
        }  # fmt: skip
        return dict(sorted(found.items()))

    def _bridge(self, name: str, complaint: str = "no such bridge") -> Ofproto:
        bridge = self._bridges().get(name)
        if bridge is None:
            raise CommandError(complaint)
        return bridge

    def _chosen(self, args: list[str]) -> list[Ofproto]:
        return [self._bridge(args[0])] if args else list(self._bridges().values())

    def _trace(self, args: list[str]) -> str:
        return command_trace(args, self)

    def _trace_packet_out(self, args: list[str]) -> str:
        return command_trace_packet_out(args, self)

    # What a trace may look at

    def find_bridge(self, name: str) -> Ofproto | None:
        return self._bridges().get(name)

    def backers(self) -> Sequence[Backer]:
        return self._backers()

    def now_ms(self) -> int:
        return self._clock.now_ms()

    def _list(self, args: list[str]) -> str:
        return "".join(f"{name}\n" for name in self._bridges())

    def _detrace(self, args: list[str]) -> str:
        return detrace(args, self._backers(), self._clock.now_ms())

    def _tunnels(self, args: list[str]) -> str:
        return "".join(backer.tunnels.describe() for backer in self._backers())

    # MAC tables

    def _fdb_add(self, args: list[str]) -> str:
        bridge = self._bridge(args[0])
        vlan, mac = _vlan_and_mac(args[2:])
        port = bridge.ports_by_name.get(args[1])
        if port is None or port.bundle is None:
            raise CommandError("software error, odp port is present but no ofp port")
        old = bridge.macs.lookup(mac, vlan)
        bridge.macs.add_static(mac, vlan, port.bundle, bridge.backer.clock.now_ms())
        if old is None or (old.is_static and old.bundle is port.bundle):
            return ""
        kind = "static" if old.is_static else "dynamic"
        return f"Overriding already existing {kind} entry on {old.bundle.members[0].number}\n"

    def _fdb_del(self, args: list[str]) -> str:
        bridge = self._bridge(args[0])
        vlan, mac = _vlan_and_mac(args[1:])
        entry = bridge.macs.lookup(mac, vlan)
        if entry is None or not entry.is_static:
            raise CommandError("could not find static mac entry")
        bridge.macs.remove(mac, vlan)
        return ""

    def _fdb_flush(self, args: list[str]) -> str:
        for bridge in self._chosen(args):
            bridge.macs.flush()
        return "table successfully flushed"

    def _fdb_show(self, args: list[str]) -> str:
        bridge = self._bridge(args[0])
        bridge.refresh_statistics()
        now_ms = bridge.backer.clock.now_ms()
        lines = [" port  VLAN  MAC                Age\n"]
        for entry in bridge.macs:
            members = entry.bundle.members
            port = _port_number(members[0].number) if members else entry.bundle.name
            age = "static" if entry.is_static else f"{(now_ms - entry.used_ms) // 1000:3d}"
            lines.append(f"{port:>5}  {entry.vlan:4d}  {format_mac(entry.mac)}  {age}\n")
        return "".join(lines)

    def _fdb_stats_clear(self, args: list[str]) -> str:
        for bridge in self._chosen(args):
            bridge.macs.clear_stats()
        return "statistics successfully cleared"

    def _fdb_stats_show(self, args: list[str]) -> str:
        bridge = self._bridge(args[0])
        macs = bridge.macs
        return (
            f'Statistics for bridge "{bridge.name}":\n'
            f"  Current/maximum MAC entries in the table: {len(macs)}/{macs.max_entries}\n"
            f"  Current static MAC entries in the table : {macs.n_static}\n"
            f"  Total number of learned MAC entries     : {macs.total_learned}\n"
            f"  Total number of expired MAC entries     : {macs.total_expired}\n"
            f"  Total number of evicted MAC entries     : {macs.total_evicted}\n"
            f"  Total number of port moved MAC entries  : {macs.total_moved}\n"
        )

    # Data paths

    def _dump_dps(self, args: list[str]) -> str:
        return "".join(f"{bridge.backer.type}@{name}\n" for name, bridge in self._bridges().items())

    def _show(self, args: list[str]) -> str:
        return "".join(_describe_backer(backer) for backer in self._backers())

    def _show_features(self, args: list[str]) -> str:
        backer = self._bridge(args[0]).backer
        return backer.features.show() + list_features(backer.dpif.kernel_features())

    def _set_features(self, args: list[str]) -> str:
        force = args[0] == "--force"
        if force:
            args = args[1:]
        if not args:
            raise CommandError("no such bridge")
        backer = self._bridge(args[0]).backer
        if len(args) == 1:
            return backer.features.describe()
        value = args[2] if len(args) > 2 else None
        if force and value is not None and value.lower() == "true":
            log.warn("Enabling an unsupported feature is very dangerous")
        text, changed = backer.features.set(args[1], value, force)
        if changed:
            backer.config_changed()
            backer.revalidator.push_statistics()
            backer.revalidator.purge()
        return text

    def _renumber(self, args: list[str]) -> str:
        """Give a port of a dummy data path another number: what happens to a real one when its
        device comes back."""
        backer = next((b for b in self._backers() if b.dpif.name == f"dummy@{args[0]}"), None)
        if backer is None:
            raise CommandError("unknown datapath or not a dummy")
        ports = {port.name: port.number for port in backer.dpif.ports()}
        if backer.ports.get(ports.get(args[1], -1)) is None:
            raise CommandError("unknown port")
        number = int(args[2]) if args[2].isascii() and args[2].isdigit() else 0
        if not 0 < number < 0xFFFF:
            raise CommandError("bad port number")
        if number in ports.values():
            raise CommandError("port number already in use")
        backer.renumber(ports[args[1]], number)
        return ""

    def _dump_flows(self, args: list[str]) -> str:
        bridge = self._bridge(args[-1])
        verbose = "-m" in args[:-1]
        names = verbose
        for word in args[:-1]:
            names = word == "--names" if word in ("--names", "--no-names") else names
        backer = bridge.backer
        ports = {port.dp_port for port in bridge.ports_by_number.values()}
        port_names = backer.port_names() if names else None
        now_ms = backer.clock.now_ms()
        limit, in_kernel = backer.dpif.vlan_limit, backer.dpif.in_kernel
        return "".join(
            f"{f'{format_ufid(flow.ufid)} ' if verbose else ''}"
            f"{format_flow(flow, now_ms, port_names, verbose, limit, in_kernel)}\n"
            for flow in backer.dpif.flow_dump()
            if _in_port(flow) in ports
        )

    # Rules

    def _dump_rules(self, args: list[str]) -> str:
        bridge = self._bridge(args[-1], "Unknown bridge")
        bridge.refresh_statistics()
        now_ms = bridge.backer.clock.now_ms()
        offload = "--offload-stats" in args[:-1]
        rules = bridge.tables.rules(hidden=True)
        text = "".join(describe_rule(rule, now_ms, offload) for rule in rules)
        return bridge.tlv_table.shorten(text)

    # Upcalls and revalidation

    def _upcall_show(self, args: list[str]) -> str:
        texts = []
        for backer in self._backers():
            revalidator = backer.revalidator
            n_flows = revalidator.n_flows
            texts.append(
                f"{full_name(backer.dpif)}:\n"
                f"  flows         : (current {n_flows}) (avg {revalidator.average_flows()}) "
                f"(max {revalidator.max_flows}) (limit {revalidator.flow_limit})\n"
                f"  dump duration : {max(revalidator.dump_duration_ms, 1)}ms\n"
                f"  ufid enabled : {'true' if self._use_ufid else 'false'}\n"
                f"\n  1: (keys {n_flows})\n"
            )
        return "\n".join(texts)

    def _set_flow_limit(self, args: list[str]) -> str:
        limit = atoi(args[0]) & 0xFFFFFFFF
        for backer in self._backers():
            backer.revalidator.flow_limit = limit
        return f"set flow_limit to {limit}\n"

    def _megaflows(self, enabled: bool) -> Callable[[list[str]], str]:
        def run(args: list[str]) -> str:
            for backer in self._backers():
                backer.enable_megaflows(enabled)
            return f"megaflows {'enabled' if enabled else 'disabled'}\n"

        return run

    def _ufid(self, enabled: bool) -> Callable[[list[str]], str]:
        """Dumps carry what they are asked for in any case: only `upcall/show` tells."""

        def run(args: list[str]) -> str:
            self._use_ufid = enabled
            text = "Datapath dumping tersely using UFID "
            return text + ("enabled for supported datapaths\n" if enabled else "disabled\n")

        return run

    def _revalidator_wait(self, args: list[str]) -> str:
        for backer in self._backers():
            now_ms = backer.clock.now_ms()
            backer.settle(now_ms)
            backer.revalidator.sweep(now_ms)
        return ""

    def _pause(self, is_paused: bool) -> Callable[[list[str]], str]:
        def run(args: list[str]) -> str:
            for backer in self._backers():
                backer.pause(is_paused)
            return ""

        return run

    def _revalidator_purge(self, args: list[str]) -> str:
        for backer in self._backers():
            backer.revalidator.push_statistics()
            backer.revalidator.purge()
        return ""


def _vlan_and_mac(words: list[str]) -> tuple[int, int]:
    """A VLAN that is not a number counts as 0, as the C library's atoi has it."""
    vlan = int(words[0]) if words[0].isascii() and words[0].isdigit() else 0
    mac = parse_mac(words[1])
    if mac is None:
        raise CommandError("bad MAC address")
    return vlan, mac


def _port_number(number: int) -> str:
    """An OpenFlow port as tables show it: the local port has a name."""
    return "LOCAL" if number == 0xFFFFFFFE else str(number)


def _in_port(flow: Flow) -> int:
    return flow.key & IN_PORT_MASK


def _describe_backer(backer: Backer) -> str:
    stats = backer.dpif.stats()
    lines = [f"{full_name(backer.dpif)}: hit:{stats.hits} missed:{stats.misses}\n"]
    types = {port.number: port.type for port in backer.dpif.ports()}
    for name, bridge in sorted(backer.bridges.items()):
        lines.append(f"  {name}:\n")
        for port in sorted(bridge.ports_by_name.values(), key=lambda port: port.name):
            number = "none" if port.dp_port < 0 else str(port.dp_port)
            kind = next((kind for no, kind in types.items() if no == port.dp_port), "")
            options = ""
            if port.is_patch:
                kind, options = "patch", f": peer={port.settings.peer}"
            if isinstance(port.device, TunnelDevice | DummyDevice):
                words = [f"{name}={value}" for name, value in port.device.options.items()]
                options = f": {', '.join(words)}" if words else ""
            if port.tunnel is not None:
                kind = port.tunnel.type
            of_number = port.number & 0xFFFF
            lines.append(f"    {port.name} {of_number}/{number}: ({kind}{options})\n")
    return "".join(lines)
