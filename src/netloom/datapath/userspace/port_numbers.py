"""Numbers of ports in data paths in user space."""

from __future__ import annotations

from collections.abc import Container
from typing import Final

from netloom.base.errors import ConfigError
from netloom.base.numbers import DIGITS, decimal

#: Port numbers are 16 bits wide in every data path of Open vSwitch.
MAX_PORTS: Final = 65_535
#: What is added to the number in the name of a dummy bridge.
BRIDGE_NUMBERS: Final = 100


def free_number(name: str, taken: Container[int], *, by_name: bool) -> int:
    """A number for the port `name` that is not `taken`: with `by_name` that in its name, if there
    is one. ConfigError if none is left."""
    wanted = _number_in_name(name) if by_name else 0
    if wanted and wanted not in taken:
        return wanted
    for number in range(1, MAX_PORTS):
        if number not in taken:
            return number
    raise ConfigError("the data path has no port number left")


def _number_in_name(name: str) -> int:
    """The number that `name` ends in or holds, 0 for none."""
    start = next((at for at, char in enumerate(name) if char in DIGITS), len(name))
    end = start
    while end < len(name) and name[end] in DIGITS:
        end += 1
    number = decimal(name[start:end]) or 0
    number += BRIDGE_NUMBERS if name.startswith("br") and end > start else 0
    return number if number < MAX_PORTS else 0
