"""Fragments on their way through connection tracking.

Only a whole packet belongs to a connection, so `ct` holds fragments back until their packet is
complete. The tracker then judges (and translates) the packet put together; what leaves are the
fragments as they came, each with the verdict, and with what was translated copied back into them.

What must hold: no more than `max_fragments` are held; fragments never overlap (one that does is
`inv`, as overlapping fragments are how firewalls are deceived, RFC 5722); all but the last have a
least size, below which fragments only serve to cut headers apart; a packet that stays incomplete
for `TIMEOUT_MS` is given up: the next packet of its family that is tracked sends the fragments on
their way, as `inv`; if none comes, they are thrown away.

Numbers and texts are those of ovs-dpctl(8), `ipf-...`.
"""

from __future__ import annotations

import itertools
from typing import Final, NamedTuple

from netloom.base.log import get_logger
from netloom.flow.address import format_ipv4, format_ipv6
from netloom.packet import edit
from netloom.packet.checksum import checksum
from netloom.packet.headers import ETH_TYPE_IP, IPV6_EXTENSIONS
from netloom.packet.marks import IP_GOOD, IP_PARTIAL
from netloom.packet.parse import Headers

log: Final = get_logger("ipf")

#: How long a packet may be incomplete, and how long its fragments wait for somebody to track.
TIMEOUT_MS: Final = 15_000
PURGE_MS: Final = 60_000
DEFAULT_MAX_FRAGMENTS: Final = 1_000
DEFAULT_MIN_SIZES: Final = {4: 1_200, 6: 1_280}
#: The kernel's conntrack takes fragments of any size: eight bytes behind a header are the least.
NO_MIN_SIZES: Final = {4: 0, 6: 0}
_LEAST_DATA: Final = 8
MAX_PACKET: Final = 65_535
#: Any packet in any frame.
NO_MAX_FRAME: Final = 2 * MAX_PACKET
#: Bytes of a packet that the log shows.
_SHOWN: Final = 128
_IPV4_MAX_HEADER: Final = 60
_IPV6_HEADER: Final = 40
_FRAGMENT_HEADER: Final = 44

#: What becomes of a fragment that does not complete its packet.
HELD: Final = "held"
INVALID: Final = "invalid"
COUNTS: Final = ("accepted", "completed", "expired", "too small", "overlapped", "purged")


class Piece(NamedTuple):
    """One fragment: the packet, its metadata, where its data lies in it and in the whole."""

    data: bytes
    key: int
    l3: int
    offset: int
    start: int
    end: int
    is_last: bool


class Datagram(NamedTuple):
    """Which packet a fragment is of; the protocol counts in IPv4 alone (RFC 791, RFC 8200)."""

    src: int
    dst: int
    recirc_id: int
    ip_id: int
    dl_type: int
    zone: int
    nw_proto: int


class Waiting:
    """The fragments of one packet, as far as they came."""

    __slots__ = ("expires_ms", "pieces", "state")

    def __init__(self, expires_ms: int) -> None:
        self.pieces: list[Piece] = []
        self.expires_ms = expires_ms
        self.state = "unused"

    def add(self, piece: Piece) -> None:
        self.pieces.append(piece)
        first = any(not other.start for other in self.pieces)
        last = any(other.is_last for other in self.pieces)
        self.state = _STATES[first, last]

    def is_complete(self) -> bool:
        """Whether nothing is missing; sorts the fragments if both ends are there."""
        if self.state != _BOTH:
            return False
        pieces = self.pieces
        pieces.sort(key=_start)
        return all(
            behind.start == piece.end + 1
            for piece, behind in itertools.pairwise(pieces)
        )  # fmt: skip


_BOTH: Final = "first/last frag"
_STATES: Final = {
    (False, False): "other frag",
    (True, False): "first frag",
    (False, True): "last frag",
    (True, True): _BOTH,
}


def _start(piece: Piece) -> int:
    return piece.start


def _overlap(there: Piece, new: Piece) -> bool:
    """Do fragments have data in common? A new one without data has its place."""
    if new.end < new.start:
        return there.start <= new.start <= there.end
    return there.start <= new.end and new.start <= there.end


class Whole(NamedTuple):
    """A packet put together, and what it was put together of, in order."""

    data: bytes
    pieces: tuple[Piece, ...]


