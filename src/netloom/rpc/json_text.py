"""JSON for people to read: what `--pretty` and `--format json` print.

The layout is Open vSwitch's: members sorted, two spaces of indentation per level, and closing
brackets behind the last element instead of on lines of their own. Compact text has no spaces.
"""

from __future__ import annotations

_ESCAPES = {
    '"': '\\"',
    "\\": "\\\\",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
}


def _format_string(text: str) -> str:
    chars = [_ESCAPES.get(char) or (f"\\u{ord(char):04x}" if char < " " else char) for char in text]
    return f'"{"".join(chars)}"'


def _format_number(value: int | float) -> str:
    if isinstance(value, int):
        return str(value)
    if value.is_integer() and abs(value) < 2**63:
        return str(int(value))
    short = f"{value:.15g}"
    return short if float(short) == value else f"{value:.17g}"


def format_json(value: object, *, pretty: bool = False, sort: bool = True) -> str:
    """`value` as JSON text without a line end."""
    parts: list[str] = []
    _write(value, parts, pretty, sort, 0)
    return "".join(parts)


def _write(value: object, parts: list[str], pretty: bool, sort: bool, depth: int) -> None:
    if value is None:
        parts.append("null")
    elif value is True or value is False:
        parts.append("true" if value else "false")
    elif isinstance(value, str):
        parts.append(_format_string(value))
    elif isinstance(value, int | float):
        parts.append(_format_number(value))
    elif isinstance(value, dict):
        _write_members(value, parts, pretty, sort, depth + 1)
    elif isinstance(value, list | tuple):
        parts.append("[")
        for index, element in enumerate(value):
            parts.append("," if index else "")
            parts.append("\n" + "  " * (depth + 1) if pretty else "")
            _write(element, parts, pretty, sort, depth + 1)
        parts.append("]")
    else:
        raise TypeError(f"{type(value).__name__} has no JSON form")


def _write_members(
    value: dict[str, object], parts: list[str], pretty: bool, sort: bool, depth: int
) -> None:
    parts.append("{")
    for index, name in enumerate(sorted(value) if sort else value):
        parts.append("," if index else "")
        parts.append("\n" + "  " * depth if pretty else "")
        parts.append(_format_string(name) + (": " if pretty else ":"))
        _write(value[name], parts, pretty, sort, depth)
    parts.append("}")
