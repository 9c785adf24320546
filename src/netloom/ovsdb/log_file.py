"""The database file: records appended one by one, each guarded by a checksum (ovsdb(5)).

    OVSDB JSON <bytes> <sha1>\\n<one line of JSON>\\n

The first record is the schema, every other one a transaction. What must hold: a transaction that
was reported to a client is in the file before the report; a file cut off anywhere opens to the
transactions before the cut; a record is in the file as a whole or not at all.

How: one `write` per record. That survives `kill -9` at any moment; surviving a power failure takes
`fsync`, which is done where the client asks for it ("durable"). A write that fails half-way (a full
disk) is undone by cutting the file to its last good length, and the failure goes to the client. A
tail that does not check out is dropped with a warning when the file is opened for writing.

A writer holds a lock (fcntl) on the file `.<name>.~lock~` beside the database, as Debian's programs
do, so that no two of them, of either make, write to one file.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from _hashlib import openssl_sha1 as sha1

from netloom.base.log import get_logger
from netloom.ovsdb.errors import OvsdbError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

log = get_logger("lockfile")
MAGIC = b"OVSDB JSON "
CLUSTER_MAGIC = b"OVSDB CLUSTER "
_HEADER_MAX = 128


def io_error(path: str, what: str, error: OSError) -> OvsdbError:
    """The error for a failed system call on a database file."""
    return OvsdbError("I/O error", f"{path}: {what}", io_error=error.strerror)


def lock_path(path: str) -> str:
    """The name of the lock file of a database file; symbolic links are followed."""
    directory, name = os.path.split(os.path.realpath(path))
    return os.path.join(directory, f".{name}.~lock~")


class FileLock:
    """An exclusive lock between processes, held until `release` or the end of the process."""

    def __init__(self, path: str) -> None:
        name = lock_path(path)
        try:
            self._fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            log.warn("%s: failed to open lock file: %s", name, error.strerror)
            log.warn("%s: failed to lock file: %s", name, error.strerror)
            raise _lock_failure(path, error) from error
        try:
            fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = _lock_holder(self._fd)
            os.close(self._fd)
            by = f"by pid {holder}" if holder else "or not accessible"
            log.warn(
                "%s: cannot lock file because it is already locked %s", os.path.basename(name), by
            )
            raise _lock_failure(path, error) from error

    def release(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _lock_holder(fd: int) -> int:
    """The process that holds a conflicting lock; 0 if there is none any more."""
    asked = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    try:
        answer = struct.unpack("hhqqi", fcntl.fcntl(fd, fcntl.F_GETLK, asked))
    except OSError:
        return 0
    return 0 if answer[0] == fcntl.F_UNLCK else int(answer[4])


def _lock_failure(path: str, error: OSError) -> OvsdbError:
    if error.errno == errno.EACCES:
        error = BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    return io_error(path, "failed to lock lockfile", error)


def encode_record(json: bytes, magic: bytes = MAGIC) -> bytes:
    """One record of the file for one line of JSON (without its end of line)."""
    line = json + b"\n"
    return b"%s%d %s\n%s" % (magic, len(line), sha1(line).hexdigest().encode(), line)


class LogFile:
    """A database file: read from the beginning, then appended to.

    `decode` turns bytes into a JSON value and raises `ValueError`. Errors are `OvsdbError`. The
    file of a clustered database has `CLUSTER_MAGIC`."""

    def __init__(
        self,
        path: str,
        decode: Callable[[bytes], Any],
        writable: bool,
        lock: bool | None = None,
        magic: bytes = MAGIC,
    ) -> None:
        self.path = path
        self._magic = magic
        self._decode = decode
        self._lock = FileLock(path) if (writable if lock is None else lock) else None
        try:
            flags = os.O_RDWR if writable else os.O_RDONLY
            self._fd = os.open(path, flags | os.O_CLOEXEC)
        except OSError as error:
            self._release_lock()
            raise io_error(path, "open failed", error) from error
        #: Where the next record begins: behind the last good one.
        self.offset = 0
        self.n_records = 0
        #: Size of the file when it was last written as a whole, for the rules of compaction; the
        #: size of its schema if it has not been.
        self.base_size = 0
        #: Why reading ended before the end of the file, if it did.
        self.damage: OvsdbError | None = None
        try:
            self._buffer = self._read_all()
            self._check_magic()
        except OvsdbError:
            self.close()
            raise

    def _release_lock(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self._release_lock()

    def _read_all(self) -> bytes:
        parts: list[bytes] = []
        try:
            while part := os.read(self._fd, 1 << 20):
                parts.append(part)
        except OSError as error:
            raise io_error(self.path, "read error", error) from error
        return b"".join(parts)

    def _check_magic(self) -> None:
        data = self._buffer
        if data.startswith(self._magic):
            return
        if data.startswith((MAGIC, CLUSTER_MAGIC)):
            raise OvsdbError(
                "ovsdb error",
                f"{self.path}: cannot apply this operation to "
                f"{'clustered' if data.startswith(CLUSTER_MAGIC) else 'standalone'} database file",
            )
        raise unknown_file(self.path, data)

    # -- reading -------------------------------------------------------------------------

    def read(self) -> dict[str, Any] | None:
        """The next record, or None at the end or at damage (`damage` tells which)."""
        if self.damage is not None or self.offset >= len(self._buffer):
            return None
        try:
            record, end = self._parse_record()
        except OvsdbError as error:
            self.damage = error
            return None
        self.offset = end
        self.n_records += 1
        return record

    def unread(self, start: int, error: OvsdbError) -> None:
        """Declare the record at `start` damaged: its contents make no sense."""
        self.offset = start
        self.n_records -= 1
        self.damage = error

    def _parse_record(self) -> tuple[dict[str, Any], int]:
        start, path = self.offset, self.path
        end = self._buffer.find(b"\n", start, start + _HEADER_MAX)
        header = self._buffer[start : end if end >= 0 else start + _HEADER_MAX]
        words = header.split(b" ")
        if end < 0 or len(words) != 4 or words[:2] != self._magic.split() or len(words[3]) != 40:
            raise self._header_error(start, header)
        try:
            length = int(words[2])
            int(words[3], 16)
        except ValueError:
            raise self._header_error(start, header) from None
        if length <= 0:
            raise self._header_error(start, header)
        body_start = end + 1
        body = self._buffer[body_start : body_start + length]
        if len(body) < length:
            raise OvsdbError(
                "I/O error",
                f"{path}: error reading {length} bytes starting at offset {body_start}",
                io_error="End of file",
            )
        actual = sha1(body).hexdigest()
        if actual != words[3].decode().lower():
            raise OvsdbError(
                "syntax error",
                f"{path}: {length} bytes starting at offset {body_start} have SHA-1 hash "
                f"{actual} but should have hash {words[3].decode()}",
            )
        return self._parse_body(body, body_start), body_start + length

    def _header_error(self, offset: int, header: bytes) -> OvsdbError:
        text = header.decode(errors="replace")
        return OvsdbError(
            "syntax error", f'{self.path}: parse error at offset {offset} in header line "{text}"'
        )

    def _parse_body(self, body: bytes, offset: int) -> dict[str, Any]:
        where = f"{self.path}: {len(body)} bytes starting at offset {offset} are not"
        try:
            json = self._decode(body)
        except ValueError as error:
            raise OvsdbError("syntax error", f"{where} valid JSON ({error})") from error
        if type(json) is not dict:
            raise OvsdbError("syntax error", f"{where} a JSON object")
        return json

    @property
    def goes_on(self) -> bool:
        """Whether there are more records behind the one that is damaged: then it is not the end
        of a write that was cut short."""
        return self._buffer.find(b"\n" + self._magic, self.offset) >= 0

    # -- writing -------------------------------------------------------------------------

    def start_writing(self) -> None:
        """After reading: cut off what did not check out, and free the memory of the read."""
        size = len(self._buffer)
        self._buffer = b""
        if size > self.offset:
            self._truncate()

    def append(self, json: bytes, durable: bool = False) -> None:
        """Add one record; on an error the file is as it was before."""
        data = encode_record(json, self._magic)
        what = "write"
        try:
            self._write_all(data)
            if durable:
                what = "fsync"
                os.fsync(self._fd)
        except OSError as error:
            self._truncate()
            raise io_error(self.path, f"{what} failed", error) from error
        self.offset += len(data)
        self.n_records += 1

    def _write_all(self, data: bytes) -> None:
        view = memoryview(data)
        offset = self.offset
        while view:
            n = os.pwrite(self._fd, view, offset)
            offset += n
            view = view[n:]

    def _truncate(self) -> None:
        try:
            os.ftruncate(self._fd, self.offset)
        except OSError as error:
            raise io_error(self.path, f"cannot truncate to length {self.offset}", error) from error

    def sync(self) -> None:
        try:
            os.fsync(self._fd)
        except OSError as error:
            raise io_error(self.path, "fsync failed", error) from error

    def replace(self, records: list[bytes]) -> None:
        """Put these records in place of the file's contents, in one step.

        They go to a new file that takes the name once it is on the disk; on an error the old
        file stays."""
        target = os.path.realpath(self.path)
        temporary = f"{target}.tmp"
        data = b"".join([encode_record(record, self._magic) for record in records])
        try:
            mode = os.fstat(self._fd).st_mode & 0o7777
            fd = write_new_file(temporary, data, mode)
        except OSError as error:
            raise io_error(temporary, "write failed", error) from error
        try:
            os.rename(temporary, target)
        except OSError as error:
            os.close(fd)
            raise OvsdbError(
                "I/O error",
                f'failed to rename "{temporary}" to "{target}"',
                io_error=error.strerror,
            ) from error
        os.close(self._fd)
        self._fd = fd
        self.offset = self.base_size = len(data)
        self.n_records = len(records)
        _sync_directory(target)


def write_new_file(path: str, data: bytes, mode: int) -> int:
    """Write a file as a whole, synchronized to disk; its descriptor. Replaces an old one."""
    if os.path.lexists(path):
        os.unlink(path)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        os.fsync(fd)
    except OSError:
        os.close(fd)
        os.unlink(path)
        raise
    return fd


def file_kind(path: str) -> str:
    """ "standalone" or "clustered", by the first bytes of a database file."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            data = os.read(fd, _HEADER_MAX)
        finally:
            os.close(fd)
    except OSError as error:
        raise io_error(path, "open failed", error) from error
    if data.startswith(MAGIC):
        return "standalone"
    if data.startswith(CLUSTER_MAGIC):
        return "clustered"
    raise unknown_file(path, data)


