"""What IPFIX records count: of the packets of one flow, and of all that an exporter has seen."""

from __future__ import annotations

from struct import Struct
from typing import Final

from netloom.flow.fields import SLOT
from netloom.telemetry import ipfix_templates as t
from netloom.telemetry.ipfix_record import EGRESS, Observation, header_length

_DL_DST: Final = SLOT["dl_dst"]
_TCP_FLAGS: Final = SLOT["tcp_flags"]
_GROUP_BIT: Final = 1 << 40
_BROADCAST: Final = 0xFFFFFFFFFFFF
_ONES: Final = (1 << 64) - 1
#: ACK, FIN, PSH, RST, SYN, URG: in the order of the template.
_FLAG_BITS: Final = (0x10, 0x01, 0x08, 0x04, 0x02, 0x20)

_COUNTS: Final = Struct(">II13QB")
_IP_COUNTS: Final = Struct(">10Q")
_TCP_COUNTS: Final = Struct(">6Q")


class Totals:
    """What an exporter has seen in all: in the order in which its records tell it."""

    __slots__ = (
        "dropped",
        "dropped_octets",
        "egress",
        "flags",
        "frame_octets",
        "group_octets",
        "groups",
        "ingress",
        "octets",
        "packets",
        "squares",
    )  # fmt: skip

    def __init__(self) -> None:
        self.dropped = self.packets = self.frame_octets = 0
        #: Packets to one station, to a group, to all; that came in, and that left.
        self.ingress = [0, 0, 0]
        self.egress = [0, 0, 0]
        #: Packets to groups that left, and their IP bytes.
        self.groups = self.group_octets = 0
        self.dropped_octets = self.octets = self.squares = 0
        self.flags = [0] * len(_FLAG_BITS)


class FlowCounts:
    """What there is to tell of a flow; `totals` are those of the exporter when the flow was counted
    last. Times are microseconds."""

    __slots__ = ("dropped", "dropped_octets", "end_us", "frame_octets", "group_octets", "groups",
                 "longest", "octets", "packets", "shortest", "squares", "start_us",
                 "totals")  # fmt: skip

    def __init__(self, now_us: int) -> None:
        self.start_us = self.end_us = now_us
        self.dropped = self.packets = self.groups = self.frame_octets = 0
        self.dropped_octets = self.octets = self.squares = self.group_octets = 0
        self.shortest, self.longest = _ONES, 0
        self.totals: tuple[tuple[int, ...], ...] = ((), (), ())

    def add(self, seen: Observation, kind: t.Kind, totals: Totals, now_us: int) -> None:
        """Count a packet, here and for the exporter."""
        self.end_us = now_us
        n = seen.n_packets
        destination = _DL_DST.get(seen.key)
        cast = 2 if destination == _BROADCAST else 1 if destination & _GROUP_BIT else 0
        is_egress = seen.direction == EGRESS
        (totals.egress if is_egress else totals.ingress)[cast] += n
        to_group = is_egress and cast == 1
        self._add_frame(seen, n, totals, to_group)
        if kind.network:
            self._add_octets(seen, n, totals, to_group)
        if kind.transport == t.TCP:
            flags = _TCP_FLAGS.get(seen.key)
            for place, bit in enumerate(_FLAG_BITS):
                totals.flags[place] += n if flags & bit else 0
        self.totals = _snapshot(totals)

    def _add_frame(self, seen: Observation, n: int, totals: Totals, to_group: bool) -> None:
        self.packets += n
        totals.packets += n
        self.frame_octets += n * seen.length
        totals.frame_octets += n * seen.length
        if seen.is_dropped:
            self.dropped += n
            totals.dropped += n
        if to_group:
            self.groups += n
            totals.groups += n

    def _add_octets(self, seen: Observation, n: int, totals: Totals, to_group: bool) -> None:
        length = max(seen.length - header_length(seen.key), 0)
        self.shortest, self.longest = min(self.shortest, length), max(self.longest, length)
        self.octets += n * length
        totals.octets += n * length
        self.squares += n * length * length
        totals.squares += n * length * length
        if seen.is_dropped:
            self.dropped_octets += n * length
            totals.dropped_octets += n * length
        if to_group:
            self.group_octets += n * length
            totals.group_octets += n * length

    def encode(self, kind: t.Kind, export_time_s: int, reason: int) -> bytes:
        """The counters of a record that is sent at `export_time_s`, which lies ahead of them."""
        frames, octets, flags = self.totals
        dropped, packets, groups, frame_octets, *casts = frames
        export_us = 1_000_000 * export_time_s
        data = _COUNTS.pack(
            export_us - self.start_us & 0xFFFFFFFF, export_us - self.end_us & 0xFFFFFFFF,
            self.dropped, dropped, self.packets, packets, *casts, self.groups, groups,
            self.frame_octets & _ONES, frame_octets, reason,
        )  # fmt: skip
        if kind.network:
            data += _IP_COUNTS.pack(
                self.dropped_octets & _ONES, octets[0], self.octets & _ONES, octets[1],
                self.squares & _ONES, octets[2], self.shortest, self.longest,
                self.group_octets & _ONES, octets[3],
            )  # fmt: skip
        return data + _TCP_COUNTS.pack(*flags) if kind.transport == t.TCP else data


def _snapshot(totals: Totals) -> tuple[tuple[int, ...], ...]:
    frames = (
        totals.dropped, totals.packets, totals.groups, totals.frame_octets, *totals.ingress,
        totals.egress[0], totals.egress[2],
    )  # fmt: skip
    octets = (totals.dropped_octets, totals.octets, totals.squares, totals.group_octets)
    return (
        tuple(count & _ONES for count in frames),
        tuple(count & _ONES for count in octets),
        tuple(totals.flags),
    )
