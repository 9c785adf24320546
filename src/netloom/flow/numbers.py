"""Numbers and flag words as flow text writes them.

Errors are the texts of ovs-ofctl(8), raised as `ConfigError`; the field that a number is for gives
its width and the name in the message.
"""

from __future__ import annotations

from netloom.base.errors import ConfigError
from netloom.flow.scan import scan_number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

_HEX: Final = frozenset("0123456789abcdefABCDEF")
_SPACE: Final = " \t\r\n"

#: Bit 0 upwards. None is a bit without a name.
CT_STATE_NAMES: tuple[str | None, ...] = (
    "new", "est", "rel", "rpl", "inv", "trk", "snat", "dnat",
)  # fmt: skip
TCP_FLAG_NAMES: tuple[str | None, ...] = (
    "fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr", "ns", "[200]", "[400]", "[800]",
)  # fmt: skip
TUN_FLAG_NAMES: tuple[str | None, ...] = ("oam", "df", "csum", "key")

_U32: Final = (1 << 32) - 1
CT_STATE_MASK: Final = 0xFF
TCP_FLAGS_MASK: Final = 0xFFF
#: The tunnel flags that a flow may match or set; the others show in a packet's flow only.
TUN_FLAGS_PUBLIC: Final = 0x1
TUN_FLAGS_MASK: Final = 0xF


class TooLarge(ValueError):
    """A number does not fit into the bytes that it is for."""


def scan_integer(text: str, n_bytes: int) -> tuple[int, str]:
    """The number at the start of `text` (decimal, 0x hexadecimal with spaces allowed between the
    digits, or 0 octal) and the rest of the text. Raises `TooLarge`, or `ValueError` if no number
    is there. A negative number is its two's complement in 64 bits."""
    if text[:2] in ("0x", "0X"):
        return _scan_hex(text, n_bytes)
    found = scan_number(text, 0)
    if found is None:
        raise ValueError(text)
    value, rest = found
    if abs(value) >> 64:
        raise TooLarge(text)
    value &= (1 << 64) - 1
    if value >> 8 * n_bytes:
        raise TooLarge(text)
    return value, rest


def _scan_hex(text: str, n_bytes: int) -> tuple[int, str]:
    value = 0
    at = 2
    while at < len(text):
        char = text[at]
        if char in _HEX:
            value = value << 4 | int(char, 16)
            if value >> 8 * n_bytes:
                raise TooLarge(text)
        elif char not in _SPACE:
            break
        at += 1
    return value, text[at:]


def parse_integer(text: str, n_bytes: int, name: str) -> tuple[int, int]:
    """`VALUE` or `VALUE/MASK` for the field `name` of `n_bytes`: (value, mask)."""
    ones = (1 << 8 * n_bytes) - 1
    what = "value"
    try:
        value, rest = scan_integer(text, n_bytes)
        if not rest:
            return value, ones
        if rest[0] != "/":
            raise ValueError(text)
        what = "mask"
        mask, rest = scan_integer(rest[1:], n_bytes)
        if rest:
            raise ValueError(text)
    except TooLarge:
        raise ConfigError(f"{text}: {what} too large for {n_bytes}-byte field {name}") from None
    except ValueError:
        raise ConfigError(f"{text}: bad syntax for {name} {what}") from None
    return value, mask


def format_hex(value: int) -> str:
    """`0x1f`, and `0` for zero."""
    return f"{value:#x}" if value else "0"


def parse_flags(
    text: str, names: Sequence[str | None], what: str, allowed: int
) -> tuple[int, int | None]:
    """Flags as `+a-b` (value and mask), `0x2/0x12`, or `a|b` and numbers, which demand the exact
    word: then the mask is None. `what` names the flags in messages."""
    masked = _masked(text)
    if masked is not None:
        if (masked[0] | masked[1]) & ~allowed:
            raise _unknown(text, what)
        return masked
    if text[:1] in ("+", "-"):
        return _parse_signed_flags(text, names, what, allowed)
    return _parse_words(text, names, what, allowed), None


def _parse_words(text: str, names: Sequence[str | None], what: str, allowed: int) -> int:
    """Names with `|` between, and numbers, which may also stand next to what follows."""
    total = 0
    rest = text
    while rest:
        number = scan_number(rest, 0)
        if number is not None:
            bit, rest = number
            rest = rest.removeprefix("|")
        else:
            word, _, rest = rest.partition("|")
            bit = 1 << names.index(word) if word in names else -1
        if bit & ~allowed:
            raise _unknown(text, what)
        total |= bit
    return total


def _parse_signed_flags(
    text: str, names: Sequence[str | None], what: str, allowed: int
) -> tuple[int, int]:
    flags = mask = at = 0
    while at < len(text):
        sign = text[at]
        rest = text[at + 1 :]
        length = min(i for i in (rest.find("+"), rest.find("-"), len(rest)) if i >= 0)
        word = rest[:length]
        bit = 1 << names.index(word) if word in names else 0
        if mask & bit:
            raise ConfigError(f"{rest}: Each {what} flag can be specified only once")
        if not bit or bit & ~allowed:
            raise _unknown(rest, what)
        mask |= bit
        if sign == "+":
            flags |= bit
        at += 1 + length
    return flags, mask


def _masked(text: str) -> tuple[int, int] | None:
    """The two numbers of 32 bits that `text` starts with; what follows them does not matter."""
    value = scan_number(text, 0)
    mask = scan_number(value[1][1:], 0) if value is not None and value[1][:1] == "/" else None
    if value is None or mask is None:
        return None
    return value[0] & _U32, mask[0] & _U32


def _unknown(text: str, what: str) -> ConfigError:
    return ConfigError(f"{text}: unknown {what} flag(s)")


def format_flags(value: int, names: Sequence[str | None], between: str = "|") -> str:
    """`new|trk`, `0` for none; bits without a name last, as one number."""
    words = [name for i, name in enumerate(names) if name and value >> i & 1]
    bad = value & ~sum(1 << i for i, name in enumerate(names) if name)
    if bad:
        words.append(f"{bad:#x}")
    return between.join(words) or "0"


def format_flags_masked(value: int, mask: int, names: Sequence[str | None], full: int) -> str:
    """`new|trk` if `mask` is `full`, else `+new-est`, or `0/0` if there is no mask."""
    if mask == full:
        return format_flags(value, names)
    if not mask:
        return "0/0"
    out = ""
    for i in range(mask.bit_length()):
        if mask >> i & 1:
            name = names[i] if i < len(names) else None
            out += ("+" if value >> i & 1 else "-") + (name or "[Unknown]")
    return out
