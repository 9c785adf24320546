"""BFD on a bridge: sessions of its interfaces, their packets, and what people see of them.

`protocols.bfd` decides; bonds use only members whose session forwards.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from netloom.base.errors import CommandError
from netloom.flow.fields import SLOT
from netloom.flow.hashes import hash_bytes
from netloom.packet import build
from netloom.packet.headers import ETH_LEN, ETH_TYPE_IP, IPPROTO_UDP, UDP_LEN
from netloom.protocols.bfd import PORT, SOURCE_PORT, Bfd

if TYPE_CHECKING:
    from netloom.ofproto.bridge import Ofproto
    from netloom.ofproto.ports import OfPort
    from netloom.ofproto.translate.context import Context

Row = tuple[str, str, int, int, Callable[[list[str]], str]]
_DL_DST, _DL_TYPE, _NW_PROTO = SLOT["dl_dst"], SLOT["dl_type"], SLOT["nw_proto"]
_TP_DST, _TUN_ID = SLOT["tp_dst"], SLOT["tun_id"]
_TTL_AT = ETH_LEN + 8
#: Low delay, high throughput.
_TOS = 0x18
_FORWARDING = {"normal": None, "true": True, "false": False}


class Monitoring:
    """The sessions of one bridge, by interface."""

    def __init__(self, bridge: Ofproto) -> None:
        self._bridge = bridge
        self.bfds: dict[str, Bfd] = {}
        self._changes: dict[str, int] = {}

    def run(self, now_ms: int) -> None:
        """Follow settings, let timers end, send what is due."""
        ports = self._bridge.ports_by_name
        for name in [name for name in self.bfds if not _wants(ports.get(name))]:
            del self.bfds[name]
            self._changed()
        for name, port in ports.items():
            if port.settings.bfd is None:
                continue
            bfd = self.bfds.get(name)
            if bfd is None:
                number = hash_bytes(f"{self._bridge.name} {name}".encode(), 0) or 1
                bfd = self.bfds[name] = Bfd(name, number, port.settings.bfd)
                self._changed()
            self._run_session(bfd, port, now_ms)

    def _run_session(self, bfd: Bfd, port: OfPort, now_ms: int) -> None:
        assert port.settings.bfd is not None
        bfd.configure(port.settings.bfd)
        stats = port.patch_stats() if port.device is None else port.device.stats()
        bfd.run(stats.rx_packets, now_ms)
        payload = bfd.packet(now_ms)
        if payload is not None:
            self._bridge.send_packet(port, self._frame(bfd, port, payload), now_ms)
        bfd.is_forwarding(now_ms)
        if self._changes.get(port.name) != bfd.changes:
            self._changes[port.name] = bfd.changes
            self._changed()

    def _changed(self) -> None:
        self._bridge.status_version += 1
        self._bridge.backer.config_changed()
        self._bridge.devices_changed()

    def _frame(self, bfd: Bfd, port: OfPort, payload: bytes) -> bytes:
        settings = bfd.settings
        source, target = settings.src_ip.to_bytes(4, "big"), settings.dst_ip.to_bytes(4, "big")
        datagram = build.udp(source, target, SOURCE_PORT, PORT, payload)
        packet = build.ipv4(source, target, IPPROTO_UDP, datagram, ttl=255, tos=_TOS)
        mac = settings.local_src_mac.to_bytes(6, "big")
        own = mac if settings.local_src_mac else self._bridge.address_of(port)
        return build.ethernet(settings.local_dst_mac.to_bytes(6, "big"), own, ETH_TYPE_IP, packet)

    def deadline(self) -> int | None:
        return min((bfd.deadline() for bfd in self.bfds.values()), default=None)

    def watches(self, port: OfPort) -> bool:
        """Is there a session on this port?"""
        return port.name in self.bfds

    def is_up(self, port: OfPort) -> bool:
        """Does the session let packets use this port? It does where there is none."""
        bfd = self.bfds.get(port.name)
        return bfd is None or bfd.is_forwarding(self._bridge.backer.clock.now_ms())

    def status(self, name: str) -> dict[str, str]:
        """Interface.bfd_status; empty without a session."""
        bfd = self.bfds.get(name)
        return {} if bfd is None else bfd.status(self._bridge.backer.clock.now_ms())

    def takes(self, context: Context, port: OfPort) -> bool:
        """Is the packet, as it is now, for the session of this port? If so, it gets it."""
        bfd = self.bfds.get(port.name)
        if bfd is None:
            return False
        context.cannot_repeat()
        key, wanted = context.key, bfd.settings.remote_dst_mac
        context.mask |= _DL_DST.mask
        if wanted and _DL_DST.get(key) != wanted:
            return False
        if _DL_TYPE.get(key) != ETH_TYPE_IP:
            return False
        context.mask |= _NW_PROTO.mask | _TP_DST.mask
        if bfd.settings.check_tunnel_key:
            context.mask |= _TUN_ID.mask
        if _NW_PROTO.get(key) != IPPROTO_UDP or _TP_DST.get(key) != PORT:
            return False
        if bfd.settings.check_tunnel_key and _TUN_ID.get(key):
            return False
        if context.packet and context.side_effects:
            frame = context.packet
            data = ETH_LEN + (frame[ETH_LEN] & 0xF) * 4 + UDP_LEN
            bfd.receive(frame[data:], frame[_TTL_AT], context.now_ms)
        context.slow.add("bfd")
        return True


class BfdCommands:
    """`bfd/*` over the bridges that `bridges` returns."""

    def __init__(self, bridges: Callable[[], list[Ofproto]], now_ms: Callable[[], int]) -> None:
        self._bridges = bridges
        self._now_ms = now_ms

    def commands(self) -> list[Row]:
        """Name, usage, least and most arguments, handler."""
        return [
            ("bfd/show", "[interface]", 0, 1, self._show),
            ("bfd/set-forwarding", "[interface] normal|false|true", 1, 2, self._set_forwarding),
        ]

    def _all(self) -> dict[str, Bfd]:
        found: dict[str, Bfd] = {}
        for bridge in self._bridges():
            found |= bridge.monitoring.bfds
        return dict(sorted(found.items()))

    def _show(self, args: list[str]) -> str:
        found = self._all()
        if not args:
            return "".join(f"---- {n} ----\n{b.show(self._now_ms())}" for n, b in found.items())
        if args[0] not in found:
            raise CommandError("no such bfd object")
        return found[args[0]].show(self._now_ms())

    def _set_forwarding(self, args: list[str]) -> str:
        word = args[-1].lower()
        if word not in _FORWARDING:
            raise CommandError("unknown fault string")
        found = self._all()
        if len(args) > 1 and args[0] not in found:
            raise CommandError("no such BFD object")
        for bfd in [found[args[0]]] if len(args) > 1 else list(found.values()):
            bfd.order(_FORWARDING[word])
        return "OK\n"


def _wants(port: OfPort | None) -> bool:
    return port is not None and port.settings.bfd is not None
