"""The `ovs-appctl` commands about the network under the tunnels."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

from netloom.base.clock import Clock
from netloom.base.errors import CommandError
from netloom.base.record import replace
from netloom.flow.address import parse_mac
from netloom.flow.mapped import (
    format_mapped,
    is_ipv4,
    mask_of_length,
    parse_mapped,
    parse_mapped_prefix,
)
from netloom.flow.numbers import scan_integer
from netloom.netdev.dummy import DummyDevice
from netloom.ofproto.underlay import Underlay
from netloom.ofproto.underlay.neighbours import MAX_AGING_S
from netloom.ofproto.underlay.routes import Route
from netloom.ofproto.underlay.rules import TABLE_MAIN, TABLE_NAMES, USUAL_TABLES, Rule

Run = Callable[[list[str]], str]
#: Name, usage, least and most arguments, what it does.
Command = tuple[str, str, int, "int | None", Run]

_ROUTE_USAGE = "ip_addr/prefix_len out_br_name [gw] [pkt_mark=mark] [src=src_ip] [table=id]"
_RULE_USAGE = "[-6] [not] from=all|ip/plen [prio=num] table=local|main|default|id"


_ALL_TABLES = "table=all"


class UnderlayCommands:
    """`set_ports` tells data paths which UDP source ports tunnels use; `look` takes over what has
    changed in the host's routes."""

    def __init__(
        self,
        underlay: Underlay,
        clock: Clock,
        set_ports: Callable[[int, int], None],
        look: Callable[[], None] = lambda: None,
    ) -> None:
        self._underlay = underlay
        self._look = look
        self._clock = clock
        self._set_ports = set_ports
        self._ports = (32768, 61000)

    def commands(self) -> list[Command]:
        neighbours = [
            (f"tnl/{word}/{verb}", usage, least, most, run)
            for word in ("arp", "neigh")
            for verb, usage, least, most, run in (
                ("show", "", 0, 0, self._show_neighbours),
                ("set", "BRIDGE IP MAC", 3, 3, self._set_neighbour),
                ("flush", "", 0, 0, self._flush),
                ("aging", "[SECS]", 0, 1, self._aging),
            )
        ]
        return [
            ("ovs/route/add", _ROUTE_USAGE, 2, None, self._add),
            ("ovs/route/show", "[table=all|id]", 0, 1, self._show),
            ("ovs/route/del", "ip_addr/prefix_len [pkt_mark=mark] [table=id]", 1, 3, self._del),
            ("ovs/route/lookup", "ip_addr [pkt_mark=mark] [src=src_ip]", 1, 3, self._lookup),
            ("ovs/route/rule/show", "[-6]", 0, 1, self._show_rules),
            ("ovs/route/rule/add", _RULE_USAGE, 2, 5, self._add_rule),
            ("ovs/route/rule/del", _RULE_USAGE, 2, 5, self._del_rule),
            *neighbours,
            ("tnl/ports/show", "-v", 0, 1, self._listening),
            ("tnl/egress_port_range", "min max", 0, 2, self._port_range),
        ]

    # Routes

    def _add(self, args: list[str]) -> str:
        prefix = parse_mapped_prefix(args[0])
        if prefix is None:
            raise CommandError("Invalid 'ip/plen' parameter")
        gateway, mark, source, table = 0, 0, 0, TABLE_MAIN
        for word in args[2:]:
            name, _, value = word.partition("=")
            address = _address_like(value if name == "src" else word, prefix[0])
            if name == "pkt_mark" and (number := _scan(value)) is not None:
                mark = number
            elif address and name == "src":
                source = address
            elif address:
                gateway = address
            elif name == "table":
                table = _table(value)
            else:
                raise CommandError("Invalid pkt_mark, IP gateway or src_ip")
        if not self._underlay.routes.add(*prefix, args[1], gateway, mark, source, table):
            raise CommandError("Error while inserting route.")
        return "OK"

    def _del(self, args: list[str]) -> str:
        self._look()
        prefix = parse_mapped_prefix(args[0])
        if prefix is None:
            raise CommandError("Invalid parameters")
        mark, table = 0, TABLE_MAIN
        for word in args[1:]:
            name, _, value = word.partition("=")
            if name == "table":
                table = _table(value)
                self._find_table(table, f"Table {word} not found")
            elif name == "pkt_mark" and (number := _scan(value)) is not None:
                mark = number
            else:
                raise CommandError("Invalid pkt_mark or table")
        if not self._underlay.routes.remove(*prefix, mark, table):
            raise CommandError("Not found")
        return "OK"

    def _find_table(self, table: int, problem: str) -> None:
        if table not in self._underlay.routes.tables:
            raise CommandError(problem)

    def _show(self, args: list[str]) -> str:
        routes = self.routes(args)
        if args == [_ALL_TABLES]:
            return "".join(f"{route.describe(with_table=True)}\n" for route in routes)
        number = self._chosen_table(args)
        head = "Route Table" if number in (0, *USUAL_TABLES) else f"Route Table #{number}"
        return f"{head}:\n" + "".join(f"{route.describe()}\n" for route in routes)

    def routes(self, args: list[str]) -> list[Route]:
        """Those that `ovs/route/show` tells of; raises CommandError."""
        self._look()
        # Of the usual tables the one first that is asked first; in each the longest.
        routes = sorted(self._underlay.routes, key=lambda route: (-route.table, -route.length))
        usual = [route for route in routes if route.table in USUAL_TABLES]
        if args == [_ALL_TABLES]:
            return [*(route for route in routes if route.table not in USUAL_TABLES), *usual]
        number = self._chosen_table(args)
        return [route for route in routes if route.table == number] if number else usual

    def _chosen_table(self, args: list[str]) -> int:
        """0 for the usual ones."""
        if not args:
            return 0
        if not args[0].startswith("table="):
            raise CommandError("Invalid table format")
        number = _table(args[0].removeprefix("table="))
        if number:
            self._find_table(number, f"Table '{args[0]}' not found")
        return number

    # Rules

    def _show_rules(self, args: list[str]) -> str:
        return "".join(f"{rule.describe()}\n" for rule in self.rules(args))

    def rules(self, args: list[str]) -> list[Rule]:
        """Those that `ovs/route/rule/show` tells of."""
        self._look()
        return list(self._underlay.routes.rules.of_family(is_v6=args[:1] == ["-6"]))

    def _add_rule(self, args: list[str]) -> str:
        rule, priority = _parse_rule(args)
        routes = self._underlay.routes
        if priority is None:
            priority = routes.rules.free_priority()
        routes.add_rule(replace(rule, priority=priority))
        return "OK"

    def _del_rule(self, args: list[str]) -> str:
        rule, priority = _parse_rule(args)
        if not self._underlay.routes.remove_rule(rule, priority):
            reason = os.strerror(errno.ENOENT)
            raise CommandError(f"Failed to delete router rule: {errno.ENOENT} ({reason})")
        return "OK"

    def _lookup(self, args: list[str]) -> str:
        self._look()
        address = parse_mapped(args[0])
        if address is None:
            raise CommandError("Invalid 'ip/plen' parameter")
        mark = source = 0
        for word in args[1:]:
            name, _, value = word.partition("=")
            if name == "pkt_mark" and (number := _scan(value)) is not None:
                mark = number
            elif name == "src" and (found := _address_like(value, address)):
                source = found
            else:
                raise CommandError("Invalid pkt_mark or src")
        route = self._underlay.routes.lookup(address, mark, source)
        if route is None:
            raise CommandError("Not found")
        gateway = format_mapped(route.gateway)
        return (
            f"src {format_mapped(source or route.source)}\ngateway {gateway}\ndev {route.device}\n"
        )

    # Neighbours

    def _show_neighbours(self, args: list[str]) -> str:
        return self._underlay.neighbours.show()

    def _set_neighbour(self, args: list[str]) -> str:
        address = parse_mapped(args[1])
        if address is None:
            raise CommandError("bad IP address")
        mac = parse_mac(args[2])
        if mac is None:
            raise CommandError("bad MAC address")
        self._underlay.neighbours.set(args[0], address, mac, self._clock.now_ms())
        return "OK"

    def _flush(self, args: list[str]) -> str:
        self._underlay.neighbours.flush()
        return "OK"

    def _aging(self, args: list[str]) -> str:
        if not args:
            return f"{self._underlay.neighbours.aging_s}"
        seconds = int(args[0]) if args[0].isascii() and args[0].isdigit() else 0
        if not 0 < seconds <= MAX_AGING_S:
            raise CommandError("bad aging value")
        self._underlay.neighbours.aging_s = seconds
        return "OK"

    # Ports

    def _listening(self, args: list[str]) -> str:
        return self._underlay.listeners.show(args == ["-v"])

    def _port_range(self, args: list[str]) -> str:
        if len(args) < 2:
            low, high = self._ports
            return f"Tunnel UDP source port range: {low}-{high}\n"
        numbers = []
        for name, text in zip(("min", "max"), args, strict=True):
            number = int(text) if text.isascii() and text.isdigit() else 0
            if not 0 < number <= 65535:
                # Open vSwitch answers so without calling it an error.
                return f"Invalid {name}."
            numbers.append(number)
        self._ports = (min(numbers), max(numbers))
        self._set_ports(*self._ports)
        return "OK"


