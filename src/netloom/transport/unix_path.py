"""Unix socket names of any length.

The kernel takes at most 107 bytes. A longer name is reached through a descriptor of its directory:
`/proc/self/fd/N/NAME`, which both bind and connect resolve.
"""

from __future__ import annotations

import errno
import posix
import sys

from netloom.base.log import get_logger

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

#: The greatest number of bytes of a name in `struct sockaddr_un`.
MAX_PATH = 107

log = get_logger("socket_util_unix")


def with_short_name(path: str, use: Callable[[str], None]) -> None:
    """Call `use` with a name for `path` that the kernel accepts; OSError as `use` raises it."""
    if _bytes_of(path) <= MAX_PATH:
        use(path)
        return
    import os

    directory, base = os.path.split(path)
    try:
        fd = posix.open(directory or ".", posix.O_DIRECTORY | posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError as error:
        log.warn("%s: open failed (%s)", directory, error.strerror)
        _warn_too_long(path)
        raise
    try:
        short = f"/proc/self/fd/{fd}/{base}"
        if _bytes_of(short) > MAX_PATH:
            _warn_too_long(path)
            raise OSError(errno.ENAMETOOLONG, posix.strerror(errno.ENAMETOOLONG), path)
        use(short)
    finally:
        posix.close(fd)


def _bytes_of(path: str) -> int:
    return len(path.encode(sys.getfilesystemencoding(), "surrogateescape"))


def _warn_too_long(path: str) -> None:
    log.warn("Unix socket name %s is longer than maximum %d bytes", path, MAX_PATH)
