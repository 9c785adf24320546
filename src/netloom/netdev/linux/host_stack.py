"""What the host's own IP stack is told for in-band control: an address for a bridge's device, and a
router. The requests of netdevice(7) do it: they replace what a device has, as is meant here."""

from __future__ import annotations

import fcntl
import socket
import struct

_SIOCSIFADDR, _SIOCSIFNETMASK, _SIOCADDRT = 0x8916, 0x891C, 0x890B
#: A route that is up and leads through a gateway (RTF_UP, RTF_GATEWAY).
_ROUTE_FLAGS = 0x0003
#: struct ifreq with an address, and struct rtentry, of a 64-bit kernel.
_IFREQ = struct.Struct("16s16s8x")
_RTENTRY = struct.Struct("@L16s16s16sHhLBB3hhPLLH")


def _socket_address(address: int) -> bytes:
    """struct sockaddr_in, without a port."""
    return struct.pack("=HH", socket.AF_INET, 0) + address.to_bytes(4, "big") + bytes(8)


def _request(number: int, argument: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control.fileno(), number, argument)


def set_ipv4(device: str, address: int, mask: int) -> None:
    """Give a device the address and the network that the mask says; raises OSError."""
    for number, value in ((_SIOCSIFADDR, address), (_SIOCSIFNETMASK, mask)):
        _request(number, _IFREQ.pack(device.encode(), _socket_address(value)))


def add_router(gateway: int) -> None:
    """Have the host send what it knows no way for to `gateway`; raises OSError."""
    anywhere = _socket_address(0)
    route = (0, anywhere, _socket_address(gateway), anywhere, _ROUTE_FLAGS, 0, 0, 0, 0, 0, 0, 0)
    _request(_SIOCADDRT, _RTENTRY.pack(*route, 0, 0, 0, 0, 0))
