"""Packets on their way to controllers: what a packet-in carries, and how many may be sent a second.

A switch keeps no packets for controllers (n_buffers is 0), so every packet-in carries the whole
packet, whatever length an action or `miss_send_len` asked for.

A controller's `rate_limit_pps` is kept by a token bucket. Packets beyond it wait, in a queue per
input port that are served in turn, so that one noisy port cannot starve the others; when
`burst_limit_packets` wait, the longest queue loses its oldest packet.

A controller that does not read what it is sent may have `queue_size` packet-ins waiting; more are
lost. `Controller` table of ovs-vswitchd.conf.db(5).
"""

from __future__ import annotations

from collections import deque

from netloom.flow.fields import SLOT
from netloom.flow.key import CT_STATE_MASK, CT_STATE_SHIFT, DL_TYPE_MASK, DL_TYPE_SHIFT
from netloom.flow.match import Match
from netloom.openflow import messages as m
from netloom.packet.headers import ETH_TYPE_IP, ETH_TYPE_IPV6

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_IN_PORT: Final = SLOT["in_port"]

#: The tuple of a connection, by Ethernet type: what there is if there is a protocol.
_CT_NW_PROTO: Final = SLOT["ct_nw_proto"]
_TUPLES: Final = {
    dl_type: _CT_NW_PROTO.mask | SLOT["ct_tp_src"].mask | SLOT["ct_tp_dst"].mask
    | SLOT[f"ct_{family}_src"].mask | SLOT[f"ct_{family}_dst"].mask
    for dl_type, family in ((ETH_TYPE_IP, "nw"), (ETH_TYPE_IPV6, "ipv6"))
}  # fmt: skip
#: States of packets that have a tuple: new, established or a reply.
_HAS_TUPLE: Final = 0b1011 << CT_STATE_SHIFT
#: What else is known of a packet besides its bytes.
_METADATA_SLOTS: Final = [
    slot
    for name, slot in SLOT.items()
    if name in ("metadata", "packet_type", "pkt_mark", "ct_state", "ct_zone", "ct_mark", "ct_label")
    or name.startswith(("reg", "tun_"))
]
_METADATA_MASK: Final = sum(slot.mask for slot in _METADATA_SLOTS)


def metadata_match(key: int, option_bits: int = 0) -> Match:
    """The match of a packet-in: `in_port`, those metadata fields of `key` that are not 0, the
    Ethernet type of tracked packets, and the tunnel options in `option_bits`."""
    mask = _IN_PORT.mask | option_bits
    if key & _METADATA_MASK:
        for slot in _METADATA_SLOTS:
            if key & slot.mask:
                mask |= slot.mask
        if key & CT_STATE_MASK:
            mask |= DL_TYPE_MASK  # the prerequisite of a connection's addresses
            if key & _HAS_TUPLE and key & _CT_NW_PROTO.mask:
                mask |= _TUPLES.get((key & DL_TYPE_MASK) >> DL_TYPE_SHIFT, 0)
    return Match(key, mask)


def wire_reason(reason: int, version: int) -> int:
    """`reason` as a controller of that version is told it."""
    if reason == m.OFPR_EXPLICIT_MISS:
        return m.OFPR_ACTION if version < m.OFP13_VERSION else m.OFPR_NO_MATCH
    if reason == m.OFPR_IMPLICIT_MISS:
        return m.OFPR_NO_MATCH
    if reason in (m.OFPR_ACTION_SET, m.OFPR_GROUP, m.OFPR_PACKET_OUT):
        return m.OFPR_ACTION if version < m.OFP14_VERSION else reason
    return reason


