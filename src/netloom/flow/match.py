"""A match: the value and the mask of a flow, as two integers in the layout of the key.

    match = Match().with_field(FIELD["eth_type"], 0x0800).with_field(FIELD["nw_src"], ip, mask)
    match.matches(key)

What must hold: `value & ~mask == 0`; two matches are equal if both integers are. A match of all
packets is `Match(0, 0)`. In-port is an OpenFlow port number in OpenFlow rules and a data-path
port number in data-path flows; the layout is the same.
"""

from __future__ import annotations

from netloom.flow import fields

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from netloom.flow.fields import Field


class Match:
    """An immutable (value, mask) pair."""

    __slots__ = ("mask", "value")

    def __init__(self, value: int = 0, mask: int = 0) -> None:
        self.value = value & mask
        self.mask = mask

    def matches(self, key: int) -> bool:
        return key & self.mask == self.value

    def with_field(self, field: Field, value: int, mask: int | None = None) -> Match:
        """This match with `field` set to `value` under `mask` (in the field's own bits; all by
        default), replacing what it demanded of these bits before, and with what the field
        implies."""
        in_place = field.mask if mask is None else (mask & field.ones) << field.shift
        new_mask = self.mask & ~field.mask | in_place | field.implied
        kept = self.value & ~field.mask
        new_value = kept | value << field.shift & in_place | field.implied
        return Match(new_value, new_mask)

    def without_field(self, field: Field) -> Match:
        return Match(self.value, self.mask & ~field.mask)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Match):
            return NotImplemented
        return self.value == other.value and self.mask == other.mask

    def __hash__(self) -> int:
        return hash((self.value, self.mask))

    def __repr__(self) -> str:
        """The members of the key that are matched, in hexadecimal, for whoever debugs; the text
        that scripts read is `netloom.flow.print`'s."""
        words = [
            f"{slot.name}=0x{slot.get(self.value):x}/0x{slot.get(self.mask):x}"
            for slot in fields.SLOTS
            if self.mask & slot.mask
        ]
        return f"<match {','.join(words) or 'all'}>"


def whole_match(value: int, mask: int) -> Match:
    """`Match(value, mask)` where it is known that the value has no other bits."""
    match = Match()
    match.value = value
    match.mask = mask
    return match


MATCH_ALL: Final = Match()
