"""Pid files: a process's number in a file that it keeps locked for as long as it lives.

The lock (POSIX, fcntl) is what counts: a file without one is stale, whatever it says. It is lost
when any descriptor of the file is closed in the process, so a daemon never opens its own again.
"""

from __future__ import annotations

import errno
import fcntl
import posix

from netloom.base.log import get_logger

log = get_logger("daemon_unix")

#: From <stdio.h>; of the modules that tools can afford none has it.
_SEEK_SET = 0


def lock_holder(fd: int) -> int:
    """The pid of the process that has the file locked; 0 if none has."""
    import struct

    asked = struct.pack("hhqqi4x", fcntl.F_WRLCK, _SEEK_SET, 0, 0, 0)
    kind, _, _, _, pid = struct.unpack("hhqqi4x", fcntl.fcntl(fd, fcntl.F_GETLK, asked))
    return 0 if kind == fcntl.F_UNLCK else int(pid)


def read_pidfile(path: str) -> int:
    """The pid of the live process that wrote `path`. OSError: ENOENT and the like, ESRCH if the
    process is gone, EINVAL if the file says another number than its lock."""
    try:
        fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError as error:
        log.warn("%s: open: %s", path, error.strerror)
        raise
    try:
        pid = lock_holder(fd)
        if not pid:
            raise OSError(errno.ESRCH, posix.strerror(errno.ESRCH))
        text = posix.read(fd, 32).decode("ascii", "replace").strip()
        if text != str(pid):
            log.warn("%s: stale pidfile for pid %s being deleted by pid %d", path, text, pid)
            raise OSError(errno.ESRCH, posix.strerror(errno.ESRCH))
        return pid
    finally:
        posix.close(fd)


def running_pid(path: str) -> int:
    """The pid of the process that holds `path` locked, or 0."""
    try:
        fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    except FileNotFoundError:
        return 0
    try:
        return lock_holder(fd)
    finally:
        posix.close(fd)


def make_pidfile(path: str) -> int:
    """Write and lock `path` for this process, in place of what is there; the descriptor, which
    must stay open."""
    temporary = f"{path}.tmp{posix.getpid()}"
    flags = posix.O_RDWR | posix.O_CREAT | posix.O_TRUNC | posix.O_CLOEXEC
    fd = posix.open(temporary, flags, 0o644)
    try:
        posix.fchmod(fd, 0o644)
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        posix.write(fd, f"{posix.getpid()}\n".encode())
        posix.rename(temporary, path)
    except OSError:
        posix.unlink(temporary)
        posix.close(fd)
        raise
    return fd
