"""Unix socket names of any length.

The kernel takes at most 107 bytes. A longer name is reached through a descriptor of its directory:
`/proc/self/fd/N/NAME`, which both bind and connect resolve.
"""

from __future__ import annotations

import errno
import os

from netloom.base.log import get_logger

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

#: The greatest number of bytes of a name in `struct sockaddr_un`.
MAX_PATH = 107

log = get_logger("socket_util_unix")


def with_short_name(path: str, use: Callable[[str], None]) -> None:
    """Call `use` with a name for `path` that the kernel accepts; OSError as `use` raises it."""
    if len(os.fsencode(path)) <= MAX_PATH:
        use(path)
        return
    directory, base = os.path.split(path)
    try:
        fd = os.open(directory or ".", os.O_DIRECTORY | os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        log.warn("%s: open failed (%s)", directory, error.strerror)
        _warn_too_long(path)
        raise
    try:
        short = f"/proc/self/fd/{fd}/{base}"
        if len(os.fsencode(short)) > MAX_PATH:
            _warn_too_long(path)
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), path)
        use(short)
    finally:
        os.close(fd)


def _warn_too_long(path: str) -> None:
    log.warn("Unix socket name %s is longer than maximum %d bytes", path, MAX_PATH)
