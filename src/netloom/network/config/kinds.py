"""What the text of an option means: checks that return the value or raise `ValueError`."""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import Any

from netloom.network.settings import Range

_TRUE = frozenset({"true", "1", "yes", "on"})
_FALSE = frozenset({"false", "0", "no", "off"})


def text(value: str) -> str:
    return value


def boolean(value: str) -> bool:
    """true, yes, on, 1 and their opposites."""
    if value.lower() in _TRUE | _FALSE:
        return value.lower() in _TRUE
    raise ValueError(f"Unexpected boolean value '{value}'")


def integer(value: str) -> int:
    """A decimal number."""
    if re.fullmatch(r"-?\d+", value) is None:
        raise ValueError(f"not an integer: '{value}'")
    return int(value)


def words(value: str) -> tuple[str, ...]:
    """Items between commas."""
    return tuple(word.strip() for word in value.replace("\n", ",").split(",") if word.strip())


def mapping(value: str) -> MappingProxyType[str, str]:
    """`name:value` items."""
    found = {}
    for word in words(value):
        name, colon, rest = word.partition(":")
        if not colon or not name.strip() or not rest.strip():
            raise ValueError(f"not of the form name:value: '{word}'")
        found[name.strip()] = rest.strip()
    return MappingProxyType(found)


def numbers(value: str) -> MappingProxyType[str, int]:
    """`name:number` items."""
    return MappingProxyType({name: integer(number) for name, number in mapping(value).items()})


def ranges(value: str) -> tuple[Range, ...]:
    """`first:last` items."""
    return tuple(_range(word) for word in words(value))


def _range(word: str) -> Range:
    match = re.fullmatch(r"(\d+):(\d+)", word)
    if match is None:
        raise ValueError(f"not a range first:last: '{word}'")
    low, high = int(match[1]), int(match[2])
    if low > high or low < 1:
        raise ValueError(f"the range is empty: '{word}'")
    return low, high


def vlan_ranges(value: str) -> MappingProxyType[str, tuple[Range, ...]]:
    """`physical` or `physical:first:last` items; several for one physical network add up."""
    found: dict[str, tuple[Range, ...]] = {}
    for word in words(value):
        physical, _, rest = word.partition(":")
        if not physical:
            raise ValueError(f"no physical network: '{word}'")
        more = (_range(rest),) if rest else ()
        if any(high > 4094 for _, high in more):
            raise ValueError(f"VLAN ids end at 4094: '{word}'")
        found[physical] = (*found.get(physical, ()), *more)
    return MappingProxyType(found)


def one_of(*known: str) -> Any:
    """One of these words."""

    def check(value: str) -> str:
        if value not in known:
            raise ValueError(f"'{value}' is not one of {', '.join(known)}")
        return value

    return check
