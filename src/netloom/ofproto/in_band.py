"""In-band control: a bridge whose controller is reached through the bridge itself.

Hidden rules, above all that controllers can make, let the switch's own packets through: its DHCP
requests, its ARP, and the ARP and TCP of controllers and database managers. So a controller cannot
cut itself off, and a switch without rules can reach it. They are there for each primary controller
and each manager that is called by an IPv4 address and is not `out-of-band`. `bridge/dump-flows`
shows them; ovs-vswitchd.conf.db(5), `connection_mode`, `in-band-queue` and `disable-in-band`.

Limit: rules for the address of the next router on the way to a controller, which Open vSwitch adds
when it finds one, are not made.
"""

from __future__ import annotations

from netloom.flow.address import parse_ipv4
from netloom.flow.fields import FIELD
from netloom.flow.match import Match
from netloom.flow.ports import LOCAL, NORMAL
from netloom.ofproto.rules import Rule
from netloom.ofproto.settings import BridgeSettings
from netloom.ofproto.tables import Tables
from netloom.ofproto.translate.handlers import unsupported
from netloom.openflow import actions as a
from netloom.openflow import messages as m

_PRIORITY = 180_000
_FROM_LOCAL_DHCP, _TO_LOCAL_ARP, _FROM_LOCAL_ARP = range(_PRIORITY, _PRIORITY + 3)
_TO_CONTROLLER_ARP, _FROM_CONTROLLER_ARP = _PRIORITY + 5, _PRIORITY + 6
_TO_CONTROLLER, _FROM_CONTROLLER = _PRIORITY + 7, _PRIORITY + 8
_CONTROLLER_PORT, _MANAGER_PORT = 6653, 6640
_REQUEST, _REPLY = 1, 2
_TCP, _UDP = 6, 17

#: A rule: match and priority.
Wanted = tuple[Match, int]


class InBand:
    """The hidden rules of one bridge."""

    def __init__(self) -> None:
        self._rules: dict[Wanted, Rule] = {}
        self._actions: a.Actions = ()

    def follow(
        self, tables: Tables, settings: BridgeSettings, local_mac: int | None, now_ms: int
    ) -> None:
        """Have the rules that the settings and the address of the local port ask for."""
        remotes = _remotes(settings)
        wanted = _wanted(remotes, local_mac) if remotes else []
        queue = settings.in_band_queue
        actions: a.Actions = (a.Output(NORMAL),)
        if queue >= 0 and unsupported(a.SetQueue(queue)) is None:
            actions = (a.SetQueue(queue), *actions)
        for key, rule in list(self._rules.items()):
            if key not in wanted or rule.removed or actions != self._actions:
                del self._rules[key]
                if not rule.removed:
                    tables.remove(rule, m.OFPRR_DELETE)
        self._actions = actions
        for key in wanted:
            if key not in self._rules:
                match, priority = key
                self._rules[key] = tables.add_hidden(0, match, priority, actions, now_ms)


def _remotes(settings: BridgeSettings) -> list[tuple[int, int]]:
    """Address and port of the controllers and managers that are reached in-band."""
    targets = [
        (controller.target, _CONTROLLER_PORT)
        for controller in settings.controllers
        if controller.connection_mode == "in-band" and controller.type == "primary"
    ]
    targets += [(target, _MANAGER_PORT) for target in settings.in_band_managers]
    found = [_remote(target, port) for target, port in targets]
    return [] if settings.disable_in_band else [remote for remote in found if remote is not None]


def _remote(target: str, default_port: int) -> tuple[int, int] | None:
    kind, _, rest = target.partition(":")
    host, _, port = rest.partition(":")
    address = parse_ipv4(host)
    if kind not in ("tcp", "ssl") or address is None:
        return None
    return address, int(port) if port.isdigit() else default_port


def _match(**fields: int) -> Match:
    match = Match()
    for name, value in fields.items():
        match = match.with_field(FIELD[name], value)
    return match


def _wanted(remotes: list[tuple[int, int]], local_mac: int | None) -> list[Wanted]:
    wanted: list[Wanted] = []
    if local_mac is not None:
        dhcp = _match(
            in_port_oxm=LOCAL, eth_type=0x0800, eth_src=local_mac, nw_proto=_UDP, udp_src=68,
            udp_dst=67,
        )  # fmt: skip
        wanted += [
            (dhcp, _FROM_LOCAL_DHCP),
            (_match(eth_type=0x0806, eth_dst=local_mac, arp_op=_REPLY), _TO_LOCAL_ARP),
            (_match(eth_type=0x0806, eth_src=local_mac, arp_op=_REQUEST), _FROM_LOCAL_ARP),
        ]
    for address, port in remotes:
        to_it = _match(eth_type=0x0800, nw_proto=_TCP, ip_dst=address, tcp_dst=port)
        from_it = _match(eth_type=0x0800, nw_proto=_TCP, ip_src=address, tcp_src=port)
        wanted += [
            (_match(eth_type=0x0806, arp_tpa=address, arp_op=_REPLY), _TO_CONTROLLER_ARP),
            (_match(eth_type=0x0806, arp_spa=address, arp_op=_REQUEST), _FROM_CONTROLLER_ARP),
            (to_it, _TO_CONTROLLER),
            (from_it, _FROM_CONTROLLER),
        ]
    return wanted
