"""Numbers at the start of text, read as liberally as the C functions do that Open vSwitch uses:
spaces and a sign may come first, and what is too large loses its high bits."""

from __future__ import annotations

from netloom.base.numbers import any_int, decimal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_SPACE: Final = " \t\n\v\f\r"
_DIGITS: Final = "0123456789abcdefABCDEF"
_U32: Final = (1 << 32) - 1


def scan_number(text: str, base: int = 10) -> tuple[int, str] | None:
    """The number at the start of `text` and what follows it; None if there is none. Base 16
    allows 0x, base 0 also takes a leading 0 for octal."""
    digits = text.lstrip(_SPACE)
    negative = digits[:1] == "-"
    digits = digits[digits[:1] in ("-", "+") :]
    if base in (0, 16) and digits[:2] in ("0x", "0X"):
        digits, base = digits[2:], 16
    elif not base:
        base = 8 if digits[:1] == "0" else 10
    allowed = _DIGITS if base == 16 else _DIGITS[:base]
    end = 0
    while end < len(digits) and digits[end] in allowed:
        end += 1
    if not end:
        return None
    number = any_int(digits[:end], base)
    return -number if negative else number, digits[end:]


def scan_int(text: str) -> tuple[int, str] | None:
    """The decimal number of 32 bits with a sign at the start of `text`, and what follows it."""
    found = scan_number(text)
    if found is None:
        return None
    number, rest = found
    return (number + (1 << 31) & _U32) - (1 << 31), rest


def parse_decimal(text: str) -> int | None:
    """The decimal number of at most 32 bits that all of `text` is."""
    number, rest = decimal(text), ""
    if number is None:
        found = scan_number(text)
        if found is None:
            return None
        number, rest = found
    return None if rest or not 0 <= number <= _U32 else number
