"""JSON text the way Open vSwitch prints it: members sorted, reals with 15 digits.

For error messages, tables, files and people, not for the wire: a daemon encodes its messages with
msgspec. `format_pretty` is what `--pretty` prints: two spaces of indentation per level, and closing
brackets behind the last element instead of on lines of their own.

Uses the C string escaper directly, since importing `json` costs a tool more than the whole of this
package.
"""

from __future__ import annotations

from _json import encode_basestring

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def quote(text: str) -> str:
    """`text` as a JSON string with its quotes; other than ASCII characters stay as they are."""
    return encode_basestring(text)


def format_real(value: float) -> str:
    """A real number with 15 significant digits and without a needless fraction."""
    return f"{value:.15g}"


def format_json(value: Any, sort: bool = True) -> str:
    """`value` (null, bool, int, float, str, list, dict) as compact JSON text."""
    if isinstance(value, str):
        return encode_basestring(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return format_real(value)
    if isinstance(value, (list, tuple)):
        return "[" + ",".join([format_json(item, sort) for item in value]) + "]"
    names = sorted(value) if sort else list(value)
    members = [f"{encode_basestring(name)}:{format_json(value[name], sort)}" for name in names]
    return "{" + ",".join(members) + "}"


def format_pretty(value: Any, depth: int = 1) -> str:
    """`value` as several lines of JSON text, without a line end; its elements are `depth` levels
    deep."""
    indent = "\n" + "  " * depth
    if isinstance(value, (list, tuple)):
        elements = [indent + format_pretty(item, depth + 1) for item in value]
        return "[" + ",".join(elements) + "]"
    if isinstance(value, dict):
        members = [
            f"{indent}{encode_basestring(name)}: {format_pretty(value[name], depth + 1)}"
            for name in sorted(value)
        ]
        # Without members, the line of the first one is begun all the same.
        return "{" + (",".join(members) or indent) + "}"
    return format_json(value)
