"""Files that commands read, line by line."""

from __future__ import annotations

import sys

from netloom.programs.ofctl.options import Fatal


def read_lines(path: str) -> list[str]:
    """The lines of a file; `-` is the standard input."""
    if path == "-":
        return sys.stdin.read().split("\n")
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read().split("\n")
    except OSError as error:
        raise Fatal(f"{path}: open failed ({error.strerror})") from None
