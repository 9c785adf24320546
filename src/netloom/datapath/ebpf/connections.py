"""Connection tracking of the kernel data path: Python's tracker over the programs' table.

The table of connections is in the kernel (`bpf/ct_table.h`): the programs commit, judge, translate
and remove connections by themselves. Python has no table of its own: it looks there for what a
packet that came up belongs to, judges it as the tracker does, and has `nl_track` (a program that is
run for the purpose) write what came of it. So both change the table by the same atomic steps, and
a connection that only one of them saw is there for the other.

Python alone knows what helpers need (`_kept`), and holds connections for which the kernel has no
place; while there are any, or connections that a helper expects, the programs leave all packets
that no entry is found for to Python (CT_COMPLETE is off).

The table outlives the daemon; the next one finds it there.

Cost: a packet that comes up and opens a connection takes one system call here, others three, some
15 us; a sweep 10 ns a place.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Iterator
from struct import Struct

from netloom.base.counters import Counters
from netloom.datapath.actions import Ct
from netloom.datapath.ebpf.entries import (
    ALIVE,
    Entry,
    Opening,
    decode_connection,
    encode_connection,
    encode_tuple,
    is_simple,
)
from netloom.datapath.ebpf.loader import Loaded
from netloom.datapath.ebpf.maps import HashMap, SharedArray
from netloom.datapath.ebpf.policies import Policies
from netloom.datapath.ebpf.spec import (
    ALL_ZONES,
    CONFIG,
    CONNECTION,
    CT_CHECKS_SEQUENCE,
    CT_COMPLETE,
    ENTRY,
    MAPS,
    MAX_CONNECTIONS,
    REQUEST,
    REQUEST_KIND,
    SWEPT_AT_ONCE,
    TRACKER,
)
from netloom.datapath.ebpf.syscall import Runner
from netloom.datapath.ebpf.zones import KernelLimits
from netloom.datapath.userspace.conntrack.connection import TIMEOUTS_S, Connection
from netloom.datapath.userspace.conntrack.fragments import NO_MAX_FRAME, NO_MIN_SIZES
from netloom.datapath.userspace.conntrack.plain import PlainTuple, read_plain
from netloom.datapath.userspace.conntrack.plan import CtPlan
from netloom.datapath.userspace.conntrack.tcp import may_open, read_segment
from netloom.datapath.userspace.conntrack.tracker import (
    NEW_TRK,
    PLAIN_L4,
    ConnTracker,
    Tracked,
    Verdict,
    Work,
    state_in_zone,
)
from netloom.datapath.userspace.conntrack.tuples import Tuple, plain_bits
from netloom.flow.key import (
    CT_LABEL_SHIFT,
    CT_MARK_SHIFT,
    CT_MASK,
    CT_STATE_SHIFT,
    CT_ZONE_SHIFT,
    PACKET_TYPE_MASK,
)
from netloom.packet.headers import IPPROTO_TCP
from netloom.packet.parse import Headers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_SPECS: Final = {spec.name: spec for spec in MAPS}
_AT: Final = TRACKER.offsets
#: Of the tracker: connections, how many there may be, how many of a zone.
_LIMITS: Final = Struct("<III")
assert _AT["default_limit"] == _AT["n_connections"] + 8
#: Where there are fewer free places than this, expired connections are looked for every second.
FEW_PLACES: Final = MAX_CONNECTIONS // 4
_HURRY_MS: Final = 1_000
#: Actions for which what they open is kept.
_MAX_OPENINGS: Final = 1_024
_NO_CONNECTION: Final = bytes(CONNECTION.size)


class KernelTracker(ConnTracker):
    """See the module."""

    def __init__(
        self, loaded: Loaded, counters: Counters, draw: Callable[[], int], now_ms: int
    ) -> None:
        self._tracker = SharedArray(loaded.maps["tracker"], _SPECS["tracker"])
        super().__init__(counters, draw)
        self.fragments.min_sizes = dict(NO_MIN_SIZES)
        self.fragments.max_frame = NO_MAX_FRAME
        self.fragments.takes_empty = False
        self._program = Runner(loaded.programs["nl_track"], REQUEST.size + CONNECTION.size)
        self._tuples = HashMap(loaded.maps["tuples"], _SPECS["tuples"])
        self._entries = SharedArray(loaded.maps["connections"], _SPECS["connections"])
        self._config = SharedArray(loaded.maps["config"], _SPECS["config"])
        self.limits = self._kernel_limits = KernelLimits(loaded, self._tracker)
        self.policies = Policies(loaded)
        #: Connections of which Python knows more than the kernel, by place and serial number.
        self._kept: dict[tuple[int, int], Connection] = {}
        #: By the identity of actions, which are kept so that nothing else gets it.
        self._openings: dict[int, tuple[CtPlan, Opening, Opening]] = {}
        self._flags = -1
        if not self._word("tail"):
            self._fill_places(loaded)
        self._write_flags()

    def close(self) -> None:
        for array_ in (self._tracker, self._entries, self._config):
            array_.close()
        self._kernel_limits.close()
        self.policies.close()

    def _fill_places(self, loaded: Loaded) -> None:
        """All places are free."""
        places = SharedArray(loaded.maps["places"], _SPECS["places"])
        places.view[:] = array("Q", range(1, MAX_CONNECTIONS + 1)).tobytes()
        places.close()
        self._write("tail", MAX_CONNECTIONS, 8)

    def _word(self, member: str, size: int = 8) -> int:
        at = _AT[member]
        return int.from_bytes(self._tracker.view[at : at + size], "little")

    def _write(self, member: str, value: int, size: int = 4) -> None:
        at = _AT[member]
        self._tracker.view[at : at + size] = value.to_bytes(size, "little")

    @property
    def max_connections(self) -> int:
        return self._word("max_connections", 4)

    @max_connections.setter
    def max_connections(self, number: int) -> None:
        self._write("max_connections", number)

    def __len__(self) -> int:
        return self._word("n_connections", 4) + len(self._connections)

    @property
    def n_free(self) -> int:
        """Places for connections in the kernel."""
        return self._word("tail") - self._word("head")

    def set_timeout_policy(self, name: str, timeouts_s: dict[str, int]) -> None:
        super().set_timeout_policy(name, timeouts_s)
        self.policies.set(name, self._policies[name])
        self._openings.clear()

    # What the programs do not

    def track(
        self,
        packet: bytes | bytearray,
        headers: Headers,
        before: Tracked,
        ct: Ct,
        now_ms: int,
        known: int = 0,
    ) -> Verdict:
        self._now_ms = now_ms
        verdict = super().track(packet, headers, before, ct, now_ms, known)
        self._write_flags()
        return verdict

    def track_key(
        self,
        packet: bytes | bytearray,
        key: int,
        ct: CtPlan,
        now_ms: int,
        known: int = 0,
        wants_key: bool = True,
    ) -> int:
        """The short road of packets that open a connection, as most do that come up: the programs
        add it, in one step, unless there is one. All others take the long road."""
        if not (ct.is_plain and self._may_open(ct.zone)):
            return -1
        opening = self.opening(packet, key, ct, known)
        if opening is None:
            return -1
        data, found = opening
        if not self._ask("ADD", zone=ct.zone, data=data):
            return -1
        if not wants_key:
            return 0
        mark, label = ct.mark & ct.mark_mask, ct.label & ct.label_mask
        key = key & ~CT_MASK | NEW_TRK << CT_STATE_SHIFT | ct.zone << CT_ZONE_SHIFT
        key |= mark << CT_MARK_SHIFT | label << CT_LABEL_SHIFT
        return key | plain_bits(found)

    def opening(
        self, packet: bytes | bytearray, key: int, ct: CtPlan, sums: int
    ) -> tuple[bytes, PlainTuple] | None:
        """The entry and the tuple of the connection that a plain packet opens by a plain action, if
        there is room; None if it does not, or that is not so simple. `sums` is what is known of the
        packet's checksums (`packet.marks`)."""
        state = state_in_zone(key, ct.zone)
        if not ct.commit or (state and state != NEW_TRK) or key & PACKET_TYPE_MASK:
            return None
        read = read_plain(packet, ct.zone, sums)
        if read is None:
            return None
        found, end = read
        segment = read_segment(packet, PLAIN_L4, end) if found[2] == IPPROTO_TCP else None
        if segment is not None and not may_open(segment.flags):
            return None
        known = self._openings.get(id(ct))
        if known is None or known[0] is not ct:
            known = self._opening_of(ct)
        made = known[1] if segment is None else known[2]
        return made.entry(found, segment, time.monotonic_ns()), found

    def _opening_of(self, ct: CtPlan) -> tuple[CtPlan, Opening, Opening]:
        """What the entries of connections that the action opens have in common: of UDP, of TCP."""
        if len(self._openings) >= _MAX_OPENINGS:
            self._openings.clear()
        timeouts = self._policies.get(ct.timeout, TIMEOUTS_S)
        mark, label = ct.mark & ct.mark_mask, ct.label & ct.label_mask
        udp, tcp = (Opening(kind, timeouts, mark, label) for kind in ("UDP", "TCP"))
        self._openings[id(ct)] = ct, udp, tcp
        return ct, udp, tcp

    def _may_open(self, zone: int) -> bool:
        """Whether a connection may be opened without asking anybody else, and the limits admit one
        more."""
        return self.n_admitted() > 0 or (self._has_room_left() and self.limits.may_add(zone))

    def n_admitted(self) -> int:
        """How many connections may be opened without asking anybody; 0 also where zones have
        limits."""
        if self._connections or self._expectations:
            return 0
        n_connections, most, default = _LIMITS.unpack_from(self._tracker.view, _AT["n_connections"])
        if default or self.limits.zones():
            return 0
        return max(int(most - n_connections), 0)

    def _has_room_left(self) -> bool:
        if self._connections or self._expectations:
            return False
        n_connections, most, _ = _LIMITS.unpack_from(self._tracker.view, _AT["n_connections"])
        return bool(n_connections < most)

    def _lookup(self, key: Tuple, now_ms: int) -> tuple[Connection, bool] | None:
        if key in self._table:
            return super()._lookup(key, now_ms)
        value = self._tuples.get(encode_tuple(key))
        if value is None:
            return None
        where, serial = ENTRY.unpack_from(value)
        connection = self._read(where >> 1, serial, now_ms)
        if connection is None:
            return None
        if connection.expires_ms <= now_ms:
            self._remove(connection)
            return None
        return connection, bool(where & 1)

    def _read(self, place: int, serial: int, now_ms: int) -> Connection | None:
        """The connection at a place, if it is still the one of that number."""
        start = place * self._entries.stride
        data = bytes(self._entries.view[start : start + CONNECTION.size])
        entry = Entry(place, serial, data)
        known = self._kept.get((place, serial))
        if entry.serial_read() != serial:
            return None
        return decode_connection(entry, now_ms, time.monotonic_ns(), known)

    def _finish(self, work: Work, now_ms: int) -> Verdict:
        verdict = super()._finish(work, now_ms)
        connection = work.connection
        if connection is not None and isinstance(entry := connection.entry, Entry):
            data = encode_connection(connection, now_ms, time.monotonic_ns())
            if entry.differs(data):
                self._ask("UPDATE", entry.place, entry.serial, data=data)
                entry.data = data
        return verdict

    def _add(self, connection: Connection) -> None:
        data = encode_connection(connection, self._now_ms, time.monotonic_ns())
        found = self._ask("ADD", zone=connection.key.zone, data=data)
        if not found:
            super()._add(connection)
            self._write_flags()
            return
        place = found - 1
        start = place * self._entries.stride
        entry = Entry(place, 0, bytes(self._entries.view[start : start + CONNECTION.size]))
        entry.serial = entry.serial_read()
        connection.entry = entry
        if not is_simple(connection):
            self._kept[place, entry.serial] = connection

    def _remove(self, connection: Connection) -> None:
        entry = connection.entry
        if not isinstance(entry, Entry):
            super()._remove(connection)
            self._write_flags()
            return
        self._kept.pop((entry.place, entry.serial), None)
        self._expectations.forget(connection)
        self._ask("REMOVE", entry.place, entry.serial)

    def _ask(
        self, kind: str, place: int = 0, serial: int = 0, zone: int = 0, data: bytes = b""
    ) -> int:
        request = REQUEST.pack(REQUEST_KIND[kind], place, serial, zone)
        return self._program.run(request + (data or _NO_CONNECTION))

    # All of them

    def connections(self, now_ms: int) -> Iterator[Connection]:
        found = [self._read(place, serial, now_ms) for serial, place in self._alive()]
        alive = [c for c in found if c is not None and c.expires_ms > now_ms]
        return iter([*alive, *super().connections(now_ms)])

    def _alive(self) -> list[tuple[int, int]]:
        """Serial number and place of each connection, in the order in which they came."""
        words = self._entries.view.cast("I")
        serials = words[ALIVE // 4 :: self._entries.stride // 4].tolist()
        words.release()
        newest = self._word("serial", 4)
        found = [(serial, place) for place, serial in enumerate(serials) if serial]
        return sorted(found, key=lambda pair: pair[0] - newest - 1 & 0xFFFFFFFF)

    def expire(self, now_ms: int) -> None:
        self._now_ms = now_ms
        self._write_flags()
        if self.n_free < FEW_PLACES:
            self._next_sweep_ms = min(self._next_sweep_ms, self._last_sweep_ms + _HURRY_MS)
        if self.is_sweep_due(now_ms):
            self._last_sweep_ms = now_ms
            self._sweep("SWEEP", ALL_ZONES)
            self._forget_kept()
            super().expire(now_ms)

    def _sweep(self, kind: str, zone: int) -> int:
        """Have the programs look at all places; returns how many connections went."""
        self._write("cursor", 0)
        self._write("n_swept", 0)
        request = REQUEST.pack(REQUEST_KIND[kind], 0, 0, zone)
        self._program.run(request + _NO_CONNECTION, repeat=MAX_CONNECTIONS // SWEPT_AT_ONCE)
        return self._word("n_swept", 4)

    def _forget_kept(self) -> None:
        """What was known of connections that went without Python."""
        for (place, serial), connection in list(self._kept.items()):
            start = place * self._entries.stride + ALIVE
            if int.from_bytes(self._entries.view[start : start + 4], "little") != serial:
                del self._kept[place, serial]
                self._expectations.forget(connection)
        self._write_flags()

    def flush(self, is_wanted: Callable[[Connection], bool] | None = None) -> int:
        if is_wanted is None:
            gone = self._sweep("REMOVE_WHERE", ALL_ZONES) + super().flush()
        else:
            found = [c for c in self.connections(self._now_ms) if is_wanted(c)]
            for connection in found:
                self._remove(connection)
            gone = len(found)
        self._forget_kept()
        return gone

    def flush_zone(self, zone: int | None) -> None:
        self._sweep("REMOVE_WHERE", ALL_ZONES if zone is None else zone)
        self._forget_kept()
        super().flush(lambda connection: zone is None or connection.key.zone == zone)

    def _write_flags(self) -> None:
        flags = CT_CHECKS_SEQUENCE if self.checks_tcp_sequence else 0
        if not self._connections and not self._expectations:
            flags |= CT_COMPLETE
        if flags != self._flags:
            self._flags = flags
            at = CONFIG.offsets["ct_flags"]
            self._config.view[at : at + 4] = flags.to_bytes(4, "little")
