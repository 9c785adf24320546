"""Numbers of ports in data paths in user space."""

from __future__ import annotations

from typing import Final

from netloom.base.numbers import DIGITS, decimal

#: Port numbers are 16 bits wide in every data path of Open vSwitch.
MAX_PORTS: Final = 65_535
#: What is added to the number in the name of a dummy bridge.
BRIDGE_NUMBERS: Final = 100


def number_in_name(name: str) -> int:
    """The number that `name` ends in or holds, 0 for none."""
    start = next((at for at, char in enumerate(name) if char in DIGITS), len(name))
    end = start
    while end < len(name) and name[end] in DIGITS:
        end += 1
    number = decimal(name[start:end]) or 0
    number += BRIDGE_NUMBERS if name.startswith("br") and end > start else 0
    return number if number < MAX_PORTS else 0
