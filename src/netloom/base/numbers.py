"""Numbers in text that others wrote."""

from __future__ import annotations

DIGITS = frozenset("0123456789")
_ALL_DIGITS = "0123456789abcdef"
#: More digits than any number has that is meant somewhere; Python refuses to read thousands.
_MAX_DIGITS = 40
#: As many decimal digits as Python is sure to read at once.
_AT_ONCE = 640


def decimal(text: str) -> int | None:
    """The number that `text` is, in decimal ASCII digits and nothing else; None if it is none.

    `str.isdigit` alone is no test: it lets pass what `int` does not take, as a superscript."""
    if text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS:
        return int(text)
    return None


def any_int(digits: str, base: int = 10) -> int:
    """`int(digits, base)` for digits alone, however many; who asks wants the last bits of the
    number, or whether it is too large."""
    if len(digits) <= _AT_ONCE:
        return int(digits, base)
    number = 0
    for start in range(0, len(digits), _AT_ONCE):
        part = digits[start : start + _AT_ONCE]
        number = number * base ** len(part) + int(part, base)
    return number


def leading_int(text: str) -> int:
    """The integer that `text` begins with, as C's atoi() reads it; 0 for none."""
    return leading_number(text) or 0


def leading_number(text: str, base: int = 10) -> int | None:
    """The integer that `text` begins with, None for none. Base 0 is 16 for digits behind 0x, 8 for
    digits that begin with 0, else 10."""
    digits = text.lstrip()
    is_negative = digits[:1] == "-"
    digits = digits[digits[:1] in ("-", "+") :].lower()
    if not base:
        base = 16 if digits[:2] == "0x" else 8 if digits[:1] == "0" else 10
        digits = digits[2 if base == 16 else 0 :]
    end = 0
    while end < len(digits) and digits[end] in _ALL_DIGITS[:base]:
        end += 1
    if not end:
        return None
    number = any_int(digits[:end], base)
    return -number if is_negative else number
