"""Connections as the kernel's table has them: from records to `Connection` and back."""

from __future__ import annotations

from struct import Struct

from netloom.datapath.ebpf.spec import (
    CONNECTION,
    CONNECTION_KIND,
    CT_LIMITS,
    SIDE,
    TUPLE,
)
from netloom.datapath.userspace.conntrack.connection import TIMEOUTS_S, Connection
from netloom.datapath.userspace.conntrack.plain import PlainTuple
from netloom.datapath.userspace.conntrack.tcp import Segment, TcpState, TcpTracker
from netloom.datapath.userspace.conntrack.tuples import Tuple, identifier, is_icmp
from netloom.packet.headers import ETH_TYPE_IP, ETH_TYPE_IPV6, IPPROTO_SCTP, IPPROTO_TCP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_AT: Final = CONNECTION.offsets
#: Where the serial number is, which is not 0 while the connection is there.
ALIVE: Final = _AT["serial"]
_U32: Final = Struct("<I")
_ENDS: Final = Struct("<16s16sII")
#: A segment for connections whose state is read from their entry.
_NO_SEGMENT: Final = Segment(0, 0, 0, 0, 0, None)
_NS_PER_MS: Final = 1_000_000
#: What a packet changes, without `used_ns`.
_CHANGING: Final = (
    (_AT["kind"], ALIVE), (_AT["phase"], _AT["used_ns"]), (_AT["label"], _AT["src"]),
)  # fmt: skip


class Entry:
    """Where the kernel has a connection, and what was read there."""

    __slots__ = ("data", "place", "serial")

    def __init__(self, place: int, serial: int, data: bytes) -> None:
        self.place = place
        self.serial = serial
        self.data = data

    def serial_read(self) -> int:
        """The number of the connection that was at the place."""
        return int(_U32.unpack_from(self.data, ALIVE)[0])

    def differs(self, data: bytes) -> bool:
        """Whether `data` says something else, that a packet may change."""
        return any(self.data[start:end] != data[start:end] for start, end in _CHANGING)


def kind_of(key: Tuple) -> str:
    """What the timeouts of such connections go by."""
    return "TCP" if key.proto == IPPROTO_TCP else "ICMP" if is_icmp(key) else "UDP"


def is_simple(connection: Connection) -> bool:
    """Whether the programs know all about a connection: packets of others have to be read."""
    return not (connection.helper or connection.parent)


def _kind(connection: Connection) -> int:
    """What the programs may do with a connection: nothing with one whose packets have to be read,
    whose packets they cannot check, or whose identifier is translated."""
    key, reverse = connection.key, connection.reverse
    has_other_identifier = is_icmp(key) and identifier(key) != identifier(reverse)
    if not is_simple(connection) or key.proto == IPPROTO_SCTP or has_other_identifier:
        return CONNECTION_KIND["SLOW"]
    return CONNECTION_KIND[kind_of(connection.key)]


def _ends(key: Tuple) -> bytes:
    """Addresses and ports, as members of TUPLE and CONNECTION."""
    size = 4 if key.dl_type == ETH_TYPE_IP else 16
    src, dst = key.src.to_bytes(size, "big"), key.dst.to_bytes(size, "big")
    return _ENDS.pack(src, dst, key.sport, key.dport)


def _numbers(key: Tuple) -> tuple[int, int, int]:
    return key.zone, key.proto, 4 if key.dl_type == ETH_TYPE_IP else 6


_TUPLE_END: Final = Struct("<HBB")


def encode_tuple(key: Tuple) -> bytes:
    """The key of the map of tuples."""
    return _ends(key) + _TUPLE_END.pack(*_numbers(key))


def decode_tuple(data: bytes) -> Tuple:
    """What `encode_tuple` made."""
    zone, proto, family = _TUPLE_END.unpack_from(data, _ENDS.size)
    src, dst, sport, dport = _ENDS.unpack_from(data)
    size, dl_type = (4, ETH_TYPE_IP) if family == 4 else (16, ETH_TYPE_IPV6)
    source, destination = int.from_bytes(src[:size], "big"), int.from_bytes(dst[:size], "big")
    return Tuple(zone, dl_type, proto, source, destination, sport, dport)


assert TUPLE.size == _ENDS.size + _TUPLE_END.size
_HEAD: Final = Struct("<IIIIIIQQ16sI8I")
assert _HEAD.size == _AT["first"]


