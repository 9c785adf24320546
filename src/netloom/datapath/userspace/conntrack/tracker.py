"""The connection tracker: the table, and what a `ct` action does with a packet.

`track` takes a packet's bytes, the offsets of its headers, and what tracking already said of it
(`Tracked`); it returns what it says now and, if the packet is to be translated, how. It changes no
packet: `nat.translate_packet` does, for whoever holds it. Time is the clock's, in ms.

The state's bits are those of ct_state (ovs-fields(7)). A packet of no connection is `new` (and
stays so until a `ct` with commit keeps it); one of a connection that was answered is `est`; one in
the direction of answers is also `rpl`; an ICMP error about one is `rel`; what cannot be is `inv`.

A connection stands in the table twice, under its key and under the key of its answers. Connections
that expired are as good as gone: a lookup removes them when it meets them, `expire` the rest. Both
limits (of a zone, of the whole) keep a new connection from being committed: its packet remains
`new`, and the refusal is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from netloom.base.counters import Counters
from netloom.datapath.actions import Ct
from netloom.datapath.userspace.conntrack.connection import (
    NAT_DST,
    NAT_SRC,
    TIMEOUTS_S,
    Connection,
)
from netloom.datapath.userspace.conntrack.expected import (
    Adjustment,
    Expectations,
    Expected,
    listen,
)
from netloom.datapath.userspace.conntrack.filter import is_of, parse_filter
from netloom.datapath.userspace.conntrack.fragments import Fragments
from netloom.datapath.userspace.conntrack.limits import EntryLimits, ZoneLimits
from netloom.datapath.userspace.conntrack.nat import choose_reverse, reversed_action
from netloom.datapath.userspace.conntrack.plain import PlainReader, PlainTuple
from netloom.datapath.userspace.conntrack.plan import CtPlan, connection_bits, mark_connection
from netloom.datapath.userspace.conntrack.tcp import (
    Segment,
    Update,
    has_invalid_flags,
    may_open,
    read_segment,
)
from netloom.datapath.userspace.conntrack.text import (
    format_connection,
    format_expected,
    format_stats,
)
from netloom.datapath.userspace.conntrack.tuples import (
    INVALID_REASONS,
    Found,
    Tuple,
    extract,
    is_opener,
    plain_bits,
    with_numbers_of,
)
from netloom.flow.key import (
    CT_MASK,
    CT_STATE_MASK,
    CT_STATE_SHIFT,
    CT_ZONE_MASK,
    CT_ZONE_SHIFT,
    PACKET_TYPE_MASK,
)
from netloom.packet.headers import IPPROTO_TCP
from netloom.packet.marks import VOUCHED
from netloom.packet.parse import Headers

NEW: Final = 0x01
EST: Final = 0x02
REL: Final = 0x04
RPL: Final = 0x08
INV: Final = 0x10
TRK: Final = 0x20
SNAT: Final = 0x40
DNAT: Final = 0x80

NEW_TRK: Final = NEW | TRK
_NO_CT: Final = ~CT_MASK
#: Where the transport header of a plain packet is.
PLAIN_L4: Final = 34

#: Connections that may be kept.
DEFAULT_MAX_CONNECTIONS: Final = 3_000_000
#: How often all connections are looked at for expired ones.
DEFAULT_SWEEP_MS: Final = 20_000

FULL: Final = "conntrack_full"
ZONE_FULL: Final = "conntrack_zone_full"
NAT_EXHAUSTED: Final = "conntrack_nat_exhausted"
INVALID_STATE: Final = "conntrack_invalid_state"
NATTED_MISS: Final = "conntrack_lookup_natted_miss"
TCP_FLAGS: Final = "conntrack_invalid_tcp_flags"
TCP_SEQUENCE: Final = "conntrack_tcp_seq_chk_failed"
TCP_UNCHECKED: Final = "conntrack_tcp_seq_chk_bypass"
FRAGMENT_CHECKSUM: Final = "ipf_l3csum_err"
#: Checksums that no device had looked at.
FRAGMENT_CHECKED: Final = "ipf_l3csum_checked"
L3_CHECKED: Final = "conntrack_l3csum_checked"
L4_CHECKED: Final = "conntrack_l4csum_checked"
FRAGMENTS_PURGED: Final = "ipf_stuck_frag_list_purged"
COUNTERS: Final = (
    FULL, ZONE_FULL, NAT_EXHAUSTED, INVALID_STATE, NATTED_MISS, TCP_FLAGS, TCP_SEQUENCE,
    TCP_UNCHECKED, *INVALID_REASONS,
)  # fmt: skip


class Tracked(NamedTuple):
    """What tracking says of a packet; `original` is the tuple of its connection's first packet, its
    own if it is new."""

    state: int = 0
    zone: int = 0
    mark: int = 0
    label: int = 0
    original: Tuple | None = None


#: Of a packet that comes for the first time into a zone, whatever was said in others.
UNTRACKED: Final = Tracked()


def state_in_zone(key: int, zone: int) -> int:
    """What was said of a packet when it was tracked in this zone; 0 if it was not."""
    state = (key & CT_STATE_MASK) >> CT_STATE_SHIFT & 0xFF
    is_elsewhere = state & TRK and (key & CT_ZONE_MASK) >> CT_ZONE_SHIFT != zone
    return 0 if is_elsewhere else state


class Translation(NamedTuple):
    """How to rewrite the packet: `nat.translate_packet`'s arguments."""

    wanted: Tuple
    action: int
    inner: int


