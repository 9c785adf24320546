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
#: The type of properties that say whose they are.
EXPERIMENTER = 0xFFFF
#: Bytes that properties of others have at least.
_EXPERIMENTER_BYTES = 12


def find_properties(
    data: bytes, pos: int, end: int, experimenters: int = EXPERIMENTER
) -> Iterator[tuple[int, int, int]]:
    """(type, start, end) of each; `start` is that of its header. Types from `experimenters` on say
    whose they are, which is never 0. Raises OFPBPC_BAD_LEN or OFPBPC_BAD_EXPERIMENTER, when all
    before the wrong one were taken."""
    while pos < end:
        if end - pos < HEADER_BYTES:
            raise OpenFlowError("OFPBPC_BAD_LEN")
        kind, size = unpack_from(">HH", data, pos)
        if size < HEADER_BYTES or pos + size > end:
            raise OpenFlowError("OFPBPC_BAD_LEN")
        after = pos + (size + 7 & ~7)
        if after > end:
            raise OpenFlowError("OFPBPC_BAD_LEN")
        if kind >= experimenters:
            if size < _EXPERIMENTER_BYTES:
                raise OpenFlowError("OFPBPC_BAD_LEN")
            if not any(data[pos + 4 : pos + 8]):
                raise OpenFlowError("OFPBPC_BAD_EXPERIMENTER")
        yield kind, pos, pos + size
        pos = after


def unknown_property(data: bytes, start: int) -> OpenFlowError:
    """What to raise for a property that should not be there."""
    is_of_other = int.from_bytes(data[start : start + 2], "big") == EXPERIMENTER
    return OpenFlowError("OFPBPC_BAD_EXP_TYPE" if is_of_other else "OFPBPC_BAD_TYPE")


def check_number(start: int, stop: int, size: int) -> None:
    """Has a property of a number the right length? Short numbers may have any bytes after them."""
    exact = HEADER_BYTES + size
    if stop - start < exact or (size > _SHORT and stop - start != exact):
        raise OpenFlowError("OFPBPC_BAD_LEN")


_SHORT = 2
