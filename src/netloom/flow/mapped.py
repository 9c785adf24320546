"""IP addresses of both families as one kind of number: 128 bits, IPv4 as ::ffff:a.b.c.d.

Tunnels, routes and neighbours take either family; this way they need one table, not two. 0 is no
address.
"""

from __future__ import annotations

from netloom.base.numbers import decimal
from netloom.flow.address import format_ipv4, format_ipv6, parse_ipv4, parse_ipv6, parse_plain_ipv4

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_PREFIX: Final = 0xFFFF << 32
#: Bits of a mapped address in front of those of IPv4.
V4_BITS: Final = 96


def map_ipv4(address: int) -> int:
    """The mapped form of an IPv4 address; 0 stays no address."""
    return _PREFIX | address if address else 0


def is_ipv4(address: int) -> bool:
    return address >> 32 == 0xFFFF


def ipv4_of(address: int) -> int:
    """The IPv4 address in a mapped one; 0 if there is none."""
    return address & 0xFFFFFFFF if is_ipv4(address) else 0


def address_bytes(address: int) -> bytes:
    """The 4 or 16 bytes that stand in a header."""
    if is_ipv4(address):
        return (address & 0xFFFFFFFF).to_bytes(4, "big")
    return address.to_bytes(16, "big")


def format_mapped(address: int) -> str:
    return format_ipv4(address & 0xFFFFFFFF) if is_ipv4(address) else format_ipv6(address)


def parse_mapped(text: str) -> int | None:
    """An address of either family; None if `text` is none."""
    ipv4 = parse_ipv4(text)
    if ipv4 is not None:
        return _PREFIX | ipv4
    return parse_ipv6(text)


def parse_plain_mapped(text: str) -> int | None:
    """As `parse_mapped`, but numbers of IPv4 end at 255: as inet_pton() reads both families."""
    ipv4 = parse_plain_ipv4(text)
    if ipv4 is not None:
        return _PREFIX | ipv4
    return parse_ipv6(text)


def parse_mapped_prefix(text: str) -> tuple[int, int] | None:
    """`ADDRESS[/LENGTH]` as (address, prefix length of 128 bits)."""
    host, slash, length_text = text.partition("/")
    address = parse_mapped(host)
    if address is None:
        return None
    bits = 32 if is_ipv4(address) else 128
    length = decimal(length_text) if slash else bits
    if length is None or length > bits:
        return None
    return address, 128 - bits + length


def mask_of_length(length: int) -> int:
    """The mask of a prefix of `length` of 128 bits."""
    return (1 << 128) - (1 << 128 - length)


def format_mapped_prefix(address: int, length: int) -> str:
    """`ADDRESS/LENGTH`, the bits behind the prefix being 0."""
    if is_ipv4(address) and length >= V4_BITS:
        return f"{format_ipv4(address & mask_of_length(length) & 0xFFFFFFFF)}/{length - V4_BITS}"
    return f"{format_ipv6(address & mask_of_length(length))}/{length}"
