"""TCP as a connection tracker sees it: two half-connections, their states and windows.

Guido van Rooij, "Real stateful TCP packet filtering in IP filter" (2000), describes the checks; the
BSDs' packet filter and Open vSwitch use them with the same tolerances. Each side has a window of
sequence numbers: `low`, the highest end that it sent (what the other should acknowledge); `high`,
the highest that the other side's window allows; `window`, the largest it ever announced, unscaled.
A segment is good if its last octet is within what the receiver may have announced, its first at
most one window back, its acknowledgement near what the other side sent, and, if it resets,
its number is the one expected (RFC 5961 3.2).

A connection may be picked up in the middle (no SYN seen): then nobody knows the scales, and the
largest is assumed. `check_sequence` False accepts any number; states still move.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple

from netloom.packet.headers import TCP_ACK, TCP_FIN, TCP_PSH, TCP_RST, TCP_SYN, TCP_URG


class TcpState(IntEnum):
    """States of one side, in the order in which they may be compared."""

    CLOSED = 0
    LISTEN = 1
    SYN_SENT = 2
    SYN_RECV = 3
    ESTABLISHED = 4
    CLOSE_WAIT = 5
    FIN_WAIT_1 = 6
    CLOSING = 7
    LAST_ACK = 8
    FIN_WAIT_2 = 9
    TIME_WAIT = 10


class Update(IntEnum):
    """What a packet means to its connection."""

    INVALID = 0
    VALID = 1
    #: The connection is over, this opens another with the same tuple.
    NEW = 2
    #: Part of it, but the connection is not answered yet.
    VALID_NEW = 3
    #: Part of it, but not enough in its window to prolong its life.
    VALID_ROUGH = 4


class Segment(NamedTuple):
    """What a TCP header says; `scale` is None without the window scale option."""

    flags: int
    seq: int
    ack: int
    window: int
    length: int
    scale: int | None


#: How far an acknowledgement may be off: the largest window and a packet.
MAX_ACK_WINDOW: Final = 0xFFFF + 1500
MAX_SCALE: Final = 14
_SCALE_OPTION: Final = 3
_ALL: Final = 0xFFFFFFFF

#: Scales of sides: none was offered; nobody knows (a connection picked up in the middle).
NO_SCALE: Final = -1
UNKNOWN_SCALE: Final = -2


class Side:
    """One half of the connection."""

    __slots__ = ("high", "low", "scale", "state", "window")

    def __init__(self) -> None:
        self.state = TcpState.CLOSED
        self.low = 0
        self.high = 1
        self.window = 1
        self.scale = NO_SCALE


def read_segment(packet: bytes | bytearray, l4: int, end: int) -> Segment:
    """The segment whose checked header starts at `l4`."""
    header = packet[l4 + 12] >> 4 << 2
    return Segment(
        (packet[l4 + 12] << 8 | packet[l4 + 13]) & 0xFFF,
        int.from_bytes(packet[l4 + 4 : l4 + 8], "big"),
        int.from_bytes(packet[l4 + 8 : l4 + 12], "big"),
        packet[l4 + 14] << 8 | packet[l4 + 15],
        end - l4 - header,
        _read_scale(packet[l4 + 20 : l4 + header]),
    )


def _read_scale(options: bytes | bytearray) -> int | None:
    at = 0
    while at < len(options):
        kind = options[at]
        if kind == 0:
            break
        if kind == 1:
            at += 1
            continue
        if at + 1 >= len(options) or options[at + 1] < 2:
            break
        length = options[at + 1]
        if kind == _SCALE_OPTION and length == 3 and at + 2 < len(options):
            return min(options[at + 2], MAX_SCALE)
        at += length
    return None


def has_invalid_flags(flags: int) -> bool:
    """Combinations that no stack sends."""
    if flags & TCP_SYN:
        if flags & (TCP_RST | TCP_FIN):
            return True
    elif not flags & (TCP_ACK | TCP_RST):
        return True
    return not flags & TCP_ACK and bool(flags & (TCP_FIN | TCP_PSH | TCP_URG))


def may_open(flags: int) -> bool:
    """Whether a segment may start a connection: a SYN, or one of the middle, but no SYN+ACK."""
    return not has_invalid_flags(flags) and flags & (TCP_SYN | TCP_ACK) != TCP_SYN | TCP_ACK


def _after(a: int, b: int) -> bool:
    """a > b in sequence space."""
    return 0 < (a - b & _ALL) < 0x80000000


def _reaches(a: int, b: int) -> bool:
    """a >= b in sequence space."""
    return (a - b & _ALL) < 0x80000000


def _signed(value: int) -> int:
    return (value + 0x80000000 & _ALL) - 0x80000000


class TcpTracker:
    """The two sides of a connection; index 0 is the one that opened it."""

    __slots__ = ("sides",)

    def __init__(self, segment: Segment) -> None:
        first, second = self.sides = (Side(), Side())
        first.low = segment.seq
        first.high = segment.seq + segment.length + 1 & _ALL
        if segment.flags & TCP_SYN:
            first.high = first.high + 1 & _ALL
            first.scale = NO_SCALE if segment.scale is None else segment.scale
        else:
            first.scale = second.scale = UNKNOWN_SCALE
        first.window = max(segment.window, 1)
        if first.scale > 0:
            first.window = _scale_down(first.window, first.scale)
        if segment.flags & TCP_FIN:
            first.high = first.high + 1 & _ALL
        first.state = TcpState.SYN_SENT

    def update(self, segment: Segment, is_reply: bool, check_sequence: bool) -> Update:
        flags = segment.flags
        src, dst = self.sides[is_reply], self.sides[not is_reply]
        if has_invalid_flags(flags):
            return Update.INVALID
        if flags & (TCP_SYN | TCP_ACK) == TCP_SYN:
            if min(src.state, dst.state) >= TcpState.FIN_WAIT_2:
                src.state = dst.state = TcpState.CLOSED
                return Update.NEW
            if src.state <= TcpState.SYN_SENT:
                # Said again before an answer, with whatever number.
                src.state = TcpState.SYN_SENT
                return Update.VALID_NEW
        return _Step(src, dst, segment).judge(check_sequence)

    def timeout(self) -> str:
        """The name of the time that the connection may be silent."""
        low, high = sorted(side.state for side in self.sides)
        if low >= TcpState.FIN_WAIT_2:
            return "tcp_closed"
        if low >= TcpState.CLOSING:
            return "tcp_fin_wait"
        if low < TcpState.ESTABLISHED:
            return "tcp_opening"
        return "tcp_closing" if high >= TcpState.CLOSING else "tcp_established"


def _scale_down(window: int, scale: int) -> int:
    return (window + (1 << scale) - 1) >> scale


class _Step:
    """One segment and the two sides, while it is judged."""

    __slots__ = ("dst", "dst_scale", "segment", "src", "src_scale", "window")

    def __init__(self, src: Side, dst: Side, segment: Segment) -> None:
        self.src = src
        self.dst = dst
        self.segment = segment
        self.window = segment.window
        self.src_scale = self.dst_scale = 0
        if not segment.flags & TCP_SYN:
            if src.scale >= 0 and dst.scale >= 0:
                self.src_scale, self.dst_scale = src.scale, dst.scale
            elif src.scale == dst.scale == UNKNOWN_SCALE:
                self.src_scale = self.dst_scale = MAX_SCALE

    def judge(self, check_sequence: bool) -> Update:
        src, dst, segment = self.src, self.dst, self.segment
        flags = segment.flags
        end = segment.seq + segment.length + bool(flags & TCP_SYN) + bool(flags & TCP_FIN) & _ALL
        knows_ack = not (src.state < TcpState.SYN_SENT and self._first_of_side(end))
        seq, ack = segment.seq, segment.ack
        if not flags & TCP_ACK or (not ack and flags & TCP_RST):
            ack = dst.low
        if seq == end:
            # Nothing in it: its number matters little.
            seq = end = src.low
        skew = _signed(dst.low - ack) if knows_ack else 0
        if not check_sequence or self._is_in_window(seq, end, skew):
            self._slide(end, ack)
            self._move_states()
            return Update.VALID
        if self._is_nearly_in_window(seq, end):
            self._slide(end, ack)
            self._move_fin_rst()
            return Update.VALID_ROUGH
        return Update.INVALID

    def _first_of_side(self, end: int) -> bool:
        """The first segment of this side sets its numbers; True if they are news."""
        src, dst, segment = self.src, self.dst, self.segment
        if segment.flags & TCP_SYN and dst.scale >= 0:
            src.scale = NO_SCALE if segment.scale is None else segment.scale
            if src.scale >= 0:
                self.src_scale, self.dst_scale = src.scale, dst.scale
                self.window = _scale_down(self.window, src.scale)
            else:
                dst.window <<= dst.scale
                dst.scale = NO_SCALE
        src.low = segment.seq
        src.state = TcpState.SYN_SENT
        high = end + max(1, dst.window << self.dst_scale) & _ALL
        is_news = src.high == 1 or _reaches(high, src.high)
        if is_news:
            src.high = high
        src.window = max(src.window, self.window)
        return is_news

    def _is_in_window(self, seq: int, end: int, skew: int) -> bool:
        src, dst, segment = self.src, self.dst, self.segment
        return (
            _reaches(src.high, end)
            and _reaches(seq, src.low - (dst.window << self.dst_scale) & _ALL)
            and -MAX_ACK_WINDOW <= skew <= MAX_ACK_WINDOW << self.src_scale
            and (not segment.flags & TCP_RST or abs(_signed(segment.seq - src.low)) <= 1)
        )

    def _is_nearly_in_window(self, seq: int, end: int) -> bool:
        """A SYN repeated before any answer, a connection that is over, or one that was picked up
        in the middle: only roughly right."""
        src, dst = self.src, self.dst
        loose = dst.state < TcpState.SYN_SENT or max(src.state, dst.state) >= TcpState.FIN_WAIT_2
        return (
            loose
            and _reaches(src.high + MAX_ACK_WINDOW & _ALL, end)
            and _reaches(seq, src.low - MAX_ACK_WINDOW & _ALL)
        )

    def _slide(self, end: int, ack: int) -> None:
        src, dst = self.src, self.dst
        src.window = max(src.window, self.window)
        if _after(end, src.low):
            src.low = end
        scaled = self.window << self.src_scale
        if _reaches(ack + scaled & _ALL, dst.high):
            dst.high = ack + max(scaled, 1) & _ALL

    def _move_states(self) -> None:
        src, dst, flags = self.src, self.dst, self.segment.flags
        if flags & TCP_SYN and src.state < TcpState.SYN_SENT:
            src.state = TcpState.SYN_SENT
        if flags & TCP_FIN and src.state < TcpState.CLOSING:
            src.state = TcpState.CLOSING
        if flags & TCP_ACK:
            if dst.state == TcpState.SYN_SENT:
                dst.state = TcpState.ESTABLISHED
            elif dst.state == TcpState.CLOSING:
                dst.state = TcpState.FIN_WAIT_2
        if flags & TCP_RST:
            src.state = dst.state = TcpState.TIME_WAIT

    def _move_fin_rst(self) -> None:
        src, dst, flags = self.src, self.dst, self.segment.flags
        if flags & TCP_FIN and src.state < TcpState.CLOSING:
            src.state = TcpState.CLOSING
        if flags & TCP_RST:
            src.state = dst.state = TcpState.TIME_WAIT
