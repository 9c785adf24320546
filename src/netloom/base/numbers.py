"""Numbers in text that others wrote."""

from __future__ import annotations

DIGITS = frozenset("0123456789")
#: More digits than any number has that is meant somewhere; Python refuses to read thousands.
_MAX_DIGITS = 40


def decimal(text: str) -> int | None:
    """The number that `text` is, in decimal ASCII digits and nothing else; None if it is none.

    `str.isdigit` alone is no test: it lets pass what `int` does not take, as a superscript."""
    if text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS:
        return int(text)
    return None
