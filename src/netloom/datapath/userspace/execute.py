"""Running actions on a packet.

`compile_actions` turns a list of actions into a `Program`, once per flow: one step an action, its
arguments worked out. An `Execution` carries one packet through a program: its bytes, the offsets
of its headers, its metadata. What leaves (an output, a packet for `ofproto`) goes to the `Outlet`,
which is the data path. An action that cannot be done is a drop with a counted reason; nothing
raises because of a packet.

A packet stays as it came (`Packet`, shared by all who got it) until the first action that writes;
then it is a bytearray, frozen again when it leaves. What its sender left undone (`offload`) stays
undone: rewriting keeps the partial checksum right and moves its offsets. Only behind a pushed
label, where no device would find the headers, the work is done here (`unfinished`).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from netloom.datapath import actions as dp
from netloom.datapath.bonds import Bonds
from netloom.datapath.drop_reasons import drop_counter
from netloom.datapath.userspace.conntrack.tracker import ConnTracker
from netloom.datapath.userspace.layers import add_mpls, pop_eth, pop_nsh, push_eth, push_nsh
from netloom.datapath.userspace.meters import DROP, PASS, Meters, raise_drop_precedence
from netloom.datapath.userspace.rewrite import compile_set
from netloom.datapath.userspace.track import compile_track
from netloom.datapath.userspace.tunnels import (
    SOURCE_PORTS,
    compile_pop,
    compile_push,
    compile_tell,
)
from netloom.datapath.userspace.unfinished import must_cut, note_segments, segment
from netloom.flow.extract import extract_key
from netloom.flow.fields import SLOT
from netloom.flow.hashes import hash_five_tuple, hash_pair, hash_symmetric_l3l4
from netloom.flow.key import (
    CT_MASK,
    DP_HASH_MASK,
    DP_HASH_SHIFT,
    METADATA_ALL_MASK,
    PACKET_TYPE_MASK,
    PACKET_TYPE_SHIFT,
    RECIRC_ID_MASK,
    RECIRC_ID_SHIFT,
    SKB_PRIORITY_MASK,
    SKB_PRIORITY_SHIFT,
)
from netloom.netdev.device import Packet
from netloom.packet import edit
from netloom.packet.headers import ETH_LEN, ETH_TYPE_TEB
from netloom.packet.marks import put_off
from netloom.packet.offload import NEEDS_CSUM, Offload, finish_offload
from netloom.packet.parse import Headers, parse
from netloom.packet.types import PT_ETHERNET, packet_type_of

if TYPE_CHECKING:
    from netloom.datapath.userspace.dummy_offload import DummyOffload

_NW_TOS: Final = SLOT["nw_tos"]
_DL_TYPE: Final = SLOT["dl_type"]
_NO_RECIRC_ID: Final = ~RECIRC_ID_MASK
_TAGS: Final = (0x8100, 0x88A8)
#: How often one packet may be looked up again. Open vSwitch has 6 too; more is a loop.
MAX_RECIRCULATIONS: Final = 6
#: A tag or a label more than this makes no packet that anyone accepts; it is a loop of pushes.
MAX_FRAME_BYTES: Final = 65_535 + 14 + 8

#: Tags that are read of a packet, unless other_config:vlan-limit says otherwise.
VLAN_LIMIT: Final = 1

DROP_RECIRCULATION: Final = "datapath_drop_recirc_error"
DROP_INVALID: Final = "datapath_drop_rx_invalid_packet"
DROP_EXPLICIT: Final = drop_counter(0)
DROP_METER: Final = "datapath_drop_meter"
DROP_BOND: Final = "datapath_drop_invalid_bond"


class Outlet:
    """Where packets go: the data path that runs the actions."""

    def __init__(self, conntrack: ConnTracker) -> None:
        self.conntrack = conntrack
        self.meters: Meters = Meters()
        self.bonds: Bonds = Bonds()
        #: The hardware of its devices; None: they have none.
        self.hardware: DummyOffload | None = None
        #: Range of the UDP source ports of tunnels.
        self.source_ports: tuple[int, int] = SOURCE_PORTS
        #: Tags that are read of a packet: as many as keys have.
        self.vlan_limit: int = VLAN_LIMIT

    @abstractmethod
    def tunnel_type(self, port: int) -> str | None:
        """The type of the tunnel at a port; None if it is none."""

    @abstractmethod
    def mtu(self, port: int) -> int:
        """The MTU of the device of a port; 0 if there is none."""

    @abstractmethod
    def next_sequence(self, port: int) -> int:
        """The number of the next packet out of a tunnel that counts them, from 0."""

    @abstractmethod
    def now_ms(self) -> int:
        """The time of the packets that are processed."""

    @abstractmethod
    def output(self, port: int, packet: Packet) -> None: ...

    @abstractmethod
    def upcall(self, action: dp.Userspace, key: int, packet: Packet) -> None:
        """Hand a packet to `ofproto`."""

    @abstractmethod
    def recirculate(self, packet: Packet, key: int, depth: int) -> None:
        """Look the packet up again, by its key with the new recirculation id."""

    @abstractmethod
    def device_priority(self, priority: int) -> int:
        """What devices call the priority of a key."""

    @abstractmethod
    def draw(self) -> int:
        """A random number of 32 bits."""

    @abstractmethod
    def drop(self, reason: str) -> None: ...

    @abstractmethod
    def note(self, event: str, n: int = 1) -> None:
        """Count what happened to a packet that goes on."""


#: One action: does it to the execution; True if nothing may follow, or what follows for these.
Step = Callable[["Execution"], "bool | list[Execution] | None"]
Program = tuple[Step, ...]


class Execution:
    """One packet on its way through actions. `key` gives the metadata that is not in its bytes."""

    __slots__ = (
        "_data", "_packet", "cut", "depth", "headers", "is_changed", "key", "offload", "outlet",
    )  # fmt: skip

    def __init__(self, outlet: Outlet, packet: Packet, key: int, depth: int = 0) -> None:
        self.outlet = outlet
        self._packet: Packet | None = packet
        self._data: bytearray | None = None
        #: The packet may be another than `key` was read of, which then gives its metadata only.
        self.is_changed = False
        self.key = key
        self.offload: Offload | None = packet.offload
        self.depth = depth
        self.headers: Headers | None = None
        #: Bytes at its end that the next output leaves out.
        self.cut = 0

    def run(self, program: Program) -> None:
        """Run the whole program; the packet is gone afterwards."""
        if not program:
            self.outlet.drop(DROP_EXPLICIT)
        for at, step in enumerate(program):
            if self.offload is not None and must_cut(step, self, self.offload):
                self._run_segments(program[at + 1 :])
                return
            ends = step(self)
            if ends:
                if ends is not True:
                    _run_together(ends, program[at + 1 :])
                return

    def _run_segments(self, program: Program) -> None:
        packet = self.frozen()
        assert packet.offload is not None
        longest = len(packet.data) - self.cut
        parts = finish_offload(packet.data, packet.offload)
        note_segments(self.outlet, len(parts))
        for data in parts:
            part = Execution(self.outlet, Packet(data), self.key, self.depth)
            part.is_changed = True
            part.cut = max(len(data) - longest, 0)
            part.run(program)

    def copy(self) -> Execution:
        """An independent copy, as it is now; whole."""
        copy = Execution(self.outlet, self.frozen(), self.key, self.depth)
        copy.is_changed = self.is_changed
        return copy

    def frozen(self) -> Packet:
        """The packet as it is now."""
        packet = self._packet
        if packet is None:
            assert self._data is not None
            packet = self._packet = Packet(bytes(self._data), self.offload)
        return packet

    def data(self) -> bytearray:
        """The packet's bytes, to be written."""
        if self._data is None:
            assert self._packet is not None
            self._data = bytearray(self._packet.data)
        self._packet = None
        self.is_changed = True
        return self._data

    def parsed(self) -> Headers:
        """Where the headers are now."""
        if self.headers is None:
            data = self._data if self._packet is None else self._packet.data
            assert data is not None
            headers = parse(data, self.packet_type, self.outlet.vlan_limit)
            if headers.dl_type in _TAGS:
                # Behind tags that were pushed is what was there before, if the key cannot say so.
                whole = parse(data, self.packet_type)
                if whole.dl_type == _DL_TYPE.get(self.key):
                    headers = whole
            self.headers = headers
        return self.headers

    @property
    def packet_type(self) -> int:
        """What the packet starts with."""
        return self.key >> PACKET_TYPE_SHIFT & 0xFFFFFFFF

    def start_with(self, data: bytes, packet_type: int) -> None:
        """Go on with `data`, which starts with a header of that type."""
        self.replace(Packet(data))
        self.key = self.key & ~PACKET_TYPE_MASK | packet_type << PACKET_TYPE_SHIFT

    def current_key(self) -> int:
        """The packet's key as it is now, metadata included."""
        if not self.is_changed:
            return self.key
        return extract_key(
            self.frozen().data, 0, self.key & METADATA_ALL_MASK, self.outlet.vlan_limit
        )

    def replace(self, packet: Packet) -> None:
        """Go on with another packet in place of this one."""
        self._packet, self._data, self.headers = packet, None, None
        self.is_changed = True
        self.offload = packet.offload

    def move_offload(self, by: int) -> None:
        """The headers behind Ethernet's addresses moved."""
        if self.offload is not None and by:
            self.offload = self.offload.moved(by)

    def put_off(self, before: bytes) -> None:
        """After headers of a packet with marks were written, which was `before`."""
        offload = self.offload
        if offload is not None and self._data is not None:
            marks = put_off(before, self._data, self.parsed(), offload.marks)
            self.offload = offload._replace(marks=marks)

    def take_truncated(self) -> Packet:
        """The packet for an output: whole, or cut as `trunc` said."""
        packet = self.frozen()
        if self.cut:
            # A packet that is cut has no use for what its sender left undone.
            data = packet.data
            longest = len(data) - self.cut
            if packet.offload is not None:
                data = finish_offload(data, packet.offload)[0]
            packet = Packet(data[:longest])
            self.cut = 0
        return self.with_priority(packet)

    def with_priority(self, packet: Packet) -> Packet:
        """The packet for the queue that was chosen, if one was."""
        priority = self.key & SKB_PRIORITY_MASK
        if not priority:
            return packet
        priority = self.outlet.device_priority(priority >> SKB_PRIORITY_SHIFT)
        return Packet(packet.data, packet.offload, priority)


