"""What a driver says of its device: name, version, speed (ioctl SIOCETHTOOL, linux/ethtool.h)."""

from __future__ import annotations

import ctypes
import fcntl
import socket
from struct import Struct
from typing import NamedTuple

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
#: Bits of `supported` (half and full duplex, if there are both) and the speed of that mode.
_MODES = ((1 << 12, 10_000), (3 << 4, 1_000), (3 << 2, 100), (3, 10))


def _ask(sock: socket.socket, name: str, request: bytes) -> bytes | None:
    buffer = ctypes.create_string_buffer(request, len(request))
    try:
        fcntl.ioctl(sock, SIOCETHTOOL, _IFREQ.pack(name.encode(), ctypes.addressof(buffer)))
    except OSError:
        return None  # most virtual devices have no such answer
    return buffer.raw


class Speed(NamedTuple):
    """Bits per second, 0 where the device does not tell: now, and what it may be at most."""

    now_bps: int = 0
    max_bps: int = 0
    full_duplex: bool = True


def read_speed(sock: socket.socket, name: str) -> Speed:
    """What the device says, as far as it does."""
    answer = _ask(sock, name, _SETTINGS.pack(ETHTOOL_GSET, *[0] * 17))
    if answer is None:
        return Speed()
    fields = _SETTINGS.unpack(answer)
    mbps = fields[3] | fields[12] << 16
    if mbps in (SPEED_UNKNOWN, 0xFFFF):
        mbps = 0
    max_mbps = next((speed for bits, speed in _MODES if fields[1] & bits), 0)
    return Speed(mbps * 1_000_000, max_mbps * 1_000_000, fields[4] != DUPLEX_HALF)


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
