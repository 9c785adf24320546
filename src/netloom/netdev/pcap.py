"""Writing pcap files (the classic format, link type Ethernet)."""

from __future__ import annotations

from struct import Struct

#: magic, major, minor, time zone, accuracy, snap length, link type.
_FILE_HEADER = Struct("=IHHiIII")
#: seconds, microseconds, captured bytes, bytes on the wire.
_PACKET_HEADER = Struct("=IIII")
MAGIC = 0xA1B2C3D4
SNAP_LENGTH = 1518
LINK_TYPE_ETHERNET = 1


class PcapWriter:
    """A new file of packets; raises OSError when it cannot be made. Each packet is in the file when
    `write` returns, for whoever reads along."""

    def __init__(self, path: str) -> None:
        self._file = open(path, "wb", buffering=0)  # noqa: SIM115 - closed by close()
        self._file.write(_FILE_HEADER.pack(MAGIC, 2, 4, 0, 0, SNAP_LENGTH, LINK_TYPE_ETHERNET))

    def write(self, data: bytes, wall_ms: int) -> None:
        seconds, ms = divmod(wall_ms, 1000)
        header = _PACKET_HEADER.pack(seconds, ms * 1000, len(data), len(data))
        self._file.write(header + data)

    def close(self) -> None:
        self._file.close()
