"""The `%` patterns of log messages (`ovs-appctl vlog/set PATTERN:file:...`), compiled once.

`compile_pattern` turns the text into a function from a `Record` to a line. The language is that of
ovs-appctl(8): `%` [`-`] [`0`] [width] letter [`{...}`]; an unknown letter stands for itself.
"""

from __future__ import annotations

import posix

from .clock import format_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Field = Callable[["Record"], str]
    Pattern = Callable[["Record"], str]

#: ISO 8601 with a fraction: what %d and %D mean without a format of their own.
ISO_TIME = "%Y-%m-%d %H:%M:%S.###"
#: Wider than any column; what is asked for beyond it would only fill memory and disk with spaces.
_MAX_WIDTH, _MAX_WIDTH_DIGITS = 1_000, 4


class Record:
    """One message on its way out."""

    __slots__ = (
        "elapsed_ms",
        "level",
        "message",
        "module",
        "priority",
        "program",
        "serial",
        "thread",
        "wall_ms",
    )

    def __init__(
        self,
        *,
        level: str,
        module: str,
        message: str,
        serial: int,
        program: str,
        thread: str,
        wall_ms: int,
        elapsed_ms: int,
        priority: int,
    ) -> None:
        self.level = level
        self.module = module
        self.message = message
        self.serial = serial
        self.program = program
        self.thread = thread
        self.wall_ms = wall_ms
        self.elapsed_ms = elapsed_ms
        self.priority = priority


_FIELDS: dict[str, Field] = {
    "A": lambda r: r.program,
    "B": lambda r: str(r.priority),
    "c": lambda r: r.module,
    "E": lambda r: posix.uname().nodename,
    "m": lambda r: r.message,
    "N": lambda r: str(r.serial),
    "n": lambda r: "\n",
    "p": lambda r: r.level,
    "P": lambda r: str(posix.getpid()),
    "r": lambda r: str(r.elapsed_ms),
    "t": lambda r: r.thread or "main",
    "T": lambda r: f"({r.thread})" if r.thread else "",
    "%": lambda r: "%",
}


def _literal(text: str) -> Field:
    return lambda record: text


def _time_field(template: str, utc: bool) -> Field:
    """A time, formatted again only when the millisecond (or, without `#`, the second) changes."""
    step = 1 if "#" in template else 1000
    last_key = -1
    last_text = ""

    def field(record: Record) -> str:
        nonlocal last_key, last_text
        key = record.wall_ms // step
        if key != last_key:
            last_key, last_text = key, format_time(template, record.wall_ms, utc=utc)
        return last_text

    return field


def _padded(field: Field, width: int, fill: str, left: bool) -> Field:
    if left:
        return lambda record: field(record).ljust(width, fill)
    return lambda record: field(record).rjust(width, fill)


def _parse_escape(text: str, start: int) -> tuple[Field, int]:
    """The escape after the `%` at `start - 1`, and the index of what follows it."""
    end = start
    left = text[end : end + 1] == "-"
    end += left
    fill = "0" if text[end : end + 1] == "0" else " "
    end += fill == "0"
    digits = end
    while end < len(text) and text[end] in "0123456789":
        end += 1
    width = min(int(text[digits:end][:_MAX_WIDTH_DIGITS] or 0), _MAX_WIDTH)
    letter = text[end : end + 1]
    end += 1
    if letter in ("d", "D"):
        template = ISO_TIME
        close = text.find("}", end)
        if text[end : end + 1] == "{" and close >= 0:
            template, end = text[end + 1 : close], close + 1
        field = _time_field(template, utc=letter == "D")
    else:
        field = _FIELDS.get(letter) or _literal(letter)
    return (_padded(field, width, fill, left) if width else field), end


def compile_pattern(text: str) -> Pattern:
    """The function that formats a record by the pattern `text`; never fails."""
    fields: list[Field] = []
    position = 0
    while position < len(text):
        percent = text.find("%", position)
        if percent < 0:
            percent = len(text)
        if percent > position:
            fields.append(_literal(text[position:percent]))
        position = percent
        if percent < len(text):
            field, position = _parse_escape(text, percent + 1)
            fields.append(field)
    return lambda record: "".join([field(record) for field in fields])
