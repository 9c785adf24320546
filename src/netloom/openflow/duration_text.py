"""How long something has been there, as all statistics print it."""

from __future__ import annotations


def format_duration(seconds: int, nanoseconds: int) -> str:
    """`5s`, `5.600s`, `5.000000001s`, `5.00000001s`."""
    if not nanoseconds:
        return f"{seconds}s"
    if nanoseconds % 1_000_000 == 0:
        return f"{seconds}.{nanoseconds // 1_000_000:03d}s"
    fraction = f"{nanoseconds:09d}".rstrip("0")
    return f"{seconds}.{fraction}s"
