"""What commands answer to who asks for JSON (`ovs-appctl --format json`).

Numbers that a person would read in a table are text, as in Open vSwitch: `ofport`, `port_no` and
the counts of lookups.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from netloom.base.errors import CommandError
from netloom.datapath.dpif import full_name
from netloom.flow.address import format_mac
from netloom.flow.mapped import V4_BITS, format_mapped, is_ipv4
from netloom.netdev.dummy import DummyDevice
from netloom.netdev.tunnel import TunnelDevice

if TYPE_CHECKING:
    from netloom.ofproto.backer import Backer
    from netloom.ofproto.bridge import Ofproto
    from netloom.ofproto.ports import OfPort
    from netloom.ofproto.underlay.routes import Route
    from netloom.ofproto.underlay.rules import Rule

JsonAnswer = Callable[[list[str]], Any]
_LOCAL_PORT = 0xFFFFFFFE


def json_answers(
    backers: Callable[[], Sequence[Backer]],
    routes: Callable[[list[str]], Iterable[Route]],
    rules: Callable[[list[str]], Iterable[Rule]],
) -> dict[str, JsonAnswer]:
    """Command -> its answer. `routes` and `rules` are those that a command's arguments ask for."""

    def find(name: str) -> Ofproto:
        for backer in backers():
            if name in backer.bridges:
                return backer.bridges[name]
        raise CommandError("no such bridge")

    return {
        "dpif/show": lambda args: {full_name(b.dpif): _describe_backer(b) for b in backers()},
        "fdb/show": lambda args: _describe_macs(find(args[0])),
        "ovs/route/show": lambda args: [_describe_route(route) for route in routes(args)],
        "ovs/route/rule/show": lambda args: [_describe_rule(rule) for rule in rules(args)],
    }


def _describe_backer(backer: Backer) -> dict[str, Any]:
    stats = backer.dpif.stats()
    kinds = {int(port.number): port.type for port in backer.dpif.ports()}
    return {
        "bridges": {
            name: {
                port.name: _describe_port(port, kinds.get(port.dp_port, ""))
                for port in sorted(bridge.ports_by_name.values(), key=lambda port: port.name)
            }
            for name, bridge in sorted(backer.bridges.items())
        },
        "stats": {"hit": str(stats.hits), "missed": str(stats.misses)},
    }


def _describe_port(port: OfPort, kind: str) -> dict[str, Any]:
    options: dict[str, str] = {}
    if port.is_patch:
        kind, options = "patch", {"peer": port.settings.peer}
    if isinstance(port.device, TunnelDevice | DummyDevice):
        options = dict(port.device.options)
    if port.tunnel is not None:
        kind = port.tunnel.type
    described: dict[str, Any] = {
        "ofport": str(port.number & 0xFFFF),
        "port_no": "none" if port.dp_port < 0 else str(port.dp_port),
        "type": kind,
    }
    return {"config": options, **described} if options else described


def _describe_macs(bridge: Ofproto) -> list[dict[str, Any]]:
    bridge.refresh_statistics()
    now_ms = bridge.backer.clock.now_ms()
    found = []
    for entry in bridge.macs:
        members = entry.bundle.members
        number = members[0].number if members else 0
        row = {
            "mac": format_mac(entry.mac),
            "port": "LOCAL" if number == _LOCAL_PORT else number,
            "vlan": entry.vlan,
        }
        if entry.is_static:
            row["static"] = True
        else:
            row["age"] = (now_ms - entry.used_ms) // 1_000
        found.append(row)
    return found


def _describe_rule(rule: Rule) -> dict[str, Any]:
    return {
        "from": rule.shown_prefix,
        "invert": rule.is_not,
        "ipv4": not rule.is_v6,
        "lookup": rule.table,
        "priority": rule.priority,
        "src-prefix": rule.shown_length,
        "user": rule.is_user,
    }


def _describe_route(route: Route) -> dict[str, Any]:
    length = route.length
    hop = {"dev": route.device}
    if route.gateway:
        hop["gateway"] = format_mapped(route.gateway)
    described: dict[str, Any] = {
        "dst": format_mapped(route.prefix),
        "local": route.is_local,
        "nexthops": [hop],
        "prefix": length - V4_BITS if is_ipv4(route.prefix) else length,
        "prefsrc": format_mapped(route.source),
        "table": route.table,
        "user": route.is_user,
    }
    if route.mark:
        described["mark"] = route.mark
    return described
