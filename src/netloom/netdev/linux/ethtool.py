"""What a driver says of its device: name, version, speed (ioctl SIOCETHTOOL, linux/ethtool.h)."""

from __future__ import annotations

import ctypes
import fcntl
import socket
from struct import Struct

SIOCETHTOOL = 0x8946
ETHTOOL_GSET = 0x1
ETHTOOL_GDRVINFO = 0x3
_IFREQ = Struct("16sP16x")
#: struct ethtool_cmd: cmd, supported, advertising, speed, duplex, ..., speed_hi, ...
_SETTINGS = Struct("=IIIHBBBBBBIIHBBIII")
#: struct ethtool_drvinfo: cmd, driver, version, fw_version, ...
_DRIVER = Struct("=I32s32s32s96x")
SPEED_UNKNOWN = 0xFFFFFFFF
DUPLEX_HALF = 0


def _ask(sock: socket.socket, name: str, request: bytes) -> bytes | None:
    buffer = ctypes.create_string_buffer(request, len(request))
    try:
        fcntl.ioctl(sock, SIOCETHTOOL, _IFREQ.pack(name.encode(), ctypes.addressof(buffer)))
    except OSError:
        return None  # most virtual devices have no such answer
    return buffer.raw


def read_speed(sock: socket.socket, name: str) -> tuple[int, bool]:
    """(bits per second, full duplex) of the device; speed 0 if it does not tell."""
    answer = _ask(sock, name, _SETTINGS.pack(ETHTOOL_GSET, *[0] * 17))
    if answer is None:
        return 0, True
    fields = _SETTINGS.unpack(answer)
    mbps = fields[3] | fields[12] << 16
    speed = 0 if mbps in (SPEED_UNKNOWN, 0xFFFF) else mbps * 1_000_000
    return speed, fields[4] != DUPLEX_HALF


def read_driver(sock: socket.socket, name: str) -> tuple[tuple[str, str], ...]:
    """The members of the Interface row's `status` that come from the driver."""
    answer = _ask(sock, name, _DRIVER.pack(ETHTOOL_GDRVINFO, b"", b"", b""))
    if answer is None:
        return ()
    names = ("driver_name", "driver_version", "firmware_version")
    texts = [
        text.partition(b"\0")[0].decode(errors="replace") for text in _DRIVER.unpack(answer)[1:]
    ]
    return tuple(zip(names, texts, strict=True))
