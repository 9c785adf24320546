"""One tracked connection, and how long it may be silent."""

from __future__ import annotations

from netloom.datapath.userspace.conntrack.plain import PlainTuple
from netloom.datapath.userspace.conntrack.tcp import Segment, TcpTracker, Update
from netloom.datapath.userspace.conntrack.tuples import Tuple
from netloom.packet.headers import IPPROTO_ICMP, IPPROTO_ICMPV6

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

#: Seconds of silence after which a connection is forgotten, by the names of
#: `CT_Timeout_Policy` (ovs-vswitchd.conf.db(5)) and Open vSwitch's numbers. A protocol of its own
#: has none but TCP and ICMP; all others live as UDP does.
TIMEOUTS_S: Final = {
    "tcp_first_packet": 30,
    "tcp_opening": 30,
    "tcp_established": 24 * 60 * 60,
    "tcp_closing": 15 * 60,
    "tcp_fin_wait": 45,
    "tcp_closed": 30,
    "udp_first": 60,
    "udp_single": 60,
    "udp_multiple": 30,
    "icmp_first": 60,
    "icmp_reply": 30,
}

NAT_SRC: Final = 1
NAT_DST: Final = 2


class Connection:
    """A connection as committed. `key` is the tuple of its first packet, as it came; `reverse`
    that of answers as they come: it differs from the reversed key where the connection is
    translated. `ends` and `reply_ends` are the same without names, which most packets need not.
    `parent` is the key of the control connection of a related one (FTP)."""

    __slots__ = (
        "bits", "ends", "entry", "expires_ms", "helper", "is_icmp", "label", "mark", "nat",
        "parent", "phase", "reply_ends", "skew", "skews_replies", "tcp", "timeouts",
    )  # fmt: skip

    def __init__(
        self,
        key: PlainTuple,
        segment: Segment | None,
        timeouts: dict[str, int],
        now_ms: int,
        helper: str = "",
    ) -> None:
        zone, dl_type, proto, src, dst, sport, dport = key
        self.ends = key
        self.reply_ends: PlainTuple = (zone, dl_type, proto, dst, src, dport, sport)
        self.is_icmp = proto in (IPPROTO_ICMP, IPPROTO_ICMPV6)
        #: `tuple_bits` of `key`, when somebody has asked; -1 before.
        self.bits = -1
        self.tcp = TcpTracker(segment) if segment is not None else None
        #: How far a connection that is not TCP got: its name in the table of timeouts.
        self.phase = "icmp_first" if self.is_icmp else "udp_first"
        self.timeouts = timeouts
        self.mark = 0
        self.label = 0
        self.nat = 0
        self.helper = helper
        self.parent: Tuple | None = None
        #: Bytes that a helper added to what one side sends (see `expected`), and which side.
        self.skew = 0
        self.skews_replies = False
        self.expires_ms = 0
        #: What a tracker whose table is elsewhere knows of it.
        self.entry: object = None
        self._extend("tcp_first_packet" if self.tcp is not None else self.phase, now_ms)

    @property
    def key(self) -> Tuple:
        return tuple.__new__(Tuple, self.ends)

    @property
    def reverse(self) -> Tuple:
        return tuple.__new__(Tuple, self.reply_ends)

    @reverse.setter
    def reverse(self, ends: Tuple) -> None:
        self.reply_ends = ends

    def looks_like(self, key: Tuple, is_reply: bool) -> bool:
        """Is `key` what packets of this direction have, before or after they are translated?"""
        here, there = self.key, self.reverse
        return key == (there if is_reply else here) or key.reversed() == (
            here if is_reply else there
        )

    def _extend(self, name: str, now_ms: int) -> None:
        self.expires_ms = now_ms + 1000 * self.timeouts[name]

    def update(
        self, segment: Segment | None, is_reply: bool, check_sequence: bool, now_ms: int
    ) -> Update:
        """Note a packet of this connection and say what it is to it."""
        if self.tcp is not None:
            assert segment is not None
            result = self.tcp.update(segment, is_reply, check_sequence)
            if result in (Update.VALID, Update.VALID_NEW):
                is_opening = result is Update.VALID_NEW
                self._extend("tcp_opening" if is_opening else self.tcp.timeout(), now_ms)
            return result
        result = Update.VALID
        if self.is_icmp:
            if is_reply:
                self.phase = "icmp_reply"
            elif self.phase == "icmp_first":
                result = Update.VALID_NEW
        elif is_reply:
            self.phase = "udp_multiple"
        elif self.phase != "udp_multiple":
            self.phase = "udp_single"
            result = Update.VALID_NEW  # until there is an answer
        self._extend(self.phase, now_ms)
        return result