def _run_together(executions: list[Execution], program: Program) -> None:
    """Run the rest of a program on packets that go on side by side, action by action."""
    for step in program:
        going_on: list[Execution] = []
        for execution in executions:
            ends = step(execution)
            if not ends:
                going_on.append(execution)
            elif ends is not True:
                going_on += ends
        executions = going_on


def compile_actions(actions: dp.DpActions) -> Program:
    """The program of `actions`."""
    program: list[Step] = []
    ports: list[int] = []
    for at, action in enumerate(actions):
        if isinstance(action, dp.Output):
            ports.append(action.port)
            continue
        if ports:
            program.append(_compile_outputs(ports))
            ports = []
        if isinstance(action, dp.Ct):
            wants_key = any(not isinstance(other, dp.Output) for other in actions[at + 1 :])
            program.append(compile_track(action, wants_key))
        elif isinstance(action, dp.TunnelPush):
            ways = [other.port for other in actions[at + 1 :] if isinstance(other, dp.Output)]
            program.append(_cut)
            if ways:
                program += compile_tell(action, ways[0])
            program += compile_push(action)
        else:
            program += _COMPILERS[type(action)](action)
    if ports:
        program.append(_compile_outputs(ports))
    return tuple(program)


def _cut(execution: Execution) -> None:
    """What `trunc` said, before headers of a tunnel go on."""
    if execution.cut:
        execution.replace(Packet(execution.take_truncated().data))


