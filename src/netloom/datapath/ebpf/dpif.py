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
from collections.abc import Iterable, Iterator

from netloom.base.clock import Clock
from netloom.base.counters import Counters
from netloom.base.errors import ConfigError
from netloom.base.log import get_logger
from netloom.base.record import replace
from netloom.datapath.actions import DpActions, Userspace
from netloom.datapath.conntrack import Conntrack
from netloom.datapath.dpif import DpPort, DpPortNo, DpStats, Flow, FlowStats, Upcall
from netloom.datapath.ebpf.compile import Uncompilable, compile_actions, slow_record
from netloom.datapath.ebpf.flowtable import Counters as FlowCounters
from netloom.datapath.ebpf.flowtable import FlowTable, fits
from netloom.datapath.ebpf.loader import Loaded, load
from netloom.datapath.ebpf.maps import Ring, SharedArray, possible_cpus
from netloom.datapath.ebpf.ports import KernelDevice, Ports
from netloom.datapath.ebpf.spec import (
    COUNTER,
    COUNTER_STRIDE,
    MAPS,
    MAX_PORTS,
    RINGS,
    TO_PORT,
    UPCALL,
)
from netloom.datapath.ebpf.upcalls import Received, decode_record
from netloom.datapath.meters import DpMeter, DpMeterFeatures, DpMeterStats
from netloom.datapath.userspace.dpif import DROP_PORT, DROP_UPCALL, UserspaceDpif
from netloom.datapath.userspace.execute import DROP_EXPLICIT, DROP_INVALID, DROP_RECIRCULATION
from netloom.netdev.device import Device, DeviceStats, Packet
from netloom.packet.offload import Offload

log = get_logger("dpif")

#: Records taken from one ring in one turn.
RING_BATCH = 64
#: Rings in the order in which they are drained: packets for controllers first.
_DRAIN_ORDER = ("ring_userspace", "ring_slow", "ring_miss")
_SORT_INTERVAL_MS = 1_000
_SPECS = {spec.name: spec for spec in MAPS}
#: Counters of the programs -> coverage counters. What the rings lost counts as lost upcalls.
_DROPS = {
    "DROP_EXPLICIT": DROP_EXPLICIT,
    "DROP_PORT": DROP_PORT,
    "DROP_RECIRCULATION": DROP_RECIRCULATION,
    "DROP_INVALID": DROP_INVALID,
    "DROP_ACTION": "datapath_drop_userspace_action_error",
    "LOST": DROP_UPCALL,
}


