"""Properties of OpenFlow 1.3 and later (OpenFlow 1.5.1, 7.2.1): type, length, value, padding.

The length counts the header of four bytes but not the padding, up to eight bytes each.
"""

from __future__ import annotations

from struct import unpack_from

from netloom.openflow.errors import OpenFlowError

HEADER_BYTES = 4


def find_properties(data: bytes, pos: int, end: int) -> list[tuple[int, int, int]]:
    """(type, start, end) of each; `start` is that of its header. Raises OFPBPC_BAD_LEN."""
    found = []
    while pos < end:
        if end - pos < HEADER_BYTES:
            raise OpenFlowError("OFPBPC_BAD_LEN")
        kind, size = unpack_from(">HH", data, pos)
        if size < HEADER_BYTES or pos + size > end:
            raise OpenFlowError("OFPBPC_BAD_LEN")
        found.append((kind, pos, pos + size))
        pos += size + 7 & ~7
        if pos > end:
            raise OpenFlowError("OFPBPC_BAD_LEN")
    return found
