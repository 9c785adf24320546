"""The `ovs-appctl` commands about the network under the tunnels."""

from __future__ import annotations

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
from netloom.ofproto.underlay.rules import TABLE_MAIN, TABLE_NAMES, USUAL_TABLES, Rule

Run = Callable[[list[str]], str]
#: Name, usage, least and most arguments, what it does.
Command = tuple[str, str, int, "int | None", Run]

_ROUTE_USAGE = "ip_addr/prefix_len out_br_name [gw] [pkt_mark=mark] [src=src_ip] [table=id]"
_RULE_USAGE = "[-6] [not] from=all|ip/plen [prio=num] table=local|main|default|id"


class UnderlayCommands:
    """`set_ports` tells data paths which UDP source ports tunnels use, `ports` what they use."""

    def __init__(
        self, underlay: Underlay, clock: Clock, set_ports: Callable[[int, int], None]
    ) -> None:
        self._underlay = underlay
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
            raise CommandError("Invalid parameters")
        gateway = mark = source = 0
        table = TABLE_MAIN
        for word in args[2:]:
            name, equals, value = word.partition("=")
            if name == "pkt_mark" and equals:
                mark = _mark(value)
            elif name == "table" and equals:
                table = _table(value)
            elif name == "src" and equals:
                source = parse_mapped(value) or 0
                if not source:
                    raise CommandError("Invalid src_ip")
            elif not gateway and (address := parse_mapped(word)):
                gateway = address
            else:
                raise CommandError("Invalid pkt_mark or gateway")
        if not self._underlay.routes.add(*prefix, args[1], gateway, mark, source, table):
            raise CommandError("Error while inserting route.")
        return "OK"

    def _del(self, args: list[str]) -> str:
        prefix = parse_mapped_prefix(args[0])
        if prefix is None:
            raise CommandError("Invalid parameters")
        mark, table = 0, TABLE_MAIN
        for word in args[1:]:
            if word.startswith("table="):
                table = _table(word.removeprefix("table="))
            else:
                mark = _mark_word(word)
        if not self._underlay.routes.remove(*prefix, mark, table):
            raise CommandError("Not found")
        return "OK"

    def _show(self, args: list[str]) -> str:
        if args and not args[0].startswith("table="):
            raise CommandError("Invalid param, expected table=ID|all")
        text = args[0].removeprefix("table=") if args else ""
        # Of the usual tables the one first that is asked first.
        routes = sorted(self._underlay.routes, key=lambda route: -route.table)
        if text == "all":
            other = [route for route in routes if route.table not in USUAL_TABLES]
            usual = [route for route in routes if route.table in USUAL_TABLES]
            return "".join(f"{route.describe(with_table=True)}\n" for route in (*other, *usual))
        number = _table(text) if text else 0
        head = f"Route Table #{number}:\n" if number else "Route Table:\n"
        shown = [
            f"{route.describe()}\n"
            for route in routes
            if (route.table == number if number else route.table in USUAL_TABLES)
        ]
        return head + "".join(shown)

    # Rules

    def _show_rules(self, args: list[str]) -> str:
        if args and args[0] != "-6":
            raise CommandError("Invalid param, expected -6")
        rules = self._underlay.routes.rules.of_family(is_v6=bool(args))
        return "".join(f"{rule.describe()}\n" for rule in rules)

    def _add_rule(self, args: list[str]) -> str:
        rule, priority = _parse_rule(args)
        routes = self._underlay.routes
        if priority is None:
            priority = routes.rules.free_priority(rule.is_v6)
        routes.add_rule(replace(rule, priority=priority))
        return "OK"

    def _del_rule(self, args: list[str]) -> str:
        rule, priority = _parse_rule(args)
        if not self._underlay.routes.remove_rule(rule, priority):
            raise CommandError("Not found")
        return "OK"

    def _lookup(self, args: list[str]) -> str:
        address = parse_mapped(args[0])
        if address is None:
            raise CommandError("Invalid parameters")
        mark = source = 0
        for word in args[1:]:
            if word.startswith("src="):
                source = parse_mapped(word.removeprefix("src=")) or 0
                if not source:
                    raise CommandError("Invalid src_ip")
            else:
                mark = _mark_word(word)
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


def _number(text: str, limit: int) -> int | None:
    number = int(text) if text.isascii() and text.isdigit() else limit + 1
    return number if number <= limit else None


def _table(text: str) -> int:
    """The number of a routing table, which may have a name."""
    number = TABLE_NAMES.get(text) or _number(text, 0xFFFFFFFF)
    if not number:
        raise CommandError(f"Invalid table '{text}'")
    return number


def _parse_rule(args: list[str]) -> tuple[Rule, int | None]:
    """A rule of priority 0, and the priority that was asked for."""
    is_v6 = args[0] == "-6"
    words = args[1:] if is_v6 else list(args)
    is_not = words[:1] == ["not"]
    found = {name: value for name, _, value in (w.partition("=") for w in words[is_not:])}
    if found.keys() - {"from", "prio", "table"} or not {"from", "table"} <= found.keys():
        raise CommandError("Invalid parameters")
    prefix, length = 0, 0
    if found["from"] != "all":
        parsed = parse_mapped_prefix(found["from"])
        if parsed is None:
            raise CommandError(f"Invalid 'from' address '{found['from']}'")
        prefix, length = parsed[0] & mask_of_length(parsed[1]), parsed[1]
        is_v6 = not is_ipv4(parsed[0])
    priority = _number(found["prio"], 0xFFFFFFFF) if "prio" in found else None
    if "prio" in found and priority is None:
        raise CommandError(f"Invalid priority '{found['prio']}'")
    rule = Rule(0, _table(found["table"]), is_v6, prefix, length, is_not, is_user=True)
    return rule, priority


def _mark(text: str) -> int:
    try:
        value, rest = scan_integer(text, 4)
    except ValueError:
        value, rest = 0, "?"
    if rest:
        raise CommandError("Invalid pkt_mark")
    return value


def _mark_word(word: str) -> int:
    name, _, value = word.partition("=")
    if name != "pkt_mark":
        raise CommandError("Invalid pkt_mark")
    return _mark(value)


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