def _scan(text: str) -> int | None:
    """A number of 32 bits, if the text is one."""
    try:
        value, rest = scan_integer(text, 4)
    except ValueError:
        return None
    return None if rest else value


def _address_like(text: str, other: int) -> int:
    """The address `text`, if it is one of the same family as the address `other`; else 0."""
    address = parse_mapped(text)
    return address if address is not None and is_ipv4(address) == is_ipv4(other) else 0


def _table(text: str, problem: str = "Invalid table format") -> int:
    """The number of a routing table."""
    number = _scan(text)
    if not number:
        raise CommandError(problem)
    return number


def _parse_rule(args: list[str]) -> tuple[Rule, int | None]:
    """A rule of priority 0, and the priority that was asked for."""
    is_v6 = args[0] == "-6"
    words = args[1:] if is_v6 else list(args)
    is_not = words[:1] == ["not"]
    words = words[is_not:]
    if not words or not words[0].startswith("from="):
        raise CommandError("Invalid 'from' parameter")
    whence = words.pop(0).removeprefix("from=")
    prefix, length = 0, 0
    if whence != "all":
        parsed = parse_mapped_prefix(whence)
        if parsed is None:
            raise CommandError("Invalid from=ip/plen")
        prefix, length = parsed[0] & mask_of_length(parsed[1]), parsed[1]
        is_v6 = not is_ipv4(parsed[0])
    name, _, text = words[0].partition("=") if words else ("", "", "")
    priority = _scan(text) if name == "prio" else None
    if priority is not None:
        words.pop(0)
    if not words:
        raise CommandError("Not enough arguments")
    name, _, text = words[0].partition("=")
    text = text if name == "table" else ""
    table = TABLE_NAMES.get(text) or _table(text, "Invalid 'table' format")
    return Rule(0, table, is_v6, prefix, length, is_not, is_user=True), priority or None


class DummyAddresses:
    """`netdev-dummy/ip4addr` and its like: give dummies addresses."""

    def __init__(self, underlay: Underlay) -> None:
        self._underlay = underlay

    def commands(self) -> list[Command]:
        return [
            ("netdev-dummy/ip4addr", "[netdev] ipaddr/mask-prefix-len", 2, 2, self._add4),
            ("netdev-dummy/ip6addr", "[netdev] ip6addr", 2, 2, self._add6),
        ]

    def _add4(self, args: list[str]) -> str:
        return self._add(args, is_v4=True)

    def _add6(self, args: list[str]) -> str:
        return self._add(args, is_v4=False)

    def _add(self, args: list[str], is_v4: bool) -> str:
        prefix = parse_mapped_prefix(args[1])
        if prefix is None or is_ipv4(prefix[0]) != is_v4:
            family = "IP" if is_v4 else "IPv6"
            raise CommandError(f"{args[1]}: invalid {family} address")
        if not isinstance(self._underlay.devices.get(args[0]), DummyDevice):
            raise CommandError("Unknown Dummy Interface")
        self._underlay.give(args[0], *prefix)
        return "OK"