def _compile_outputs(ports: list[int]) -> Step:
    """The step of outputs in a row; only the first of them is truncated."""
    first, *others = ports

    def output(execution: Execution) -> None:
        outlet = execution.outlet
        outlet.output(first, execution.take_truncated())
        if others:
            packet = execution.with_priority(execution.frozen())
            for port in others:
                outlet.output(port, packet)

    return output


def _compile_userspace(action: dp.Userspace) -> list[Step]:
    def userspace(execution: Execution) -> None:
        key = execution.current_key()
        execution.outlet.upcall(action, key, execution.take_truncated())

    return [userspace]


def _compile_push_vlan(action: dp.PushVlan) -> list[Step]:
    tpid, tci = action.tpid, action.tci

    def push_vlan(execution: Execution) -> bool:
        headers = execution.parsed()
        if headers.end + 4 > MAX_FRAME_BYTES or headers.type_offset < 0:
            execution.outlet.drop(DROP_INVALID)
            return True
        edit.push_vlan(execution.data(), headers, tpid, tci)
        execution.move_offload(4)
        return False

    return [push_vlan]


def _pop_vlan(execution: Execution) -> None:
    headers = execution.parsed()
    if headers.n_vlans:
        edit.pop_vlan(execution.data(), headers)
        execution.move_offload(-4)


