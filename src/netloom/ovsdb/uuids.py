"""UUIDs as OVSDB uses them: lower-case text of 36 characters, and a source of new ones."""

from __future__ import annotations

from posix import urandom

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NewType

    #: The canonical text of a UUID (RFC 4122, lower case). At run time a plain `str`.
    Uuid = NewType("Uuid", str)
else:
    Uuid = str

ZERO_UUID: Uuid = Uuid("00000000-0000-0000-0000-000000000000")


def no_uuid() -> Uuid:
    """Stands for a source of UUIDs where nobody asks for them."""
    return ZERO_UUID


_HEX = frozenset("0123456789abcdefABCDEF")
#: How many UUIDs are made from one read of the system's random source.
_BATCH = 256


def parse_uuid(text: str) -> Uuid | None:
    """`text` in canonical form, or None if it is not the text of a UUID."""
    if len(text) != 36 or text[8] != "-" or text[13] != "-" or text[18] != "-" or text[23] != "-":
        return None
    digits = text.replace("-", "")
    if len(digits) != 32 or not _HEX.issuperset(digits):
        return None
    return Uuid(text.lower())


def uuid_prefix_length(text: str) -> int:
    """How many of the first characters of `text` could begin a UUID."""
    for i, char in enumerate(text):
        if i == 36:
            return 36
        ok = char == "-" if i in (8, 13, 18, 23) else char in _HEX
        if not ok:
            return i
    return len(text)


class UuidSource:
    """Makes random (version 4) UUIDs; `read_random` gives that many random bytes."""

    __slots__ = ("_digits", "_next", "_read_random")

    def __init__(self, read_random: Callable[[int], bytes] = urandom) -> None:
        self._read_random = read_random
        self._digits = ""
        self._next = 0

    def __call__(self) -> Uuid:
        at = self._next
        if at >= len(self._digits):
            self._digits = self._read_random(16 * _BATCH).hex()
            at = 0
        self._next = at + 32
        d = self._digits
        variant = "89ab"[int(d[at + 16], 16) & 3]
        return Uuid(
            f"{d[at : at + 8]}-{d[at + 8 : at + 12]}-4{d[at + 13 : at + 16]}"
            f"-{variant}{d[at + 17 : at + 20]}-{d[at + 20 : at + 32]}"
        )