class Fragments:
    """See the module. `min_sizes`, `enabled` and `counts` are by family, 4 or 6."""

    def __init__(self) -> None:
        self.enabled = {4: True, 6: True}
        self.min_sizes = dict(DEFAULT_MIN_SIZES)
        #: Open vSwitch's data path in user space puts no packet together that is longer than 64 KiB
        #: with all headers in front.
        self.max_frame = MAX_PACKET
        #: It also waits for the rest of a packet of which a fragment without data came; the kernel
        #: drops these.
        self.takes_empty = True
        self.max_fragments = DEFAULT_MAX_FRAGMENTS
        self.counts = {family: dict.fromkeys(COUNTS, 0) for family in (4, 6)}
        #: Fragments that are held now.
        self.n_held = 0
        #: Fragments whose IP header has a wrong checksum, and packets that were thrown away.
        self.n_wrong_checksums = self.n_purged = 0
        #: Fragments whose checksum was looked at here.
        self.n_checked = 0
        self._waiting: dict[Datagram, Waiting] = {}

    def take(
        self,
        data: bytes,
        headers: Headers,
        key: int,
        zone: int,
        recirc_id: int,
        now_ms: int,
        known: int = 0,
    ) -> Whole | str:
        """What becomes of a fragment: it completes a packet, or is HELD or INVALID. `known` is what
        others say of its checksum (`packet.marks`)."""
        family = _family(headers.dl_type)
        if family == 4 and self._is_wrong(data[headers.l3 : headers.l4], known):
            self.n_wrong_checksums += 1
            return INVALID
        found = _read(data, headers, key, zone, recirc_id)
        if found is None or not self.enabled[family]:
            return INVALID
        datagram, piece = found
        if piece.end < piece.start and not self.takes_empty:
            return INVALID
        counts = self.counts[family]
        if not piece.is_last and headers.end - headers.l3 < self.min_sizes[family]:
            counts["too small"] += 1
            return INVALID
        waiting = self._waiting.get(datagram)
        if self.n_held >= self.max_fragments or (
            waiting is not None and len(waiting.pieces) >= self._most_pieces(family)
        ):
            return INVALID
        if waiting is None:
            waiting = self._waiting[datagram] = Waiting(now_ms + TIMEOUT_MS)
        if any(_overlap(other, piece) for other in waiting.pieces):
            counts["overlapped"] += 1
            return INVALID
        counts["accepted"] += 1
        self.n_held += 1
        waiting.add(piece)
        return self._complete(datagram, waiting, counts) if waiting.is_complete() else HELD

    def _is_wrong(self, header: bytes, known: int) -> bool:
        """Is the checksum of an IPv4 header wrong?"""
        if known & IP_PARTIAL:
            return not known & IP_GOOD
        self.n_checked += 1
        return bool(checksum(header))

    def _most_pieces(self, family: int) -> int:
        if family == 6:
            return MAX_PACKET
        least = max(self.min_sizes[4] - _IPV4_MAX_HEADER, _LEAST_DATA)
        return -(-(MAX_PACKET - _IPV4_MAX_HEADER) // least)

    def _complete(
        self, datagram: Datagram, waiting: Waiting, counts: dict[str, int]
    ) -> Whole | str:
        data = _join(waiting.pieces, datagram.dl_type)
        if data is None or len(data) > self.max_frame:
            first = waiting.pieces[0]
            log.warn_rl(
                "Unsupported big reassembled v%d packet; v%d hdr:\n%s",
                *(_family(datagram.dl_type),) * 2,
                first.data[first.l3 : first.l3 + _SHOWN].hex(" "),
            )
            waiting.state = "reassemble fail"
            return HELD
        del self._waiting[datagram]
        self.n_held -= len(waiting.pieces)
        counts["completed"] += len(waiting.pieces)
        return Whole(data, tuple(waiting.pieces))

    def expired(self, dl_type: int, now_ms: int) -> tuple[Piece, ...]:
        """The fragments of one packet of this type that took too long; they are not held any
        more."""
        for datagram, waiting in self._waiting.items():
            if datagram.dl_type == dl_type and waiting.expires_ms < now_ms:
                self._drop(datagram, "expired")
                return tuple(waiting.pieces)
        return ()

    def purge(self, now_ms: int) -> None:
        """Throw away what nobody came to send."""
        for datagram, waiting in list(self._waiting.items()):
            if waiting.expires_ms + PURGE_MS < now_ms:
                self._drop(datagram, "purged")
                self.n_purged += 1

    def _drop(self, datagram: Datagram, why: str) -> None:
        pieces = self._waiting.pop(datagram).pieces
        self.n_held -= len(pieces)
        self.counts[_family(datagram.dl_type)][why] += len(pieces)

    def lists(self) -> list[str]:
        """A line of text for each incomplete packet, the newest first."""
        found = reversed(self._waiting.items())
        return [_describe(datagram, waiting) for datagram, waiting in found]


def _family(dl_type: int) -> int:
    return 4 if dl_type == ETH_TYPE_IP else 6


def _describe(datagram: Datagram, waiting: Waiting) -> str:
    form = format_ipv4 if datagram.dl_type == ETH_TYPE_IP else format_ipv6
    return (
        f"(src={form(datagram.src)},dst={form(datagram.dst)},recirc_id={datagram.recirc_id},"
        f"ip_id={datagram.ip_id},dl_type={datagram.dl_type:#x},zone={datagram.zone},"
        f"nw_proto={datagram.nw_proto},num_fragments={len(waiting.pieces)},state={waiting.state})"
    )


def _read(
    data: bytes, headers: Headers, key: int, zone: int, recirc_id: int
) -> tuple[Datagram, Piece] | None:
    """Which packet a fragment is of, and what part of it; None if its header is wrong."""
    l3, end = headers.l3, headers.end
    if headers.dl_type == ETH_TYPE_IP:
        if headers.l4 > end:
            return None
        word = edit.get_word(data, l3 + 6)
        start, is_last = (word & 0x1FFF) * 8, not word & 0x2000
        src, dst = data[l3 + 12 : l3 + 16], data[l3 + 16 : l3 + 20]
        offset, ip_id, proto = headers.l4, edit.get_word(data, l3 + 4), data[l3 + 9]
    else:
        at = _find_fragment_header(data, headers)
        word = edit.get_word(data, at + 2)
        start, is_last = word & 0xFFF8, not word & 1
        src, dst = data[l3 + 8 : l3 + 24], data[l3 + 24 : l3 + 40]
        offset, ip_id, proto = at + 8, int.from_bytes(data[at + 4 : at + 8], "big"), 0
        if offset > end:
            return None
    piece = Piece(data, key, l3, offset, start, start + end - offset - 1, is_last)
    addresses = int.from_bytes(src, "big"), int.from_bytes(dst, "big")
    return Datagram(*addresses, recirc_id, ip_id, headers.dl_type, zone, proto), piece


def _find_fragment_header(data: bytes, headers: Headers) -> int:
    """Where it is, in a packet that is known to have one."""
    at, kind = headers.l3 + _IPV6_HEADER, data[headers.l3 + 6]
    while kind != _FRAGMENT_HEADER and kind in IPV6_EXTENSIONS:
        kind, length = data[at], data[at + 1]
        at += (length + 2) * 4 if kind == 51 else (length + 1) * 8
    return at


def _join(pieces: list[Piece], dl_type: int) -> bytes | None:
    """The packet of sorted fragments; None if it is longer than any can be."""
    first = pieces[0]
    body = b"".join([p.data[p.offset : p.offset + p.end + 1 - p.start] for p in pieces])
    whole = bytearray(first.data[: first.offset])
    l3 = first.l3
    size = len(whole) - l3 + len(body)
    if dl_type == ETH_TYPE_IP:
        if size > MAX_PACKET:
            return None
        edit.put_word(whole, l3 + 2, size)
        edit.put_word(whole, l3 + 6, 0)
        _refresh_checksum(whole, l3, first.offset)
    else:
        if size - _IPV6_HEADER > MAX_PACKET:
            return None
        edit.put_word(whole, l3 + 4, size - _IPV6_HEADER)
        edit.put_word(whole, first.offset - 6, 0)
    return bytes(whole) + body


def _refresh_checksum(packet: bytearray, l3: int, l4: int) -> None:
    edit.put_word(packet, l3 + 10, 0)
    edit.put_word(packet, l3 + 10, checksum(packet[l3:l4]))


def cut(whole: Whole, changed: bytes | bytearray, is_ipv4: bool) -> list[bytes]:
    """The fragments of what a whole packet was changed to: its addresses and data, under the
    fragments' own headers."""
    first = whole.pieces[0]
    fragments = []
    for piece in whole.pieces:
        fragment = bytearray(piece.data)
        start, size = (12, 8) if is_ipv4 else (8, 32)
        source = first.l3 + start
        fragment[piece.l3 + start : piece.l3 + start + size] = changed[source : source + size]
        length = piece.end + 1 - piece.start
        source = first.offset + piece.start
        fragment[piece.offset : piece.offset + length] = changed[source : source + length]
        if is_ipv4:
            _refresh_checksum(fragment, piece.l3, piece.offset)
        fragments.append(bytes(fragment))
    return fragments