def _compile_push_mpls(action: dp.PushMpls) -> list[Step]:
    def push_mpls(execution: Execution) -> None:
        headers = execution.parsed()
        data = execution.data()
        edit.push_mpls(data, headers, action.ethertype, action.lse)
        if execution.packet_type:
            execution.start_with(bytes(data), packet_type_of(action.ethertype))

    return [segment, push_mpls]


def _compile_pop_mpls(action: dp.PopMpls) -> list[Step]:
    behind = PT_ETHERNET if action.ethertype == ETH_TYPE_TEB else packet_type_of(action.ethertype)

    def pop_mpls(execution: Execution) -> None:
        headers = execution.parsed()
        data = execution.data()
        before = len(data)
        edit.pop_mpls(data, headers, action.ethertype)
        if execution.packet_type:
            execution.start_with(bytes(data), behind)
        else:
            execution.move_offload(len(data) - before)

    return [pop_mpls]


def _compile_set(action: dp.Set) -> list[Step]:
    setter = compile_set(action)
    if setter is None:
        mask, value = action.mask, action.value & action.mask

        def set_metadata(execution: Execution) -> None:
            execution.key = execution.key & ~mask | value

        return [set_metadata]

    def set_header(execution: Execution) -> None:
        headers = execution.parsed()
        offload = execution.offload
        if offload is not None and offload.marks:
            before = execution.frozen().data
            setter(execution.data(), headers, None)
            execution.put_off(before)
            return
        unfinished = offload if offload is not None and offload.flags & NEEDS_CSUM else None
        setter(execution.data(), headers, unfinished)

    return [set_header]


def _compile_recirc(action: dp.Recirc) -> list[Step]:
    """A copy is looked up again: what follows is done to the packet as it is here."""
    recirc_id = action.recirc_id << RECIRC_ID_SHIFT

    def recirc(execution: Execution) -> None:
        if execution.depth >= MAX_RECIRCULATIONS:
            execution.outlet.drop(DROP_RECIRCULATION)
            return
        key = execution.current_key() & _NO_RECIRC_ID | recirc_id
        execution.outlet.recirculate(execution.frozen(), key, execution.depth + 1)

    return [recirc]


def hash_packet(key: int, algorithm: str, basis: int) -> int:
    """The dp_hash of a packet: of its connection's addresses, protocol and ports; the same in both
    directions for "sym_l4"."""
    if algorithm == "sym_l4":
        return hash_symmetric_l3l4(key, basis) or 1
    # Of the hash that a received packet is spread over queues by.
    return hash_pair(hash_five_tuple(key, 0), basis) or 1


def _compile_hash(action: dp.Hash) -> list[Step]:
    def set_hash(execution: Execution) -> None:
        value = hash_packet(execution.current_key(), action.algorithm, action.basis)
        execution.key = execution.key & ~DP_HASH_MASK | value << DP_HASH_SHIFT

    return [set_hash]


def _compile_lb_output(action: dp.LbOutput) -> list[Step]:
    bond = action.bond

    def lb_output(execution: Execution) -> None:
        outlet = execution.outlet
        packet = execution.take_truncated()
        hash_ = hash_five_tuple(execution.current_key(), 0)
        port = outlet.bonds.choose(bond, hash_, len(packet.data))
        if port is None:
            outlet.drop(DROP_BOND)
        else:
            outlet.output(port, packet)

    return [lb_output]


