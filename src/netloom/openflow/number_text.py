"""Numbers in flow text, read as C's strtol does, with the messages of ovs-ofctl(8)."""

from __future__ import annotations

from netloom.base.errors import ConfigError


def c_int(text: str) -> int | None:
    """`text` as an integer: sign, then decimal, hexadecimal (0x) or octal (0); None if it is
    none."""
    digits = text.lstrip(" \t\r\n")
    negative = digits[:1] == "-"
    if digits[:1] in ("-", "+"):
        digits = digits[1:]
    base = 10
    if digits[:2].lower() == "0x":
        digits, base = digits[2:], 16
    elif digits[:1] == "0" and len(digits) > 1:
        base = 8
    if not digits or not digits.isascii() or not digits.isalnum():
        return None
    try:
        number = int(digits, base)
    except ValueError:
        return None
    return -number if negative else number


def _small(text: str, name: str, limit: int) -> int:
    number = c_int(text)
    if number is None or not 0 <= number <= limit:
        raise ConfigError(f'invalid {name} "{text}"')
    return number


def to_u8(text: str, name: str) -> int:
    return _small(text, name, 0xFF)


def to_u16(text: str, name: str) -> int:
    return _small(text, name, 0xFFFF)


def _wide(text: str, bits: int) -> int:
    if not text:
        raise ConfigError("missing required numeric argument")
    number = c_int(text)
    if number is None or abs(number) >> bits:
        raise ConfigError(f"invalid numeric format {text}")
    return number & (1 << bits) - 1


def to_u32(text: str) -> int:
    return _wide(text, 32)


def to_u64(text: str) -> int:
    return _wide(text, 64)