class PacketInQueue:
    """The packets that wait for tokens. `rate_pps` 0: nothing ever waits."""

    __slots__ = (
        "_burst", "_queues", "_rate_pps", "_tokens", "_turn", "_updated_ms", "n_bypassed",
        "n_dropped", "n_queued",
    )  # fmt: skip

    def __init__(self, rate_pps: int, burst_packets: int, now_ms: int) -> None:
        self.n_bypassed = self.n_queued = self.n_dropped = 0
        self._queues: dict[int, deque[m.PacketIn]] = {}
        self._turn: deque[int] = deque()
        self._updated_ms = now_ms
        self._rate_pps = 0
        self._burst = 0
        #: In thousandths of a packet, so that a rate per second is a rate per millisecond.
        self._tokens = 0
        self.set_limits(rate_pps, burst_packets)
        self._tokens = self._burst * 1_000

    def set_limits(self, rate_pps: int, burst_packets: int) -> None:
        """Change the limits; a burst of 0 is a quarter of a second's worth."""
        if not self._rate_pps:
            self.n_bypassed = self.n_queued = self.n_dropped = 0
        self._rate_pps = rate_pps
        self._burst = max(burst_packets or rate_pps // 4, 1)
        self._tokens = min(self._tokens, self._burst * 1_000)

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def counts(self, kind: str) -> tuple[tuple[str, str], ...]:
        """Keys and values of `status` of a Controller row; none without a limit."""
        if not self._rate_pps:
            return ()
        numbers = {
            "backlog": len(self),
            "bypassed": self.n_bypassed,
            "dropped": self.n_dropped,
            "queued": self.n_queued,
        }
        return tuple((f"packet-in-{kind}-{name}", str(n)) for name, n in numbers.items())

    def push(self, port: int, packet_in: m.PacketIn, now_ms: int) -> bool:
        """True if `packet_in` may go at once; else it waits (or something older is lost)."""
        if not self._rate_pps:
            return True
        if not self._queues and self._withdraw(now_ms):
            self.n_bypassed += 1
            return True
        self.n_queued += 1
        if len(self) >= self._burst:
            self._drop()
        if port not in self._queues:
            self._queues[port] = deque()
            self._turn.append(port)
        self._queues[port].append(packet_in)
        return False

    def pop_due(self, now_ms: int) -> list[m.PacketIn]:
        """The packets whose time has come."""
        due: list[m.PacketIn] = []
        while self._queues and (not self._rate_pps or self._withdraw(now_ms)):
            port = self._turn[0]
            self._turn.rotate(-1)
            due.append(self._take(port))
        return due

    def deadline(self) -> int | None:
        """When the next packet may go."""
        if not self._queues:
            return None
        missing = max(1_000 - self._tokens, 0)
        return self._updated_ms + -(-missing // max(self._rate_pps, 1))

    def _withdraw(self, now_ms: int) -> bool:
        gained = (now_ms - self._updated_ms) * self._rate_pps
        self._tokens = min(self._tokens + gained, self._burst * 1_000)
        self._updated_ms = now_ms
        if self._tokens < 1_000:
            return False
        self._tokens -= 1_000
        return True

    def _drop(self) -> None:
        longest = max(self._queues, key=lambda port: len(self._queues[port]))
        self._take(longest)
        self.n_dropped += 1

    def _take(self, port: int) -> m.PacketIn:
        queue = self._queues[port]
        packet_in = queue.popleft()
        if not queue:
            del self._queues[port]
            self._turn.remove(port)
        return packet_in


class Unread:
    """The packet-ins that were sent and that the peer has probably not read: `limit` at most.

    Other messages wait in the same stream, so that it is not known which of its bytes are whose:
    all of the newest packet-ins that fit are taken for unread."""

    __slots__ = ("_n_bytes", "_sizes")

    def __init__(self) -> None:
        self._sizes: deque[int] = deque()
        self._n_bytes = 0

    def admit(self, size: int, n_waiting: int, limit: int) -> bool:
        """May one of `size` bytes follow, when `n_waiting` bytes wait because the peer does not
        read (0 if it does)?"""
        sizes = self._sizes
        while sizes and self._n_bytes > n_waiting:
            self._n_bytes -= sizes.popleft()
        if not n_waiting:
            return True
        if len(sizes) >= limit:
            return False
        sizes.append(size)
        self._n_bytes += size
        return True
