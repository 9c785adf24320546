"""The network service header (RFC 8300): built, measured, rewritten.

Four bytes of base header (version 2 bits, O and a reserved bit, TTL 6, length in words 6; four
unassigned bits, MD type 4; next protocol 8), service path identifier 24 and index 8, then context
headers: four words for MD type 1, any words for MD type 2.
"""

from __future__ import annotations

from struct import pack, unpack_from

from netloom.packet.headers import (
    ETH_TYPE_NSH,
    NSH_BASE_LEN,
    NSH_MD1_LEN,
    NSH_MD_TYPE1,
    NSH_MD_TYPE2,
)
from netloom.packet.parse import Headers

_TTL_SHIFT, _FLAGS_SHIFT = 6, 12
_LENGTH = 0x3F


def build_header(
    flags: int, ttl: int, md_type: int, protocol: int, path: int, context: bytes
) -> bytes:
    """A header; `path` is service path identifier and index in one."""
    words = NSH_BASE_LEN + len(context) >> 2
    first = (flags & 3) << _FLAGS_SHIFT | (ttl & 0x3F) << _TTL_SHIFT | words & _LENGTH
    return pack(">HBBI", first, md_type & 0xF, protocol, path) + context


def header_length(data: bytes | bytearray, at: int = 0) -> int:
    """Bytes of the header at `at`; 0 if there is no whole one."""
    if len(data) < at + NSH_BASE_LEN:
        return 0
    (first,) = unpack_from(">H", data, at)
    length: int = (first & _LENGTH) * 4
    return length if NSH_BASE_LEN <= length <= len(data) - at else 0


def _is_sound(packet: bytearray, at: int) -> bool:
    """Whether a key has the fields of the header at `at`."""
    if at < 0 or len(packet) < at + NSH_BASE_LEN or packet[at] >> 6:
        return False
    length, md_type = (packet[at + 1] & _LENGTH) * 4, packet[at + 2]
    if at + length > len(packet):
        return False
    if md_type == NSH_MD_TYPE1:
        return length == NSH_MD1_LEN
    return md_type != NSH_MD_TYPE2 or length >= NSH_BASE_LEN


def set_nsh(
    packet: bytearray,
    headers: Headers,
    flags: int | None = None,
    ttl: int | None = None,
    path: int | None = None,
    c1: int | None = None,
    c2: int | None = None,
    c3: int | None = None,
    c4: int | None = None,
) -> None:
    """Writes the header at layer 3, if it is one that a key has; context words only where they are
    fixed (MD type 1)."""
    at = headers.l3
    if headers.dl_type != ETH_TYPE_NSH or not _is_sound(packet, at):
        return
    first = packet[at] << 8 | packet[at + 1]
    if flags is not None:
        first = first & ~(3 << _FLAGS_SHIFT) | (flags & 3) << _FLAGS_SHIFT
    if ttl is not None:
        first = first & ~(0x3F << _TTL_SHIFT) | (ttl & 0x3F) << _TTL_SHIFT
    packet[at : at + 2] = first.to_bytes(2, "big")
    if path is not None:
        packet[at + 4 : at + 8] = path.to_bytes(4, "big")
    if packet[at + 2] != NSH_MD_TYPE1:
        return
    for number, word in enumerate((c1, c2, c3, c4)):
        begin = at + NSH_BASE_LEN + 4 * number
        if word is not None:
            packet[begin : begin + 4] = word.to_bytes(4, "big")
