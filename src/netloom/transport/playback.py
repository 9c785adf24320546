"""What a program recorded (`recording`) comes in again: streams and places listened at whose other
side is files.

A `Player` hands out what came in record by record, in the order of their numbers, whatever stream
they are of, as fast as they are taken. Records of what went out only tell where a turn of the
program's loop ended: what it does now with its input need not be what it did then. So recordings of
Open vSwitch's can be played, too.

Every number belongs to a record, or to a file that was opened then. If the next one belongs to a
file that the program has not asked for yet, as it does when it connects to somebody, all the rest
waits until it does.
"""

from __future__ import annotations

import errno
import os
import posix
from collections import deque
from heapq import heappop, heappush

from netloom.base.errors import CommandError
from netloom.base.log import get_logger

from .recording import HEAD, UUIDS, file_name, swap_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .sync_stream import Deadline

log = get_logger("ovs_replay")


class PlayedTrack:
    """One file: what came in on a stream, or from a place listened at. `number` is that of the next
    record, None behind the last; `is_input` tells which kind that is."""

    def __init__(self, path: str, name: str) -> None:
        with open(path, "rb") as file:
            self._data = file.read()
        self._at = 0
        self.name = name
        #: Takes a record's length and data.
        self.handle: Callable[[int, bytes], None] | None = None
        #: Nobody asks for what is left of it.
        self.is_closed = False
        self.number: int | None = None
        self.is_input = False
        self._length = 0
        self._look()

    def _look(self) -> None:
        """See what the next record is; one that was cut short is none."""
        self.number = None
        if self._at + HEAD.size > len(self._data):
            return
        number, self._length = HEAD.unpack_from(self._data, self._at)
        # Number 0 is that of a file.
        self.is_input = number > 0
        if self._at + HEAD.size + self._n_bytes() <= len(self._data):
            self.number = abs(number)

    def _n_bytes(self) -> int:
        return max(self._length, 0) if self.is_input else 0

    def take(self) -> tuple[int, bytes]:
        """Length and data of the next record."""
        start = self._at + HEAD.size
        length, end = self._length, start + self._n_bytes()
        data = self._data[start:end]
        self._at = end
        self._look()
        return length, data


