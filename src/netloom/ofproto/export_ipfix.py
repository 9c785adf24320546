"""IPFIX of a bridge: an exporter of its own, and one for each collector set.

The bridge's exporter sees packets that come in and that leave (`translate.sampling`), those of
collector sets what the action `sample` picks out. A packet of which the flow does nothing is one
that was dropped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from netloom.base.log import get_logger
from netloom.flow.fields import SLOT
from netloom.ofproto.export_host import Audience
from netloom.ofproto.port_facts import HashOrder
from netloom.openflow.messages_nx import IpfixStats
from netloom.telemetry.ipfix import PORT, Exporter, IpfixSettings
from netloom.telemetry.ipfix_record import EGRESS, INGRESS, Interface, Observation, Tunnel

if TYPE_CHECKING:
    from netloom.datapath.dpif import Upcall
    from netloom.ofproto.bridge import Ofproto
    from netloom.ofproto.ports import OfPort

log: Final = get_logger("ipfix")

_NO_PORT: Final = 0xFFFFFFFF
_ALL: Final = 0xFFFF
_DIRECTIONS: Final = {"ingress": INGRESS, "egress": EGRESS}
_TUN_ID: Final = SLOT["tun_id"]
_TUN_SRC, _TUN_DST = SLOT["tun_src"], SLOT["tun_dst"]
_TUN_TP_SRC, _TUN_TP_DST = SLOT["tun_tp_src"], SLOT["tun_tp_dst"]
#: Type of a tunnel -> VMware's number for it, and bytes of its key.
_TUNNELS: Final = {"vxlan": (1, 3), "gre": (2, 4), "geneve": (7, 3)}


class _Site:
    """An exporter with its collectors; `exporter` is None while there are none."""

    def __init__(self, bridge: Ofproto, number: int) -> None:
        self._bridge = bridge
        self._number = number
        self._audience = Audience(bridge.backer.export_host, PORT)
        self.settings: IpfixSettings | None = None
        self.exporter: Exporter | None = None

    def configure(self, settings: IpfixSettings) -> None:
        self.settings = settings
        self._audience.follow(settings.targets)
        wall_ms = self._bridge.backer.clock.wall_ms()
        if not len(self._audience):
            log.warn_rl("no collectors could be initialized, IPFIX exporter disabled")
            self.exporter = None
        elif self.exporter is None:
            self.exporter = Exporter(settings, self._number, self._send)
        else:
            self.exporter.configure(settings, wall_ms)

    def _send(self, data: bytes) -> tuple[int, int]:
        n_failed = self._audience.send(data)
        return len(self._audience) - n_failed, n_failed

    def close(self) -> None:
        if self.exporter is not None:
            self.exporter.flush(self._bridge.backer.clock.wall_ms())
        self.exporter = None
        self._audience.close()


class IpfixExport:
    """The exporters of one bridge."""

    def __init__(self, bridge: Ofproto) -> None:
        self._bridge = bridge
        self._own = _Site(bridge, next(bridge.backer.exporter_numbers))
        self._has_own = False
        self._sets: dict[int, _Site] = {}
        self._order = HashOrder()

    # What translations ask

    @property
    def samples_tunnels(self) -> bool:
        """Does the bridge's exporter tell outer headers?"""
        settings = self._own.settings
        return settings is not None and settings.samples_tunnels

    def set_samples_tunnels(self, set_id: int) -> bool:
        """Does that of a collector set?"""
        site = self._sets.get(set_id)
        return site is not None and site.settings is not None and site.settings.samples_tunnels

    @property
    def input_probability(self) -> int:
        """Of 2**32 packets that come in so many are sampled."""
        settings = self._own.exporter.settings if self._own.exporter is not None else None
        return settings.probability if settings is not None and settings.samples_input else 0

    @property
    def output_probability(self) -> int:
        """The same of packets that leave."""
        settings = self._own.exporter.settings if self._own.exporter is not None else None
        return settings.probability if settings is not None and settings.samples_output else 0

    # Configuration

    def configure(self, own: IpfixSettings | None, sets: tuple[IpfixSettings, ...]) -> None:
        """Begin, change and end exporters."""
        self._has_own = own is not None
        if own is not None:
            self._own.configure(own)
        elif self._own.settings is not None:
            self._own.close()
            self._own.settings = None
        wanted = {settings.set_id: settings for settings in sets}
        for set_id in [set_id for set_id in self._sets if set_id not in wanted]:
            self._sets.pop(set_id).close()
            self._order.remove(set_id)
        for set_id, settings in wanted.items():
            if set_id not in self._sets:
                number = next(self._bridge.backer.exporter_numbers)
                self._sets[set_id] = _Site(self._bridge, number)
                self._order.add(set_id)
            self._sets[set_id].configure(settings)

    def close(self) -> None:
        for site in (self._own, *self._sets.values()):
            site.close()
        self._sets.clear()

    def statistics(self, of_flows: bool) -> list[IpfixStats]:
        """Of the bridge's exporter, or of those of collector sets; empty if there are none."""
        if of_flows:
            return [_stats(set_id, self._sets[set_id]) for set_id in self._order]
        return [_stats(0, self._own)] if self._has_own else []

    # Packets

    def receive(self, upcall: Upcall, packet: bytes, now_ms: int) -> None:
        """A packet was sampled."""
        if upcall.kind == "ipfix":
            self._see_own(upcall, packet)
        else:
            self._see_of_set(upcall, packet)

    def _see_own(self, upcall: Upcall, packet: bytes) -> None:
        exporter = self._own.exporter
        if exporter is None:
            return
        cookie: tuple[Any, ...] = upcall.cookie
        dp_port, _, number, header, is_dropped = cookie
        settings = exporter.settings
        ids = settings.domain_id, settings.point_id
        self._see(exporter, upcall, packet, ids, settings.sampling, (dp_port, number, header),
                  is_dropped)  # fmt: skip

    def _see_of_set(self, upcall: Upcall, packet: bytes) -> None:
        cookie: tuple[Any, ...] = upcall.cookie
        (probability, set_id, domain, point, dp_port, direction, _, number, header,
         is_dropped) = cookie  # fmt: skip
        site = self._sets.get(set_id)
        exporter = site.exporter if site is not None else None
        if exporter is not None:
            self._see(exporter, upcall, packet, (domain, point), _ALL // probability,
                      (dp_port, number, header), is_dropped,
                      _DIRECTIONS.get(direction))  # fmt: skip

    def _see(
        self,
        exporter: Exporter,
        upcall: Upcall,
        packet: bytes,
        ids: tuple[int, int],
        n_packets: int,
        leaving: tuple[int, int, int],
        is_dropped: bool,
        direction: int | None = None,
    ) -> None:
        """Show a packet to an exporter. `leaving`: the port by which it does, for the data path and
        for OpenFlow, and its outer header then."""
        dp_port, number, header = leaving
        came_by = self._bridge.backer.port_of(upcall.key)
        left_by = self._bridge.ports_by_number.get(number) if dp_port != _NO_PORT else None
        if direction is None:
            direction = INGRESS if dp_port == _NO_PORT else EGRESS
        tunnel = None
        if exporter.settings.samples_tunnels:
            is_entering = dp_port == _NO_PORT
            tunnel = _tunnel(upcall.key, came_by) if is_entering else _tunnel(header, left_by)
        seen = Observation(
            *ids, direction, upcall.key, len(packet), n_packets, is_dropped, _interface(came_by),
            _interface(left_by) if direction == EGRESS else None, tunnel,
        )  # fmt: skip
        exporter.see(seen, self._bridge.backer.clock.wall_ms())

    # Running

    def _exporters(self) -> list[Exporter]:
        sites = (self._own, *self._sets.values())
        return [site.exporter for site in sites if site.exporter is not None]

    def run(self, now_ms: int) -> None:
        """Send what has to be sent."""
        wall_ms = self._bridge.backer.clock.wall_ms()
        for exporter in self._exporters():
            if exporter.n_flows:
                exporter.run(wall_ms)

    def deadline(self) -> int | None:
        clock = self._bridge.backer.clock
        due = [exporter.due_in_ms(clock.wall_ms()) for exporter in self._exporters()]
        found = min((in_ms for in_ms in due if in_ms is not None), default=None)
        return None if found is None else clock.now_ms() + found


