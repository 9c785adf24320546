"""Files that commands read, line by line."""

from __future__ import annotations

import sys

from netloom.programs.ofctl.options import Fatal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def read_lines(path: str, what: str = "open failed") -> list[str]:
    """The lines of a file; `-` is the standard input. `what` is how an error calls itself."""
    if path == "-":
        return sys.stdin.read().split("\n")
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read().split("\n")
    except IsADirectoryError:
        # It opens, and there is nothing to read.
        return []
    except OSError as error:
        raise Fatal(f"{path}: {what} ({error.strerror})") from None


def read_bytes(path: str) -> bytes:
    """What is in a file; `-` is the standard input."""
    try:
        if path == "-":
            return sys.stdin.buffer.read()
        with open(path, "rb") as file:
            return file.read()
    except IsADirectoryError:
        return b""
    except OSError as error:
        raise Fatal(f"{path}: open ({error.strerror})") from None


def input_lines() -> list[str]:
    """The lines of the standard input, all of them."""
    text = sys.stdin.read()
    lines = text.split("\n")
    return lines if lines[-1] else lines[:-1]


def significant_lines(lines: Iterable[str]) -> Iterator[str]:
    """What stands before the comments, where that is something."""
    for line in lines:
        text = line.partition("#")[0].rstrip("\n")
        if text.strip(" \t"):
            yield text