class Player:
    """One per program that plays a recording. A runnable of the program's loop, if it has one."""

    def __init__(self, directory: str) -> None:
        #: Files that nobody has opened yet: by their name the numbers and paths, by number the
        #: name.
        self._files: dict[str, list[tuple[int, str]]] = {}
        self._names: dict[int, str] = {}
        self._scan(directory)
        #: What is left of open files, by the next record's number.
        self._heap: list[tuple[int, int, PlayedTrack]] = []
        self._n_opened = 0
        #: The next number, and those behind it that are dealt with already.
        self._due = 0
        self._early: set[int] = set()
        #: Streams that wait to be connected until it is their file's turn, by its name.
        self._callers: dict[str, deque[Callable[[], None]]] = {}
        self._random = b""
        self._read_uuids()
        self._has_delivered = False

    def _scan(self, directory: str) -> None:
        try:
            entries = os.listdir(directory)
        except OSError as error:
            raise CommandError(f"{directory}: cannot be read ({error.strerror})") from None
        found = []
        for entry in entries:
            name, _, digits = entry.rpartition("_")
            if name.startswith("replay") and digits.isascii() and digits.isdigit():
                found.append((int(digits), name, f"{directory}/{entry}"))
        for number, name, path in sorted(found):
            self._files.setdefault(name, []).append((number, path))
            self._names[number] = name

    def _read_uuids(self) -> None:
        if not self._files.get(file_name(UUIDS)):
            return
        track = self._open_file(UUIDS)
        parts = []
        while track.number is not None:
            self._account(track.number)
            parts.append(swap_words(track.take()[1]))
        self._random = b"".join(parts)

    def random(self, n_bytes: int) -> bytes:
        """The random bytes for UUIDs that were recorded; behind their end, others."""
        data, self._random = self._random[:n_bytes], self._random[n_bytes:]
        return data + posix.urandom(n_bytes - len(data))

    # -- opening -----------------------------------------------------------------------------

    def open(self, name: str) -> PlayedTrack:
        """The next file of a stream or place of that name; raises `OSError` as opening it did."""
        self._settle()
        track = self._open_file(name)
        error = 0
        if track.number is not None:
            self._account(track.number)
            error = -track.take()[0]
        if error:
            raise OSError(error, posix.strerror(error))
        self._push(track)
        return track

    def call(self, name: str, ready: Callable[[], None]) -> None:
        """Have `ready` called when it is the turn of a stream's file to be opened; at once if there
        is none."""
        if self._files.get(file_name(name)):
            self._callers.setdefault(file_name(name), deque()).append(ready)
        else:
            ready()

    def _open_file(self, name: str) -> PlayedTrack:
        files = self._files.get(file_name(name))
        if not files:
            log.err_rl("%s: failed to open stream.", name)
            raise OSError(errno.ENOENT, posix.strerror(errno.ENOENT))
        # The directory may have other recordings, whose numbers are others.
        chosen = next((file for file in files if file[0] == self._due), files[0])
        files.remove(chosen)
        number, path = chosen
        if self._names.get(number) == file_name(name):
            del self._names[number]
        self._account(number)
        return PlayedTrack(path, name)

    def _push(self, track: PlayedTrack) -> None:
        if track.number is not None:
            self._n_opened += 1
            heappush(self._heap, (track.number, self._n_opened, track))

    # -- the order of things -----------------------------------------------------------------

    def _account(self, number: int) -> None:
        """Nobody needs to wait for that number any more."""
        self._early.add(number)
        while self._due in self._early:
            self._early.remove(self._due)
            self._due += 1

    def _next(self) -> PlayedTrack | None:
        """The track that the next record is of; None if there is none now."""
        while self._heap:
            number, _, track = self._heap[0]
            if track.number != number:
                # A stream without a handler went on by itself.
                heappop(self._heap)
                self._push(track)
            elif number > self._due and self._due not in self._names:
                # What had that number is lost.
                self._account(self._due)
            else:
                return track if number <= self._due else None
        return None

    def _take(self, track: PlayedTrack) -> tuple[int, bytes]:
        assert track.number is not None
        number = track.number
        record = track.take()
        self._account(number)
        return record

    def _settle(self) -> None:
        """Go past what went out and what nobody asks for."""
        while (track := self._next()) is not None and (track.is_closed or not track.is_input):
            self._take(track)

    def run(self) -> None:
        """Hand out what came in during one turn of the recorded program's loop."""
        self._has_delivered = False
        self._settle()
        while self._deliver():
            track = self._next()
            if track is not None and not track.is_input:
                return

    def _deliver(self) -> bool:
        """Hand out one record, or let a stream be connected; False if neither can be."""
        track = self._next()
        if track is None:
            self._let_connect()
            return False
        if track.handle is None and not track.is_closed:
            return False
        length, data = self._take(track)
        if track.handle is not None and not track.is_closed and length != -errno.EAGAIN:
            self._has_delivered = True
            track.handle(length, data)
        return True

    def _let_connect(self) -> None:
        callers = self._callers.get(self._names.get(self._due, ""))
        if callers:
            self._has_delivered = True
            callers.popleft()()

    def deadline(self) -> int | None:
        """Once more, as long as there is something."""
        return 0 if self._has_delivered else None

    def is_due(self, track: PlayedTrack) -> bool:
        """Whether what comes next is of that stream."""
        self._settle()
        return self._next() is track

    def take_input(self, track: PlayedTrack) -> bytes | None:
        """What comes next on that stream, whatever is to come on others; None behind the last.
        Raises `OSError`."""
        while track.number is not None:
            is_input = track.is_input
            length, data = self._take(track)
            if not is_input or length == -errno.EAGAIN:
                continue
            if length < 0:
                raise OSError(-length, posix.strerror(-length))
            return data
        return None


class PlayedStream:
    """A recorded stream in place of a `sync_stream.Stream`."""

    def __init__(self, player: Player, name: str) -> None:
        self.name = name
        self._player = player
        self._track = player.open(name)
        # Readable as long as there is something.
        self._fd = os.eventfd(1, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def fileno(self) -> int:
        return self._fd

    def send(self, data: bytes, deadline: Deadline) -> None:
        """Nobody is there to get it."""

    def receive(self, deadline: Deadline) -> bytes:
        """What came next; behind the last that was recorded, the end of the stream."""
        return self._player.take_input(self._track) or b""

    def receive_ready(self) -> bytes | None:
        """What came next, if it is this stream's turn."""
        if self._track.number is None:
            self._rest()
            return None
        return self._player.take_input(self._track) if self._player.is_due(self._track) else None

    def _rest(self) -> None:
        """No more comes: who polls need not look again."""
        try:
            os.eventfd_read(self._fd)
        except BlockingIOError:
            return

    def close(self) -> None:
        self._track.is_closed = True
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
