"""Parts of fields as text: `NXM_NX_REG0[4..7]`."""

from __future__ import annotations

from netloom.flow.fields import Field
from netloom.openflow import actions as a


def format_subfield(part: a.Subfield) -> str:
    """`NXM_NX_REG0[4..7]`, `NXM_NX_REG0[3]`, `NXM_NX_REG0[]`."""
    return format_bits(part.field, part.offset, part.n_bits)


def format_bits(field: Field, offset: int, n_bits: int) -> str:
    name = field_code_name(field)
    if offset == 0 and n_bits >= field.width:
        return f"{name}[]"
    if n_bits == 1:
        return f"{name}[{offset}]"
    return f"{name}[{offset}..{offset + n_bits - 1}]"


def field_code_name(field: Field) -> str:
    """The name of NXM if the field has one there, else of OXM, else its own."""
    codes = field.codes
    if not codes:
        return field.name
    return min(codes, key=lambda code: code.version).name


def has_short_header(field: Field) -> bool:
    """Whether the field's header is four bytes, as some actions demand."""
    codes = field.codes
    return bool(codes) and not min(codes, key=lambda code: code.version).vendor
