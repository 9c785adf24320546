"""Bridges that the data path runs by itself: those whose only rule is NORMAL.

Most bridges that are not driven by a controller do nothing but NORMAL. If the data path knows how
(`datapath.switching`), such a bridge is described to it, and each of its ports has one flow with
the action `normal`: no packet comes up, whatever its addresses. `why_not` says what keeps a bridge
from it; then, and on other data paths, its packets come up and get flows of their own.

What must hold: nobody who looks at a bridge can tell. So the MAC table learns what the data path
has learned before anybody reads it (`DatapathTeacher`), what is forgotten here is forgotten there,
and packets are credited to the rule, which the flows of the ports count.

Limits: one member a port, no mirrors, no snooping, no spanning tree, no protocols that the switch
speaks itself, no tunnels.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from netloom.base.log import get_logger
from netloom.datapath.actions import Normal
from netloom.datapath.switching import (
    ALWAYS,
    NATIVE,
    NEVER,
    Address,
    SwitchConfig,
    Switching,
    SwitchMember,
    Totals,
)
from netloom.flow.fields import SLOT
from netloom.flow.ports import NORMAL
from netloom.ofproto.bundle import Bundle
from netloom.ofproto.mac_table import MacEntry
from netloom.ofproto.revalidate import InstalledFlow
from netloom.ofproto.translate import translate
from netloom.ofproto.translate.normal import MacRefresh
from netloom.openflow.actions import Output
from netloom.openflow.messages import OFPPC_NO_FLOOD

if TYPE_CHECKING:
    from netloom.ofproto.backer import Backer
    from netloom.ofproto.bridge import Ofproto
    from netloom.ofproto.ports import OfPort

log = get_logger("ofproto_dpif")

_IN_PORT, _RECIRC_ID = SLOT["in_port"], SLOT["recirc_id"]
#: What the flows of such bridges look at.
MASK = _IN_PORT.mask | _RECIRC_ID.mask
_ALL_VLANS = (1 << 4096) - 1


class DatapathTeacher:
    """What the data path has learned for one bridge, and hears of it (`mac_table.Teacher`)."""

    def __init__(self, switching: Switching, number: int, bridge: Ofproto) -> None:
        self._switching = switching
        self._number = number
        self._bridge = bridge

    def totals(self) -> Totals:
        return self._switching.totals(self._number)

    def entries(self) -> Iterator[tuple[int, int, Bundle, int, bool]]:
        ports = {port.dp_port: port.bundle for port in self._bridge.ports_by_number.values()}
        now_ms = self._bridge.backer.clock.now_ms()
        for mac, vlan, number, used_ms, is_static in self._switching.addresses(
            self._number, now_ms
        ):
            bundle = ports.get(number)
            if bundle is None:
                self.delete(mac, vlan)
            else:
                yield mac, vlan, bundle, used_ms, is_static

    def put(self, entry: MacEntry[Bundle]) -> None:
        if entry.bundle.members:
            port = entry.bundle.members[0].dp_port
            address = Address(entry.mac, entry.vlan, port, entry.used_ms, entry.is_static)
            self._switching.put(self._number, address, self._bridge.backer.clock.now_ms())

    def delete(self, mac: int, vlan: int) -> None:
        self._switching.delete(self._number, mac, vlan)


class _Switched:
    """A bridge that the data path runs."""

    __slots__ = ("config", "number", "ports")

    def __init__(self, number: int) -> None:
        self.number = number
        self.config = SwitchConfig()
        #: Data-path ports that have the flow.
        self.ports: frozenset[int] = frozenset()


class SwitchedBridges:
    """The bridges of one backer that its data path runs."""

    def __init__(self, backer: Backer) -> None:
        self._backer = backer
        self._switched: dict[str, _Switched] = {}
        #: Bridge -> why its packets come up.
        self.reasons: dict[str, str] = {}
        #: Ports whose packets find one flow, whatever they are.
        self.ports: frozenset[int] = frozenset()

    def __contains__(self, bridge: str) -> bool:
        return bridge in self._switched

    def follow(self, now_ms: int) -> None:
        """Tables, ports or settings have changed: decide anew which bridges the data path runs."""
        switching = self._backer.dpif.switching
        if switching is None or switching.is_waiting:
            return
        for bridge in self._backer.bridges.values():
            switched = self._switched.get(bridge.name)
            reason = why_not(bridge)
            config = SwitchConfig() if reason else config_of(bridge)
            reason = reason or switching.supports(config)
            if not reason and switched is None:
                switched = self._take(bridge, switching)
                reason = "" if switched is not None else "too many bridges"
            self.reasons[bridge.name] = reason
            if switched is None:
                continue
            if reason:
                log.dbg("bridge %s: packets come up: %s", bridge.name, reason)
                self.give_up(bridge)
                continue
            self._update(bridge, switched, config, now_ms)
        self._count_ports()

    def _take(self, bridge: Ofproto, switching: Switching) -> _Switched | None:
        number = switching.number_of(bridge.name)
        if number < 0:
            return None
        switched = self._switched[bridge.name] = _Switched(number)
        return switched

    def _update(
        self, bridge: Ofproto, switched: _Switched, config: SwitchConfig, now_ms: int
    ) -> None:
        switching = self._backer.dpif.switching
        assert switching is not None
        revalidator = self._backer.revalidator
        if config != switched.config:
            switched.config = config
            switching.configure(switched.number, config)
        if bridge.macs.teacher is None:
            bridge.macs.teach(DatapathTeacher(switching, switched.number, bridge))
        ports = frozenset(member.port for member in config.members)
        for gone in switched.ports - ports:
            revalidator.remove_permanent(gone, MASK)
        revalidator.remove_from(ports - switched.ports)
        for port in bridge.ports_by_number.values():
            revalidator.install_permanent(self._flow(bridge, port, switched.number, now_ms))
        switched.ports = ports

    def _flow(self, bridge: Ofproto, port: OfPort, number: int, now_ms: int) -> InstalledFlow:
        """The flow of a port; its packets are credited to whom any packet's would be."""
        key = _IN_PORT.put(0, port.number)
        result = translate(bridge, key, now_ms, side_effects=False)
        self._backer.recirculations.release(result.recirc_ids, now_ms)
        stamp = next(self._backer.stamps)
        flow = InstalledFlow(_IN_PORT.put(0, port.dp_port), MASK, result, now_ms, stamp)
        flow.actions = (Normal(number),)
        flow.credits = [c for c in result.credits if not isinstance(c, MacRefresh)]
        flow.mac_lookups, flow.recirc_ids = (), ()
        flow.is_permanent = True
        return flow

    def give_up(self, bridge: Ofproto) -> None:
        """Have the packets of a bridge come up again, if they did not."""
        switched = self._switched.pop(bridge.name, None)
        if switched is None:
            return
        bridge.macs.teach(None)
        for port in switched.ports:
            self._backer.revalidator.remove_permanent(port, MASK)
        if self._backer.dpif.switching is not None:
            self._backer.dpif.switching.remove(switched.number)
        self._count_ports()

    def _count_ports(self) -> None:
        self.ports = frozenset().union(*(s.ports for s in self._switched.values()))


