"""Making a list of lines small that shows something: lines go, then parts of lines, while it is
still shown (delta debugging)."""

from __future__ import annotations

import re
from collections.abc import Callable

Shows = Callable[[list[str]], bool]


def fewer_lines(lines: list[str], shows: Shows) -> list[str]:
    """As few of `lines` as still show it."""
    size = max(1, len(lines) // 2)
    while size:
        at = len(lines)
        while at > 0:
            start = max(0, at - size)
            attempt = lines[:start] + lines[at:]
            if shows(attempt):
                lines = attempt
            at = start
        size //= 2
    return lines


#: A part of a line: a word with what is before it, with what is in its parentheses or without; a
#: word of a list with the comma after it; a mask.
_PARTS = (
    r"[,; ]?[^,; ()]*(\([^()]*(\([^()]*\)[^()]*)*\))?[^,; ()]*",
    r"(?<=[=,(])[^,; ()]+,",
    r"/[^,;> ]+",
)


def shorter_lines(lines: list[str], shows: Shows, kept: str) -> list[str]:
    """`lines` with as few words as still show it. The first two words of each stay, and what a
    word of `kept` (a regular expression) is in."""
    for at, line in enumerate(lines):
        # A bridge with less is another bridge, a frame another frame.
        if line.startswith(("vsctl add-br", "receive")):
            continue
        begin = len(" ".join(line.split(" ")[:2]))
        for part in _PARTS:
            for found in reversed(list(re.finditer(part, lines[at]))):
                if found.start() < begin or re.search(kept, found[0]):
                    continue
                if found.start() < found.end() <= len(lines[at]):
                    less = lines[at][: found.start()] + lines[at][found.end() :]
                    attempt = [*lines[:at], less, *lines[at + 1 :]]
                    if shows(attempt):
                        lines = attempt
    return lines
