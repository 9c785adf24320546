"""Numbers in flow text, read as C's strtol does, with the messages of ovs-ofctl(8)."""

from __future__ import annotations

from netloom.base.errors import ConfigError
from netloom.base.numbers import any_int


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
    if number is None or abs(number) >> 64:
        raise ConfigError(f"invalid numeric format {text}")
    return number & (1 << bits) - 1


def to_u32(text: str) -> int:
    return _wide(text, 32)


def to_u64(text: str) -> int:
    return _wide(text, 64)


def leading_int(text: str) -> int:
    """The decimal number that `text` starts with, as C's atoi finds it: 0 if there is none, in 32
    bits what is too large for that."""
    digits = text.lstrip(" \t\r\n")
    end = 1 if digits[:1] in ("-", "+") else 0
    while end < len(digits) and digits[end] in "0123456789":
        end += 1
    head = digits[:end]
    if not head.strip("+-"):
        return 0
    size = any_int(head.lstrip("+-"))
    number = min(max(-size if head[0] == "-" else size, -1 << 63), (1 << 63) - 1)
    return (number + (1 << 31) & 0xFFFFFFFF) - (1 << 31)


def leading_u64(text: str) -> int:
    """As `leading_int`, for numbers that may also be hexadecimal or octal."""
    digits = text.lstrip(" \t\r\n")
    base, allowed = 10, "0123456789"
    if digits[:2].lower() == "0x":
        digits, base, allowed = digits[2:], 16, "0123456789abcdefABCDEF"
    elif digits[:1] == "0":
        base, allowed = 8, "01234567"
    end = 0
    while end < len(digits) and digits[end] in allowed:
        end += 1
    return any_int(digits[:end], base) if end else 0


def atoi(text: str) -> int:
    """The decimal number at the start of `text`, 0 if there is none: as C's atoi() reads it."""
    text = text.lstrip(" \t\n\v\f\r")
    sign = text[:1] if text[:1] in ("-", "+") else ""
    digits = text[len(sign) :]
    end = next((n for n, char in enumerate(digits) if char not in "0123456789"), len(digits))
    number = any_int(digits[:end] or "0")
    return -number if sign == "-" else number