class Verdict(NamedTuple):
    """What is said of a packet, and how to rewrite it: first translated, then adjusted."""

    tracked: Tracked
    translation: Translation | None = None
    adjustment: Adjustment | None = None


class Work:
    """One packet on its way through the tracker."""

    __slots__ = (
        "connection", "ct", "expected", "found", "is_reply", "segment", "state", "translation",
        "was_zone",
    )  # fmt: skip

    def __init__(self, ct: Ct, found: Found, segment: Segment | None, before: Tracked) -> None:
        self.ct = ct
        self.found = found
        self.segment = segment
        self.state = before.state
        self.was_zone = before.zone
        self.connection: Connection | None = None
        self.expected: Expected | None = None
        self.is_reply = False
        self.translation: Translation | None = None


class ConnTracker:
    """See the module. `draw` gives random numbers of 32 bits."""

    def __init__(self, counters: Counters, draw: Callable[[], int]) -> None:
        self._counters = counters
        for name in COUNTERS:
            counters.counter(name)
        self._draw = draw
        self._table: dict[PlainTuple, tuple[Connection, bool]] = {}
        self._connections: dict[Connection, None] = {}
        self.limits: ZoneLimits = EntryLimits()
        self.fragments = fragments = Fragments()
        counters.counter(FRAGMENT_CHECKSUM).follow(lambda: fragments.n_wrong_checksums)
        counters.counter(FRAGMENTS_PURGED).follow(lambda: fragments.n_purged)
        counters.counter(FRAGMENT_CHECKED).follow(lambda: fragments.n_checked)
        self._expectations = Expectations()
        self.max_connections = DEFAULT_MAX_CONNECTIONS
        self.sweep_interval_ms = DEFAULT_SWEEP_MS
        self._next_sweep_ms = self._last_sweep_ms = self._now_ms = 0
        self._policies: dict[str, dict[str, int]] = {}
        self._reader = PlainReader()
        counters.counter(L3_CHECKED).follow(lambda: self._reader.n_ip_checked)
        counters.counter(L4_CHECKED).follow(lambda: self._reader.n_l4_checked)
        self.checks_tcp_sequence = True

    @property
    def checks_tcp_sequence(self) -> bool:
        """Are segments that are not in the window of their connection invalid?"""
        return self._checks_tcp_sequence

    @checks_tcp_sequence.setter
    def checks_tcp_sequence(self, checks: bool) -> None:
        self._checks_tcp_sequence = checks
        # Who keeps connections elsewhere too has to see each packet's work; what is not checked is
        # counted, on the long road.
        self._may_be_plain = checks and type(self) is ConnTracker

    def __len__(self) -> int:
        return len(self._connections)

    @property
    def max_connections(self) -> int:
        """Connections that may be kept."""
        return self._max_connections

    @max_connections.setter
    def max_connections(self, number: int) -> None:
        self._max_connections = number

    def connections(self, now_ms: int) -> Iterator[Connection]:
        """All that have not expired, oldest first."""
        return (c for c in list(self._connections) if c.expires_ms > now_ms)

    def set_timeout_policy(self, name: str, timeouts_s: dict[str, int]) -> None:
        """What `timeout=name` means: seconds by the names of `TIMEOUTS_S`; the others keep their
        default."""
        self._policies[name] = TIMEOUTS_S | timeouts_s

    # Packets

    def track(
        self,
        packet: bytes | bytearray,
        headers: Headers,
        before: Tracked,
        ct: Ct,
        now_ms: int,
        known: int = 0,
    ) -> Verdict:
        """What the action `ct` makes of a packet, of whose checksums so much is `known`
        (`packet.marks`); see the module."""
        if before.state == INV:
            return Verdict(Tracked(INV | TRK, ct.zone))
        before = before if before.zone == ct.zone else UNTRACKED
        if not known and self._reader.has_checked(packet):
            known = VOUCHED
        found = extract(packet, headers, ct.zone, known, self._reader.checked)
        if isinstance(found, str):
            self._counters.counter(found).add()
            return Verdict(Tracked(INV | TRK, ct.zone))
        self._reader.vouch(packet)
        segment = None
        if found.key.proto == IPPROTO_TCP and not found.related:
            segment = read_segment(packet, headers.l4, headers.end)
        work = Work(ct, found, segment, before)
        if self._is_known(work, before, now_ms):
            is_new_here = work.translation is not None
            if not is_new_here:
                return self._finish(work, now_ms)
            return self._heard(work, packet, headers, now_ms)
        self._find(work, before, now_ms)
        if self._update(work, now_ms):
            self._open(work, packet, headers, now_ms)
        return self._heard(work, packet, headers, now_ms)

    def track_key(
        self,
        packet: bytes,
        key: int,
        ct: CtPlan,
        now_ms: int,
        known: int = 0,
        wants_key: bool = True,
    ) -> int:
        """What `ct` makes of the flow key of a plain packet: what `track` says (a test compares
        them), in a third of the time; something not negative if nobody wants the key any more. -1
        if the packet is not plain, and nothing was done. Plain is TCP or UDP on IPv4 without
        options that is right, is tracked for the first time or of no connection yet, and neither
        translated nor expected nor listened to by a helper."""
        if not (self._may_be_plain and ct.is_plain) or len(self._expectations):
            return -1
        state = state_in_zone(key, ct.zone)
        if (state and state != NEW_TRK) or key & PACKET_TYPE_MASK:
            return -1
        read = self._reader.read(packet, ct.zone, known)
        if read is None:
            return -1
        found, end = read
        segment = read_segment(packet, PLAIN_L4, end) if found[2] == IPPROTO_TCP else None
        row = self._table.get(found)
        if row is not None and row[0].expires_ms <= now_ms:
            self._remove(row[0])
            row = None
        connection: Connection | None = None
        if row is not None:
            connection = row[0]
            if connection.parent is not None or connection.helper or connection.skew or state:
                return -1
            result = connection.update(segment, row[1], self.checks_tcp_sequence, now_ms)
            if result is Update.NEW:
                self._remove(connection)
                connection = None
            elif result is Update.VALID or result is Update.VALID_ROUGH:
                state = state & ~NEW | EST | (RPL if row[1] else 0)
            elif result is Update.INVALID:
                self._count_invalid(segment, TCP_SEQUENCE)
                state = INV
            else:
                state |= NEW
        if connection is None:
            state = NEW
            if segment is not None and not may_open(segment.flags):
                self._count_invalid(segment)
                state = INV
            elif ct.commit:
                connection = self._commit_plain(found, segment, ct, now_ms)
        if not wants_key:
            if connection is not None and ct.marks:
                mark_connection(connection, ct)
            return 0
        key = key & _NO_CT | (state | TRK) << CT_STATE_SHIFT | ct.zone_bits
        if connection is not None:
            return key | connection_bits(connection, ct)
        return key if state == INV else key | plain_bits(found)

    def _commit_plain(
        self, found: PlainTuple, segment: Segment | None, ct: CtPlan, now_ms: int
    ) -> Connection | None:
        """Keep a connection that nothing is special about; None if there is no room."""
        if not self._has_room(found[0]):
            return None
        timeouts = self._policies.get(ct.timeout, TIMEOUTS_S)
        connection = Connection(found, segment, timeouts, now_ms)
        self._add(connection)
        return connection

    def _has_room(self, zone: int) -> bool:
        """May one more connection be kept? If not, that is counted."""
        if not self.limits.may_add(zone):
            self._counters.counter(ZONE_FULL).add()
            return False
        if len(self) >= self.max_connections:
            self._counters.counter(FULL).add()
            return False
        return True

    def _heard(
        self, work: Work, packet: bytes | bytearray, headers: Headers, now_ms: int
    ) -> Verdict:
        """The verdict, and what the packet says to a helper."""
        connection = work.connection
        verdict = self._finish(work, now_ms)
        if connection is None or not connection.helper or work.found.related:
            return verdict
        heard = listen(
            self._expectations,
            connection,
            packet,
            headers,
            is_reply=work.is_reply,
            may_rewrite=work.translation is not None,
        )
        if isinstance(heard, ValueError):
            self._counters.counter(INVALID_STATE).add()
            return verdict._replace(
                tracked=verdict.tracked._replace(state=verdict.tracked.state | INV)
            )
        return verdict._replace(adjustment=heard)

    def _lookup(self, key: Tuple, now_ms: int) -> tuple[Connection, bool] | None:
        row = self._table.get(key)
        if row is not None and row[0].expires_ms <= now_ms:
            self._remove(row[0])
            return None
        return row

    def _find(self, work: Work, before: Tracked, now_ms: int) -> None:
        """The packet's connection; one that was translated here is known by its answers."""
        key = work.found.key
        is_translated = bool(before.state & (SNAT | DNAT))
        row = self._lookup(key.reversed() if is_translated else key, now_ms)
        if is_translated and row is None:
            self._counters.counter(NATTED_MISS).add()
        elif is_translated and row is not None:
            row = row[0], not row[1]
            key = row[0].reverse if row[1] else row[0].key
            work.found = work.found._replace(key=key)
        if row is not None and work.ct.force and row[1]:
            # The initiator may not be who was thought: begin anew from this side.
            self._remove(row[0])
            row = None
        if row is None and is_translated and work.ct.nat is None and before.original is not None:
            row = self._lookup(with_numbers_of(before.original, key), now_ms)
        if row is not None:
            work.connection, work.is_reply = row

    def _is_known(self, work: Work, before: Tracked, now_ms: int) -> bool:
        """Whether the packet was tracked in this zone already, in an earlier pass: then it is not
        counted against its connection again, only marked and translated."""
        original, key = before.original, work.found.key
        if before.state & REL:
            # The tuple is that of the connection which announced this one.
            return False
        if original is None or before.zone != key.zone or work.ct.force or work.found.related:
            return False
        original = with_numbers_of(original, key)
        row = self._lookup(original, now_ms)
        if row is None or row[0].parent is not None:
            return False
        is_reply = bool(before.state & RPL)
        # Another connection may have got its tuple: then it is not the one that was found.
        is_same = key == (original.reversed() if is_reply else original)
        if not (is_same or row[0].looks_like(key, is_reply)):
            # Its addresses were changed since, which no tracking knows of.
            work.state &= SNAT | DNAT
            return False
        work.connection, work.is_reply = row[0], is_reply
        if work.ct.nat is not None:
            self._translate(work)
        return True

    def _update(self, work: Work, now_ms: int) -> bool:
        """Hold the packet against its connection; True if it opens one."""
        connection = work.connection
        if connection is None:
            if work.found.related:
                self._invalid(work)
            return not work.found.related
        if work.found.related:
            work.state |= REL | (RPL if work.is_reply else 0)
        else:
            work.state |= REL if connection.parent is not None else 0
            segment = work.segment
            if segment is not None and connection.skew:
                # Answers acknowledge what was made of the text.
                by = connection.skew if work.is_reply != connection.skews_replies else 0
                segment = segment._replace(ack=segment.ack - by & 0xFFFFFFFF)
            result = connection.update(segment, work.is_reply, self.checks_tcp_sequence, now_ms)
            if result is Update.NEW:
                self._remove(connection)
                work.connection, work.is_reply = None, False
                return True
            if segment is not None and not self.checks_tcp_sequence:
                self._counters.counter(TCP_UNCHECKED).add()
            if result is Update.INVALID:
                self._invalid(work, TCP_SEQUENCE)
            elif result in (Update.VALID, Update.VALID_ROUGH):
                work.state = work.state & ~NEW | EST | (RPL if work.is_reply else 0)
            else:
                work.state |= NEW
        if work.ct.nat is not None:
            self._translate(work)
        return False

    def _invalid(self, work: Work, reason: str = "") -> None:
        work.state = INV
        self._count_invalid(work.segment, reason)

    def _count_invalid(self, segment: Segment | None, reason: str = "") -> None:
        """Count a packet that cannot be: by its TCP flags, else for `reason`, if there is one."""
        self._counters.counter(INVALID_STATE).add()
        if segment is not None and has_invalid_flags(segment.flags):
            reason = TCP_FLAGS
        if segment is not None and reason:
            self._counters.counter(reason).add()

    def _translate(self, work: Work) -> None:
        connection = work.connection
        assert connection is not None
        if not connection.nat:
            return
        if work.state & (SNAT | DNAT):
            if work.was_zone == work.ct.zone:
                return
            work.state &= ~(SNAT | DNAT)
        action = reversed_action(connection.nat) if work.is_reply else connection.nat
        other = connection.key if work.is_reply else connection.reverse
        work.state |= SNAT if action == NAT_SRC else DNAT
        work.translation = Translation(other.reversed(), action, work.found.inner)

    def _open(self, work: Work, packet: bytes | bytearray, headers: Headers, now_ms: int) -> None:
        key = work.found.key
        first = packet[headers.l4] if 0 <= headers.l4 < headers.end else 0
        segment = work.segment
        if not (is_opener(key.proto, first) if segment is None else may_open(segment.flags)):
            self._invalid(work)
            return
        work.expected = expected = self._expectations.find(key)
        work.state = NEW if expected is None else NEW | REL
        if not work.ct.commit or not self._has_room(key.zone):
            return
        timeouts = self._policies.get(work.ct.timeout, TIMEOUTS_S)
        connection = Connection(key, work.segment, timeouts, now_ms, work.ct.helper)
        if expected is not None:
            connection.parent = expected.parent
            connection.mark, connection.label = expected.mark, expected.label
        nat = work.ct.nat
        if nat is not None and expected is not None:
            expected.translate(connection)
        elif nat is not None and nat.kind:
            reverse = choose_reverse(
                key, nat, lambda found: self._lookup(found, now_ms) is not None, self._draw()
            )
            if reverse is None:
                self._counters.counter(NAT_EXHAUSTED).add()
                return
            connection.reverse = reverse
            connection.nat = NAT_SRC if nat.kind == "src" else NAT_DST
        work.connection = connection
        self._add(connection)
        if connection.nat:
            self._translate(work)

    def _finish(self, work: Work, now_ms: int) -> Verdict:
        connection, ct = work.connection, work.ct
        if connection is None and work.expected is not None:
            # Not kept (yet): known by its parent.
            parent, mark, label, _, _ = work.expected
            return Verdict(Tracked(work.state | TRK, ct.zone, mark, label, parent))
        if connection is None:
            original = None if work.state & INV else work.found.key
            return Verdict(Tracked(work.state | TRK, ct.zone, original=original))
        if ct.commit or ct.mark_mask or ct.label_mask:
            connection.mark = connection.mark & ~ct.mark_mask | ct.mark & ct.mark_mask
            connection.label = connection.label & ~ct.label_mask | ct.label & ct.label_mask
        original = connection.key if connection.parent is None else connection.parent
        tracked = Tracked(work.state | TRK, ct.zone, connection.mark, connection.label, original)
        return Verdict(tracked, work.translation)

    # The table

    def _add(self, connection: Connection) -> None:
        self._table[connection.ends] = (connection, False)
        self._table[connection.reply_ends] = (connection, True)
        self._connections[connection] = None
        self.limits.add(connection)

    def _remove(self, connection: Connection) -> None:
        del self._connections[connection]
        self._expectations.forget(connection)
        for key in (connection.ends, connection.reply_ends):
            row = self._table.get(key)
            if row is not None and row[0] is connection:
                del self._table[key]
        self.limits.remove(connection)

    def is_sweep_due(self, now_ms: int) -> bool:
        return now_ms >= self._next_sweep_ms

    def expire(self, now_ms: int) -> None:
        """Remove what expired, if a sweep is due."""
        if not self.is_sweep_due(now_ms):
            return
        self._next_sweep_ms = now_ms + self.sweep_interval_ms
        self.fragments.purge(now_ms)
        for connection in [c for c in self._connections if c.expires_ms <= now_ms]:
            self._remove(connection)

    def flush(self, is_wanted: Callable[[Connection], bool] | None = None) -> int:
        """Remove all connections, or those that `is_wanted` says; returns how many."""
        gone = [c for c in self._connections if is_wanted is None or is_wanted(c)]
        for connection in gone:
            self._remove(connection)
        return len(gone)

    # What people see (`datapath.conntrack`)

    def _of_zone(self, now_ms: int, zone: int | None) -> Iterator[Connection]:
        return (c for c in self.connections(now_ms) if zone is None or c.key.zone == zone)

    def dump(self, now_ms: int, zone: int | None, verbose: bool, with_times: bool) -> list[str]:
        found = self._of_zone(now_ms, zone)
        return [format_connection(c, now_ms, verbose, with_times) for c in found]

    def dump_expected(self, zone: int | None) -> list[str]:
        found = self._expectations.items()
        return [format_expected(*each) for each in found if zone in (None, each[0].zone)]

    def describe(self, now_ms: int, zone: int | None, verbose: bool) -> str:
        return format_stats(self._of_zone(now_ms, zone), verbose)

    def flush_zone(self, zone: int | None) -> None:
        self.flush(lambda connection: zone is None or connection.key.zone == zone)

    def flush_matching(self, zone: int | None, words: Sequence[str]) -> bool:
        wanted = parse_filter(words)
        if not wanted:
            self.flush_zone(zone)
            return True
        one = wanted.one
        if one is not None:
            one = one._replace(zone=zone or 0)
            return bool(self.flush(lambda connection: is_of(connection, one)))
        self.flush(lambda each: zone in (None, each.key.zone) and wanted.matches(each))
        return True
