"""LACP on a bridge: which ports speak it, their PDUs, and what people see of it.

`protocols.lacp` decides which links may be used; bonds follow that as they follow carrier.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from netloom.base.errors import CommandError
from netloom.base.record import replace
from netloom.packet import build
from netloom.packet.headers import ETH_LEN, ETH_TYPE_LACP
from netloom.protocols.lacp import OFF, Info, Lacp, LacpMember, MemberSettings, state_text

if TYPE_CHECKING:
    from netloom.ofproto.bridge import Ofproto
    from netloom.ofproto.bundle import Bundle
    from netloom.ofproto.ports import OfPort

GROUP = bytes.fromhex("0180c2000002")
Row = tuple[str, str, int, int, Callable[[list[str]], str]]


class Aggregation:
    """The aggregators of one bridge, by port."""

    def __init__(self, bridge: Ofproto) -> None:
        self._bridge = bridge
        self.lacps: dict[str, Lacp] = {}
        self._changes: dict[str, int] = {}

    def run(self, now_ms: int) -> None:
        """Follow settings and links, then send what is to be sent."""
        bundles = self._bridge.bundles
        for name in [name for name in self.lacps if not _speaks(bundles.get(name))]:
            del self.lacps[name]
            self._bridge.status_version += 1
            self._bridge.backer.config_changed()
        for name, bundle in bundles.items():
            if _speaks(bundle):
                self._run_bundle(name, bundle, now_ms)

    def _run_bundle(self, name: str, bundle: Bundle, now_ms: int) -> None:
        settings = bundle.settings.lacp
        assert settings is not None
        if not settings.system_id:
            settings = replace(settings, system_id=self._bridge.local_mac() or 0)
        lacp = self.lacps.get(name)
        if lacp is None:
            lacp = self.lacps[name] = Lacp(name, settings)
            # The group's packets are for the switch from now on.
            self._bridge.backer.config_changed()
        lacp.configure(settings, {port.name: _member_settings(port) for port in bundle.members},
                       now_ms)  # fmt: skip
        for port in bundle.members:
            lacp.set_carrier(port.name, _has_carrier(port), now_ms)
        lacp.run(now_ms)
        packets, lacp.packets = lacp.packets, []
        ports = {port.name: port for port in bundle.members}
        for member, payload in [packet for packet in packets if packet[0] in ports]:
            source = self._bridge.address_of(ports[member])
            frame = build.ethernet(GROUP, source, ETH_TYPE_LACP, payload)
            self._bridge.send_packet(ports[member], frame, now_ms)
        if lacp.changes != self._changes.get(name):
            self._changes[name] = lacp.changes
            self._bridge.status_version += 1
            # Ports may be live now that were not, or the other way round.
            self._bridge.devices_changed()

    def deadline(self) -> int | None:
        due = [lacp.deadline() for lacp in self.lacps.values()]
        return min((at for at in due if at is not None), default=None)

    def receive(self, port: OfPort, frame: bytes, now_ms: int) -> None:
        """A frame of the slow protocols came in."""
        lacp = self.lacps.get(port.bundle.name) if port.bundle is not None else None
        if lacp is not None:
            lacp.receive(port.name, frame[ETH_LEN:], now_ms)

    def speaks(self, port: OfPort) -> bool:
        return port.bundle is not None and port.bundle.settings.lacp is not None

    def may_enable(self, port: OfPort) -> bool:
        """Does LACP let packets use this port? It does where it is not spoken."""
        if port.bundle is None or port.bundle.settings.lacp is None:
            return True
        lacp = self.lacps.get(port.bundle.name)
        return lacp is not None and lacp.may_enable(port.name)

    def status(self, bundle: str) -> str:
        """ "off", "configured" or "negotiated"."""
        lacp = self.lacps.get(bundle)
        return OFF if lacp is None else lacp.status

    def is_current(self, port: OfPort) -> bool | None:
        """Interface.lacp_current; None where LACP is not spoken."""
        lacp = self.lacps.get(port.bundle.name) if port.bundle is not None else None
        return None if lacp is None else lacp.is_current(port.name)


def _has_carrier(port: OfPort) -> bool:
    """Is somebody at the other end? A device that cannot tell, having never told, is believed."""
    state = None if port.device is None else port.device.state()
    return state is None or state.link_up or not state.carrier_changes


class LacpCommands:
    """`lacp/*` over the bridges that `bridges` returns."""

    def __init__(self, bridges: Callable[[], list[Ofproto]]) -> None:
        self._bridges = bridges

    def commands(self) -> list[Row]:
        """Name, usage, least and most arguments, handler."""
        return [
            ("lacp/show", "[port]", 0, 1, self._show),
            ("lacp/show-stats", "[port]", 0, 1, self._show_stats),
        ]

    def _chosen(self, args: list[str]) -> list[Lacp]:
        found = {
            name: lacp
            for bridge in self._bridges()
            for name, lacp in sorted(bridge.aggregation.lacps.items())
        }
        if not args:
            return list(found.values())
        if args[0] not in found:
            raise CommandError("no such lacp object")
        return [found[args[0]]]

    def _show(self, args: list[str]) -> str:
        return "".join(_describe(lacp) for lacp in self._chosen(args))

    def _show_stats(self, args: list[str]) -> str:
        return "".join(_describe_stats(lacp) for lacp in self._chosen(args))


def _speaks(bundle: Bundle | None) -> bool:
    return bundle is not None and bundle.settings.lacp is not None and bool(bundle.members)


def _member_settings(port: OfPort) -> MemberSettings:
    number = port.number & 0xFFFF
    settings = port.settings
    return MemberSettings(settings.lacp_port_id or number, settings.lacp_port_priority,
                          settings.lacp_key)  # fmt: skip


def _describe(lacp: Lacp) -> str:
    settings = lacp.settings
    lines = [
        f"---- {lacp.name} ----",
        f"  status: {'active' if settings.active else 'passive'}"
        f"{' negotiated' if lacp.negotiated else ''}",
        f"  sys_id: {_mac(settings.system_id)}",
        f"  sys_priority: {settings.priority}",
        f"  aggregation key: {lacp.key}",
        f"  lacp_time: {'fast' if settings.fast else 'slow'}",
    ]
    for _, member in sorted(lacp.members.items()):
        lines += _describe_member(lacp, member)
    return "\n".join(lines) + "\n"


def _describe_member(lacp: Lacp, member: LacpMember) -> list[str]:
    attached = "attached" if member.attached else "detached"
    return [
        "",
        f"member: {member.name}: {member.status} {attached}",
        f"  port_id: {member.settings.port_id}",
        f"  port_priority: {member.settings.priority}",
        f"  may_enable: {str(lacp.may_enable(member.name)).lower()}",
        "",
        *_describe_end("actor", lacp.actor(member)),
        "",
        *_describe_end("partner", member.partner),
    ]


def _describe_end(which: str, info: Info) -> list[str]:
    return [
        f"  {which} sys_id: {_mac(info.sys_id)}",
        f"  {which} sys_priority: {info.sys_priority}",
        f"  {which} port_id: {info.port_id}",
        f"  {which} port_priority: {info.port_priority}",
        f"  {which} key: {info.key}",
        f"  {which} state:{state_text(info.state)}",
    ]


def _describe_stats(lacp: Lacp) -> str:
    lines = [f"---- {lacp.name} statistics ----"]
    for name, member in sorted(lacp.members.items()):
        lines += [
            "",
            f"member: {name}:",
            f"  TX PDUs: {member.n_sent}",
            f"  RX PDUs: {member.n_received}",
            f"  RX Bad PDUs: {member.n_bad}",
            f"  RX Marker Request PDUs: {member.n_markers}",
            f"  Link Expired: {member.n_expired}",
            f"  Link Defaulted: {member.n_defaulted}",
            f"  Carrier Status Changed: {member.n_carrier}",
        ]
    return "\n".join(lines) + "\n"


def _mac(number: int) -> str:
    return number.to_bytes(6, "big").hex(":")
