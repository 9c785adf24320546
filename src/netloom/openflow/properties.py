"""Properties of OpenFlow 1.3 and later (OpenFlow 1.5.1, 7.2.1): type, length, value, padding.

The length counts the header of four bytes but not the padding, up to eight bytes each.
"""

from __future__ import annotations

from struct import unpack_from

from netloom.openflow.errors import OpenFlowError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

HEADER_BYTES = 4
#: Bytes that properties of others have at least.
_EXPERIMENTER_BYTES = 12
#: Whose properties there are: Nicira's, the ONF's, Netronome's and Intel's.
_KNOWN = frozenset((0x2320, 0x4F4E4600, 0x154D, 0xAA01))


def find_properties(
    data: bytes, pos: int, end: int, experimenters: int = 0xFFFF
) -> Iterator[tuple[int, int, int]]:
    """(type, start, end) of each; `start` is that of its header. Types from `experimenters` on say
    whose they are. Raises OFPBPC_BAD_LEN, when all before the wrong one were taken."""
    while pos < end:
        if end - pos < HEADER_BYTES:
            raise OpenFlowError("OFPBPC_BAD_LEN")
        kind, size = unpack_from(">HH", data, pos)
        if size < HEADER_BYTES or pos + size > end:
            raise OpenFlowError("OFPBPC_BAD_LEN")
        after = pos + (size + 7 & ~7)
        if after > end:
            raise OpenFlowError("OFPBPC_BAD_LEN")
        if kind >= experimenters and size < _EXPERIMENTER_BYTES:
            raise OpenFlowError("OFPBPC_BAD_LEN")
        yield kind, pos, pos + size
        pos = after


def unknown_property(data: bytes, start: int) -> OpenFlowError:
    """What to raise for a property that should not be there."""
    if data[start : start + 2] != b"\xff\xff":
        return OpenFlowError("OFPBPC_BAD_TYPE")
    is_known = int.from_bytes(data[start + 4 : start + 8], "big") in _KNOWN
    return OpenFlowError("OFPBPC_BAD_EXP_TYPE" if is_known else "OFPBPC_BAD_EXPERIMENTER")


def check_number(start: int, stop: int, size: int) -> None:
    """Has a property of a number the right length? Short numbers may have any bytes after them."""
    exact = HEADER_BYTES + size
    if stop - start < exact or (size > _SHORT and stop - start != exact):
        raise OpenFlowError("OFPBPC_BAD_LEN")


_SHORT = 2
