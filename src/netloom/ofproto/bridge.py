"""One bridge: an OpenFlow switch over a share of a data path's ports."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from netloom.base.errors import ConfigError
from netloom.base.log import get_logger
from netloom.flow import ports as reserved
from netloom.flow.fields import FIELD
from netloom.flow.match import Match
from netloom.netdev.device import Device, DeviceStats
from netloom.ofproto import learning
from netloom.ofproto.aggregation import Aggregation
from netloom.ofproto.bond_announcements import announce_addresses
from netloom.ofproto.bundle import Bundle
from netloom.ofproto.connection_texts import flush_connections
from netloom.ofproto.connmgr import ConnectionManager
from netloom.ofproto.events import BOND, PORT_TOGGLED, RSTP, STP
from netloom.ofproto.exporters import Exporters, configured_exporters
from netloom.ofproto.fault_management import FaultManagement
from netloom.ofproto.groups import Groups
from netloom.ofproto.internal_rules import InternalRules
from netloom.ofproto.link_status import LinkStatus, link_status
from netloom.ofproto.mac_table import MacTable
from netloom.ofproto.meters import Meters
from netloom.ofproto.mirrors import Mirrors
from netloom.ofproto.monitoring import Monitoring
from netloom.ofproto.neighbours import NeighbourWatch
from netloom.ofproto.own_packets import send_own
from netloom.ofproto.packet_outs import PacketOuts
from netloom.ofproto.port_facts import PortOrder, count_port, describe_port, hash_name
from netloom.ofproto.port_news import PortNews
from netloom.ofproto.port_numbers import PortNumbers
from netloom.ofproto.ports import OfPort
from netloom.ofproto.queues import set_quality, with_policed
from netloom.ofproto.resume import resume_packet
from netloom.ofproto.serving import serve
from netloom.ofproto.settings import (
    BridgeSettings,
    BundleSettings,
    ControllerSettings,
    ExportSettings,
    McastSettings,
    PortInfo,
    PortSettings,
)
from netloom.ofproto.spreading import Spreading
from netloom.ofproto.tables import Change, Tables
from netloom.ofproto.tlv_table import TlvTable
from netloom.ofproto.trees import (
    BridgeTreeStatus,
    PortTreeStatus,
    Tree,
    bridge_tree_status,
    configured_tree,
    port_tree_status,
)
from netloom.openflow import messages as m
from netloom.openflow.actions import Output
from netloom.openflow.connection import Connection
from netloom.openflow.errors import OpenFlowError
from netloom.openflow.messages_nx import CtFlush
from netloom.protocols.mcast_snooping import McastTable

if TYPE_CHECKING:
    from netloom.ofproto.backer import Backer

log: Final = get_logger("ofproto")

#: The greatest number of a port that OpenFlow 1.0 can name.
MAX_PORT: Final = 0xFEFF
#: The database has ports as OpenFlow 1.0 numbers them: the local port is 65534.
DATABASE_PORT: Final = 0xFFFF
#: What `port_mod` may change.
_CONFIG_BITS: Final = (
    m.OFPPC_PORT_DOWN | m.OFPPC_NO_STP | m.OFPPC_NO_RECV | m.OFPPC_NO_RECV_STP
    | m.OFPPC_NO_FLOOD | m.OFPPC_NO_FWD | m.OFPPC_NO_PACKET_IN
)  # fmt: skip


class Ofproto:
    """See `interface.Bridge` for what `vswitchd` asks of it."""

    def __init__(self, name: str, backer: Backer) -> None:
        self.name = name
        self.backer = backer
        self.settings = BridgeSettings(name, 0)
        #: Has it no tables that count, but packets of a device of the host (`uplinks`)?
        self.is_uplink = False
        self.tables = Tables()
        self.groups = Groups()
        self.meters = Meters(backer.dpif, backer.meter_numbers, backer.events)
        self.internal = InternalRules(self.tables, backer.clock.now_ms())
        self.tlv_table = TlvTable()
        self.packet_outs = PacketOuts(self)
        self.macs: MacTable[Bundle] = MacTable(backer.stamps, backer.events.macs)
        #: None unless it snoops.
        self.mcast: McastTable[Bundle] | None = None
        self._mcast_generations = 0
        #: Ends that coverage counters follow what is snooped.
        self._counted: list[Callable[[], None]] = []
        #: None: no spanning tree.
        self.tree: Tree | None = None
        #: Grows with what the database is told of trees and bonds.
        self.status_version = 0
        self.aggregation = Aggregation(self)
        self.monitoring = Monitoring(self)
        self.faults = FaultManagement(self)
        self.neighbours = NeighbourWatch(self)
        self.spreading = Spreading(self)
        self.mirrors = Mirrors()
        #: None: nobody is told of its packets.
        self.exporters: Exporters | None = None
        self.ports_by_number: dict[int, OfPort] = {}
        self.ports_by_name: dict[str, OfPort] = {}
        self.bundles: dict[str, Bundle] = {}
        self.connections = ConnectionManager(self, backer.events)
        self._devices: dict[str, Device] = {}
        self._port_order = PortOrder()
        self._numbers = PortNumbers(self.ports_by_number, MAX_PORT)
        self._ports_are_stale = False
        #: The configuration in which no port wants link protocols.
        self._quiet_at = -1
        #: Did controllers want packets that no rule matches?
        self._told_of_misses = False
        self._port_news = PortNews(self.connections.port_status)

    # Configuration

    @property
    def datapath_id(self) -> int:
        return self.settings.datapath_id

    @property
    def generation(self) -> int:
        """Grows with every change of what tables, groups and meters do to packets."""
        return self.rules_generation + self.meters.generation + self.snooped_generation

    @property
    def snooped_generation(self) -> int:
        """Grows with what multicast snooping learns."""
        snooped = self.mcast.generation if self.mcast is not None else 0
        return self._mcast_generations + snooped

    @property
    def rules_generation(self) -> int:
        """Grows with every change of tables and groups."""
        return (
            self.tables.generation
            + self.tables.settings_generation
            + self.groups.generation
            + self.tlv_table.generation
        )

    @property
    def frag_mode(self) -> int:
        """What the tables do with fragments: an OFPC_FRAG_*."""
        return self.connections.frag_handling

    @property
    def wants_packet_in_on_miss(self) -> bool:
        return self.connections.wants_packet_in_on_miss()

    def configure(self, settings: BridgeSettings) -> None:
        if settings == self.settings:
            return
        self.settings = settings
        self.macs.configure(
            settings.mac_aging_time_s, settings.mac_table_size, settings.flood_vlans
        )
        self.mirrors.configure(settings.mirrors)
        self.exporters = configured_exporters(self, self.exporters, settings.exports)
        self._configure_mcast(settings.mcast)
        now_ms = self.backer.clock.now_ms()
        self.tree = configured_tree(self, settings, now_ms)
        self._changed(self.tables.configure(settings.tables), now_ms)
        self.connections.configure(settings, now_ms)
        self.backer.config_changed()

    def _configure_mcast(self, settings: McastSettings | None) -> None:
        if settings is None:
            if self.mcast is not None:
                self._mcast_generations += self.mcast.generation
                self._stop_counting()
            self.mcast = None
            return
        if self.mcast is None:
            self.mcast = McastTable()
            self._count_groups(self.mcast)
        self.mcast.configure(settings.aging_s, settings.table_size, settings.floods_unregistered)
        self._flag_mcast()

    def _count_groups(self, mcast: McastTable[Bundle]) -> None:
        counter = self.backer.counters.counter
        self._counted = [
            counter("mcast_snooping_learned").follow(lambda: mcast.n_learned),
            counter("mcast_snooping_expired").follow(lambda: mcast.n_expired),
        ]

    def _stop_counting(self) -> None:
        for leave in self._counted:
            leave()
        self._counted = []

    def _bundles_changed(self) -> None:
        self._flag_mcast()
        self.aggregation.run(self.backer.clock.now_ms())
        self._run_bonds(self.backer.clock.now_ms())
        if self.tree is not None:
            self.tree.follow_ports(self.backer.clock.now_ms())
        self.backer.config_changed()

    def port_state_changed(self, port: OfPort, stp_bits: int) -> None:
        """A spanning tree lets a port do more, or less."""
        port.stp_bits = stp_bits
        self.status_version += 1
        self.backer.config_changed(RSTP if self.settings.rstp is not None else STP)
        if port.number in self.ports_by_number:
            self._port_news.changed(self._phy_port(port))

    def port_status(self, bundle: str) -> PortTreeStatus:
        """What the database is told of a port in a spanning tree."""
        return port_tree_status(self, bundle, self.backer.clock.now_ms())

    def bridge_status(self) -> BridgeTreeStatus:
        """What the database is told of the bridge in a spanning tree."""
        return bridge_tree_status(self)

    def address_of(self, port: OfPort) -> bytes:
        return self._phy_port(port).hw_addr.to_bytes(6, "big")

    def send_packet(self, port: OfPort, frame: bytes, now_ms: int, is_oam: bool = False) -> None:
        """Send a packet of the switch's own; tunnels that can mark it as operation and maintenance
        do if `is_oam`."""
        send_own(self, port, frame, now_ms, is_oam)

    def _flag_mcast(self) -> None:
        if self.mcast is not None:
            bundles = self.bundles.values()
            self.mcast.flag(
                [bundle for bundle in bundles if bundle.settings.mcast_flood],
                [bundle for bundle in bundles if bundle.settings.mcast_flood_reports],
            )

    def _forget_bundle(self, bundle: Bundle) -> list[tuple[int, int]]:
        if self.mcast is not None:
            self.mcast.forget_bundle(bundle)
        return self.macs.forget_bundle(bundle)

    # Ports

    def port_add(self, settings: PortSettings, device: Device | None) -> int:
        if settings.name in self.ports_by_name:
            raise ConfigError(f"port {settings.name} is on bridge {self.name} already")
        number = self._choose_number(settings)
        port = OfPort(self, settings, number, self.backer.clock.now_ms())
        if device is not None:
            port.device = device
            port.dp_port = self.backer.attach(device, port)
            self._devices[settings.name] = device
        set_quality(port, self.backer.dpif)
        self.ports_by_number[number] = port
        self._port_order.add(number)
        self.ports_by_name[settings.name] = port
        self.backer.config_changed()
        self.backer.events.ports_updated.add()
        self._port_news.added(self._phy_port(port))
        return number & DATABASE_PORT

    def _choose_number(self, settings: PortSettings) -> int:
        if settings.name == self.name:
            return reserved.LOCAL
        return self._numbers.choose(settings.ofport_request, self.backer.clock.now_ms())

    def port_configure(self, settings: PortSettings) -> None:
        port = self.ports_by_name[settings.name]
        tunnel = port.tunnel
        if tunnel is not None and self.backer.tunnels.config_of(port) != tunnel.config:
            self.backer.tunnels.remove(port)
            port.tunnel = None
            port.dp_port = -1
            port.dp_port = self.backer.attach(tunnel, port)
            self.backer.config_changed()
        if settings != port.settings:
            port.settings = settings
            set_quality(port, self.backer.dpif)
            self.backer.config_changed()

    def port_del(self, name: str) -> None:
        port = self.ports_by_name.pop(name)
        del self.ports_by_number[port.number]
        self._port_order.remove(port.number)
        self._numbers.free(port.number, self.backer.clock.now_ms())
        if port.bundle is not None:
            port.bundle.members.remove(port)
            port.bundle = None
        if port.dp_port >= 0:
            self.backer.detach(port.dp_port, port, self._devices[name])
        self._devices.pop(name, None)
        self.backer.config_changed()
        self.backer.events.ports_updated.add()
        self._port_news.deleted(port.number)

    def has_port(self, name: str) -> bool:
        return name in self.ports_by_name

    def peer_of(self, port: OfPort) -> OfPort | None:
        """The other end of a patch port, if it names this one back."""
        peer = self.backer.find_port(port.settings.peer) if port.settings.peer else None
        if peer is None or not peer.is_patch or peer.settings.peer != port.name:
            return None
        return peer

    def bundle_set(self, settings: BundleSettings) -> None:
        bundle = self.bundles.get(settings.name)
        members = [self.ports_by_name[name] for name in settings.members
                   if name in self.ports_by_name]  # fmt: skip
        if bundle is None:
            bundle = self.bundles[settings.name] = Bundle(settings)
        elif bundle.settings == settings and bundle.members == members:
            return
        if not members or settings.networks != bundle.settings.networks:
            self._forget_bundle(bundle)
        bundle.settings = settings
        for port in bundle.members:
            port.bundle = None
        for port in members:
            if port.bundle is not None:
                port.bundle.members.remove(port)
            port.bundle = bundle
        bundle.members = members
        self._bundles_changed()

    def bundle_del(self, name: str) -> None:
        bundle = self.bundles.pop(name, None)
        if bundle is None:
            return
        gone = self._forget_bundle(bundle)
        # Who was there may be behind another bridge's port soon: a machine that moves.
        others = [bridge for bridge in self.backer.bridges.values() if bridge is not self]
        for bridge in others if gone else ():
            for mac, vlan in gone:
                bridge.macs.remove(mac, vlan)
        for port in bundle.members:
            port.bundle = None
        bundle.members = []
        self._bundles_changed()

    def ports(self) -> Sequence[PortInfo]:
        return [
            PortInfo(
                port.name,
                port.number & DATABASE_PORT,
                port.dp_port,
                port.bundle.name if port.bundle else "",
            )
            for port in self.ports_by_number.values()
        ]

    # Connections

    def accept(self, machine: Connection, controller: ControllerSettings | None) -> None:
        self.connections.accept(machine, controller, self.backer.clock.now_ms())

    def serve(self, machine: Connection) -> bool:
        return serve(self, machine)

    def forget(self, machine: Connection) -> None:
        self.connections.forget(machine, self.backer.clock.now_ms())

    # What `connmgr` asks

    def local_mac(self) -> int | None:
        port = self.ports_by_number.get(reserved.LOCAL)
        return None if port is None else self._phy_port(port).hw_addr

    def next_hop_mac(self, address: int) -> int | None:
        port = self.ports_by_number.get(reserved.LOCAL)
        if port is None or port.device is None or not port.device.state().ifindex:
            # A dummy: the host sends nothing through it.
            raise ConfigError("Operation not supported")
        return self.backer.underlay.next_hop_mac(address)

    def phy_ports(self) -> list[m.PhyPort]:
        return [self._phy_port(port) for port in self._sorted_ports()]

    def _sorted_ports(self) -> list[OfPort]:
        return [self.ports_by_number[number] for number in sorted(self.ports_by_number)]

    def _phy_port(self, port: OfPort) -> m.PhyPort:
        return describe_port(port, self._devices.get(port.name))

    def is_port_live(self, number: int) -> bool:
        """Is there a port of that number whose link is up, as controllers were told?"""
        port = self._port_news.find(number)
        return port is not None and bool(port.state & m.OFPPS_LIVE)

    def port_stats(self) -> list[m.PortStats]:
        now_ms = self.backer.clock.now_ms()
        ports = [self.ports_by_number[number] for number in self._port_order]
        self.backer.events.stats_read.add(len(ports))
        return [count_port(port, self._devices.get(port.name), now_ms) for port in ports]

    def ports_in_order(self) -> list[OfPort]:
        return [self.ports_by_number[number] for number in self._port_order]

    def device_stats(self, name: str) -> DeviceStats | None:
        """Counters of a port, for its Interface row; None if there is no such port."""
        port = self.ports_by_name.get(name)
        if port is None:
            return None
        device = self._devices.get(name)
        self.backer.events.stats_read.add()
        if device is None:
            return port.patch_stats()
        return with_policed(device.stats(), port)

    def mirror_stats(self, mirror_id: str) -> tuple[int, int] | None:
        """Packets and bytes that a mirror has copied; None if there is no such mirror."""
        return self.mirrors.stats(mirror_id)

    def port_mod(self, mod: m.PortMod) -> None:
        port = self.ports_by_number.get(mod.port_no)
        if port is None:
            raise OpenFlowError("OFPPMFC_BAD_PORT")
        if self._phy_port(port).hw_addr != mod.hw_addr:
            raise OpenFlowError("OFPPMFC_BAD_HW_ADDR")
        mask = mod.mask & _CONFIG_BITS
        changed = (port.config ^ mod.config) & mask
        device = self._devices.get(port.name)
        before = self._phy_port(port)
        if mask & m.OFPPC_PORT_DOWN and device is not None:
            device.set_admin_up(not mod.config & m.OFPPC_PORT_DOWN)
        if changed:
            port.config ^= changed
            self.backer.config_changed()
        self._port_news.configured(before, self._phy_port(port))

    def packet_out(self, message: m.PacketOut, now_ms: int) -> None:
        self.backer.events.packet_outs.add()
        self.packet_outs.decide(message, now_ms, side_effects=True)()

    def prepare_packet_out(self, message: m.PacketOut, now_ms: int) -> Callable[[], None]:
        return self.packet_outs.decide(message, now_ms, side_effects=False)

    def send_from(self, number: int, packet: bytes, now_ms: int) -> None:
        """Have the tables treat a packet as one that came in at port `number`."""
        actions = (Output(reserved.TABLE),)
        match = Match().with_field(FIELD["in_port_oxm"], number)
        self.packet_out(m.PacketOut(packet, match, actions), now_ms)

    def may_learn(self, mod: m.FlowMod, limit: int) -> bool:
        return learning.may_learn(self.tables, mod, limit)

    def learn(self, mod: m.FlowMod, limit: int, used_ms: int, again: bool) -> None:
        """Add the flow that a packet asks for: see `learning.learn`."""
        now_ms = self.backer.clock.now_ms()
        learning.learn(self.tables, mod, limit, now_ms, used_ms, again, self._changed)

    def has_learned(self, mod: m.FlowMod) -> bool:
        return learning.is_there(self.tables, mod)

    def flush_connections(self, request: CtFlush) -> None:
        flush_connections(self.backer.dpif, request)

    @property
    def uuid(self) -> int:
        """Names the bridge in what controllers keep for it."""
        return hash_name(self.name) << 64 | hash_name(f"bridge {self.name}")

    def resume(self, message: m.PacketIn, version: int, now_ms: int) -> None:
        """Have a paused packet go on; raises OpenFlowError."""
        resume_packet(self.backer, message, version, now_ms)

    def refresh_statistics(self) -> None:
        self.backer.revalidator.push_statistics()

    def settle(self, now_ms: int) -> None:
        self.backer.settle(now_ms)

    # Running

    def devices_changed(self) -> None:
        self._ports_are_stale = True

    def run(self, now_ms: int) -> None:
        self._port_news.tell_the_rest()
        if self._ports_are_stale:
            self._ports_are_stale = False
            self._watch_ports()
        due = self.tables.deadline()
        if due is not None and due <= now_ms:
            self.refresh_statistics()
            expired = self.tables.expire(now_ms)
            self.backer.events.rules_expired.add(len(expired))
            self._changed(expired, now_ms)
        self.macs.run(now_ms)
        if self.mcast is not None:
            self.mcast.run(now_ms)
        if self.tree is not None:
            self.tree.run(now_ms)
        if self._quiet_at != self.backer.config_generation:
            self._run_link_protocols(now_ms)
        self.connections.run(now_ms)
        if self.exporters is not None:
            self.exporters.run(now_ms)
        if self.wants_packet_in_on_miss != self._told_of_misses:
            self._told_of_misses = not self._told_of_misses
            self.backer.config_changed()

    def deadline(self) -> int | None:
        if self._ports_are_stale:
            return 0
        due = [self.tables.deadline(), self.macs.deadline(), self.connections.deadline()]
        if self.mcast is not None:
            due.append(self.mcast.deadline())
        if self.tree is not None:
            due.append(self.tree.deadline())
        if self.exporters is not None:
            due.append(self.exporters.deadline())
        if self._quiet_at != self.backer.config_generation:
            watchers = (self.aggregation, self.monitoring, self.faults, self.neighbours)
            due += [watcher.deadline() for watcher in watchers]
            due += [b.bond.deadline() for b in self.bundles.values() if b.bond is not None]
        return min((at for at in due if at is not None), default=None)

    def _run_link_protocols(self, now_ms: int) -> None:
        """BFD, CFM, LLDP, LACP and bonds. If no port wants any, none does until something is
        configured: a turn must not cost more the more ports there are."""
        generation = self.backer.config_generation
        self.monitoring.run(now_ms)
        self.faults.run(now_ms)
        self.neighbours.run(now_ms)
        self.aggregation.run(now_ms)
        self._run_bonds(now_ms)
        watches = (self.monitoring, self.faults, self.neighbours)
        if not (any(watch.machines for watch in watches) or self.aggregation.lacps) and not any(
            bundle.bond is not None or bundle.settings.bond is not None
            for bundle in self.bundles.values()
        ):
            self._quiet_at = generation

    def _run_bonds(self, now_ms: int) -> None:
        self.spreading.count(now_ms)
        for bundle in self.bundles.values():
            is_bond = bundle.settings.bond is not None or bundle.bond is not None
            if is_bond and bundle.run_bond(self.aggregation, now_ms):
                self.status_version += 1
                self.backer.config_changed(BOND)
            bond = bundle.bond
            if bond is not None and bond.should_announce:
                bond.should_announce = False
                announce_addresses(self, bundle, now_ms)
        self.spreading.follow(now_ms)

    def active_member(self, bundle: str) -> str:
        """Port.bond_active_slave: the address of the member that is active, of zeros if none is;
        empty for what is no bond."""
        bond = self.bundles[bundle].bond if bundle in self.bundles else None
        if bond is None:
            return ""
        return "00:00:00:00:00:00" if bond.active is None else bond.active.mac

    def link_status(self, name: str) -> LinkStatus:
        """What protocols know of an interface's link."""
        port = self.ports_by_name.get(name)
        return LinkStatus() if port is None else link_status(port)

    def _changed(self, changes: list[Change], now_ms: int) -> None:
        if changes:
            self.connections.flows_changed(changes, now_ms)

    def _watch_ports(self) -> None:
        """Tell controllers of links that went or came."""
        for port in self.ports_by_number.values():
            if self._port_news.changed(self._phy_port(port)):
                self.backer.events.ports_updated.add()
                # Buckets of groups and members of bundles may watch it.
                self.backer.config_changed(PORT_TOGGLED)
        self.connections.follow_local_port(self.backer.clock.now_ms())

    def destroy(self) -> None:
        self._stop_counting()
        self.exporters = configured_exporters(self, self.exporters, ExportSettings())
        for name in list(self.bundles):
            self.bundle_del(name)
        for name in list(self.ports_by_name):
            self.port_del(name)
        self.meters.clear()
