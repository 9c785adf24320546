"""OpenFlow port numbers: the reserved ones, the two widths, and their text.

Numbers here are those of OpenFlow 1.1 and later (32 bits). OpenFlow 1.0 has 16 bits: its reserved
numbers 0xff00 to 0xffff are 0xffffff00 to 0xffffffff; a switch uses no number between.
"""

from __future__ import annotations

from netloom.base.log import WARN, get_logger
from netloom.flow.scan import parse_decimal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

MAX: Final = 0xFFFFFF00
UNSET: Final = 0xFFFFFFF7
IN_PORT: Final = 0xFFFFFFF8
TABLE: Final = 0xFFFFFFF9
NORMAL: Final = 0xFFFFFFFA
FLOOD: Final = 0xFFFFFFFB
ALL: Final = 0xFFFFFFFC
CONTROLLER: Final = 0xFFFFFFFD
LOCAL: Final = 0xFFFFFFFE
ANY: Final = 0xFFFFFFFF
#: OpenFlow 1.0's word for ANY.
NONE: Final = ANY

_MAX10: Final = 0xFF00
_FIRST_RESERVED10: Final = 0xFFF7
_OFFSET: Final = 0xFFFF0000

#: number -> the name that is printed.
RESERVED: dict[int, str] = {
    IN_PORT: "IN_PORT",
    TABLE: "TABLE",
    NORMAL: "NORMAL",
    FLOOD: "FLOOD",
    ALL: "ALL",
    CONTROLLER: "CONTROLLER",
    LOCAL: "LOCAL",
    ANY: "ANY",
    UNSET: "UNSET",
}
_BY_NAME: Final = {name: number for number, name in RESERVED.items()} | {"NONE": NONE}

_log: Final = get_logger("ofp_port")


def port_to_of10(port: int) -> int | None:
    """The 16-bit number of `port`; None if OpenFlow 1.0 cannot say it."""
    if port < _MAX10:
        return port
    return port - _OFFSET if port >= MAX else None


def port_from_of10(port: int) -> int:
    """The 32-bit number of an OpenFlow 1.0 port number."""
    return port if port < _MAX10 else port + _OFFSET


def port_from_of11(port: int) -> int | None:
    """`port` if a switch supports it, else None (outside 0-0xfeff and 0xffffff00-0xffffffff)."""
    return port if port < _MAX10 or port >= MAX else None


def parse_port(text: str, port_names: Mapping[str, int] | None = None) -> int | None:
    """The number that `text` says: decimal (also OpenFlow 1.0's 65534 for LOCAL), a reserved name
    in any case, or a name in `port_names` (which may stand in double quotes). None if it says
    none; numbers that are deprecated or out of range are logged."""
    if text.startswith("-"):
        _log.warn("Negative value %s is not a valid port number.", text)
        return None
    number = parse_decimal(text)
    if number is not None:
        return _port_from_number(number)
    if (reserved := _BY_NAME.get(text.upper())) is not None:
        return reserved
    return port_names.get(unquote_name(text)) if port_names else None


def _port_from_number(number: int) -> int | None:
    if number < _MAX10:
        return number
    if number < _FIRST_RESERVED10:
        if _log.admits(WARN, "reserved number", 1, 1):
            _log.warn(
                "port %u is a reserved OF1.0 port number that will be translated to %u when "
                "talking to an OF1.1 or later controller", number, number + _OFFSET)  # fmt: skip
        return number + _OFFSET
    if number <= 0xFFFF:
        name = format_port(number + _OFFSET)
        if _log.admits(WARN, "deprecated number", 1, 1):
            _log.warn("referring to port %s as %u is deprecated for compatibility with "
                      "OpenFlow 1.1 and later", name, number)  # fmt: skip
        return number + _OFFSET
    if number < MAX:
        _log.warn("port %u is outside the supported range 0 through %x or 0x%x through 0x%x",
                  number, 0xFFFF, MAX, ANY)  # fmt: skip
        return None
    return number


def format_port(port: int, port_names: Mapping[int, str] | None = None) -> str:
    """The name of a reserved port, else the name in `port_names` (quoted if it could be read as
    something else), else the number."""
    if (reserved := RESERVED.get(port)) is not None:
        return reserved
    name = port_names.get(port) if port_names else None
    if name is None:
        return str(port_to_of10(port)) if port >= MAX else str(port)
    return quote_name(name)


def quote_name(name: str) -> str:
    """`name` as a word of flow text: in double quotes unless it is letters and digits."""
    if name.isascii() and name.isalnum() and not name[0].isdigit():
        return name
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def unquote_name(text: str) -> str:
    """The name that `text` is as a JSON string; text without quotes is the name itself, and so is
    what is no such string."""
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        return text
    if "\\" not in text:
        return text[1:-1]
    import json

    try:
        return str(json.loads(text))
    except ValueError:
        return text
