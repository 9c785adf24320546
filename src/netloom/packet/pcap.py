"""Pcap files, the classic format: written with link type Ethernet, read with that or Linux "cooked"
(SLL), in either byte order, with times of microseconds or nanoseconds."""

from __future__ import annotations

from struct import Struct

from netloom.base.errors import ProtocolError
from netloom.base.log import get_logger

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

log = get_logger("pcap")

#: magic, major, minor, time zone, accuracy, snap length, link type.
_FILE_HEADER = Struct("=IHHiIII")
#: seconds, microseconds, captured bytes, bytes on the wire.
_PACKET_HEADER = Struct("=IIII")
MAGIC = 0xA1B2C3D4
SNAP_LENGTH = 1518
LINK_TYPE_ETHERNET = 1
LINK_TYPE_SLL = 113
#: A packet that is longer is a broken file.
MAX_PACKET_BYTES = 0xFFFF

#: The first four bytes of a file -> its byte order, and nanoseconds in the small unit of its times.
_ORDERS = {
    b"\xa1\xb2\xc3\xd4": (">", 1000), b"\xa1\xb2\x3c\x4d": (">", 1),
    b"\xd4\xc3\xb2\xa1": ("<", 1000), b"\x4d\x3c\xb2\xa1": ("<", 1),
}  # fmt: skip
_FILE_HEADER_BYTES = 24
_SLL_BYTES = 16


def format_pcap_header() -> bytes:
    """The beginning of a file of Ethernet packets."""
    return _FILE_HEADER.pack(MAGIC, 2, 4, 0, 0, SNAP_LENGTH, LINK_TYPE_ETHERNET)


def format_pcap_packet(data: bytes, wall_ms: int) -> bytes:
    """A packet as it stands in a file, with the time when it was seen."""
    seconds, ms = divmod(wall_ms, 1000)
    return _PACKET_HEADER.pack(seconds, ms * 1000, len(data), len(data)) + data


class PcapReader:
    """The packets of the file with the bytes `data`. EOFError if it is shorter than its header,
    ProtocolError if it is no pcap file or of an unknown kind; both are logged as well."""

    def __init__(self, data: bytes) -> None:
        if len(data) < _FILE_HEADER_BYTES:
            log.warn("failed to read pcap header: End of file")
            raise EOFError("End of file")
        found = _ORDERS.get(data[:4])
        if found is None:
            log.warn(
                "bad magic 0x%08x reading pcap file (expected 0xa1b2c3d4, 0xa1b23c4d, "
                "0xd4c3b2a1, or 0x4d3cb2a1)", int.from_bytes(data[:4], "little"),
            )  # fmt: skip
            raise ProtocolError("not a pcap file")
        order, self._unit_ns = found
        self._header = Struct(order + "IIII")
        (self._link_type,) = Struct(order + "I").unpack_from(data, 20)
        if self._link_type not in (LINK_TYPE_ETHERNET, LINK_TYPE_SLL):
            log.warn("unknown network type %u reading pcap file", self._link_type)
            raise ProtocolError("pcap file of another network type")
        self._data = data

    def packets(self) -> Iterator[tuple[int, bytes]]:
        """(wall-clock ms, Ethernet frame) of each packet. A file may end anywhere; ProtocolError
        at a packet that cannot be."""
        data, pos = self._data, _FILE_HEADER_BYTES
        while pos + self._header.size <= len(data):
            seconds, fraction, size, whole = self._header.unpack_from(data, pos)
            pos += self._header.size
            if size > MAX_PACKET_BYTES:
                log.warn("bad packet length %u or %u reading pcap file", size, whole)
                raise ProtocolError("packet too long")
            packet = data[pos : pos + size]
            if len(packet) < size or not size:
                log.warn("failed to read pcap packet: End of file")
                return
            pos += size
            yield seconds * 1000 + fraction * self._unit_ns // 1_000_000, self._frame(packet)

    def _frame(self, packet: bytes) -> bytes:
        if self._link_type == LINK_TYPE_ETHERNET:
            return packet
        if len(packet) < _SLL_BYTES:
            log.warn("pcap packet too short for SLL header")
            raise ProtocolError("packet too short")
        return bytes(6) + packet[6:12] + packet[14:]


class PcapWriter:
    """A file of packets, new or to be continued; raises OSError when it cannot be opened. Each
    packet is in the file when `write` returns, for whoever reads along."""

    def __init__(self, path: str) -> None:
        self._file = open(path, "ab", buffering=0)  # noqa: SIM115 - closed by close()
        if not self._file.tell():
            self._file.write(format_pcap_header())

    def write(self, data: bytes, wall_ms: int) -> None:
        self._file.write(format_pcap_packet(data, wall_ms))

    def close(self) -> None:
        self._file.close()
