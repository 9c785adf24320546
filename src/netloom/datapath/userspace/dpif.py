"""A data path in Python: `dpif.Dpif` over any devices.

`run` takes turns at the ports, a batch of packets from each. Packets that leave are collected by
port and sent when the batch is done, so that a device gets them together and in order. Asking an
idle device costs up to two microseconds, and a switch may have hundreds: once somebody says which
descriptors are readable (`note_readable`), only these ports are asked, those that had packets in
the last round, and devices without descriptors. Until then all are, or, while some are busy, the
others in every eighth round.

Port numbers are the lowest that are free, from 1; in a dummy, whose users type the numbers, ports
get the number that their name holds (100 more for a bridge's own port, `br0`), as in Open vSwitch.
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from netloom.base.clock import Clock
from netloom.base.counters import Counters
from netloom.base.errors import ConfigError
from netloom.base.log import DBG, get_logger
from netloom.base.record import replace
from netloom.datapath.actions import DpActions, Output, Userspace
from netloom.datapath.dpif import (
    DpPort,
    DpPortNo,
    DpStats,
    Flow,
    FlowStats,
    Upcall,
    UplinkPorts,
)
from netloom.datapath.drop_reasons import PIPELINE_DROPS
from netloom.datapath.meters import DpMeter, DpMeterFeatures, DpMeterStats
from netloom.datapath.offload import OffloadPolicy
from netloom.datapath.polling import Polling
from netloom.datapath.switching import Switching
from netloom.datapath.userspace.cache import CachedFlow, FlowCache
from netloom.datapath.userspace.conntrack.tracker import ConnTracker
from netloom.datapath.userspace.dummy_offload import dummy_offload
from netloom.datapath.userspace.execute import (
    DROP_BOND,
    DROP_INVALID,
    DROP_METER,
    DROP_RECIRCULATION,
    Execution,
    Outlet,
    Program,
    compile_actions,
)
from netloom.datapath.userspace.flow_log import log_flow, log_upcall
from netloom.datapath.userspace.malformed import find_fault
from netloom.datapath.userspace.meters import FEATURES as METER_FEATURES
from netloom.datapath.userspace.policer import Policer
from netloom.datapath.userspace.port_numbers import free_number
from netloom.datapath.userspace.tunnels import (
    DROP_POP,
    DROP_PUSH,
    DROP_TUNNEL_PORT,
)
from netloom.datapath.userspace.unfinished import GROWN
from netloom.flow.extract import extract_key
from netloom.flow.key import NW_PROTO_SHIFT, PACKET_TYPE_MASK, TCP_FLAGS_SHIFT
from netloom.netdev.device import BATCH_PACKETS, Device, DeviceStats, Packet, n_growths
from netloom.netdev.dummy import DummyDevice
from netloom.netdev.errors import cannot_add
from netloom.netdev.qos import FREE, MAX_QUEUES, Policing, queue_priority
from netloom.netdev.tunnel import TunnelPort
from netloom.packet.offload import Offload

log: Final = get_logger("dpif_netdev")

#: Every which round looks at all ports, also while some are busy.
FULL_ROUND: Final = 8
#: Packets that may wait for `ofproto`. One that does not fit is lost and counted, as in a kernel.
UPCALL_QUEUE_PACKETS = 4_096
#: Actions whose programs are kept by identity: those of the last misses.
MAX_PROGRAMS: Final = 1_024
ETH_LEN: Final = 14

#: More packets waited for a port than are one batch.
QUEUE_GROWN: Final = "dpif_netdev_output_grow_queues"
DROP_UPCALL: Final = "datapath_drop_upcall_error"
DROP_ACTION: Final = "datapath_drop_userspace_action_error"
DROP_PORT: Final = "datapath_drop_invalid_port"
#: All that this data path counts, listed from the start (`coverage/read-counter`).
DROP_REASONS: Final = (
    *(counter for _, counter in PIPELINE_DROPS), DROP_ACTION, DROP_BOND, DROP_INVALID, DROP_METER,
    DROP_POP, DROP_PORT, DROP_PUSH, DROP_RECIRCULATION, DROP_TUNNEL_PORT, DROP_UPCALL,
)  # fmt: skip
_TCP: Final = 6
_NW_PROTO: Final = 0xFF << NW_PROTO_SHIFT
#: From nw_proto on, a key's bits up to and including tcp_flags.
_FLAGS_BIT: Final = TCP_FLAGS_SHIFT - NW_PROTO_SHIFT
_PROTO_TO_FLAGS: Final = (1 << _FLAGS_BIT + 12) - 1


class ThreadStats(NamedTuple):
    """What the thread has done: `passes` are lookups, `received` packets; `sent` packets left in
    `batches`."""

    received: int
    passes: int
    exact_hits: int
    megaflow_hits: int
    subtable_lookups: int
    misses: int
    lost: int
    sent: int
    batches: int
    #: Packets whose flow their device told.
    recognised: int


class UserspaceDpif(Outlet):
    """See the module. `name` may be given with or without its type (`system@ovs-system`)."""

    dump_heading = "flow-dump from the main thread:\n"
    in_kernel = False
    pushes_tunnels = True
    has_strangers = True
    switching: Switching | None = None

    def __init__(
        self, type_: str, name: str, clock: Clock, counters: Counters,
        policy: OffloadPolicy | None = None,
    ) -> None:  # fmt: skip
        super().__init__(ConnTracker(counters, self.draw))
        self.hardware = dummy_offload(type_, policy)
        #: Not a default of the class: compiled, such a one is not there.
        self.uplinks: UplinkPorts | None = None
        self.polling: Polling | None = None
        self.type = type_
        self.name = name
        #: A data path for tests, or one of those that take the place of this type.
        self.is_dummy = type_ == "dummy"
        self._clock = clock
        self._counters = counters
        for reason in DROP_REASONS:
            counters.counter(reason)
        self._ports: dict[int, tuple[DpPort, Device]] = {}
        self._flows = FlowCache()
        self._upcalls: deque[Upcall] = deque()
        self._outbox: dict[int, list[Packet]] = {}
        #: Flows that have carried packets since `take_used`.
        self._used: list[CachedFlow] = []
        #: By the identity of actions: these, their program, their outputs.
        self._programs: dict[int, tuple[DpActions, Program, tuple[int, ...] | None]] = {}
        self._hits = 0
        self._misses = 0
        self._lost = 0
        self._recirculated = 0
        self._sent = 0
        self._batches = 0
        #: Batches of packets that came in, and packets that were executed without a miss.
        self._bursts = 0
        self._executed = 0
        self._cleared = ThreadStats(*(0,) * len(ThreadStats._fields))
        self._now_ms = clock.now_ms()
        self._random = 1
        self._sequences: dict[int, int] = {}
        #: Ports at which not everything may come in.
        self._policers: dict[int, Policer] = {}
        #: Are priorities of keys those of devices, or numbers of queues?
        self.has_device_priorities = False
        self._round = 0
        #: Ports that had packets in the last round.
        self._busy: list[int] = []
        #: Descriptors -> ports, as of the last `poll_fds`; ports whose descriptors are readable.
        self._fds: dict[int, int] = {}
        self._readable: set[int] = set()
        #: Somebody says which are.
        self._is_told = False
        #: Ports whose devices have no descriptor.
        self._polled: list[int] = []
        self._counted = [
            counters.counter(name).follow(read)
            for name, read in (
                ("netdev_received", lambda: self._bursts),
                ("netdev_sent", lambda: self._batches),
                ("dpif_execute", lambda: self._executed),
            )
        ]

    def kernel_features(self) -> tuple[tuple[str, bool], ...]:
        return ()

    # Ports

    def port_add(self, device: Device, number: DpPortNo | None = None) -> DpPort:
        if any(port.name == device.name for port, _ in self._ports.values()):
            raise ConfigError(f"could not add network device {device.name} (File exists)")
        if device.state().is_loopback:
            log.err("%s: cannot add a loopback device", device.name)
            raise cannot_add(self.name, device.name, errno.EINVAL)
        if number is None or number in self._ports:
            number = DpPortNo(free_number(device.name, self._ports, by_name=self.is_dummy))
        options = device.options if isinstance(device, TunnelPort) else {}
        port = DpPort(number, device.name, device.type, tuple(options.items()))
        self._ports[number] = (port, device)
        if self.hardware is not None:
            self.hardware.add_port(device, number)
        return port

    def port_del(self, number: DpPortNo) -> None:
        self._ports.pop(number, None)
        self._sequences.pop(number, None)
        self._policers.pop(number, None)
        if self.hardware is not None:
            self.hardware.remove_port(number)

    def ports(self) -> list[DpPort]:
        rows = sorted(self._ports.values(), key=lambda row: row[0].number)
        return [_with_wire(port, device) for port, device in rows]

    def port_stats(self, number: DpPortNo) -> DeviceStats:
        found = self._ports.get(number)
        return found[1].stats() if found else DeviceStats()

    # Quality of service

    def queue_priority(self, queue: int) -> int | None:
        return queue

    def device_priority(self, priority: int) -> int:
        if self.has_device_priorities:
            return priority
        return queue_priority(priority) if 0 < priority < MAX_QUEUES else 0

    def set_policing(self, number: DpPortNo, policing: Policing) -> None:
        if not (policing.kbps or policing.kpps):
            policing = FREE
        before = self._policers.get(number)
        if policing == (FREE if before is None else before.policing):
            return
        self._policers[number] = policer = Policer(policing, self._clock.now_ms())
        policer.dropped = 0 if before is None else before.dropped

    def n_policed(self, number: DpPortNo) -> int:
        policer = self._policers.get(number)
        return 0 if policer is None else policer.dropped

    # Flows

    def flow_put(self, key: int, mask: int, actions: DpActions) -> None:
        if log.threshold >= DBG:
            before = self._flows.find(key, mask)
            old_actions = None if before is None else before.actions
            log_flow(log, key, mask, actions, old_actions, self.vlan_limit)
        flow = self._flows.find_or_add(key, mask)
        flow.actions = actions
        flow.program, flow.outputs = self._compiled(actions)
        if self.hardware is not None:
            self.hardware.put(flow)

    def flow_del(self, key: int, mask: int) -> Flow | None:
        flow = self._flows.find(key, mask)
        if flow is None:
            return None
        self._flows.remove(flow)
        described = _describe(flow)
        if self.hardware is not None:
            self.hardware.remove(flow)
        return described

    def flow_get(self, key: int, mask: int) -> Flow | None:
        flow = self._flows.find(key, mask)
        return _describe(flow) if flow is not None else None

    def find_flow(self, key: int, mask: int) -> CachedFlow | None:
        """The flow with this key and mask itself."""
        return self._flows.find(key, mask)

    def flow_dump(self) -> Iterator[Flow]:
        return map(_describe, self._flows.flows())

    def flow_flush(self) -> None:
        for flow in self._flows.flows() if self.hardware is not None else ():
            self.flow_del(flow.key, flow.mask)
        self._flows.clear()

    def take_used(self) -> tuple[list[CachedFlow], int]:
        used, self._used = self._used, []
        for flow in used:
            flow.is_noted = False
        return [flow for flow in used if not flow.is_gone], self._flows.changes

    @property
    def n_changes(self) -> int:
        """How many flows were added and removed so far."""
        return self._flows.changes

    def earlier_recirc_ids(self) -> frozenset[int]:
        return frozenset()

    def earlier_next_hops(self) -> Sequence[tuple[int, int]]:
        return ()

    def stats(self) -> DpStats:
        hits = self._hits - (self.hardware.n_carried if self.hardware is not None else 0)
        return DpStats(hits, self._misses, self._lost, len(self._flows), self._flows.n_masks)

    def _thread_totals(self) -> ThreadStats:
        hardware, flows = self.hardware, self._flows
        recognised, carried = (hardware.n_recognised, hardware.n_carried) if hardware else (0, 0)
        hits = self._hits - carried
        passes = hits + self._misses
        return ThreadStats(
            passes - self._recirculated, passes, hits - recognised - flows.group_hits,
            flows.group_hits, flows.groups_asked, self._misses - self._lost, self._lost, self._sent,
            self._batches, recognised,
        )  # fmt: skip

    def thread_stats(self) -> ThreadStats:
        """What was done since `clear_thread_stats`."""
        totals = self._thread_totals()
        return ThreadStats(*(now - then for now, then in zip(totals, self._cleared, strict=True)))

    def clear_thread_stats(self) -> None:
        self._cleared = self._thread_totals()

    # Meters

    def meter_features(self) -> DpMeterFeatures:
        return METER_FEATURES

    def meter_set(self, number: int, config: DpMeter) -> None:
        self.meters.set(number, config, self._clock.now_ms())

    def meter_del(self, number: int) -> DpMeterStats | None:
        return self.meters.remove(number)

    def meter_stats(self, number: int) -> DpMeterStats | None:
        meter = self.meters.get(number)
        return None if meter is None else meter.stats()

    # Packets

    def execute(
        self,
        packet: bytes,
        key: int,
        actions: DpActions,
        offload: Offload | None = None,
        from_upcall: bool = False,
    ) -> None:
        program, outputs = self._compiled(actions)
        if outputs is None:
            if not from_upcall:
                # An upcall is of the packets of this moment.
                self._now_ms = self._clock.now_ms()
            execution = Execution(self, Packet(packet, offload), key)
            execution.is_changed = not from_upcall
            execution.run(program)
        else:
            whole = Packet(packet, offload)
            for port in outputs:
                self.output(port, whole)
        if not from_upcall:
            self._executed += 1
            self.flush()

    def _compiled(self, actions: DpActions) -> tuple[Program, tuple[int, ...] | None]:
        """The program of `actions`, and their ports if they do nothing but output."""
        known = self._programs.get(id(actions))
        if known is not None and known[0] is actions:
            return known[1], known[2]
        program, outputs = compile_actions(actions), _only_outputs(actions)
        if len(self._programs) >= MAX_PROGRAMS:
            self._programs.clear()
        # The actions are kept, too, so that nothing else gets their id.
        self._programs[id(actions)] = (actions, program, outputs)
        return program, outputs

    def recv_upcalls(self, limit: int) -> list[Upcall]:
        waiting = self._upcalls
        return [waiting.popleft() for _ in range(min(limit, len(waiting)))]

    def run(self, now_ms: int) -> bool:
        self._now_ms = now_ms
        self.conntrack.expire(now_ms)
        if self._is_told:
            self._busy = self._run_ports(self._told_ports())
            return bool(self._busy)
        self._round += 1
        if self._busy and self._round % FULL_ROUND:
            self._busy = self._run_ports(self._busy)
            if self._busy:
                return True
        self._busy = self._run_ports(list(self._ports))
        return bool(self._busy)

    def _told_ports(self) -> Iterable[int]:
        """The ports that may have packets, as somebody says."""
        readable = self._readable
        if not readable:
            return [*self._busy, *self._polled] if self._polled else self._busy
        readable.update(self._busy, self._polled)
        self._readable = set()
        return readable

    def _run_ports(self, numbers: Iterable[int]) -> list[int]:
        """Take a batch from each of these ports; returns those that had packets."""
        busy = []
        for number in numbers:
            found = self._ports.get(number)
            packets = found[1].receive(BATCH_PACKETS) if found is not None else []
            if packets:
                busy.append(number)
                self._bursts += 1
                if number in self._policers:
                    packets = self._policers[number].admit(packets, self._now_ms)
                for packet in packets:
                    self._receive(packet, number)
                if self._outbox:
                    self.flush()
        return busy

    def poll_fds(self) -> list[int]:
        self._fds = {}
        self._polled = []
        for number, (_, device) in self._ports.items():
            fd = device.fileno()
            if fd is None:
                self._polled.append(number)
            else:
                self._fds[fd] = number
        return list(self._fds)

    def note_readable(self, fd: int) -> None:
        self._is_told = True
        number = self._fds.get(fd)
        if number is not None:
            self._readable.add(number)

    def close(self) -> None:
        for leave in self._counted:
            leave()
        self._ports.clear()
        self._flows.clear()
        self._upcalls.clear()

    def _receive(self, packet: Packet, in_port: int) -> None:
        if len(packet.data) < ETH_LEN:
            self.drop(DROP_INVALID)
            return
        key = extract_key(packet.data, in_port, 0, self.vlan_limit)
        flow = self.hardware.look_at(in_port, key) if self.hardware is not None else None
        self._process(packet, key, 0, flow)

    def take(self, packet: Packet, key: int) -> bool:
        """Process a packet that came in elsewhere, by its key; what leaves waits for `flush`. False
        if no flow matches: it is an upcall then."""
        return self._process(packet, key, 0)

    def has_upcalls(self) -> bool:
        """Whether packets wait for `recv_upcalls`."""
        return bool(self._upcalls)

    def _process(
        self, packet: Packet, key: int, depth: int, known: CachedFlow | None = None
    ) -> bool:
        """Run the actions of a packet's flow, which is `known` if its device told it."""
        flow = self._flows.lookup(key) if known is None else known
        if flow is None:
            self._misses += 1
            if not (depth or key & _NW_PROTO):
                self._note_fault(packet)
            self._enqueue(Upcall("miss", key, packet.data, (), packet.offload), DROP_UPCALL)
            return False
        self._hits += 1
        flow.packets += 1
        flow.bytes += len(packet.data)
        flow.used_ms = self._now_ms
        if not flow.is_noted:
            flow.is_noted = True
            self._used.append(flow)
        bits = key >> NW_PROTO_SHIFT & _PROTO_TO_FLAGS
        proto = bits & 0xFF
        if proto == _TCP:
            flow.tcp_flags |= bits >> _FLAGS_BIT
        elif not (proto or depth):
            self._note_fault(packet)
        outputs = flow.outputs
        if outputs is None:
            Execution(self, packet, key, depth).run(flow.program)
            return True
        outbox = self._outbox
        for port in outputs:
            if port in outbox:
                outbox[port].append(packet)
            else:
                outbox[port] = [packet]
        return True

    def _note_fault(self, packet: Packet) -> None:
        """Count a packet of no protocol if that is because its IP header is broken."""
        fault = find_fault(packet.data, self.vlan_limit)
        if fault:
            self._counters.counter(fault).add()

    def _enqueue(self, upcall: Upcall, lost: str) -> None:
        if log.threshold >= DBG:
            log_upcall(log, self.name, upcall, self.vlan_limit)
        if len(self._upcalls) >= UPCALL_QUEUE_PACKETS:
            self._lost += 1
            self.drop(lost)
            return
        self._upcalls.append(upcall)

    def has_output(self) -> bool:
        """Whether packets wait for `flush`."""
        return bool(self._outbox)

    def flush(self) -> None:
        """Send what was collected."""
        outbox, self._outbox = self._outbox, {}
        for number, packets in outbox.items():
            self._sent += len(packets)
            self._batches += 1
            if len(packets) > BATCH_PACKETS:
                self.note(QUEUE_GROWN, n_growths(len(packets)))
                self.note(GROWN, n_growths(len(packets)))
            found = self._ports.get(number)
            if found is None or isinstance(found[1], TunnelPort):
                self._counters.counter(DROP_PORT).add(len(packets))
            else:
                found[1].send(packets)

    # Outlet of executions

    def output(self, port: int, packet: Packet) -> None:
        self._outbox.setdefault(port, []).append(packet)

    def upcall(self, action: Userspace, key: int, packet: Packet) -> None:
        upcall = Upcall(action.kind, key, packet.data, action.cookie, packet.offload)
        self._enqueue(upcall, DROP_ACTION)

    def tunnel_type(self, port: int) -> str | None:
        found = self._ports.get(port)
        return found[0].type if found is not None and isinstance(found[1], TunnelPort) else None

    def mtu(self, port: int) -> int:
        found = self._ports.get(port)
        return found[1].state().mtu if found is not None else 0

    def next_sequence(self, port: int) -> int:
        number = self._sequences.get(port, 0)
        self._sequences[port] = number + 1
        return number

    def recirculate(self, packet: Packet, key: int, depth: int) -> None:
        self._recirculated += 1
        if len(packet.data) < ETH_LEN and not key & PACKET_TYPE_MASK:
            self.drop(DROP_INVALID)
            return
        self._process(packet, key, depth)

    def now_ms(self) -> int:
        return self._now_ms

    def draw(self) -> int:
        # A linear congruential generator: samples need no better, and tests want the same again.
        self._random = self._random * 1_664_525 + 1_013_904_223 & 0xFFFFFFFF
        return self._random

    def drop(self, reason: str) -> None:
        self._counters.counter(reason).add()

    def note(self, event: str, n: int = 1) -> None:
        self._counters.counter(event).add(n)


def _only_outputs(actions: DpActions) -> tuple[int, ...] | None:
    """The ports that the actions output to if they do nothing else (and at least that)."""
    outputs = tuple([action.port for action in actions if isinstance(action, Output)])
    return outputs if outputs and len(outputs) == len(actions) else None


def _describe(flow: CachedFlow) -> Flow:
    stats = FlowStats(flow.packets, flow.bytes, flow.used_ms, flow.tcp_flags)
    hardware = flow.hardware
    if hardware is None:
        return Flow(flow.key, flow.mask, flow.actions, stats)
    layer = "dummy" if hardware.is_whole else "ovs"
    return Flow(flow.key, flow.mask, flow.actions, stats, layer, True)


def _with_wire(port: DpPort, device: Device) -> DpPort:
    """A dummy's port shows where its wire goes now."""
    wire = device.options if isinstance(device, DummyDevice) else {}
    return replace(port, options=tuple(wire.items())) if wire else port