def config_of(bridge: Ofproto) -> SwitchConfig:
    """What the data path has to know of a bridge."""
    members = tuple(
        _member(port, port.bundle)
        for bundle in bridge.bundles.values()
        for port in bundle.members
        if port.bundle is not None
    )
    settings = bridge.settings
    return SwitchConfig(members, bridge.macs.max_entries, settings.forward_bpdu)


def _member(port: OfPort, bundle: Bundle) -> SwitchMember:
    settings = bundle.settings
    mode, own = settings.vlan_mode, max(settings.tag, 0)
    trunked = sum(1 << vid for vid in settings.trunks) if settings.trunks else _ALL_VLANS
    if mode == "access":
        admits, carries, tags = 1, 1 << own, NEVER
    elif mode == "trunk":
        admits, carries, tags, own = trunked, trunked, ALWAYS, 0
    else:
        # With a native VLAN there is no VLAN 0: packets without a tag are of the native one.
        carries = trunked & ~1 | 1 << own
        admits = carries | 1
        tags = NATIVE if mode == "native-untagged" else ALWAYS
    return SwitchMember(
        port.dp_port, own, admits, carries, tags, bundle.is_floodable, settings.protected
    )


def why_not(bridge: Ofproto) -> str:
    """Why the data path cannot run the bridge by itself; "" if nothing is known against it."""
    for reason, holds in (
        ("megaflows are disabled", not bridge.backer.wants_megaflows),
        ("rules other than NORMAL", not _is_only_normal(bridge)),
        ("fragments are treated apart", bool(bridge.frag_mode)),
        ("mirrors", bool(bridge.mirrors)),
        ("more than one tag is looked at", bridge.backer.dpif.vlan_limit != 1),
        ("multicast snooping", bridge.mcast is not None),
        ("a spanning tree", bridge.tree is not None),
        ("VLANs that are always flooded", bool(bridge.settings.flood_vlans)),
        ("LACP", bool(bridge.aggregation.lacps)),
        ("BFD", any(port.settings.bfd for port in bridge.ports_by_number.values())),
        ("CFM", any(port.settings.cfm for port in bridge.ports_by_number.values())),
        ("exporters of flows", bridge.exporters is not None),
        ("LLDP", any(port.settings.lldp for port in bridge.ports_by_number.values())),
        ("tunnels", bool(bridge.backer.tunnels.shared_ports())),
        ("no ports", not bridge.ports_by_number),
    ):
        if holds:
            return reason
    for port in bridge.ports_by_number.values():
        if reason := _why_not_port(port):
            return f"port {port.name}: {reason}"
    return ""


def _is_only_normal(bridge: Ofproto) -> bool:
    table = bridge.tables.known(0)
    # Asked at every barrier, so never by a list of all rules.
    if table is None or len(table.classifier) != 1:
        return False
    (rule,) = table.classifier.rules()
    return (
        not rule.match.mask
        and all(isinstance(action, Output) and action.port == NORMAL for action in rule.actions)
        and len(rule.actions) == 1
    )


def _why_not_port(port: OfPort) -> str:
    bundle = port.bundle
    if port.device is None or port.tunnel is not None or port.dp_port < 0:
        return "a patch port or a tunnel"
    if bundle is None or len(bundle.members) != 1 or bundle.settings.bond or bundle.bond:
        return "a bond"
    if bundle.settings.vlan_mode == "dot1q-tunnel" or bundle.settings.priority_tags != "no-tag":
        return "tags of more than one kind"
    if port.config & ~OFPPC_NO_FLOOD or not (port.forwards and port.learns):
        return "configured by a controller"
    return ""
