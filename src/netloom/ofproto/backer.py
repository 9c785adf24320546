"""What all bridges of one data-path type share: the data path, and who owns which of its ports.

The backer runs the data path and answers its upcalls. A change of tables, ports or configuration
takes effect for the next packet: `run` makes the data path's flows right before it takes packets
(`settle`). Changes of MAC tables are frequent and harmless for a moment, so they wait until enough
time has gone by for revalidation to take a tenth of the time at most.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count

from netloom.base.clock import Clock
from netloom.base.counters import Counters
from netloom.base.errors import ConfigError
from netloom.datapath.dpif import Dpif, DpPortNo
from netloom.datapath.dpif_log import log_operation
from netloom.flow.key import IN_PORT_MASK
from netloom.netdev.device import Device
from netloom.netdev.tunnel import TunnelDevice
from netloom.ofproto.bridge import Ofproto
from netloom.ofproto.events import FLOW_TABLE, MAC_LEARNING, MCAST, RECONFIGURE, Events
from netloom.ofproto.export_host import ExportHost
from netloom.ofproto.features import Features
from netloom.ofproto.meters import MeterNumbers
from netloom.ofproto.ports import OfPort
from netloom.ofproto.recirculations import Recirculations
from netloom.ofproto.revalidate import Revalidator
from netloom.ofproto.settings import ZoneSettings
from netloom.ofproto.shared_credits import CreditPool
from netloom.ofproto.shortcuts import Shortcuts
from netloom.ofproto.switching import SwitchedBridges
from netloom.ofproto.trails import RuleChanges, Trails
from netloom.ofproto.tunnels import TUNNEL_DST_MASK, Tunnels
from netloom.ofproto.underlay import Underlay
from netloom.ofproto.underlay.routes import next_hop
from netloom.ofproto.upcall import Upcalls
from netloom.ofproto.uplinks import Uplinks
from netloom.ofproto.zones import Zones

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

#: Upcalls that are answered before ports and connections have their turn again.
UPCALL_BATCH: Final = 64
#: Batches of packets that are taken while they keep coming before all else has its turn: a turn of
#: the main loop costs as much as several packets do.
ROUNDS: Final = 4
#: How often packets that come back are answered at once.
RECIRCULATIONS: Final = 4
#: After a revalidation for MAC changes alone the next waits this many times as long as it took.
MAC_PAUSE_FACTOR: Final = 10
#: How often statistics are read and idle flows removed.
SWEEP_INTERVAL_MS: Final = 500


class Backer:
    """One data path with its bridges."""

    def __init__(
        self,
        type_: str,
        dpif: Dpif,
        clock: Clock,
        counters: Counters,
        underlay: Underlay | None = None,
    ) -> None:
        self.type = type_
        self.dpif = dpif
        #: What is under the tunnels of this and other data paths.
        self.underlay = underlay or Underlay()
        self.tunnels = Tunnels(dpif, self.underlay)
        self.uplinks = Uplinks(self)
        self.clock = clock
        self.counters = counters
        self.events = Events(counters)
        self.bridges: dict[str, Ofproto] = {}
        self.ports: dict[int, OfPort] = {}
        #: Orders changes of MAC tables and the translations that asked them.
        self.stamps = count(1)
        self.meter_numbers = MeterNumbers()
        self.recirculations = Recirculations(dpif.earlier_recirc_ids())
        self.zones = Zones(dpif.conntrack)
        self.features = Features(dpif.bonds is not None)
        self.credits = CreditPool()
        #: How exporters reach collectors, and how many bridges export NetFlow.
        self.export_host: ExportHost = ExportHost()
        self.n_netflows = 0
        self.exporter_numbers = count(1)
        #: Do flows that only sample packets say that they drop them?
        self.explicit_sampled_drops = False
        self.trails = Trails()
        self.shortcuts = Shortcuts(self.recirculations, self.credits)
        self.switched = SwitchedBridges(self)
        self.revalidator = Revalidator(self)
        self._upcalls = Upcalls(self)
        #: Grows with every change of ports, bundles and settings.
        self.config_generation = 0
        #: Why it grew last, and what it was when all flows were translated again.
        self._reason = RECONFIGURE
        self._settled_config = self._settled_tables = self._settled_snooped = -1
        self._settled: tuple[int, int] = (-1, -1)
        #: `_other_generation` then.
        self._settled_others = -1
        self._next_sweep_ms = clock.now_ms() + SWEEP_INTERVAL_MS
        self._next_mac_ms = 0
        #: Flows of the data path are left alone (`revalidator/pause`).
        self.is_paused = False
        self._busy = False
        #: The tables are being filled with what they held before a restart: until they are, the
        #: data path goes on as it is, and its packets wait (other_config:flow-restore-wait).
        self.is_restoring = False
        self._knows_next_hops = False
        #: The data path does not switch yet: an earlier daemon's ports are still there.
        self._waits = False

    def set_zones(self, zones: tuple[ZoneSettings, ...] = (), default_limit: int = -1) -> None:
        """Have these connection tracking zones."""
        if self.zones.set(zones, default_limit):
            self.config_generation += 1

    @property
    def pushes_tunnels(self) -> bool:
        """Are tunnels' headers built here, or by the data path?"""
        return self.dpif.pushes_tunnels and self.features.has("tnl_push_pop")

    # Bridges and ports

    def add_bridge(self, name: str) -> Ofproto:
        if name in self.bridges:
            raise ConfigError(f"bridge {name} exists")
        bridge = self.bridges[name] = Ofproto(name, self)
        return bridge

    def hidden_bridge(self, name: str) -> Ofproto:
        """A bridge that nobody sees, for an uplink."""
        bridge = Ofproto(name, self)
        bridge.is_uplink = True
        return bridge

    def set_limits(self, n_vlans: int, max_idle_ms: int, n_flows: int) -> None:
        """How many VLAN tags of a packet are read, how long flows may be idle, how many there may
        be."""
        self.revalidator.max_idle_ms = max_idle_ms
        self.revalidator.flow_limit = n_flows
        if self.dpif.vlan_limit != n_vlans:
            self.dpif.vlan_limit = n_vlans
            self.config_changed()

    def set_explicit_sampled_drops(self, wanted: bool) -> None:
        """other_config:explicit-sampled-drops."""
        if wanted != self.explicit_sampled_drops:
            self.explicit_sampled_drops = wanted
            self.config_changed()

    def remove_bridge(self, name: str) -> None:
        bridge = self.bridges.pop(name)
        # So that the sum of all never comes back to what it was.
        self.config_generation += bridge.generation
        self.switched.give_up(bridge)
        self.switched.reasons.pop(name, None)
        bridge.destroy()
        self.recirculations.forget_bridge(name)
        if not self.bridges:
            self.events.destroyed.add()
            log_operation(self.dpif, "delete success")
        self.config_changed()

    def pause(self, is_paused: bool) -> None:
        """Leave flows as they are, or go on: what changed meanwhile is looked at first, then what
        flows counted."""
        self.is_paused = is_paused
        self._next_sweep_ms = self.clock.now_ms() + SWEEP_INTERVAL_MS

    def attach(self, device: Device, port: OfPort) -> int:
        """Make `device` a port of the data path; returns its number."""
        if isinstance(device, TunnelDevice):
            number = self.tunnels.add(port, device)
            port.tunnel = device
            return number
        self.uplinks.release(device.name)
        number = self.dpif.port_add(device).number
        self.events.port_add.add()
        log_operation(self.dpif, f"added {device.name} as port {number}")
        self.ports[number] = port
        self.underlay.attach(device)
        return number

    def detach(self, number: int, port: OfPort, device: Device) -> None:
        """Take a port and its device out of the data path."""
        self.underlay.neighbours.flush(device.name)
        if port.tunnel is not None:
            self.tunnels.remove(port)
            port.tunnel = None
            return
        self.ports.pop(number, None)
        self.underlay.detach(device)
        self.dpif.port_del(DpPortNo(number))
        self.events.port_del.add()
        log_operation(self.dpif, f"port_del({number})")

    def lose_port(self, number: int) -> bool:
        """Somebody takes a port out of the data path, and so out of its bridge; False if it is no
        bridge's."""
        port = self.ports.get(number)
        if port is None:
            return False
        port.bridge.port_del(port.name)
        return True

    def port_of(self, key: int) -> OfPort | None:
        """The port that a packet with the data path's `key` came in at."""
        if key & TUNNEL_DST_MASK:
            return self.tunnels.find(key)
        return self.ports.get(key & IN_PORT_MASK)

    def renumber(self, number: DpPortNo, new_number: int) -> None:
        """The data path calls a port by another number from now on."""
        port = self.ports.pop(number)
        assert port.device is not None
        self.dpif.port_del(number)
        port.dp_port = self.dpif.port_add(port.device, DpPortNo(new_number)).number
        self.ports[port.dp_port] = port
        self.config_changed()

    def find_port(self, name: str) -> OfPort | None:
        """The port of that name on any bridge."""
        for bridge in self.bridges.values():
            port = bridge.ports_by_name.get(name)
            if port is not None:
                return port
        return None

    def port_names(self) -> Mapping[int, str]:
        """Data-path port number -> name."""
        names = {number: port.name for number, port in self.ports.items()}
        return names | self.tunnels.shared_ports()

    def enable_megaflows(self, enabled: bool) -> None:
        """Have flows with wildcards installed, or only exact ones (`upcall/disable-megaflows`)."""
        self._upcalls.enable_megaflows = enabled
        self.revalidator.purge()
        self.config_changed()

    @property
    def wants_megaflows(self) -> bool:
        return self._upcalls.enable_megaflows

    # Keeping flows true

    def config_changed(self, reason: str = RECONFIGURE) -> None:
        """Ports, bundles or settings changed: every flow may be wrong. `reason` is what is counted
        (`events`)."""
        self.config_generation += 1
        self._reason = reason

    def _why(self, only_macs: bool) -> str:
        """What has changed since the last time; "" for nothing that is counted."""
        config = self.config_generation + self.underlay.generation
        tables = sum(bridge.rules_generation for bridge in self.bridges.values())
        is_config, is_tables = config != self._settled_config, tables != self._settled_tables
        self._settled_config, self._settled_tables = config, tables
        if only_macs:
            return MAC_LEARNING
        if is_config:
            return self._reason
        snooped = sum(bridge.snooped_generation for bridge in self.bridges.values())
        is_snooped, self._settled_snooped = snooped != self._settled_snooped, snooped
        # Meters are looked at by the data path.
        return FLOW_TABLE if is_tables else MCAST if is_snooped else ""

    def table_generation(self) -> int:
        """A number that changes with whatever translations depend on, less MAC tables."""
        generation = self.config_generation + self.underlay.generation
        for bridge in self.bridges.values():
            generation += bridge.generation
        return generation

    def follow_tables(self, now_ms: int) -> None:
        """Have the shortcuts forget what is true no more."""
        rules = self._rule_generation()
        self.shortcuts.follow(self.table_generation() - rules, rules, now_ms)

    def _rule_generation(self) -> int:
        """The part of it that changes with rules of tables."""
        generation = 0
        for bridge in self.bridges.values():
            generation += bridge.tables.generation
        return generation

    def _other_generation(self) -> int:
        """The part of it that changes with all else."""
        return self.table_generation() - self._rule_generation()

    @property
    def generations(self) -> tuple[int, int]:
        """They grow with every change of what is done to packets: by all but MAC tables, and by
        these."""
        macs = 0
        for bridge in self.bridges.values():
            macs += bridge.macs.generation
        return self.table_generation(), macs

    def settle(self, now_ms: int) -> None:
        """Have the data path obey all that was asked so far."""
        generations = self.generations
        if generations != self._settled and not self.is_paused:
            self._revalidate(now_ms, generations)

    def has_settled(self, now_ms: int) -> bool:
        """Does the data path obey all that was asked so far, and do no packets wait? Where there
        are no flows that might be wrong, it is made to."""
        generations = self.generations
        if generations != self._settled and not self.revalidator.n_flows:
            self._revalidate(now_ms, generations)
        return (generations == self._settled or self.is_paused) and not self._busy

    def _revalidate(self, now_ms: int, generations: tuple[int, int]) -> None:
        if self.is_restoring:
            return
        only_macs = generations[0] == self._settled[0]
        self.events.revalidated(self._why(only_macs))
        if not only_macs:
            self.switched.follow(now_ms)
            self._waits = self.dpif.switching is not None and self.dpif.switching.is_waiting
        changes = self._take_changes()
        if not self.revalidator.n_flows:
            for bridge in self.bridges.values():
                bridge.macs.changed.clear()
            self._settled = generations
            return
        started_ms = self.clock.now_ms()
        asked = self.revalidator.asked
        moved = {
            lookup: stamp
            for bridge in self.bridges.values()
            for (mac, vlan), stamp in bridge.macs.changed.items()
            if (lookup := (bridge.name, mac, vlan)) in asked
        }
        for bridge in self.bridges.values():
            bridge.macs.changed.clear()
        if only_macs:
            self.revalidator.revalidate_moved(now_ms, moved)
        elif changes is None:
            self.revalidator.revalidate(now_ms)
        else:
            self.revalidator.revalidate_changed(now_ms, changes, moved)
        self._settled = generations
        took_ms = self.clock.now_ms() - started_ms
        self._next_mac_ms = now_ms + MAC_PAUSE_FACTOR * took_ms

    def _take_changes(self) -> RuleChanges | None:
        """What has changed since the last time, if that is some rules; None if more has."""
        others = self._other_generation()
        is_more = others != self._settled_others
        self._settled_others = others
        changes = RuleChanges()
        for bridge in self.bridges.values():
            changed = bridge.tables.take_changed()
            if changed is None:
                is_more = True
            elif not is_more:
                rules, tables = changed
                changes.add(bridge, rules)
                for table in tables:
                    changes.add_table(table)
        return None if is_more else changes

    def _settle_in_time(self, now_ms: int) -> None:
        if self.is_paused:
            return
        tables, macs = self.generations
        if tables != self._settled[0] or (macs != self._settled[1] and now_ms >= self._next_mac_ms):
            self._revalidate(now_ms, (tables, macs))

    # Running

    def run(self) -> None:
        """One turn: packets, upcalls, statistics, bridges."""
        now_ms = self.clock.now_ms()
        self.underlay.run(now_ms)
        self.uplinks.run(now_ms)
        self.tunnels.follow_routes()
        if not self.is_restoring:
            self._move_packets(now_ms)
        self.recirculations.run(now_ms)
        if self._waits and self.dpif.switching is not None:
            self._waits = self.dpif.switching.is_waiting
            self.config_generation += not self._waits
        if now_ms >= self._next_sweep_ms and not self.is_paused:
            self._next_sweep_ms = now_ms + SWEEP_INTERVAL_MS
            self.revalidator.sweep(now_ms)
        for bridge in list(self.bridges.values()):
            bridge.run(now_ms)
        if not self.is_restoring:
            # Packets that controllers sent out may have come up.
            self.answer(now_ms)

    def take_packets(self, fd: int) -> bool:
        """Packets wait at one of the data path's descriptors: take them. True if all else should
        have its turn at once: because of what the packets did, or because more wait."""
        self.dpif.note_readable(fd)
        if self.is_restoring or self._waits:
            return True
        now_ms = self.clock.now_ms()
        n_thorough = self._upcalls.n_thorough
        self._move_packets(now_ms)
        self._settle_in_time(now_ms)
        return self._busy or n_thorough != self._upcalls.n_thorough

    def _take_over_next_hops(self, now_ms: int) -> None:
        """Know at once where the tunnels of before lead, so that no packet has to wait until
        somebody has answered who is there."""
        self._knows_next_hops = True
        for address, mac in self.dpif.earlier_next_hops():
            route = self.underlay.routes.lookup(address)
            port = self.find_port(route.device) if route is not None else None
            if route is not None and port is not None:
                hop = next_hop(route, address)
                if self.underlay.neighbours.lookup(port.bridge.name, hop) is None:
                    self.underlay.neighbours.set(port.bridge.name, hop, mac, now_ms)

    def _move_packets(self, now_ms: int) -> None:
        if not self._knows_next_hops:
            self._take_over_next_hops(now_ms)
        for _ in range(ROUNDS):
            self._settle_in_time(now_ms)
            self._busy = self.dpif.run(now_ms)
            self.answer(now_ms)
            if not self._busy:
                return

    def answer(self, now_ms: int) -> None:
        """Take a batch of upcalls, and those that follow from answering them: packets that come
        back."""
        for _ in range(RECIRCULATIONS):
            waiting = self.dpif.recv_upcalls(UPCALL_BATCH)
            if not waiting:
                return
            self._upcalls.handle(waiting, now_ms)
        self._busy = True

    def deadline(self) -> int | None:
        if self._busy:
            return self.clock.now_ms()
        due = [bridge.deadline() for bridge in self.bridges.values()]
        due.append(self.uplinks.deadline())
        if self.dpif.polling is not None:
            due.append(self.dpif.polling.deadline())
        has_flows = self.revalidator.n_flows or (
            self.dpif.has_strangers and self.dpif.stats().flows
        )
        if has_flows and not self.is_paused:
            due.append(self._next_sweep_ms)
        tables, macs = self.generations
        if self.is_restoring or self.is_paused:
            return min((at for at in due if at is not None), default=None)
        if tables != self._settled[0]:
            return self.clock.now_ms()
        if macs != self._settled[1] and self.revalidator.n_flows:
            due.append(self._next_mac_ms)
        return min((at for at in due if at is not None), default=None)

    def close(self) -> None:
        self.uplinks.close()
        for name in list(self.bridges):
            self.remove_bridge(name)
        self.dpif.close()
