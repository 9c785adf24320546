"""Packets that the kernel sends for us, many by one system call.

Most misses end the same way: a packet goes to some ports as it came, and perhaps opens a connection
first. By themselves that is a system call for the connection and one for each port. Here such
packets gather in memory that is shared with the programs, and one run of `nl_deliver`
(`bpf/outbox.h`) adds the connections and sends the packets, in their order.

What must hold: whoever executes a packet otherwise has those that wait here sent first
(`deliver`), so that packets leave in the order in which they were executed, and a connection is in
the table before anybody looks for it. What the programs could not do (a port that is no device, a
tuple that another connection has, a packet too long for a device) is done again by `redo`, which
counts and tells of it as ever.

Limits: packets of IP and ARP of up to `PARCEL_BYTES`, for up to `PARCEL_PORTS` ports, whose senders
left nothing undone.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct

from netloom.datapath.actions import Ct, DpActions, Output
from netloom.datapath.ebpf.connections import KernelTracker
from netloom.datapath.ebpf.loader import Loaded
from netloom.datapath.ebpf.maps import SharedArray
from netloom.datapath.ebpf.spec import (
    CONNECTION,
    MAPS,
    PARCEL,
    PARCEL_BYTES,
    PARCEL_PORTS,
    PARCELS,
)
from netloom.datapath.ebpf.syscall import Runner
from netloom.datapath.userspace.conntrack.plan import CtPlan
from netloom.flow.key import PACKET_TYPE_MASK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_SPECS: Final = {spec.name: spec for spec in MAPS}
_AT: Final = PARCEL.offsets
_HEAD: Final = Struct(f"<{4 + PARCEL_PORTS + 2}I")
_COUNT: Final = Struct("<II")
assert _HEAD.size == _AT["count"]
_read_word: Final = Struct("<I").unpack_from
_NO_CONNECTION: Final = bytes(CONNECTION.size)
#: The kernel's own idea of what is in a packet is that of the first: they go out by types.
_TYPES: Final = frozenset({b"\x08\x00", b"\x86\xdd", b"\x08\x06"})
_TYPE_AT: Final = 12
#: What a run begins with; each packet takes its place.
_FRAME_BYTES: Final = 60
#: Lists of actions that are remembered.
_MAX_KNOWN: Final = 1_024
#: Does to a packet (packet, key, actions) what the programs did not; `failed` as in PARCEL.
Redo = Callable[[bytes, int, DpActions, int], None]


class Errand:
    """What actions amount to: the connection that they open, if they do, and the head of parcels;
    no head if that is not all."""

    __slots__ = ("actions", "ct", "head")

    def __init__(self, actions: DpActions) -> None:
        # Kept so that nothing else gets their id.
        self.actions = actions
        self.ct: CtPlan | None = None
        self.head = b""
        rest = actions
        if rest and isinstance(first := rest[0], Ct) and first.commit:
            plan = CtPlan(first)
            if plan.is_plain:
                self.ct, rest = plan, rest[1:]
        ports = [action.port for action in rest if isinstance(action, Output)]
        if ports and len(ports) == len(rest) and len(ports) <= PARCEL_PORTS:
            zone, opens = (0, 0) if self.ct is None else (self.ct.zone, 1)
            unused = [0] * (PARCEL_PORTS - len(ports))
            self.head = _HEAD.pack(0, 0, 0, len(ports), *ports, *unused, zone, opens)


class Outbox:
    """See the module."""

    def __init__(self, loaded: Loaded, tracker: KernelTracker, redo: Redo) -> None:
        self._parcels = SharedArray(loaded.maps["outbox"], _SPECS["outbox"])
        self._program = Runner(loaded.programs["nl_deliver"], _FRAME_BYTES)
        self._tracker = tracker
        self._redo = redo
        self._known: dict[int, Errand] = {}
        self._waiting: list[tuple[bytes, int, DpActions]] = []
        #: Of all that wait; how many of these open connections, and how many may.
        self._type = b""
        self._n_opening = self._n_admitted = 0

    def take(self, packet: bytes, key: int, actions: DpActions) -> bool:
        """Have `actions` done to a whole packet, by `deliver` at the latest; False if they cannot
        be done here."""
        errand = self._known.get(id(actions))
        if errand is None or errand.actions is not actions:
            errand = self._learn(actions)
        head, ct = errand.head, errand.ct
        if not head or len(packet) > PARCEL_BYTES or key & PACKET_TYPE_MASK:
            return False
        type_ = packet[_TYPE_AT : _TYPE_AT + 2]
        if type_ != self._type:
            if type_ not in _TYPES:
                return False
            self.deliver()
            self._type = type_
        connection = _NO_CONNECTION
        if ct is not None:
            if not self._n_opening:
                self._n_admitted = self._tracker.n_admitted()
            if self._n_opening >= self._n_admitted:
                return False
            opening = self._tracker.opening(packet, key, ct, 0)
            if opening is None:
                return False
            connection = opening[0]
            self._n_opening += 1
        waiting = self._waiting
        start = len(waiting) * self._parcels.stride
        data = b"".join((head, _COUNT.pack(0, len(packet)), connection, packet))
        self._parcels.view[start : start + len(data)] = data
        waiting.append((packet, key, actions))
        if len(waiting) == PARCELS:
            self.deliver()
        return True

    def _learn(self, actions: DpActions) -> Errand:
        if len(self._known) >= _MAX_KNOWN:
            self._known.clear()
        errand = self._known[id(actions)] = Errand(actions)
        return errand

    def deliver(self) -> None:
        """Send what waits."""
        if self._waiting:
            self._deliver()

    def _deliver(self) -> None:
        sent, self._waiting = self._waiting, []
        self._n_opening = 0
        view, stride = self._parcels.view, self._parcels.stride
        _COUNT.pack_into(view, _AT["count"], len(sent), len(sent[0][0]))
        frame = sent[0][0][:_FRAME_BYTES]
        self._program.run(frame.ljust(_FRAME_BYTES, b"\0"), len(sent))
        if _read_word(view, _AT["n_failed"])[0]:
            failed = [
                _read_word(view, number * stride + _AT["failed"])[0] for number in range(len(sent))
            ]
            for (packet, key, actions), ports in zip(sent, failed, strict=True):
                if ports:
                    self._redo(packet, key, actions, ports)

    def close(self) -> None:
        self._parcels.close()