def unknown_file(path: str, data: bytes) -> OvsdbError:
    """The error for a file that is no database, with its first bytes."""
    if data and not data.startswith(b"OVSDB "):
        return OvsdbError("ovsdb error", f"{path}: unexpected file format")
    return OvsdbError("ovsdb error", f"{path}: cannot identify file type")


def overwrite_file(path: str, records: list[bytes]) -> None:
    """Make a database file, in place of one of that name if there is one."""
    lock = FileLock(path)
    temporary = f"{os.path.realpath(path)}.tmp"
    try:
        data = b"".join([encode_record(record) for record in records])
        os.close(write_new_file(temporary, data, 0o640))
        os.rename(temporary, os.path.realpath(path))
        _sync_directory(os.path.realpath(path))
    except OSError as error:
        raise io_error(path, "create failed", error) from error
    finally:
        lock.release()


def create_file(path: str, records: list[bytes], magic: bytes = MAGIC) -> None:
    """Make a new database file; an error if there is one of that name. Where the name is a
    symbolic link to nothing, the file becomes what it points to."""
    lock = FileLock(path)
    try:
        if os.path.exists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        target = os.path.realpath(path)
        data = b"".join([encode_record(record, magic) for record in records])
        os.close(write_new_file(target, data, 0o640))
        _sync_directory(target)
    except OSError as error:
        raise io_error(path, "create failed", error) from error
    finally:
        lock.release()


def _sync_directory(path: str) -> None:
    fd = os.open(os.path.dirname(os.path.abspath(path)), os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
