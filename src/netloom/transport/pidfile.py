"""Pid files: a process's number in a file that it keeps locked for as long as it lives.

The lock (POSIX, fcntl) is what counts: a file without one is stale, whatever it says. It is lost
when any descriptor of the file is closed in the process, so a daemon never opens its own again.
"""

from __future__ import annotations

import errno
import fcntl
import os

from netloom.base.log import get_logger

log = get_logger("daemon_unix")


def lock_holder(fd: int) -> int:
    """The pid of the process that has the file locked; 0 if none has."""
    import struct

    asked = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    kind, _, _, _, pid = struct.unpack("hhqqi4x", fcntl.fcntl(fd, fcntl.F_GETLK, asked))
    return 0 if kind == fcntl.F_UNLCK else int(pid)


def read_pidfile(path: str) -> int:
    """The pid of the live process that wrote `path`. OSError: ENOENT and the like, ESRCH if the
    process is gone, EINVAL if the file says another number than its lock."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        log.warn("%s: open: %s", path, error.strerror)
        raise
    try:
        pid = lock_holder(fd)
        if not pid:
            raise OSError(errno.ESRCH, os.strerror(errno.ESRCH))
        text = os.read(fd, 32).decode("ascii", "replace").strip()
        if text != str(pid):
            log.warn("%s: stale pidfile for pid %s being deleted by pid %d", path, text, pid)
            raise OSError(errno.ESRCH, os.strerror(errno.ESRCH))
        return pid
    finally:
        os.close(fd)


def running_pid(path: str) -> int:
    """The pid of the process that holds `path` locked, or 0."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return 0
    try:
        return lock_holder(fd)
    finally:
        os.close(fd)


def make_pidfile(path: str) -> int:
    """Write and lock `path` for this process, in place of what is there; the descriptor, which
    must stay open."""
    temporary = f"{path}.tmp{os.getpid()}"
    flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    fd = os.open(temporary, flags, 0o644)
    try:
        os.fchmod(fd, 0o644)
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.write(fd, f"{os.getpid()}\n".encode())
        os.rename(temporary, path)
    except OSError:
        os.unlink(temporary)
        os.close(fd)
        raise
    return fd
