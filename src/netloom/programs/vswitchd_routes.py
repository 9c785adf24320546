"""The host's routes, for the tunnels."""

from __future__ import annotations

from netloom.flow.mapped import is_ipv4
from netloom.netdev.linux.host_routes import HostRoutes
from netloom.ofproto.underlay import Underlay
from netloom.ofproto.underlay.routes import Route
from netloom.ofproto.underlay.rules import USUAL_TABLES, Rule


def follow_host(underlay: Underlay, host: HostRoutes) -> None:
    """Tell the underlay what the host has now. Tables that no rule names are of no concern."""
    rules = tuple(
        Rule(rule.priority, rule.table, rule.is_v6, rule.prefix, rule.length, rule.is_not)
        for rule in host.read_rules()
    )
    named = {(rule.table, rule.is_v6) for rule in rules}
    addresses, routes = host.read()
    found = [
        Route(
            route.prefix, route.length, route.device, route.gateway, route.source,
            is_local=route.is_local, table=route.table,
        )
        for route in routes
        if route.table in USUAL_TABLES or (route.table, not is_ipv4(route.prefix)) in named
    ]  # fmt: skip
    underlay.set_host(addresses, tuple(found))
    underlay.routes.set_system_rules(rules)
