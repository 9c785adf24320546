"""Collectors of what a switch exports: places that datagrams are sent to, and nothing comes from.

A target is `IP`, `IP:PORT` or `[IPv6]:PORT`. A collector that cannot be reached costs nothing but
a line in the log now and then: who exports does not wait.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterable

from netloom.base.log import WARN, get_logger
from netloom.transport.address import parse_target

log = get_logger("collectors")

#: Complaints of either kind that are logged.
_PER_MINUTE, _BURST = 5, 5


class Collector:
    """One place, with the socket to it."""

    def __init__(self, target: str, default_port: int) -> None:
        """Raises OSError; a `default_port` of 0 means that the target has to name one."""
        self.target = target
        host, port = parse_target(target, default_port)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            # Names are not looked up: who waits for a name server switches no packets.
            socket.inet_pton(family, host.partition("%")[0])
        except OSError:
            raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT)) from None
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            self._socket.connect((host, port))
            own, own_port = self._socket.getsockname()[:2]
            self._name = f"{_shown(own)}:{own_port}<->{_shown(host)}:{port}"
        except OSError:
            self._socket.close()
            raise

    def send(self, data: bytes) -> bool:
        """Send a datagram; False if it did not leave, which is logged."""
        try:
            self._socket.send(data)
        except OSError as error:
            if log.admits(WARN, "sending", _PER_MINUTE, _BURST):
                log.warn("%s: sending to collector failed (%s)", self._name, error.strerror)
            return False
        return True

    def close(self) -> None:
        self._socket.close()


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def open_collectors(targets: Iterable[str], default_port: int) -> list[Collector]:
    """The collectors that can be opened; what is wrong with others is logged."""
    found = []
    for target in sorted(targets):
        try:
            found.append(Collector(target, default_port))
        except OSError as error:
            if log.admits(WARN, "opening", _PER_MINUTE, _BURST):
                reason = error.strerror or str(error)
                log.warn("couldn't open connection to collector %s (%s)", target, reason)
    return found
