"""The kernel data path: `dpif.Dpif` by eBPF programs, with the data path in Python behind them.

Every flow is put into both. The programs run it where they can; a packet that they cannot deal with
(no flow, an action that they do not know, headers deeper than they read) comes up a ring, and the
data path in Python (`userspace`) treats it as if it had come in there: it finds the flow that the
kernel has not, runs its actions, or hands up a miss. So nothing is ever done wrongly for want of a
feature, only slowly; `slow_packets` counts it. What the two count is added.

What must hold: a flow is in the kernel only if the programs do exactly what its actions say. A
packet is counted once: by the kernel where it ran the actions (or dropped), else by Python. Packets
that came up are executed in the order in which they came; those that equal a miss that is being
handled wait for it.

Cost: a miss costs a record in a ring (0.1 us in the kernel) and some 15 us of Python beside its
translation; a flow one system call, or a share of one when many are put together.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence

from netloom.base.clock import Clock
from netloom.base.counters import Counters
from netloom.base.errors import ConfigError
from netloom.base.record import replace
from netloom.datapath.actions import DpActions, Output
from netloom.datapath.bonds import Bonds
from netloom.datapath.conntrack import Conntrack
from netloom.datapath.dpif import (
    DpPort,
    DpPortNo,
    DpStats,
    Flow,
    FlowStats,
    Upcall,
    UplinkPorts,
    UsedFlow,
)
from netloom.datapath.ebpf.connections import KernelTracker
from netloom.datapath.ebpf.flowtable import FlowCounters, FlowTable
from netloom.datapath.ebpf.installs import Installs
from netloom.datapath.ebpf.kernel_counters import KernelCounters
from netloom.datapath.ebpf.loader import load, load_pinned
from netloom.datapath.ebpf.maps import SharedArray
from netloom.datapath.ebpf.meters import KernelMeters
from netloom.datapath.ebpf.orphans import Orphans
from netloom.datapath.ebpf.outbox import Outbox
from netloom.datapath.ebpf.pins import PinDirectory
from netloom.datapath.ebpf.policers import KernelPolicers
from netloom.datapath.ebpf.ports import KernelDevice, Ports, check_device
from netloom.datapath.ebpf.probes import features
from netloom.datapath.ebpf.reassembled import Reassembled
from netloom.datapath.ebpf.registry import Registry
from netloom.datapath.ebpf.ring import Ring
from netloom.datapath.ebpf.spec import (
    MAPS,
    MAX_PORTS,
    OP,
    PARCEL_REFUSED,
    RINGS,
    TO_ACTIONS,
    TO_PORT,
    TUNNELS,
    UPCALL,
)
from netloom.datapath.ebpf.switching import KernelSwitches
from netloom.datapath.ebpf.upcalls import Received, decode_record, pieces
from netloom.datapath.ebpf.usage import Used
from netloom.datapath.meters import DpMeter, DpMeterFeatures, DpMeterStats
from netloom.datapath.offload import Hardware
from netloom.datapath.polling import Polling
from netloom.datapath.switching import Switching
from netloom.datapath.userspace.dpif import DROP_UPCALL, UserspaceDpif
from netloom.flow.extract import extract_key
from netloom.flow.key import SKB_PRIORITY_MASK, SKB_PRIORITY_SHIFT
from netloom.netdev.device import Device, DeviceStats, Packet
from netloom.netdev.qos import FREE, MAX_QUEUES, Policing, queue_priority
from netloom.packet.offload import Offload

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

#: Records taken from one ring in one turn.
RING_BATCH: Final = 64
#: Rings in the order in which they are drained: packets for controllers first.
_DRAIN_ORDER: Final = ("ring_userspace", "ring_slow", "ring_miss")
_SORT_INTERVAL_MS: Final = 1_000
_USERSPACE: Final = UPCALL["USERSPACE"]
_SPECS: Final = {spec.name: spec for spec in MAPS}
#: Operations whose operand is a number of the registry.
_NUMBERED: Final = (OP["USERSPACE"], OP["RESUME_AT"], OP["RESUME"])


class EbpfDpif:
    """See the module. Raises Unsupported where the programs cannot be loaded."""

    pushes_tunnels = True
    #: Flows of an earlier daemon have their own way to be adopted.
    has_strangers = False
    bonds: Bonds | None = None
    hardware: Hardware | None = None
    dump_heading = ""
    in_kernel = True

    def __init__(
        self,
        type_: str,
        name: str,
        clock: Clock,
        counters: Counters,
        pins: PinDirectory | None = None,
        use_tcx: bool | None = None,
    ) -> None:
        self.type = type_
        self.name = name
        self._clock = clock
        self._counters = counters
        self._pins = pins
        self._loaded = load() if pins is None else load_pinned(pins)
        self._slow = UserspaceDpif(type_, name, clock, counters)
        self._table = FlowTable(self._loaded)
        meters = SharedArray(self._loaded.maps["meters"], _SPECS["meters"])
        self._tracker = self._slow.conntrack = KernelTracker(
            self._loaded, counters, self._slow.draw, clock.now_ms()
        )
        self._meters = self._slow.meters = KernelMeters(meters)
        self._ports = Ports(self._loaded, pins, use_tcx)
        self._ports.renew_links()
        self._switches = KernelSwitches(self._loaded, self._ports)
        self.switching: Switching | None = self._switches
        self._orphans = Orphans(self._table)
        self.uplinks: UplinkPorts | None = self
        self.polling: Polling | None = None
        self._has_given_up = False
        self._leaves = False
        self._reassembled = Reassembled()
        self._rings = {ring: Ring(self._loaded.maps[ring], _SPECS[ring]) for ring in RINGS}
        array = SharedArray(self._loaded.maps["counters"], _SPECS["counters"])
        self._counted = KernelCounters(array, counters)
        self._policers = KernelPolicers(
            SharedArray(self._loaded.maps["policers"], _SPECS["policers"]),
            SharedArray(self._loaded.maps["config"], _SPECS["config"]),
        )
        self._slow.has_device_priorities = True
        #: Ports whose packets the programs see first.
        self._kernel_ports: set[int] = set()
        self._templates = SharedArray(self._loaded.maps["templates"], _SPECS["templates"])
        earlier = self._table.operands(*_NUMBERED)
        self._registry = Registry(self._templates, self._tracker.policies.number, earlier)
        self._registry.source_ports = self._slow.source_ports
        #: Keys of misses that `ofproto` has, and the packets that wait for its answer.
        self._missed: set[int] = set()
        self._waiting: list[tuple[int, Packet]] = []
        self._next_sort_ms = 0
        self._installs = Installs(name, self._table, self._registry, clock.now_ms)
        self.reasons = self._installs.reasons
        #: Upcalls were handed out, whose flows may come together.
        self._is_answering = False
        #: Records that came up in this turn.
        self._n_taken = 0
        self._outbox = Outbox(self._loaded, self._tracker, self._redo)

    def kernel_features(self) -> tuple[tuple[str, bool], ...]:
        return features()

    @property
    def conntrack(self) -> Conntrack | None:
        return self._slow.conntrack

    @property
    def source_ports(self) -> tuple[int, int]:
        """The range of UDP ports that packets in tunnels are sent from."""
        return self._slow.source_ports

    @source_ports.setter
    def source_ports(self, ports: tuple[int, int]) -> None:
        self._slow.source_ports = self._registry.source_ports = ports
        self._installs.forget_records()

    @property
    def vlan_limit(self) -> int:
        """How many tags of a packet its key has, at most."""
        return self._slow.vlan_limit

    @vlan_limit.setter
    def vlan_limit(self, limit: int) -> None:
        self._slow.vlan_limit = limit
        self._table.set_vlan_limit(limit)

    def allow_shortcuts(self, wanted: bool) -> None:
        """Let packets leave by the shortcut to the other end of a veth pair, or not."""
        self._ports.shortcuts.allow(wanted)

    # Ports

    def add_uplink(self, device: Device) -> DpPort:
        if not isinstance(device, KernelDevice):
            raise ConfigError(f"{device.name} is no device of the kernel")
        port = self._hand_over(device, device, None, is_uplink=True)
        self._reassembled.uplinks[port.number] = device
        return port

    def listen(self, ends: Iterable[tuple[int, int, int]]) -> None:
        wanted = list(ends)
        self._ports.listen(wanted)
        self._reassembled.listen(wanted)

    def port_add(self, device: Device, number: DpPortNo | None = None) -> DpPort:
        if not isinstance(device, KernelDevice):
            port = self._slow.port_add(device, self._choose_number(number))
            self._ports.serve_in_user_space(port.number)
            if device.type in TUNNELS:
                self._registry.tunnels[port.number] = TUNNELS[device.type]
                self._installs.forget_records()
            return port
        return self._hand_over(device, device, number, is_uplink=False)

    def _hand_over(
        self, device: Device, handed: KernelDevice, number: DpPortNo | None, is_uplink: bool
    ) -> DpPort:
        """The kernel processes the packets of a device, which is both its arguments."""
        check_device(self.name, device, is_uplink)
        ifindex = handed.hand_over()
        earlier = self._ports.earlier_number(ifindex)
        wanted = self._choose_number(number) if earlier is None else DpPortNo(earlier)
        port = self._slow.port_add(device, wanted)
        try:
            if port.number >= MAX_PORTS:
                raise ConfigError("no port number left")
            self._ports.attach(port.number, ifindex, is_uplink)
        except ConfigError as error:
            self._slow.port_del(port.number)
            raise ConfigError(
                f"could not add network device {device.name} to data path: {error.message}"
            ) from error
        # A device that was a port of another number, perhaps.
        self._table.forget()
        handed.count_sent(lambda: self._ports.shortcuts.count(port.number))
        self._kernel_ports.add(port.number)
        return port

    def _choose_number(self, wanted: DpPortNo | None) -> DpPortNo:
        """A free number, also of those that ports of an earlier daemon had."""
        taken = {port.number for port in self._slow.ports()} | set(self._ports.left_behind)
        if wanted is not None and wanted not in taken:
            return wanted
        return next(DpPortNo(number) for number in range(1, 65_536) if number not in taken)

    def port_del(self, number: DpPortNo) -> None:
        if not self._leaves:
            self._ports.remove(number)
            self._policers.forget(number)
        self._kernel_ports.discard(number)
        self._registry.tunnels.pop(number, None)
        self._reassembled.uplinks.pop(number, None)
        self._installs.forget_records()
        self._slow.port_del(number)

    def ports(self) -> list[DpPort]:
        return self._slow.ports()

    def port_stats(self, number: DpPortNo) -> DeviceStats:
        return self._slow.port_stats(number)

    # Quality of service

    def queue_priority(self, queue: int) -> int | None:
        return queue_priority(queue) if queue < MAX_QUEUES else None

    def set_policing(self, number: DpPortNo, policing: Policing) -> None:
        is_kernels = number in self._kernel_ports
        self._policers.set(number, policing if is_kernels else FREE)
        self._slow.set_policing(number, FREE if is_kernels else policing)

    def n_policed(self, number: DpPortNo) -> int:
        return self._policers.dropped(number) + self._slow.n_policed(number)

    # Flows

    def flow_put(self, key: int, mask: int, actions: DpActions) -> None:
        slow = self._slow
        n_changes = slow.n_changes
        slow.flow_put(key, mask, actions)
        is_known = slow.n_changes == n_changes
        if self._orphans:
            is_known = is_known or self._table.has(key, mask)
            self._orphans.discard((key & mask, mask))
        self._installs.later((key, mask, actions))
        if is_known or not self._is_answering:
            self._installs.settle()

    def flow_get(self, key: int, mask: int) -> Flow | None:
        self._installs.settle()
        flow = self._slow.flow_get(key, mask)
        return None if flow is None else self._with_counters(flow)

    def flow_del(self, key: int, mask: int) -> Flow | None:
        self._installs.settle()
        flow = self._slow.flow_del(key, mask)
        if self._leaves:
            counters = self._table.counters(key, mask)
        else:
            counters = self._table.delete(key, mask, self._clock.now_ms())
        return flow if flow is None or counters is None else self._add(flow, counters)

    def flow_dump(self) -> Iterator[Flow]:
        self._installs.settle()
        return map(self._with_counters, self._slow.flow_dump())

    def take_used(self) -> tuple[list[UsedFlow], int]:
        """Those that the kernel used, and those that Python did."""
        self._installs.settle()
        taken, changes = self._slow.take_used()
        names = self._table.take_used()
        names.update((flow.key & flow.mask, flow.mask) for flow in taken)
        now_ms, now_ns = self._clock.now_ms(), time.monotonic_ns()
        used: list[UsedFlow] = []
        for key, mask in names:
            flow = self._slow.find_flow(key, mask)
            if flow is None:
                continue
            row = Used(flow)
            counters = self._table.counters(key, mask)
            if counters is not None and counters.packets:
                row.add(counters, now_ms - max(now_ns - counters.used_ns, 0) // 1_000_000)
            used.append(row)
        return used, changes

    def flow_flush(self) -> None:
        self._installs.settle()
        self._orphans.clear()
        self._table.clear(self._clock.now_ms())
        self._slow.flow_flush()

    def _with_counters(self, flow: Flow) -> Flow:
        counters = self._table.counters(flow.key, flow.mask)
        return flow if counters is None else self._add(flow, counters)

    def _add(self, flow: Flow, counters: FlowCounters) -> Flow:
        if not counters.packets:
            return flow
        age_ms = (time.monotonic_ns() - counters.used_ns) // 1_000_000
        stats = flow.stats
        return replace(
            flow,
            stats=FlowStats(
                stats.packets + counters.packets,
                stats.bytes + counters.bytes,
                max(stats.used_ms, self._clock.now_ms() - max(age_ms, 0)),
                stats.tcp_flags | counters.tcp_flags,
            ),
        )

    # Meters

    def meter_features(self) -> DpMeterFeatures:
        return self._slow.meter_features()

    def meter_set(self, number: int, config: DpMeter) -> None:
        self._slow.meter_set(number, config)

    def meter_del(self, number: int) -> DpMeterStats | None:
        return self._slow.meter_del(number)

    def meter_stats(self, number: int) -> DpMeterStats | None:
        return self._meters.stats(number)

    # Packets

    def execute(
        self,
        packet: bytes,
        key: int,
        actions: DpActions,
        offload: Offload | None = None,
        from_upcall: bool = False,
    ) -> None:
        if from_upcall and offload is None:
            if self._slow.has_output():
                self._slow.flush()
            if self._outbox.take(packet, key, actions):
                return
        self._outbox.deliver()
        self._slow.execute(packet, key, actions, offload, from_upcall=from_upcall)

    def _redo(self, packet: bytes, key: int, actions: DpActions, failed: int) -> None:
        """Do what the programs did not."""
        if failed & PARCEL_REFUSED:
            self._slow.execute(packet, key, actions, from_upcall=True)
            return
        outputs = [action for action in actions if isinstance(action, Output)]
        for number, output in enumerate(outputs):
            if failed >> number & 1:
                self._slow.output(output.port, Packet(packet))

    def flush(self) -> None:
        self._outbox.deliver()
        self._slow.flush()

    def recv_upcalls(self, limit: int) -> list[Upcall]:
        self._installs.settle()
        upcalls = self._slow.recv_upcalls(limit)
        if not upcalls and self._may_look_again():
            self._take_packets()
            upcalls = self._slow.recv_upcalls(limit)
        if self._orphans and len(upcalls) < limit:
            ports: set[int] = {port.number for port in self._slow.ports()}
            upcalls += self._orphans.ask(ports, self._clock.now_ms(), limit - len(upcalls))
        self._is_answering = bool(upcalls)
        return upcalls

    def has_all_ports(self) -> None:
        """The first configuration is complete: ports of before that are not in it go."""
        self._orphans.complete()

    def _drop_orphans(self, now_ms: int) -> None:
        """Remove flows that `ofproto` did not want, and ports that nobody asked for again."""
        self._orphans.drop(lambda key, mask: self._slow.flow_get(key, mask) is not None, now_ms)
        if self._orphans.has_given_up(now_ms) and not self._has_given_up:
            self._has_given_up = True
            for number in self._ports.left_behind:
                self._policers.forget(number)
            self._ports.remove_left_behind()

    def earlier_recirc_ids(self) -> frozenset[int]:
        return self._orphans.recirc_ids

    def earlier_next_hops(self) -> Sequence[tuple[int, int]]:
        return self._registry.next_hops(self._table.operands(OP["TUNNEL_PUSH"]))

    def stats(self) -> DpStats:
        self._installs.settle()
        self._counted.take()
        stats = self._slow.stats()
        return replace(
            stats,
            hits=stats.hits + self._table.hits(),
            misses=stats.misses + self._counted.totals["LOST_MISS"],
            lost=stats.lost + self._counted.totals["LOST"],
            masks=max(stats.masks, self._table.n_masks),
        )

    @property
    def slow_packets(self) -> int:
        """Packets of flows that the kernel could not run."""
        self._counted.take()
        return self._counted.totals["SLOW"]

    def run(self, now_ms: int) -> bool:
        self._installs.settle()
        self._is_answering = False
        is_busy = self._slow.run(now_ms)
        self._orphans.begin(now_ms)
        self._drop_orphans(now_ms)
        self._n_taken = 0
        is_busy = self._take_packets() or is_busy
        for number, frame in self._reassembled.take():
            self._process(Packet(frame), extract_key(frame, number, 0, self._slow.vlan_limit))
        if self._registry.is_crowded:
            self._tidy()
        self._table.reclaim(now_ms)
        self._table.specialise(now_ms)
        self._ports.shortcuts.run(now_ms)
        self._counted.take()
        if now_ms >= self._next_sort_ms:
            self._next_sort_ms = now_ms + _SORT_INTERVAL_MS
            self._table.sort_masks()
        return is_busy or bool(self._waiting)

    def _may_look_again(self) -> bool:
        """Whether more has come up while upcalls were answered: to see to it at once costs less
        than to sleep and wake. Others have their turn after a batch."""
        if not self._is_answering or self._waiting:
            return self._is_answering
        has_room = self._n_taken < RING_BATCH
        return has_room and not all(ring.is_empty() for ring in self._rings.values())

    def _take_packets(self) -> bool:
        """Process what came up; True if there may be more of it."""
        if self._missed and not self._slow.has_upcalls():
            self._retry()
        is_busy = False
        for ring in _DRAIN_ORDER:
            records = self._rings[ring].drain(RING_BATCH)
            if records:
                is_busy = is_busy or len(records) == RING_BATCH
                self._n_taken += len(records)
                self._take_records(records, RINGS.index(ring))
        self._slow.flush()
        return is_busy

    def _tidy(self) -> None:
        """Forget the actions and headers that no flow has any more."""
        self._installs.settle()
        self._installs.forget_records()
        templates = self._table.operands(OP["TUNNEL_PUSH"])
        self._registry.tidy(self._table.operands(*_NUMBERED), templates)

    def _take_records(self, records: list[bytes], ring: int) -> None:
        limit = self._slow.vlan_limit
        consumed: dict[int, int] = {}
        for record in records:
            received = decode_record(record, limit)
            port = received.port
            consumed[port] = consumed.get(port, 0) + received.cost
            for piece in pieces(received):
                if piece.kind == _USERSPACE:
                    self._receive(piece)
                else:
                    self._process(piece.packet, piece.key)
        for port, n_bytes in consumed.items():
            self._ports.consumed(port, ring, n_bytes)

    def _receive(self, received: Received) -> None:
        """A packet that an action brought up."""
        packet, key = received.packet, received.key
        if received.argument & TO_PORT:
            packet.priority = (key & SKB_PRIORITY_MASK) >> SKB_PRIORITY_SHIFT
            self._slow.output(received.argument & ~TO_PORT, packet)
        elif received.argument & TO_ACTIONS:
            rest = self._registry.list(received.argument & ~TO_ACTIONS)
            if rest is not None:
                self._slow.execute(packet.data, key, rest, packet.offload)
            else:
                self._counters.counter(DROP_UPCALL).add()
        else:
            action = self._registry.userspace(received.argument)
            if action is not None:
                self._slow.upcall(action, key, packet)
            else:
                # An earlier daemon's: what it wanted with the packet is not known any more.
                self._counters.counter(DROP_UPCALL).add()

    def _process(self, packet: Packet, key: int) -> None:
        if key in self._missed:
            self._waiting.append((key, packet))
        elif not self._slow.take(packet, key):
            self._missed.add(key)

    def _retry(self) -> None:
        """The misses were answered: now the packets that came after them."""
        waiting, self._waiting = self._waiting, []
        self._missed.clear()
        for key, packet in waiting:
            self._process(packet, key)

    def poll_fds(self) -> list[int]:
        rings = (ring.fd for ring in self._rings.values())
        others = (*self._reassembled.poll_fds(), *self._slow.poll_fds())
        return [*rings, self._ports.shortcuts.fileno(), *others]

    def note_readable(self, fd: int) -> None:
        if not self._reassembled.note_readable(fd):
            self._slow.note_readable(fd)

    def leave(self) -> None:
        """The daemon ends: whatever is removed from now on, the kernel goes on with."""
        self._installs.settle()
        self._leaves = self._switches.leaves = self._pins is not None

    def close(self) -> None:
        if self._pins is not None and not self._leaves:
            self._pins.remove()
        self._reassembled.close()
        self._ports.close()
        self._table.close()
        self._outbox.close()
        for ring in self._rings.values():
            ring.close()
        self._counted.close()
        self._meters.close()
        self._policers.close()
        self._templates.close()
        self._switches.close()
        self._tracker.close()
        self._loaded.close()
        self._slow.close()
