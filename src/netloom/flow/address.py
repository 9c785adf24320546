"""Ethernet, IPv4 and IPv6 addresses as text, without the standard library's modules.

`ipaddress` takes 5 ms to import and `inet_pton` comes with sockets; a classic tool has neither to
spare. Addresses are integers, as in keys. Formats: RFC 4291 and RFC 5952 for IPv6, in the form
that the C library's inet_ntop gives (embedded IPv4 in ::/96 and ::ffff:0:0/96 is dotted).
"""

from __future__ import annotations

from netloom.base.numbers import decimal
from netloom.flow.scan import scan_number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_HEX: Final = frozenset("0123456789abcdefABCDEF")


def parse_hex_digits(text: str) -> int | None:
    """The number that `text`, hexadecimal digits only, says."""
    return int(text, 16) if text and _HEX.issuperset(text) else None


def _scan(text: str, n_numbers: int, between: str, base: int) -> tuple[int, str] | None:
    """The numbers at the start of `text`, of which the low 8 bits count, and what follows them."""
    value, rest = 0, between + text
    for _ in range(n_numbers):
        found = scan_number(rest[1:], base) if rest[:1] == between else None
        if found is None:
            return None
        value = value << 8 | found[0] & 0xFF
        rest = found[1]
    return value, rest


def scan_mac(text: str) -> tuple[int, str] | None:
    """The MAC address that `text` starts with, and what follows it."""
    return _scan(text, 6, ":", 16)


def scan_ipv4(text: str) -> tuple[int, str] | None:
    """The IPv4 address that `text` starts with, and what follows it."""
    return _scan(text, 4, ".", 10)


def parse_mac(text: str) -> int | None:
    """Six hexadecimal numbers of which the low 8 bits count, with colons between."""
    found = scan_mac(text)
    return None if found is None or found[1] else found[0]


def format_mac(value: int) -> str:
    return value.to_bytes(6, "big").hex(":")


def parse_ipv4(text: str) -> int | None:
    """Four decimal numbers of which the low 8 bits count, with dots between."""
    found = scan_ipv4(text)
    return None if found is None or found[1] else found[0]


def parse_plain_ipv4(text: str) -> int | None:
    """Four decimal numbers up to 255 without leading zeros: as inet_pton() reads them."""
    parts = text.split(".")
    if len(parts) != 4:
        return None
    value = 0
    for part in parts:
        number = decimal(part)
        if number is None or number > 0xFF or (len(part) > 1 and part[0] == "0"):
            return None
        value = value << 8 | number
    return value


def format_ipv4(value: int) -> str:
    return f"{value >> 24}.{value >> 16 & 255}.{value >> 8 & 255}.{value & 255}"


def parse_ipv6(text: str) -> int | None:
    """An IPv6 address in any form of RFC 4291, section 2.2."""
    head, gap, tail = text.partition("::")
    if "::" in tail or text.endswith(":::") or (not gap and not text):
        return None
    left = _parse_groups(head, dotted_last=not gap)
    right = _parse_groups(tail, dotted_last=True)
    if left is None or right is None:
        return None
    missing = 8 - len(left) - len(right)
    if missing < 1 if gap else missing != 0:
        return None
    value = 0
    for group in left + [0] * missing + right:
        value = value << 16 | group
    return value


def _parse_groups(text: str, dotted_last: bool) -> list[int] | None:
    """The 16-bit groups of a part of an address that has no gap."""
    if not text:
        return []
    groups = []
    parts = text.split(":")
    for i, part in enumerate(parts):
        if "." in part and dotted_last and i == len(parts) - 1:
            if (ipv4 := parse_plain_ipv4(part)) is None:
                return None
            groups += [ipv4 >> 16, ipv4 & 0xFFFF]
            continue
        number = parse_hex_digits(part)
        if number is None or len(part) > 4:
            return None
        groups.append(number)
    return groups


def format_ipv6(value: int) -> str:
    groups = [value >> 16 * n & 0xFFFF for n in range(7, -1, -1)]
    start, length = _longest_zero_run(groups)
    if start == 0 and (length == 6 or (length == 5 and groups[5] == 0xFFFF)):
        return ("::" if length == 6 else "::ffff:") + format_ipv4(value & 0xFFFFFFFF)
    if length < 2:
        return ":".join(f"{group:x}" for group in groups)
    head = ":".join(f"{group:x}" for group in groups[:start])
    tail = ":".join(f"{group:x}" for group in groups[start + length :])
    return f"{head}::{tail}"


def _longest_zero_run(groups: list[int]) -> tuple[int, int]:
    best = (0, 0)
    start = length = 0
    for i, group in enumerate(groups):
        if group:
            length = 0
            continue
        start = start if length else i
        length += 1
        if length > best[1]:
            best = (start, length)
    return best


def prefix_length(mask: int, bits: int) -> int | None:
    """How many ones the CIDR mask `mask` of `bits` bits starts with; None if it is none."""
    host = ~mask & (1 << bits) - 1
    return None if host & (host + 1) else bits - host.bit_length()


def prefix_mask(length: int, bits: int) -> int:
    """The mask of `bits` bits that starts with `length` ones."""
    return (1 << bits) - (1 << bits - length)


def format_ipv4_masked(value: int, mask: int) -> str:
    """`1.2.3.4`, `1.2.3.0/24` or `1.0.3.0/255.0.255.0`."""
    if mask == 0xFFFFFFFF:
        return format_ipv4(value)
    length = prefix_length(mask, 32)
    return f"{format_ipv4(value)}/{format_ipv4(mask) if length is None else length}"


def format_ipv6_masked(value: int, mask: int) -> str:
    """`fe80::1`, `fe80::/64` or `fe80::1/ffff::ffff`."""
    if mask == (1 << 128) - 1:
        return format_ipv6(value)
    length = prefix_length(mask, 128)
    return f"{format_ipv6(value)}/{format_ipv6(mask) if length is None else length}"


def format_mac_masked(value: int, mask: int) -> str:
    """`00:00:00:00:00:01` or `01:00:00:00:00:00/01:00:00:00:00:00`."""
    if mask == 0xFFFFFFFFFFFF:
        return format_mac(value)
    return f"{format_mac(value)}/{format_mac(mask)}"