def _stats(set_id: int, site: _Site) -> IpfixStats:
    exporter = site.exporter
    if exporter is None:
        return IpfixStats(*(0,) * 10, collector_set_id=set_id)
    s = exporter.statistics
    return IpfixStats(
        s.total_flows, exporter.n_flows, s.packets, s.ipv4_packets, s.ipv6_packets,
        s.error_packets, s.ipv4_error_packets, s.ipv6_error_packets, s.tx_packets, s.tx_errors,
        set_id,
    )  # fmt: skip


def _interface(port: OfPort | None) -> Interface:
    if port is None:
        return Interface()
    return Interface(port.device.state().ifindex if port.device is not None else 0, port.name)


def _tunnel(key: int, port: OfPort | None) -> Tunnel | None:
    """The outer header that is in a key, of a tunnel at `port`."""
    device = port.tunnel if port is not None else None
    if device is None or not _TUN_DST.get(key):
        return None
    number, n_bytes = _TUNNELS.get(device.config.type, (0, 4))
    tun_id = _TUN_ID.get(key) & (1 << 8 * n_bytes) - 1
    return Tunnel(
        _TUN_SRC.get(key), _TUN_DST.get(key), device.config.row.nw_proto, _TUN_TP_SRC.get(key),
        _TUN_TP_DST.get(key), number, tun_id.to_bytes(n_bytes, "big"),
    )  # fmt: skip
