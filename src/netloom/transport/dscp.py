"""The class of service of a TCP connection's packets (RFC 2474)."""

from __future__ import annotations

import socket

#: The field above it is that of congestion notification.
_DSCP_SHIFT = 2


def set_dscp(sock: socket.socket, dscp: int | None) -> None:
    """Mark what `sock` sends from now on with `dscp` (0 to 63); None: leave it as it is."""
    if dscp is None:
        return
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, dscp << _DSCP_SHIFT)
    else:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, dscp << _DSCP_SHIFT)