def decode_connection(
    entry: Entry, now_ms: int, now_ns: int, known: Connection | None
) -> Connection:
    """The connection of an entry; `known` is the one that there was, with what only Python knows
    of it, brought up to date."""
    _, _, _, _, phase, nat, expires_ns, _, label, mark, *limits = _HEAD.unpack_from(entry.data)
    if known is None:
        tail = entry.data[-_TUPLE_END.size :]
        at = _AT["src"]
        key = decode_tuple(entry.data[at : at + _ENDS.size] + tail)
        names = CT_LIMITS[kind_of(key)]
        timeouts = TIMEOUTS_S | dict(zip(names, limits, strict=False))
        segment = _NO_SEGMENT if key.proto == IPPROTO_TCP else None
        known = Connection(key, segment, timeouts, now_ms)
        at = _AT["reply_src"]
        known.reverse = decode_tuple(entry.data[at : at + _ENDS.size] + tail)
        known.nat = nat
    known.entry = entry
    known.mark, known.label = mark, int.from_bytes(label, "big")
    known.expires_ms = now_ms + (expires_ns - now_ns) // _NS_PER_MS
    if known.tcp is None:
        known.phase = CT_LIMITS[kind_of(known.key)][phase]
        return known
    for side, member in zip(known.tcp.sides, ("first", "second"), strict=True):
        state, side.low, side.high, side.window, side.scale = SIDE.unpack_from(
            entry.data, _AT[member]
        )
        side.state = TcpState(state)
    return known


def encode_connection(connection: Connection, now_ms: int, now_ns: int) -> bytes:
    """The entry of a connection. What was read and not changed since is what it was."""
    names = CT_LIMITS[kind_of(connection.key)]
    limits = [connection.timeouts[name] for name in names]
    sides = _NO_SIDES
    phase = 0
    if connection.tcp is None:
        phase = names.index(connection.phase)
    else:
        sides = _encode_sides(connection.tcp)
    expires_ns = now_ns + (connection.expires_ms - now_ms) * _NS_PER_MS
    entry = connection.entry
    if isinstance(entry, Entry):
        # Times are rounded: one that differs by less was not set anew.
        was_ns = _HEAD.unpack_from(entry.data)[6]
        if abs(was_ns - expires_ns) < _SAME_NS:
            expires_ns = was_ns
    head = _HEAD.pack(
        0, _kind(connection), 0, 0, phase, connection.nat, max(expires_ns, 0), now_ns,
        connection.label.to_bytes(16, "big"), connection.mark, *limits, *[0] * (8 - len(limits)),
    )  # fmt: skip
    ends = _ends(connection.key) + _ends(connection.reverse)
    return head + sides + ends + _TUPLE_END.pack(*_numbers(connection.key))


def _encode_sides(tracker: TcpTracker) -> bytes:
    return b"".join(
        [SIDE.pack(side.state, side.low, side.high, side.window, side.scale)
         for side in tracker.sides]
    )  # fmt: skip


class Opening:
    """The entries of the connections of one protocol that a plain packet (`conntrack.plain`) opens
    by one action: what `encode_connection` makes of a new `Connection`, without one."""

    __slots__ = ("_life_ns", "_rest", "_start")

    def __init__(self, kind: str, timeouts: dict[str, int], mark: int, label: int) -> None:
        limits = [timeouts[name] for name in CT_LIMITS[kind]]
        head = _HEAD.pack(
            0, CONNECTION_KIND[kind], 0, 0, 0, 0, 0, 0, label.to_bytes(16, "big"), mark,
            *limits, *_MORE_LIMITS[len(limits) :],
        )  # fmt: skip
        self._start = head[: _AT["expires_ns"]]
        self._rest = head[_AT["label"] :]
        self._life_ns = limits[0] * _NS_PER_S

    def entry(self, found: PlainTuple, segment: Segment | None, now_ns: int) -> bytes:
        """That of a packet; `segment` is TCP's."""
        zone, _, proto, src, dst, sport, dport = found
        sides = _NO_SIDES if segment is None else _encode_sides(TcpTracker(segment))
        there, here = src.to_bytes(4, "big"), dst.to_bytes(4, "big")
        ends = _PLAIN_ENDS.pack(
            there, here, sport, dport, here, there, dport, sport, zone, proto, 4
        )
        times = _TIMES.pack(now_ns + self._life_ns, now_ns)
        return b"".join((self._start, times, self._rest, sides, ends))


_TIMES: Final = Struct("<QQ")
assert _AT["label"] == _AT["expires_ns"] + _TIMES.size
#: Both tuples, of IPv4, and what is behind them.
_PLAIN_ENDS: Final = Struct("<4s12x4s12xII4s12x4s12xIIHBB")
_NO_SIDES: Final = b"\0" * (2 * SIDE.size)
_MORE_LIMITS: Final = (0,) * 8
_NS_PER_S: Final = 1_000_000_000
_SAME_NS: Final = 20 * _NS_PER_MS
