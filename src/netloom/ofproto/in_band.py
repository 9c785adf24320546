"""In-band control: a bridge whose controller is reached through the bridge itself.

Hidden rules, above all that controllers can make, let the switch's own packets through: its DHCP
requests, its ARP, the ARP and TCP of controllers and database managers, and the ARP of the next
router on the way to each (or of the remote itself on the same network), whose Ethernet address the
host's own tables tell. So a controller cannot cut itself off, and a switch without rules can reach
it. They are there for each controller and each manager that is called by an IPv4 address
and is not `out-of-band`. `bridge/dump-flows` shows them; ovs-vswitchd.conf.db(5),
`connection_mode`, `in-band-queue` and `disable-in-band`.

Next hops are looked up again every ten seconds, every second while one is not known.
"""

from __future__ import annotations

from collections.abc import Callable

from netloom.base.errors import ConfigError
from netloom.base.log import get_logger
from netloom.base.numbers import decimal
from netloom.flow.address import format_ipv4, format_mac, parse_ipv4
from netloom.flow.fields import FIELD
from netloom.flow.match import Match
from netloom.flow.ports import LOCAL, NORMAL
from netloom.ofproto.rules import Rule
from netloom.ofproto.settings import BridgeSettings
from netloom.ofproto.tables import Tables
from netloom.ofproto.translate.handlers import unsupported
from netloom.openflow import actions as a
from netloom.openflow import messages as m

log = get_logger("in_band")

_PRIORITY = 180_000
_FROM_LOCAL_DHCP, _TO_LOCAL_ARP, _FROM_LOCAL_ARP = range(_PRIORITY, _PRIORITY + 3)
_TO_NEXT_HOP_ARP, _FROM_NEXT_HOP_ARP = _PRIORITY + 3, _PRIORITY + 4
_TO_CONTROLLER_ARP, _FROM_CONTROLLER_ARP = _PRIORITY + 5, _PRIORITY + 6
_TO_CONTROLLER, _FROM_CONTROLLER = _PRIORITY + 7, _PRIORITY + 8
_CONTROLLER_PORT, _MANAGER_PORT = 6653, 6640
_REQUEST, _REPLY = 1, 2
_TCP, _UDP = 6, 17

_LOOK_MS, _LOOK_AGAIN_MS = 10_000, 1_000

#: A rule: match and priority.
Wanted = tuple[Match, int]
#: The Ethernet address of the next hop to an IPv4 address, if it is known; raises ConfigError if
#: there is none.
NextHop = Callable[[int], int | None]


class InBand:
    """The hidden rules of one bridge."""

    def __init__(self) -> None:
        self._rules: dict[Wanted, Rule] = {}
        self._actions: a.Actions = ()
        self._next_hops = _NextHops()
        #: Is there anybody to be reached through the bridge?
        self.is_active = False

    def deadline(self) -> int | None:
        """When the next hops are to be looked up again."""
        return self._next_hops.due_ms if self.is_active else None

    def follow(
        self,
        tables: Tables,
        settings: BridgeSettings,
        local_mac: int | None,
        next_hop: NextHop,
        now_ms: int,
    ) -> None:
        """Have the rules that the settings, the address of the local port and the next hops ask
        for."""
        remotes = _remotes(settings)
        self.is_active = bool(remotes)
        if not remotes and not self._rules:
            return
        hops = self._next_hops.look(settings.name, [ip for ip, _ in remotes], next_hop, now_ms)
        wanted = _wanted(remotes, local_mac, hops) if remotes else []
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


class _NextHops:
    """The Ethernet addresses of the next hops to remotes. A remote that there is no way to, or
    whose next hop does not answer, has none."""

    def __init__(self) -> None:
        self._found: dict[int, int | None] = {}
        self.due_ms = 0

    def look(self, bridge: str, remotes: list[int], next_hop: NextHop, now_ms: int) -> list[int]:
        if now_ms >= self.due_ms or self._found.keys() != set(remotes):
            found = {remote: _ask(bridge, remote, next_hop) for remote in remotes}
            for remote, mac in found.items():
                before = self._found.get(remote) or 0
                if mac is not None and mac != before:
                    log.dbg(
                        "%s: remote MAC address changed from %s to %s",
                        bridge, format_mac(before), format_mac(mac),
                    )  # fmt: skip
            self._found = found
            wait_ms = _LOOK_AGAIN_MS if None in found.values() else _LOOK_MS
            self.due_ms = now_ms + wait_ms
        return sorted({mac for mac in self._found.values() if mac is not None})


def _ask(bridge: str, remote: int, next_hop: NextHop) -> int | None:
    try:
        return next_hop(remote)
    except ConfigError as error:
        log.warn_rl(
            "%s: cannot find route for controller (%s): %s", bridge, format_ipv4(remote), error
        )
        return None


def _remotes(settings: BridgeSettings) -> list[tuple[int, int]]:
    """Address and port of the controllers and managers that are reached in-band."""
    targets = [
        (controller.target, _CONTROLLER_PORT)
        for controller in settings.controllers
        if controller.connection_mode == "in-band"
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
    number = decimal(port)
    return address, default_port if number is None else number


def _match(**fields: int) -> Match:
    match = Match()
    for name, value in fields.items():
        match = match.with_field(FIELD[name], value)
    return match


def _wanted(
    remotes: list[tuple[int, int]], local_mac: int | None, next_hops: list[int]
) -> list[Wanted]:
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
    for mac in next_hops:
        wanted += [
            (_match(eth_type=0x0806, eth_dst=mac, arp_op=_REPLY), _TO_NEXT_HOP_ARP),
            (_match(eth_type=0x0806, eth_src=mac, arp_op=_REQUEST), _FROM_NEXT_HOP_ARP),
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
