"""Numbers in text that others wrote."""

from __future__ import annotations

DIGITS = frozenset("0123456789")
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
