"""NetFlow version 5: who talked to whom, and how much, told when it ends.

A *flow* is what packets from one port with the same IPv4 addresses, protocol, ports and type of
service have in common. `update` counts packets to it, `end` tells that the data path has forgotten
it, and `run` tells of those that go on for longer than the active timeout. What is told are
records of 48 bytes, up to 30 of them behind a header of 24 in each datagram (Cisco, "NetFlow
Export Datagram Format", version 5).

What must hold: each packet that was counted is in exactly one record. Counters of a record have 32
bits: a flow that has more bytes than that to tell is told in several records.

Limits: MAX_FLOWS flows are remembered; for one more, the oldest is told and forgotten at once.
"""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple

from netloom.base.record import Record

#: As many as a data path may have flows by default: each of them is one flow here, or a part of it.
MAX_FLOWS: Final = 200_000
#: What a collector takes in one datagram.
MAX_RECORDS: Final = 30
#: Seconds after which a flow that goes on is told, if nobody says otherwise.
ACTIVE_TIMEOUT_S: Final = 600
#: Flows that go on are looked at this often.
_LOOK_INTERVAL_MS: Final = 1_000
#: In place of the port that packets leave by: all ports, more than one, none.
FLOOD, MULTIPLE, NOWHERE = 0xFFFF, 0xFFFE, 0xFFFD

_HEADER: Final = Struct(">HHIIIIBBH")
_RECORD: Final = Struct(">IIIHHIIIIHHxBBBHHBB2x")
_VERSION: Final = 5
_MOST: Final = 0xFFFFFFFF
_ICMP: Final = 1


class NetflowSettings(Record):
    """A NetFlow row. `engine_type` and `engine_id` -1: those of the data path."""

    targets: tuple[str, ...]
    engine_type: int = -1
    engine_id: int = -1
    #: Seconds; 0 for the usual time, -1 for never.
    active_timeout_s: int = 0
    add_id_to_interface: bool = False


class FlowName(NamedTuple):
    """What the packets of a flow have in common; `in_port` is OpenFlow's number."""

    in_port: int
    nw_src: int
    nw_dst: int
    nw_tos: int
    nw_proto: int
    tp_src: int
    tp_dst: int


class _Flow:
    """What there is to tell of a flow since it was told last."""

    __slots__ = ("created_ms", "n_bytes", "n_packets", "output", "tcp_flags", "told_ms", "used_ms")

    def __init__(self, output: int, now_ms: int) -> None:
        self.output = output
        self.told_ms = now_ms
        self.created_ms = self.used_ms = 0
        self.n_packets = self.n_bytes = self.tcp_flags = 0


