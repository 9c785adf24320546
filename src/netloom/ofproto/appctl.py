"""What `ovs-appctl` can ask of bridges: ofproto/*, bridge/dump-flows, fdb/*, dpif/*, upcall/*,
revalidator/*. Texts are those of Open vSwitch, sorted where it leaves the order to chance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from netloom.base.clock import Clock
from netloom.base.errors import CommandError, ConfigError
from netloom.datapath.dpctl import full_name
from netloom.datapath.flow_text import format_flow
from netloom.flow import ports as reserved
from netloom.flow.address import parse_mac
from netloom.flow.print import format_match
from netloom.ofproto.backer import Backer
from netloom.ofproto.bridge import Ofproto
from netloom.ofproto.bundle import Bundle
from netloom.ofproto.mac_table import MacEntry
from netloom.ofproto.ports import OfPort
from netloom.ofproto.rules import Rule
from netloom.ofproto.trace import command_trace
from netloom.openflow.action_format import format_actions

#: What the data path in Python can do, in the order of Open vSwitch.
DATAPATH_FEATURES = (
    ("Masked set action", "Yes"),
    ("Tunnel push pop", "No"),
    ("Ufid", "Yes"),
    ("Truncate action", "Yes"),
    ("Clone action", "Yes"),
    ("Sample nesting", "0"),
    ("Conntrack eventmask", "No"),
    ("Conntrack clear", "No"),
    ("Max dp_hash algorithm", "0"),
    ("Check pkt length action", "Yes"),
    ("Conntrack timeout policy", "No"),
    ("Explicit Drop action", "Yes"),
    ("Optimized Balance TCP mode", "No"),
    ("Conntrack all-zero IP SNAT", "No"),
    ("MPLS Label add", "No"),
    ("Max VLAN headers", "1"),
    ("Max MPLS depth", "3"),
    ("Recirc", "Yes"),
    ("CT state", "No"),
    ("CT zone", "No"),
    ("CT mark", "No"),
    ("CT label", "No"),
    ("CT state NAT", "No"),
    ("CT orig tuple", "No"),
    ("CT orig tuple for IPv6", "No"),
    ("IPv6 ND Extension", "Yes"),
)


class Command(NamedTuple):
    """One command; `max_args` None is no limit."""

    name: str
    usage: str
    min_args: int
    max_args: int | None
    handler: Callable[[list[str]], str]


class Switches:
    """All backers of the daemon, as commands see them."""

    def __init__(self, backers: Callable[[], Iterable[Backer]], clock: Clock) -> None:
        self._backers = backers
        self._clock = clock

    def backers(self) -> list[Backer]:
        return sorted(self._backers(), key=lambda backer: backer.type)

    def now_ms(self) -> int:
        return self._clock.now_ms()

    def bridges(self) -> list[Ofproto]:
        found = [bridge for backer in self._backers() for bridge in backer.bridges.values()]
        return sorted(found, key=lambda bridge: bridge.name)

    def find_bridge(self, name: str) -> Ofproto | None:
        for bridge in self.bridges():
            if bridge.name == name:
                return bridge
        return None

    def bridge(self, name: str, error: str = "no such bridge") -> Ofproto:
        found = self.find_bridge(name)
        if found is None:
            raise CommandError(error)
        return found

    def find_dp_port(self, number: int) -> OfPort | None:
        for backer in self._backers():
            if number in backer.ports:
                return backer.ports[number]
        return None

    def dp_port_numbers(self) -> Mapping[str, int]:
        return {
            port.name: number for backer in self._backers() for number, port in backer.ports.items()
        }


def commands(switches: Switches) -> list[Command]:
    """All commands of this module, bound to `switches`."""
    return [
        Command(name, usage, low, high, _bind(handler, switches))
        for name, usage, low, high, handler in _COMMANDS
    ]


_Handler = Callable[[Switches, list[str]], str]


def _bind(handler: _Handler, switches: Switches) -> Callable[[list[str]], str]:
    return lambda args: handler(switches, args)


def _list(switches: Switches, args: list[str]) -> str:
    return "".join(f"{bridge.name}\n" for bridge in switches.bridges())


def _trace(switches: Switches, args: list[str]) -> str:
    return command_trace(args, switches)


# Rules


def _dump_flows(switches: Switches, args: list[str]) -> str:
    names = [arg for arg in args if arg != "--offload-stats"]
    bridge = switches.bridge(names[-1] if names else "", "Unknown bridge")
    bridge.refresh_statistics()
    now_ms = switches.now_ms()
    rules = sorted(
        bridge.tables.rules(hidden=True), key=lambda rule: (rule.table_id, -rule.priority, rule.id)
    )
    return "".join(f"{_describe_rule(rule, now_ms)}\n" for rule in rules)


def _describe_rule(rule: Rule, now_ms: int) -> str:
    words = [f"table_id={rule.table_id}, "] if rule.table_id else []
    words.append(f"duration={(now_ms - rule.created_ms) // 1_000}s, ")
    words.append(f"n_packets={rule.n_packets}, n_bytes={rule.n_bytes}, ")
    match = format_match(rule.match, priority=None if rule.priority == 0x8000 else rule.priority)
    words.append(f"{match},actions={format_actions(rule.actions)}")
    return "".join(words)


# MAC tables


def _fdb_show(switches: Switches, args: list[str]) -> str:
    bridge = switches.bridge(args[0])
    bridge.refresh_statistics()
    now_ms = switches.now_ms()
    entries = sorted(bridge.macs, key=lambda entry: (entry.used_ms, entry.vlan, entry.mac))
    rows = [_describe_mac(entry, now_ms) for entry in reversed(entries)]
    return "".join([" port  VLAN  MAC                Age\n", *rows])


def _describe_mac(entry: MacEntry[Bundle], now_ms: int) -> str:
    members = entry.bundle.members
    port = reserved.format_port(members[0].number) if members else "-"
    mac = ":".join(f"{byte:02x}" for byte in entry.mac.to_bytes(6, "big"))
    age = "static" if entry.is_static else f"{(now_ms - entry.used_ms) // 1_000:3d}"
    return f"{port:>5}  {entry.vlan:4d}  {mac}  {age}\n"


def _fdb_add(switches: Switches, args: list[str]) -> str:
    bridge = switches.bridge(args[0])
    port = bridge.ports_by_name.get(args[1])
    if port is None or port.bundle is None:
        raise CommandError("software error, odp port is present but no ofp port")
    vlan, mac = _read_vlan(args[2]), _read_mac(args[3])
    bridge.macs.add_static(mac, vlan, port.bundle, switches.now_ms())
    return ""


def _fdb_del(switches: Switches, args: list[str]) -> str:
    bridge = switches.bridge(args[0])
    vlan, mac = _read_vlan(args[1]), _read_mac(args[2])
    entry = bridge.macs.lookup(mac, vlan)
    if entry is None or not entry.is_static:
        raise CommandError("could not find static mac entry")
    bridge.macs.remove(mac, vlan)
    return ""


def _read_vlan(text: str) -> int:
    if not text.isdigit() or int(text) > 4095:
        raise CommandError("bad vlan")
    return int(text)


def _read_mac(text: str) -> int:
    try:
        return parse_mac(text)
    except (ConfigError, ValueError):
        raise CommandError("bad MAC address") from None


def _fdb_flush(switches: Switches, args: list[str]) -> str:
    for bridge in [switches.bridge(args[0])] if args else switches.bridges():
        bridge.macs.flush()
    return "table successfully flushed"


def _fdb_stats_show(switches: Switches, args: list[str]) -> str:
    bridge = switches.bridge(args[0])
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


def _fdb_stats_clear(switches: Switches, args: list[str]) -> str:
    for bridge in [switches.bridge(args[0])] if args else switches.bridges():
        bridge.macs.clear_stats()
    return "statistics successfully cleared"


# Data paths


def _dpif_show(switches: Switches, args: list[str]) -> str:
    lines = []
    for backer in switches.backers():
        stats = backer.dpif.stats()
        lines.append(f"{full_name(backer.dpif)}: hit:{stats.hits} missed:{stats.misses}")
        for name in sorted(backer.bridges):
            lines.append(f"  {name}:")
            ports = backer.bridges[name].ports_by_name
            lines += [f"    {_describe_port(ports[port])}" for port in sorted(ports)]
    return "".join(f"{line}\n" for line in lines)


def _describe_port(port: OfPort) -> str:
    number = port.number & 0xFFFF
    if port.is_patch:
        return f"{port.name} {number}/none: (patch: peer={port.settings.peer})"
    return f"{port.name} {number}/{port.dp_port}: ({port.settings.type or 'system'})"


def _dpif_dump_dps(switches: Switches, args: list[str]) -> str:
    return "".join(
        f"{backer.type}@{name}\n"
        for backer in switches.backers()
        for name in sorted(backer.bridges)
    )


def _dpif_dump_flows(switches: Switches, args: list[str]) -> str:
    options = [arg for arg in args if arg.startswith("-")]
    words = [arg for arg in args if not arg.startswith("-")]
    unknown = set(options) - {"-m", "--names", "--no-names"}
    if unknown or not words:
        raise CommandError(f"{sorted(unknown)[0]}: unknown option" if unknown else "Syntax error")
    bridge = switches.bridge(words[-1])
    verbose = "-m" in options
    names = bridge.backer.port_names() if "--names" in options or verbose else None
    if "--no-names" in options:
        names = None
    numbers = {port.dp_port for port in bridge.ports_by_number.values()}
    now_ms = switches.now_ms()
    return "".join(
        f"{format_flow(flow, now_ms, names, verbose)}\n"
        for flow in bridge.backer.revalidator.flows_of(numbers)
    )


def _dpif_features(switches: Switches, args: list[str]) -> str:
    switches.bridge(args[0])
    return "".join(f"{name}: {value}\n" for name, value in DATAPATH_FEATURES)


def _upcall_show(switches: Switches, args: list[str]) -> str:
    lines = []
    for backer in switches.backers():
        flows = backer.revalidator
        lines += [
            f"{full_name(backer.dpif)}:",
            f"  flows         : (current {flows.n_flows}) (avg {flows.average_flows()})"
            f" (max {flows.max_flows}) (limit {flows.flow_limit})",
            f"  dump duration : {flows.dump_duration_ms}ms",
            "  ufid enabled : true",
            "",
            f"  1: (keys {flows.n_flows})",
        ]
    return "".join(f"{line}\n" for line in lines)


def _set_flow_limit(switches: Switches, args: list[str]) -> str:
    limit = int(args[0]) if args[0].isdigit() else 0
    for backer in switches.backers():
        backer.revalidator.flow_limit = limit
    return f"set flow_limit to {limit}\n"


def _set_megaflows(enabled: bool) -> _Handler:
    def run(switches: Switches, args: list[str]) -> str:
        for backer in switches.backers():
            backer.enable_megaflows(enabled)
        return f"megaflows {'enabled' if enabled else 'disabled'}"

    return run


def _purge(switches: Switches, args: list[str]) -> str:
    for backer in switches.backers():
        backer.revalidator.purge()
    return ""


def _wait(switches: Switches, args: list[str]) -> str:
    """Until flows obey all changes and their statistics have been credited."""
    for backer in switches.backers():
        backer.settle(switches.now_ms())
        backer.revalidator.push_statistics()
    return ""


_TRACE_USAGE = "{[dp_name] odp_flow | bridge br_flow} [OPTIONS...] [-generate|packet]"

_COMMANDS: tuple[tuple[str, str, int, int | None, _Handler], ...] = (
    ("ofproto/list", "", 0, 0, _list),
    ("ofproto/trace", _TRACE_USAGE, 1, None, _trace),
    ("bridge/dump-flows", "[--offload-stats] bridge", 1, 2, _dump_flows),
    ("fdb/show", "bridge", 1, 1, _fdb_show),
    ("fdb/add", "bridge port vlan mac", 4, 4, _fdb_add),
    ("fdb/del", "bridge vlan mac", 3, 3, _fdb_del),
    ("fdb/flush", "[bridge]", 0, 1, _fdb_flush),
    ("fdb/stats-show", "bridge", 1, 1, _fdb_stats_show),
    ("fdb/stats-clear", "[bridge]", 0, 1, _fdb_stats_clear),
    ("dpif/show", "", 0, 0, _dpif_show),
    ("dpif/dump-dps", "", 0, 0, _dpif_dump_dps),
    ("dpif/dump-flows", "[-m] [--names | --no-names] bridge", 1, None, _dpif_dump_flows),
    ("dpif/show-dp-features", "bridge", 1, 1, _dpif_features),
    ("upcall/show", "", 0, 0, _upcall_show),
    ("upcall/set-flow-limit", "flow-limit-number", 1, 1, _set_flow_limit),
    ("upcall/disable-megaflows", "", 0, 0, _set_megaflows(False)),
    ("upcall/enable-megaflows", "", 0, 0, _set_megaflows(True)),
    ("revalidator/purge", "", 0, 0, _purge),
    ("revalidator/wait", "", 0, 0, _wait),
)