class EbpfDpif:
    """See the module. Raises Unsupported where the programs cannot be loaded."""

    dump_heading = ""

    def __init__(
        self,
        type_: str,
        name: str,
        clock: Clock,
        counters: Counters,
        loaded: Loaded | None = None,
    ) -> None:
        self.type = type_
        self.name = name
        self._clock = clock
        self._counters = counters
        self._loaded = loaded or load()
        self._slow = UserspaceDpif(type_, name, clock, counters)
        self._table = FlowTable(self._loaded)
        self._ports = Ports(self._loaded)
        self._rings = {ring: Ring(self._loaded.maps[ring], _SPECS[ring]) for ring in RINGS}
        self._kernel_counters = SharedArray(self._loaded.maps["counters"], _SPECS["counters"])
        self._counted = dict.fromkeys(COUNTER, 0)
        self._n_cpus = possible_cpus()
        #: The actions that bring packets up, by the number that comes up with these.
        self._userspace: dict[int, Userspace] = {}
        self._numbers: dict[Userspace, int] = {}
        #: Keys of misses that `ofproto` has, and the packets that wait for its answer.
        self._missed: set[int] = set()
        self._waiting: list[tuple[int, Packet]] = []
        self._next_sort_ms = 0
        #: Why flows that are not in the kernel are not: reason -> number of times.
        self.reasons: dict[str, int] = {}

    @property
    def conntrack(self) -> Conntrack | None:
        return self._slow.conntrack

    # Ports

    def port_add(self, device: Device, number: DpPortNo | None = None) -> DpPort:
        port = self._slow.port_add(device, number)
        if not isinstance(device, KernelDevice) or port.number >= MAX_PORTS:
            self._ports.serve_in_user_space(port.number)
            return port
        try:
            self._ports.attach(port.number, device.hand_over())
        except ConfigError as error:
            self._slow.port_del(port.number)
            raise ConfigError(
                f"could not add network device {device.name} to data path: {error.message}"
            ) from error
        return port

    def port_del(self, number: DpPortNo) -> None:
        self._ports.remove(number)
        self._slow.port_del(number)

    def ports(self) -> list[DpPort]:
        return self._slow.ports()

    def port_stats(self, number: DpPortNo) -> DeviceStats:
        return self._slow.port_stats(number)

    # Flows

    def flow_put(self, key: int, mask: int, actions: DpActions) -> None:
        self.flow_put_many([(key, mask, actions)])

    def flow_put_many(self, flows: Iterable[tuple[int, int, DpActions]]) -> None:
        rows = []
        now_ms = self._clock.now_ms()
        for key, mask, actions in flows:
            self._slow.flow_put(key, mask, actions)
            if reason := fits(mask):
                self._count_reason(reason)
                self._table.delete(key, mask, now_ms)
                continue
            rows.append((key, mask, self._compile(actions)))
        if self._table.put_many(rows, now_ms):
            self._count_reason("no room")

    def _compile(self, actions: DpActions) -> list[bytes]:
        try:
            return compile_actions(actions, self._register)
        except Uncompilable as error:
            self._count_reason(str(error))
            return [slow_record()]

    def _count_reason(self, reason: str) -> None:
        self.reasons[reason] = self.reasons.get(reason, 0) + 1

    def _register(self, action: Userspace) -> int:
        number = self._numbers.get(action)
        if number is None:
            number = self._numbers[action] = len(self._numbers) + 1
            self._userspace[number] = action
        return number

    def flow_get(self, key: int, mask: int) -> Flow | None:
        flow = self._slow.flow_get(key, mask)
        return None if flow is None else self._with_counters(flow)

    def flow_del(self, key: int, mask: int) -> Flow | None:
        counters = self._table.delete(key, mask, self._clock.now_ms())
        flow = self._slow.flow_del(key, mask)
        return flow if flow is None or counters is None else self._add(flow, counters)

    def flow_dump(self) -> Iterator[Flow]:
        return map(self._with_counters, self._slow.flow_dump())

    def flow_flush(self) -> None:
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
        return self._slow.meter_stats(number)

    # Packets

    def execute(
        self, packet: bytes, key: int, actions: DpActions, offload: Offload | None = None
    ) -> None:
        self._slow.execute(packet, key, actions, offload)

    def recv_upcalls(self, limit: int) -> list[Upcall]:
        return self._slow.recv_upcalls(limit)

    def stats(self) -> DpStats:
        self._take_counters()
        stats = self._slow.stats()
        return replace(
            stats,
            hits=stats.hits + self._counted["HITS"],
            lost=stats.lost + self._counted["LOST"],
            masks=max(stats.masks, self._table.n_masks),
        )

    @property
    def slow_packets(self) -> int:
        """Packets of flows that the kernel could not run."""
        self._take_counters()
        return self._counted["SLOW"]

    def run(self, now_ms: int) -> bool:
        is_busy = self._slow.run(now_ms)
        if self._missed and not self._slow.has_upcalls():
            self._retry()
        for ring in _DRAIN_ORDER:
            records = self._rings[ring].drain(RING_BATCH)
            is_busy = is_busy or len(records) == RING_BATCH
            for record in records:
                self._receive(decode_record(record), RINGS.index(ring))
        self._slow.flush()
        self._table.reclaim(now_ms)
        self._take_counters()
        if now_ms >= self._next_sort_ms:
            self._next_sort_ms = now_ms + _SORT_INTERVAL_MS
            self._table.sort_masks()
        return is_busy or bool(self._waiting)

    def _receive(self, received: Received, ring: int) -> None:
        self._ports.consumed(received.port, ring, received.cost)
        packet, key = received.packet, received.key
        if received.kind != UPCALL["USERSPACE"]:
            self._process(packet, key)
        elif received.argument & TO_PORT:
            self._slow.output(received.argument & ~TO_PORT, packet)
        else:
            self._slow.upcall(self._userspace[received.argument], key, packet)

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

    def _take_counters(self) -> None:
        """Bring what the programs counted into the counters of this process."""
        words = self._kernel_counters.view.cast("Q")
        for name, number in COUNTER.items():
            total = sum(words[number : COUNTER_STRIDE * self._n_cpus : COUNTER_STRIDE])
            grown = total - self._counted[name]
            if grown:
                self._counted[name] = total
                if name in _DROPS:
                    self._counters.counter(_DROPS[name]).add(grown)
        words.release()

    def poll_fds(self) -> list[int]:
        return [*(ring.fd for ring in self._rings.values()), *self._slow.poll_fds()]

    def close(self) -> None:
        self._ports.close()
        self._table.close()
        for ring in self._rings.values():
            ring.close()
        self._kernel_counters.close()
        self._loaded.close()
        self._slow.close()
