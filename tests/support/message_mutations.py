"""Good OpenFlow messages made wrong: cut, lengthened, with parts changed, doubled and left out.

Of all results the header's length is right, so that many of them can follow each other in a file.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

#: What lengths, types and numbers become.
_ODD = (0, 1, 2, 3, 4, 7, 8, 16, 24, 0x7FFF, 0xFFFF, 0xFFFE, 0xFF00)
_HEADER = 8


def mutate(data: bytes, chance: random.Random) -> bytes:
    """`data` with one thing or two changed, the more often the nearer to its start."""
    found = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2))):
        chance.choice(_WAYS)(found, chance)
    del found[0xFFF8:]
    found[2:4] = len(found).to_bytes(2, "big")
    return bytes(found)


def _place(data: bytearray, chance: random.Random, align: int) -> int:
    """Somewhere in the body, at a multiple of `align`."""
    size = max(len(data) - _HEADER, 1)
    reach = chance.choice((size, min(size, 16), min(size, 48)))
    return _HEADER + chance.randrange(reach) // align * align


def _change_byte(data: bytearray, chance: random.Random) -> None:
    at = _place(data, chance, 1)
    data[at : at + 1] = bytes((chance.randrange(256),))


def _change_bit(data: bytearray, chance: random.Random) -> None:
    at = _place(data, chance, 1)
    if at < len(data):
        data[at] ^= 1 << chance.randrange(8)


def _change_number(data: bytearray, chance: random.Random) -> None:
    size = chance.choice((2, 2, 4))
    at = _place(data, chance, 2)
    data[at : at + size] = chance.choice(_ODD).to_bytes(size, "big")


def _change_length(data: bytearray, chance: random.Random) -> None:
    """What may be the length of something is a little off."""
    at = _place(data, chance, 2)
    off = chance.choice((-8, -4, -1, 1, 4, 8, 16))
    number = int.from_bytes(data[at : at + 2], "big") + off
    data[at : at + 2] = (number & 0xFFFF).to_bytes(2, "big")


def _cut(data: bytearray, chance: random.Random) -> None:
    at = _place(data, chance, chance.choice((1, 4, 8)))
    del data[at:]


def _leave_out(data: bytearray, chance: random.Random) -> None:
    at = _place(data, chance, chance.choice((4, 8)))
    del data[at : at + chance.choice((4, 8, 16))]


def _double(data: bytearray, chance: random.Random) -> None:
    at = _place(data, chance, 8)
    data[at:at] = data[at : at + chance.choice((8, 16, 24))]


def _lengthen(data: bytearray, chance: random.Random) -> None:
    data += chance.choice((b"\0", b"\xff", b"\1")) * chance.choice((1, 4, 8, 16))


def _change_version(data: bytearray, chance: random.Random) -> None:
    data[0] = chance.choice((1, 2, 3, 4, 5, 6))


def _change_type(data: bytearray, chance: random.Random) -> None:
    data[1] = chance.randrange(36)


_WAYS = (
    _change_byte, _change_byte, _change_bit, _change_bit, _change_number, _change_number,
    _change_length, _change_length, _cut, _leave_out, _double, _lengthen, _change_version,
    _change_type,
)  # fmt: skip


def mutations(messages: Sequence[bytes], seed: int, each: int) -> Iterator[bytes]:
    """`each` of every message; equal seeds give equal bytes."""
    chance = random.Random(seed)
    for data in messages:
        for _ in range(each):
            yield mutate(data, chance)