def _compile_trunc(action: dp.Trunc) -> list[Step]:
    longest = max(action.max_len, ETH_LEN)

    def trunc(execution: Execution) -> None:
        execution.cut = max(len(execution.frozen().data) - longest, 0)

    return [trunc]


def _compile_clone(action: dp.Clone) -> list[Step]:
    program = compile_actions(action.actions)

    def clone(execution: Execution) -> None:
        copy = execution.copy()
        # It is the copy that is cut.
        copy.cut, execution.cut = execution.cut, 0
        copy.run(program)

    return [clone]


def _compile_sample(action: dp.Sample) -> list[Step]:
    program, probability = compile_actions(action.actions), action.probability

    def sample(execution: Execution) -> None:
        if execution.outlet.draw() < probability:
            execution.copy().run(program)

    return [sample]


def _compile_check_pkt_len(action: dp.CheckPktLen) -> list[Step]:
    greater, less = compile_actions(action.if_greater), compile_actions(action.if_less)

    def check_pkt_len(execution: Execution) -> None:
        offload = execution.offload
        length = len(execution.frozen().data) - execution.cut
        if offload is not None and offload.gso_size:
            # What matters is how long the segments will be.
            length = min(length, offload.hdr_len + offload.gso_size)
        execution.copy().run(greater if length > action.max_len else less)

    return [check_pkt_len]


def _ct_clear(execution: Execution) -> None:
    execution.key &= ~CT_MASK


def _compile_drop(action: dp.DropReason) -> list[Step]:
    counter = drop_counter(action.reason)

    def drop(execution: Execution) -> bool:
        execution.outlet.drop(counter)
        return True

    return [drop]


def _compile_meter(action: dp.Meter) -> list[Step]:
    number = action.meter_id

    def meter(execution: Execution) -> bool:
        outlet = execution.outlet
        packet = execution.frozen()
        verdict = outlet.meters.judge(number, len(packet.data), outlet.now_ms())
        if verdict == DROP:
            outlet.drop(DROP_METER)
            return True
        if verdict != PASS:
            _remark(execution, verdict)
        return False

    return [meter]


def _remark(execution: Execution, levels: int) -> None:
    """Raise the drop precedence of an IP packet."""
    key = execution.current_key()
    tos = raise_drop_precedence(_NW_TOS.get(key), levels)
    headers = execution.parsed()
    before = execution.frozen().data
    if _DL_TYPE.get(key) == 0x0800:
        edit.set_ipv4(execution.data(), headers, tos=tos)
    elif _DL_TYPE.get(key) == 0x86DD:
        edit.set_ipv6(execution.data(), headers, tclass=tos)
    execution.put_off(before)


_COMPILERS: dict[type[dp.DpAction], Callable[[Any], list[Step]]] = {
    dp.Userspace: _compile_userspace,
    dp.Set: _compile_set,
    dp.PushVlan: _compile_push_vlan,
    dp.PopVlan: lambda action: [_pop_vlan],
    dp.PushMpls: _compile_push_mpls,
    dp.PopMpls: _compile_pop_mpls,
    dp.Recirc: _compile_recirc,
    dp.Hash: _compile_hash,
    dp.LbOutput: _compile_lb_output,
    dp.Trunc: _compile_trunc,
    dp.Clone: _compile_clone,
    dp.Sample: _compile_sample,
    # Nobody but the kernel sends on psample's channel (`ofproto.features`).
    dp.Psample: lambda action: [],
    dp.Meter: _compile_meter,
    # Only programs in the kernel switch by themselves.
    dp.Normal: lambda action: _compile_userspace(dp.Userspace("slow_path")),
    dp.CheckPktLen: _compile_check_pkt_len,
    dp.CtClear: lambda action: [_ct_clear],
    dp.DropReason: _compile_drop,
    dp.PushEth: lambda action: [segment, *push_eth(action)],
    dp.PopEth: lambda action: [segment, pop_eth],
    dp.PushNsh: lambda action: [segment, *push_nsh(action)],
    dp.PopNsh: lambda action: [segment, pop_nsh],
    dp.AddMpls: lambda action: [segment, *add_mpls(action)],
    dp.TunnelPop: compile_pop,
}
