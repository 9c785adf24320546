"""The device that packets are mirrored to: a TAP of this process, which nobody reads.

tcpdump sees what goes into it. It is there as long as this process is."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from struct import Struct

TUNSETIFF = 0x400454CA
IFF_TAP, IFF_NO_PI, IFF_UP = 0x0002, 0x1000, 0x0001
SIOCGIFFLAGS, SIOCSIFFLAGS, SIOCSIFMTU = 0x8913, 0x8914, 0x8922
#: Of devices, in characters.
LONGEST_NAME = 15
#: struct ifreq with a name, and flags or an MTU.
_FLAGS, _MTU = Struct("=16sH22x"), Struct("=16si20x")


def device_exists(name: str) -> bool:
    """Is there a device of that name in this network namespace?"""
    try:
        socket.if_nametoindex(name)
    except OSError:
        return False
    return True


class Tap:
    """A TAP device that is up; OSError if it cannot be made. It disappears when it is closed."""

    def __init__(self, name: str, mtu: int | None) -> None:
        if len(name) > LONGEST_NAME:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        self._fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.ioctl(self._fd, TUNSETIFF, _FLAGS.pack(name.encode(), IFF_TAP | IFF_NO_PI))
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
                if mtu is not None:
                    fcntl.ioctl(control, SIOCSIFMTU, _MTU.pack(name.encode(), mtu))
                state = fcntl.ioctl(control, SIOCGIFFLAGS, _FLAGS.pack(name.encode(), 0))
                flags = _FLAGS.unpack(state)[1] | IFF_UP
                fcntl.ioctl(control, SIOCSIFFLAGS, _FLAGS.pack(name.encode(), flags))
        except OSError:
            os.close(self._fd)
            raise

    def close(self) -> None:
        os.close(self._fd)
