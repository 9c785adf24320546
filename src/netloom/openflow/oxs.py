"""Statistics of flows as type-length-value lists: OXS of OpenFlow 1.5.

A list starts with two reserved bytes and its length, which counts this header but not the padding
to 8 bytes; an entry has a 32-bit header (class 0x8002, field in the upper 7 bits of the third
byte, length) and its value. Fields that nobody here knows are skipped.
"""

from __future__ import annotations

from struct import pack

from netloom.openflow.errors import OpenFlowError

DURATION, IDLE_TIME, _, FLOW_COUNT, PACKET_COUNT, BYTE_COUNT = range(6)

_CLASS = 0x8002
#: Field -> bytes of its value. Times are seconds and nanoseconds of 4 bytes each.
_SIZES = {DURATION: 8, IDLE_TIME: 8, FLOW_COUNT: 4, PACKET_COUNT: 8, BYTE_COUNT: 8}


def decode_oxs(data: bytes, pos: int) -> tuple[dict[int, int], int]:
    """Field -> value of the list at `pos`, and where what follows it starts."""
    if len(data) - pos < 4:
        raise OpenFlowError("OFPBMC_BAD_LEN")
    size = int.from_bytes(data[pos + 2 : pos + 4], "big")
    end = pos + size
    after = pos + (size + 7 & ~7)
    if size < 4 or after > len(data):
        raise OpenFlowError("OFPBMC_BAD_LEN")
    found: dict[int, int] = {}
    at = pos + 4
    while at < end:
        if at + 4 > end:
            raise OpenFlowError("OFPBMC_BAD_LEN")
        length = data[at + 3]
        field = data[at + 2] >> 1
        known = int.from_bytes(data[at : at + 2], "big") == _CLASS
        if at + 4 + length > end:
            raise OpenFlowError("OFPBMC_BAD_LEN")
        if known and length == _SIZES.get(field):
            found[field] = int.from_bytes(data[at + 4 : at + 4 + length], "big")
        at += 4 + length
    return found, after


def encode_oxs(fields: dict[int, int]) -> bytes:
    """The list of `fields`, with its padding."""
    body = b"".join(
        pack(">HBB", _CLASS, field << 1, _SIZES[field]) + value.to_bytes(_SIZES[field], "big")
        for field, value in fields.items()
    )
    size = 4 + len(body)
    return pack(">HH", 0, size) + body + bytes(-size % 8)


def join_time(seconds: int, nanoseconds: int) -> int:
    return seconds << 32 | nanoseconds


def split_time(value: int) -> tuple[int, int]:
    return value >> 32, value & 0xFFFFFFFF
