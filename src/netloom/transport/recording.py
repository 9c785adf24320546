"""Writing down what comes in over a program's connections, to be met again (`playback`).

Files and their format are Open vSwitch's (its lib/ovs-replay.c): a directory has a file for each
stream and each place listened at, `replay_NAME_NUMBER`, and one for the random UUIDs. NAME is the
stream's without what may differ from run to run: whatever is no letter. A file is records, in the
machine's own order of bytes:

    number   int32   of the record
    length   int32   of the data; negative: an error of the system; 0: the end of the stream
    data             only of what came in

Records of all files are numbered as they happen, and so are files, when they are opened. A negative
number marks what went out, whose data are not kept. The first record of a file is how opening the
stream ended; those of a place listened at are the names of streams that came from there.
"""

from __future__ import annotations

import posix
import struct

from netloom.base.log import get_logger
from netloom.base.paths import absolute, rundir

TYPE_CHECKING = False
if TYPE_CHECKING:
    from io import FileIO

log = get_logger("ovs_replay")

#: Number and length of a record.
HEAD = struct.Struct("=ii")
#: A UUID in a record: four numbers.
UUID_WORDS = struct.Struct("=4I")
#: The name of the file of UUIDs, as if it were a stream.
UUIDS = "__uuid_generate"


def directory_of(value: str | None) -> str:
    """The directory that an option `--record[=DIR]` or `--replay[=DIR]` means."""
    return absolute(rundir(), value) if value else rundir()


def file_name(name: str) -> str:
    """The name of a stream's files, less the number: runs of other characters than letters are one
    underscore, which is left out at the end."""
    letters = [char if char.isascii() and char.isalpha() else " " for char in name]
    text = "".join(letters)
    start = "_" if text[:1] == " " else ""
    return f"replay_{start}{'_'.join(text.split())}"


class Track:
    """The file that one stream's records go to. Where it cannot be written, that is logged, and the
    program goes on."""

    __slots__ = ("_file", "_recorder", "name")

    def __init__(self, recorder: Recorder, file: FileIO | None, name: str) -> None:
        self._recorder = recorder
        self._file = file
        self.name = name

    def came(self, data: bytes | memoryview) -> None:
        """These bytes came in; none for the end of the stream."""
        self._write(self._recorder.next_number(), len(data), data)

    def failed(self, error: int) -> None:
        """The stream failed, with that error of the system; 0 says that opening it did not."""
        self._write(self._recorder.next_number(), -error, b"")

    def sent(self, n_bytes: int) -> None:
        """So many bytes went out."""
        self._write(-self._recorder.next_number(), n_bytes, b"")

    def _write(self, number: int, length: int, data: bytes | memoryview) -> None:
        if self._file is None:
            return
        try:
            self._file.write(HEAD.pack(number, length) + data)
        except OSError as error:
            log.err_rl("%s: failed to write a record: %s", self.name, error.strerror)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


class Recorder:
    """One per program that records; `directory` has to exist."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._next = 0
        self._uuids: Track | None = None

    def next_number(self) -> int:
        number = self._next
        self._next += 1
        return number

    def open(self, name: str, error: int = 0) -> Track:
        """The file of a stream, or of a place listened at, which was opened just now or failed to
        with that error of the system."""
        track = self._open(name)
        track.failed(error)
        if error:
            track.close()
        return track

    def _open(self, name: str) -> Track:
        path = f"{self._directory}/{file_name(name)}_{self.next_number()}"
        try:
            return Track(self, open(path, "wb", buffering=0), name)
        except OSError as error:
            log.err_rl("%s: fopen failed: %s", path, error.strerror)
            return Track(self, None, name)

    def random(self, n_bytes: int) -> bytes:
        """Random bytes for UUIDs, written down."""
        if self._uuids is None:
            self._uuids = self._open(UUIDS)
        data = posix.urandom(n_bytes)
        for start in range(0, n_bytes, UUID_WORDS.size):
            self._uuids.came(swap_words(data[start : start + UUID_WORDS.size]))
        return data


def swap_words(data: bytes) -> bytes:
    """A UUID's bytes as they are in records, or the other way round."""
    return UUID_WORDS.pack(*struct.unpack("!4I", data))
