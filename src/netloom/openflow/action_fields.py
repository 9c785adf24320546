"""What the readers of actions' bytes share: sizes, zeros, fields and their parts.

Errors are OFPBAC_* and NXBRC_*, as `OpenFlowError`.
"""

from __future__ import annotations

from netloom.base.log import get_logger
from netloom.flow.fields import Field
from netloom.openflow import actions as a
from netloom.openflow.errors import OpenFlowError
from netloom.openflow.oxm import decode_field_header

_log = get_logger("meta_flow")


def expect_size(action: bytes, size: int) -> None:
    if len(action) != size:
        raise OpenFlowError("OFPBAC_BAD_LEN")


def check_zeros(data: bytes) -> None:
    if any(data):
        raise OpenFlowError("NXBRC_MUST_BE_ZERO")


def subfield(field: Field, offset: int, n_bits: int) -> a.Subfield:
    if n_bits == 0 or offset + n_bits > field.width:
        raise OpenFlowError("OFPBAC_BAD_SET_LEN")
    return a.Subfield(field, offset, n_bits)


def unpack_subfield(field: Field, packed: int) -> a.Subfield:
    """The part that 16 bits say: 10 of the offset, 6 of the number of bits less one."""
    return subfield(field, packed >> 6, (packed & 0x3F) + 1)


def pack_subfield(part: a.Subfield) -> int:
    return part.offset << 6 | part.n_bits - 1


def field_at(action: bytes, pos: int, *, writable: bool) -> tuple[Field, int]:
    """The field whose header is at `pos`, and the position after it. It is not looked at whether
    the header says that a mask follows."""
    try:
        field, _, after = decode_field_header(action, pos)
    except OpenFlowError:
        raise OpenFlowError("OFPBAC_BAD_SET_TYPE") from None
    _check_writable(field, writable)
    return field, after


def bare_field_at(action: bytes, pos: int, *, writable: bool) -> tuple[Field, int]:
    """As `field_at`, for actions that name what is wrong with the header as a match does."""
    field, masked, after = decode_field_header(action, pos)
    if masked:
        raise OpenFlowError("OFPBMC_BAD_MASK")
    _check_writable(field, writable)
    return field, after


def _check_writable(field: Field, writable: bool) -> None:
    if writable and not field.writable:
        _log.warn_rl("destination field %s is not writable", field.name)
        raise OpenFlowError("OFPBAC_BAD_SET_ARGUMENT")
