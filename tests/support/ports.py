"""Ports of loopback that a test names before somebody listens there."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager


@contextmanager
def reserved_ports(count: int) -> Iterator[list[int]]:
    """So many TCP ports, which stay the test's own until the end of the block.

    The sockets that are bound there keep the kernel from giving the ports to anybody else, be it
    as the near end of a connection; a program that names one may listen there, as daemons set
    SO_REUSEADDR.
    """
    with ExitStack() as stack:
        holders = [stack.enter_context(socket.socket()) for _ in range(count)]
        for holder in holders:
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            holder.bind(("127.0.0.1", 0))
        yield [holder.getsockname()[1] for holder in holders]
