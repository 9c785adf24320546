"""CFM on a bridge: maintenance points of its interfaces, their packets, what people see of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from netloom.base.errors import CommandError
from netloom.flow.fields import SLOT
from netloom.packet import build
from netloom.packet.headers import ETH_LEN, ETH_TYPE_VLAN_8021Q, VLAN_LEN
from netloom.protocols.cfm import ETH_TYPE, EXTENDED_GROUP, GROUP, Cfm

if TYPE_CHECKING:
    from netloom.ofproto.bridge import Ofproto
    from netloom.ofproto.ports import OfPort
    from netloom.ofproto.translate.context import Context

Row = tuple[str, str, int, int, Callable[[list[str]], str]]
_DL_DST, _DL_TYPE, _TUN_ID = SLOT["dl_dst"], SLOT["dl_type"], SLOT["tun_id"]
_FAULTS = {"normal": None, "true": True, "false": False}


class FaultManagement:
    """The points of one bridge, by interface."""

    def __init__(self, bridge: Ofproto) -> None:
        self._bridge = bridge
        self.cfms: dict[str, Cfm] = {}
        self._seen: dict[str, tuple[object, ...]] = {}

    def run(self, now_ms: int) -> None:
        """Follow settings, let timers end, send what is due."""
        ports = self._bridge.ports_by_name
        for name in [name for name in self.cfms if not _wants(ports.get(name))]:
            del self.cfms[name]
            self._changed()
        for name, port in ports.items():
            settings = port.settings.cfm
            if settings is None:
                continue
            cfm = self.cfms.get(name)
            if cfm is None:
                cfm = self.cfms[name] = Cfm(name, settings, now_ms)
                self._changed()
            cfm.configure(settings, now_ms)
            self._run_point(cfm, port, now_ms)

    def _run_point(self, cfm: Cfm, port: OfPort, now_ms: int) -> None:
        stats = port.patch_stats() if port.device is None else port.device.stats()
        cfm.run(stats.rx_packets, now_ms)
        payload = cfm.packet(now_ms)
        if payload is not None:
            group = EXTENDED_GROUP if cfm.settings.extended else GROUP
            tci = cfm.vlan_tag()
            tags = ((ETH_TYPE_VLAN_8021Q, tci),) if tci else ()
            frame = build.ethernet(group.to_bytes(6, "big"), self._bridge.address_of(port),
                                   ETH_TYPE, payload, tags)  # fmt: skip
            self._bridge.send_packet(port, frame, now_ms)
        seen = (cfm.fault, cfm.remote_mpids, cfm.remote_opup, cfm.health, cfm.n_flaps)
        if self._seen.get(port.name) != seen:
            self._seen[port.name] = seen
            self._changed()

    def _changed(self) -> None:
        self._bridge.status_version += 1
        self._bridge.backer.config_changed()
        self._bridge.devices_changed()

    def deadline(self) -> int | None:
        return min((cfm.deadline() for cfm in self.cfms.values()), default=None)

    def watches(self, port: OfPort) -> bool:
        """Is there a point on this port?"""
        return port.name in self.cfms

    def is_up(self, port: OfPort) -> bool:
        """Does the point let packets use this port? It does where there is none."""
        cfm = self.cfms.get(port.name)
        return cfm is None or cfm.is_up

    def takes(self, context: Context, port: OfPort) -> bool:
        """Is the packet, as it is now, for the point of this port? If so, it gets it."""
        cfm = self.cfms.get(port.name)
        if cfm is None:
            return False
        context.cannot_repeat()
        context.mask |= _DL_DST.mask
        key = context.key
        if cfm.settings.check_tunnel_key:
            context.mask |= _TUN_ID.mask
            if _TUN_ID.get(key):
                return False
        group = EXTENDED_GROUP if cfm.settings.extended else GROUP
        if _DL_TYPE.get(key) != ETH_TYPE or _DL_DST.get(key) != group:
            return False
        if context.packet and context.side_effects:
            tag = VLAN_LEN if context.packet[12:14] != ETH_TYPE.to_bytes(2, "big") else 0
            cfm.receive(context.packet[ETH_LEN + tag :], context.now_ms)
        context.slow.add("cfm")
        return True


class CfmCommands:
    """`cfm/*` over the bridges that `bridges` returns."""

    def __init__(self, bridges: Callable[[], list[Ofproto]], now_ms: Callable[[], int]) -> None:
        self._bridges = bridges
        self._now_ms = now_ms

    def commands(self) -> list[Row]:
        """Name, usage, least and most arguments, handler."""
        return [
            ("cfm/show", "[interface]", 0, 1, self._show),
            ("cfm/set-fault", "[interface] normal|false|true", 1, 2, self._set_fault),
        ]

    def _chosen(self, names: list[str]) -> list[Cfm]:
        found: dict[str, Cfm] = {}
        for bridge in self._bridges():
            found |= bridge.faults.cfms
        if names and names[0] not in found:
            raise CommandError("no such CFM object")
        return [found[name] for name in names or sorted(found)]

    def _show(self, args: list[str]) -> str:
        return "".join(cfm.show(self._now_ms()) for cfm in self._chosen(args))

    def _set_fault(self, args: list[str]) -> str:
        word = args[-1].lower()
        if word not in _FAULTS:
            raise CommandError("unknown fault string")
        for cfm in self._chosen(args[:-1]):
            cfm.order(_FAULTS[word])
        return "OK\n"


def _wants(port: OfPort | None) -> bool:
    return port is not None and port.settings.cfm is not None
