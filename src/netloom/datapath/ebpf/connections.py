"""Connection tracking of the kernel data path: Python's tracker, and what the programs see of it.

Python commits connections, limits, ages and lists them. Every one has an entry in the map
`connections`, found in `tuples` under both its tuples. The programs move a connection on by
themselves (states, windows, phases, marks) where its entry allows that (`kind`); Python reads the
entry before it looks at the connection, and writes it after it did. A packet that finds no entry
belongs to no connection, as long as all have one (CT_COMPLETE).

The entries outlive the daemon; the next one takes the connections over from them.

Cost: one commit is some 10 us beside the tracker's own work, mostly two map updates.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator

from netloom.base.counters import Counters
from netloom.datapath.ebpf.loader import Loaded
from netloom.datapath.ebpf.maps import HashMap, SharedArray
from netloom.datapath.ebpf.spec import (
    CONFIG,
    CONNECTION,
    CONNECTION_KIND,
    CT_CHECKS_SEQUENCE,
    CT_COMPLETE,
    CT_LIMITS,
    MAPS,
    MAX_CONNECTIONS,
    SIDE,
    TUPLE,
)
from netloom.datapath.userspace.conntrack.connection import TIMEOUTS_S, Connection
from netloom.datapath.userspace.conntrack.tcp import Segment, TcpState
from netloom.datapath.userspace.conntrack.tracker import ConnTracker, Verdict, Work
from netloom.datapath.userspace.conntrack.tuples import Tuple, is_icmp
from netloom.packet.headers import ETH_TYPE_IP, ETH_TYPE_IPV6, IPPROTO_SCTP, IPPROTO_TCP

_SPECS = {spec.name: spec for spec in MAPS}
_AT = CONNECTION.offsets
#: A segment for connections whose state is read from their entry.
_NO_SEGMENT = Segment(0, 0, 0, 0, 0, None)
_NS_PER_MS = 1_000_000


class KernelTracker(ConnTracker):
    """See the module."""

    def __init__(
        self, loaded: Loaded, counters: Counters, draw: Callable[[], int], now_ms: int
    ) -> None:
        super().__init__(counters, draw)
        self._tuples = HashMap(loaded.maps["tuples"], _SPECS["tuples"])
        self._entries = SharedArray(loaded.maps["connections"], _SPECS["connections"])
        self._config = SharedArray(loaded.maps["config"], _SPECS["config"])
        #: Where the connections have their entries; not all may have one.
        self._places: dict[Connection, int] = {}
        self._without_place = 0
        self._flags = -1
        taken = self._adopt(now_ms)
        self._free = deque(place for place in range(MAX_CONNECTIONS) if place not in taken)
        self._write_flags()

    def close(self) -> None:
        self._entries.close()
        self._config.close()

    # What Python sees of a connection is what its entry says

    def _lookup(self, key: Tuple, now_ms: int) -> tuple[Connection, bool] | None:
        row = self._table.get(key)
        if row is not None:
            self._pull(row[0], now_ms)
        return super()._lookup(key, now_ms)

    def connections(self, now_ms: int) -> Iterator[Connection]:
        self._pull_all(now_ms)
        return super().connections(now_ms)

    def expire(self, now_ms: int) -> None:
        self._write_flags()
        if self.is_sweep_due(now_ms):
            self._pull_all(now_ms)
        super().expire(now_ms)

    def _finish(self, work: Work, now_ms: int) -> Verdict:
        verdict = super()._finish(work, now_ms)
        if work.connection is not None:
            self._push(work.connection, now_ms)
        return verdict

    def _add(self, connection: Connection) -> None:
        super()._add(connection)
        if not self._free:
            self._without_place += 1
            self._write_flags()
            return
        place = self._places[connection] = self._free.popleft()
        for is_reply, key in enumerate((connection.key, connection.reverse)):
            value = place << 1 | is_reply
            self._tuples.put(_encode_tuple(key), value.to_bytes(4, "little"))

    def _remove(self, connection: Connection) -> None:
        super()._remove(connection)
        place = self._places.pop(connection, None)
        if place is None:
            self._without_place -= 1
            self._write_flags()
            return
        for key in (connection.key, connection.reverse):
            self._tuples.delete(_encode_tuple(key))
        start = place * self._entries.stride
        self._entries.view[start : start + CONNECTION.size] = bytes(CONNECTION.size)
        self._free.append(place)

    # Entries

    def _pull_all(self, now_ms: int) -> None:
        for connection in self._places:
            self._pull(connection, now_ms)

    def _pull(self, connection: Connection, now_ms: int) -> None:
        place = self._places.get(connection)
        if place is None:
            return
        values = self._read(place)
        if values["kind"] > CONNECTION_KIND["SLOW"]:
            self._take_state(connection, values, now_ms)

    def _read(self, place: int) -> dict[str, int]:
        """The members of an entry that are numbers, and its sides and label."""
        data = CONNECTION.unpack_from(self._entries.view, place * self._entries.stride)
        names = ("lock", "kind", "phase", "nat", "expires_ns", "used_ns")
        values = dict(zip(names, data, strict=False))
        values["label"] = int.from_bytes(
            data[6].to_bytes(8, "little") + data[7].to_bytes(8, "little"), "big"
        )
        values["mark"] = data[8]
        return values

    def _take_state(self, connection: Connection, values: dict[str, int], now_ms: int) -> None:
        connection.mark, connection.label = values["mark"], values["label"]
        left_ms = (values["expires_ns"] - time.monotonic_ns()) // _NS_PER_MS
        connection.expires_ms = now_ms + left_ms
        if connection.tcp is None:
            connection.phase = CT_LIMITS[_kind_of(connection)][values["phase"]]
            return
        start = self._places[connection] * self._entries.stride
        for side, member in zip(connection.tcp.sides, ("first", "second"), strict=True):
            state, side.low, side.high, side.window, side.scale = SIDE.unpack_from(
                self._entries.view, start + _AT[member]
            )
            side.state = TcpState(state)

    def _push(self, connection: Connection, now_ms: int) -> None:
        place = self._places.get(connection)
        if place is None:
            return
        start = place * self._entries.stride
        data = _encode(connection, now_ms)
        self._entries.view[start : start + CONNECTION.size] = data

    def _write_flags(self) -> None:
        flags = CT_CHECKS_SEQUENCE if self.checks_tcp_sequence else 0
        if not self._without_place:
            flags |= CT_COMPLETE
        if flags != self._flags:
            self._flags = flags
            at = CONFIG.offsets["ct_flags"]
            self._config.view[at : at + 4] = flags.to_bytes(4, "little")

    # An earlier daemon's connections

    def _adopt(self, now_ms: int) -> set[int]:
        """Take over all connections that have entries; returns the places of these."""
        found: dict[int, dict[bool, Tuple]] = {}
        for key, value in self._tuples.items():
            place, is_reply = divmod(int.from_bytes(value, "little"), 2)
            found.setdefault(place, {})[bool(is_reply)] = _decode_tuple(key)
        taken = set()
        for place, keys in found.items():
            values = self._read(place)
            if len(keys) < 2 or not values["kind"]:
                for stale in keys.values():
                    self._tuples.delete(_encode_tuple(stale))
                continue
            taken.add(place)
            connection = self._decode(place, keys, values, now_ms)
            self._places[connection] = place
            super()._add(connection)
        return taken

    def _decode(
        self, place: int, keys: dict[bool, Tuple], values: dict[str, int], now_ms: int
    ) -> Connection:
        key = keys[False]
        limits = CONNECTION.unpack_from(self._entries.view, place * self._entries.stride)[9:17]
        names = CT_LIMITS[_kind_of_tuple(key)]
        timeouts = TIMEOUTS_S | dict(zip(names, limits, strict=False))
        segment = _NO_SEGMENT if key.proto == IPPROTO_TCP else None
        connection = Connection(key, segment, timeouts, now_ms)
        connection.reverse = keys[True]
        connection.nat = values["nat"]
        self._places[connection] = place
        self._take_state(connection, values, now_ms)
        return connection


def _kind_of_tuple(key: Tuple) -> str:
    return "TCP" if key.proto == IPPROTO_TCP else "ICMP" if is_icmp(key) else "UDP"


def _kind_of(connection: Connection) -> str:
    return _kind_of_tuple(connection.key)


def _kind(connection: Connection) -> int:
    """What the programs may do with a connection: nothing with one whose packets have to be read
    or whose packets they cannot check."""
    if connection.helper or connection.parent or connection.key.proto == IPPROTO_SCTP:
        return CONNECTION_KIND["SLOW"]
    return CONNECTION_KIND[_kind_of(connection)]


def _address(value: int, is_ipv4: bool) -> bytes:
    return value.to_bytes(4, "big").ljust(16, b"\0") if is_ipv4 else value.to_bytes(16, "big")


def _words(data: bytes) -> tuple[int, ...]:
    return tuple(int.from_bytes(data[at : at + 4], "little") for at in range(0, len(data), 4))


def _ends(key: Tuple) -> tuple[int, ...]:
    """Addresses and ports, as members of TUPLE and CONNECTION."""
    is_ipv4 = key.dl_type == ETH_TYPE_IP
    src, dst = _address(key.src, is_ipv4), _address(key.dst, is_ipv4)
    return (*_words(src), *_words(dst), key.sport, key.dport)


def _encode_tuple(key: Tuple) -> bytes:
    family = 4 if key.dl_type == ETH_TYPE_IP else 6
    return TUPLE.pack(*_ends(key), key.zone, key.proto, family)


def _decode_tuple(data: bytes) -> Tuple:
    *_, sport, dport, zone, proto, family = TUPLE.unpack_from(data)
    size, dl_type = (4, ETH_TYPE_IP) if family == 4 else (16, ETH_TYPE_IPV6)
    src, dst = int.from_bytes(data[:size], "big"), int.from_bytes(data[16 : 16 + size], "big")
    return Tuple(zone, dl_type, proto, src, dst, sport, dport)


def _encode(connection: Connection, now_ms: int) -> bytes:
    key = connection.key
    names = CT_LIMITS[_kind_of(connection)]
    limits = [connection.timeouts[name] for name in names]
    sides = [0] * 10
    phase = 0
    if connection.tcp is None:
        phase = names.index(connection.phase)
    else:
        sides = [
            number
            for side in connection.tcp.sides
            for number in (side.state, side.low, side.high, side.window, side.scale & 0xFFFFFFFF)
        ]
    now_ns = time.monotonic_ns()
    label = connection.label.to_bytes(16, "big")
    return CONNECTION.pack(
        0, _kind(connection), phase, connection.nat,
        now_ns + (connection.expires_ms - now_ms) * _NS_PER_MS, now_ns,
        int.from_bytes(label[:8], "little"), int.from_bytes(label[8:], "little"), connection.mark,
        *limits, *[0] * (8 - len(limits)), *sides, *_ends(key), *_ends(connection.reverse),
        key.zone, key.proto, 4 if key.dl_type == ETH_TYPE_IP else 6,
    )  # fmt: skip