class Netflow:
    """The flows of one bridge; `take` hands out the datagrams."""

    def __init__(self, settings: NetflowSettings, now_ms: int) -> None:
        self.settings = settings
        self._booted_ms = now_ms
        self._flows: dict[FlowName, _Flow] = {}
        self._next_look_ms = now_ms
        self._sequence = 0
        #: The datagram that is being filled: its header less the number of records, and these.
        self._header: tuple[int, ...] = ()
        self._records: list[bytes] = []
        self._full: list[bytes] = []

    @property
    def n_flows(self) -> int:
        return len(self._flows)

    def configure(self, settings: NetflowSettings) -> None:
        self.settings = settings

    @property
    def active_timeout_ms(self) -> int:
        """0 for never."""
        seconds = self.settings.active_timeout_s
        return 1_000 * (ACTIVE_TIMEOUT_S if not seconds else max(seconds, 0))

    def update(
        self, name: FlowName, output: int, counts: tuple[int, int, int], used_ms: int,
        now: tuple[int, int],
    ) -> None:  # fmt: skip
        """Count packets, bytes and TCP flags of a flow, the last of which was at `used_ms` and left
        by `output`. `now`: monotonic and wall time."""
        flow = self._flows.get(name)
        if flow is None:
            if len(self._flows) >= MAX_FLOWS:
                self.end(next(iter(self._flows)), now)
            flow = self._flows[name] = _Flow(output, now[0])
        elif flow.output != output:
            # It goes another way from here on.
            self._tell(name, flow, now)
            flow.created_ms = used_ms
            flow.output = output
        n_packets, n_bytes, tcp_flags = counts
        flow.n_packets += n_packets
        flow.n_bytes += n_bytes
        flow.tcp_flags |= tcp_flags & 0xFF
        flow.used_ms = max(flow.used_ms, used_ms)
        if not flow.created_ms or used_ms < flow.created_ms:
            flow.created_ms = used_ms

    def end(self, name: FlowName, now: tuple[int, int]) -> None:
        """The data path has forgotten the flow: tell it, and forget it here."""
        flow = self._flows.pop(name, None)
        if flow is not None:
            self._tell(name, flow, now)

    def run(self, now: tuple[int, int]) -> None:
        """Tell flows that have gone on for long; forget those that have ended meanwhile."""
        timeout_ms = self.active_timeout_ms
        if not timeout_ms or now[0] < self._next_look_ms:
            return
        self._next_look_ms = now[0] + _LOOK_INTERVAL_MS
        for name, flow in list(self._flows.items()):
            if now[0] > flow.told_ms + timeout_ms:
                is_idle = flow.used_ms < flow.told_ms
                self._tell(name, flow, now)
                if is_idle:
                    del self._flows[name]

    def take(self) -> list[bytes]:
        """The datagrams that are to be sent now."""
        if self._records:
            self._finish()
        full, self._full = self._full, []
        return full

    def deadline(self) -> int | None:
        if self._records or self._full:
            return 0
        return self._next_look_ms if self._flows and self.active_timeout_ms else None

    def _tell(self, name: FlowName, flow: _Flow, now: tuple[int, int]) -> None:
        flow.told_ms = now[0]
        packets, left = flow.n_packets, flow.n_bytes
        flow.n_packets = flow.n_bytes = 0
        tcp_flags, flow.tcp_flags = flow.tcp_flags, 0
        if not packets:
            return
        n_records = max(-(-left // _MOST), -(-packets // _MOST), 1)
        for n_left in range(n_records, 0, -1):
            share, share_bytes = -(-packets // n_left), -(-left // n_left)
            self._add(name, flow, (share, share_bytes, tcp_flags), now)
            packets, left = packets - share, left - share_bytes

    def _add(
        self, name: FlowName, flow: _Flow, counts: tuple[int, int, int], now: tuple[int, int]
    ) -> None:
        n_packets, n_bytes, tcp_flags = counts
        if not self._records:
            seconds, ms = divmod(now[1], 1_000)
            uptime_ms = now[0] - self._booted_ms
            self._header = (uptime_ms & _MOST, seconds & _MOST, 1_000_000 * ms)
        src_port, dst_port = name.tp_src, name.tp_dst
        if name.nw_proto == _ICMP:
            # Type and code stand together where the destination's port is.
            src_port, dst_port = 0, (name.tp_src & 0xFF) << 8 | name.tp_dst & 0xFF
        self._records.append(
            _RECORD.pack(
                name.nw_src, name.nw_dst, 0, self._interface(name.in_port),
                self._interface(flow.output), n_packets, n_bytes,
                flow.created_ms - self._booted_ms & _MOST, flow.used_ms - self._booted_ms & _MOST,
                src_port, dst_port, tcp_flags, name.nw_proto, name.nw_tos, 0, 0, 0, 0,
            )
        )  # fmt: skip
        self._sequence += 1
        if len(self._records) >= MAX_RECORDS:
            self._finish()

    def _interface(self, number: int) -> int:
        if self.settings.add_id_to_interface:
            return (self.settings.engine_id & 0x7F) << 9 | number & 0x1FF
        return number & 0xFFFF

    def _finish(self) -> None:
        uptime_ms, seconds, nanoseconds = self._header
        settings = self.settings
        # The number of the last record in it, as in Open vSwitch.
        sequence = self._sequence - 1
        header = _HEADER.pack(
            _VERSION, len(self._records), uptime_ms, seconds, nanoseconds, sequence & _MOST,
            settings.engine_type & 0xFF, settings.engine_id & 0xFF, 0,
        )  # fmt: skip
        self._full.append(header + b"".join(self._records))
        self._records.clear()
