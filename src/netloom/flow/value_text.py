"""Values of single fields as text: what stands behind the `=` in a match or in set_field.

`parse_field_value` and `format_field_value` work on a field's own bits, exact or with a mask.
Values that are too large for the bits of the field, yet fit its bytes, lose the upper bits, as in
ovs-ofctl(8).
"""

from __future__ import annotations

from netloom.base.errors import ConfigError
from netloom.flow import numbers
from netloom.flow.address import (
    format_ipv4_masked,
    format_ipv6_masked,
    format_mac_masked,
    parse_ipv4,
    parse_ipv6,
    parse_mac,
    prefix_mask,
    scan_ipv4,
)
from netloom.flow.fields import Field
from netloom.flow.ports import format_port, parse_port, port_from_of10
from netloom.flow.scan import scan_int

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

#: Text of nw_frag -> (value, mask), as ovs-fields(7) has them.
FRAGMENTS: Final = (
    ("no", 0, 3),
    ("first", 1, 3),
    ("later", 3, 3),
    ("no", 0, 1),
    ("yes", 1, 1),
    ("not_later", 0, 2),
    ("later", 2, 2),
)


def parse_field_value(
    field: Field, text: str, port_names: Mapping[str, int] | None = None
) -> tuple[int, int]:
    """(value, mask) that `text` says for `field`, in the field's bits; the mask is `field.ones` if
    the text has none. Raises ConfigError with Open vSwitch's text."""
    value, mask = _parse(field, text, port_names)
    return value & field.ones, mask & field.ones


def _parse(field: Field, text: str, port_names: Mapping[str, int] | None) -> tuple[int, int]:
    form = field.form
    if form in ("decimal", "hex"):
        value, mask = numbers.parse_integer(text, field.n_bytes, field.name)
        full = (1 << 8 * field.n_bytes) - 1
        if mask == full:
            return value, field.ones
        if not field.maskable and mask:
            raise ConfigError(f"{text}: invalid mask for field {field.name}")
        return value, mask
    if form in ("port", "port10"):
        return _parse_port(field, text, port_names), field.ones
    if form == "ethernet":
        return _parse_ethernet(text)
    if form == "ipv4":
        return _parse_ipv4(text)
    if form == "ipv6":
        return _parse_ipv6(text)
    if form == "frag":
        return _parse_frag(text)
    if form == "packet_type":
        return _parse_packet_type(text), field.ones
    names, what, allowed = FLAG_FORMS[form]
    value, flag_mask = numbers.parse_flags(text, names, what, allowed)
    return value, field.ones if flag_mask is None else flag_mask


#: Forms that are sets of flags: names, the word in messages, the bits that may be given.
FLAG_FORMS: dict[str, tuple[tuple[str | None, ...], str, int]] = {
    "ct_state": (numbers.CT_STATE_NAMES, "ct_state", numbers.CT_STATE_MASK),
    "tcp_flags": (numbers.TCP_FLAG_NAMES, "TCP", numbers.TCP_FLAGS_MASK),
    "tun_flags": (numbers.TUN_FLAG_NAMES, "tunnel", numbers.TUN_FLAGS_PUBLIC),
}


def _parse_port(field: Field, text: str, port_names: Mapping[str, int] | None) -> int:
    port = parse_port(text, port_names) if text else None
    if port is None:
        if field.form == "port10":
            raise ConfigError(f"{text}: invalid or unknown port for {field.name}")
        raise ConfigError(f"{text}: port value out of range for {field.name}")
    return port


def _parse_ethernet(text: str) -> tuple[int, int]:
    address, slash, mask_text = text.partition("/")
    value = parse_mac(address)
    mask = parse_mac(mask_text) if slash else (1 << 48) - 1
    if value is None or mask is None:
        raise ConfigError(f"{text}: invalid Ethernet address")
    return value, mask


def _parse_ipv4(text: str) -> tuple[int, int]:
    address, slash, mask_text = text.partition("/")
    value = parse_ipv4(address)
    if value is None:
        raise ConfigError(f"{text}: invalid IP address")
    if not slash:
        return value, 0xFFFFFFFF
    mask = scan_ipv4(mask_text)
    if mask is None:
        length = _prefix(mask_text, 32, f"{text}: IPv4", f"{text}: invalid IP address")
        return value, prefix_mask(length, 32)
    if mask[1]:
        raise ConfigError(f"{text}: invalid IP address")
    return value, mask[0]


#: What an IPv6 address may be made of.
_IPV6_CHARS: Final = "0123456789abcdefABCDEF:."


def _parse_ipv6(text: str) -> tuple[int, int]:
    address, slash, mask_text = text.partition("/")
    value = parse_ipv6(address)
    if value is None:
        raise ConfigError(f"{text}: invalid IPv6 address")
    if not slash:
        return value, (1 << 128) - 1
    # What starts with a number is a prefix length, even where it could be an address.
    if scan_int(mask_text) is not None:
        length = _prefix(mask_text, 128, f"{text}: IPv6", f"{text}: invalid IPv6 address")
        return value, prefix_mask(length, 128)
    rest = mask_text.lstrip(_IPV6_CHARS)
    mask = parse_ipv6(mask_text[: len(mask_text) - len(rest)])
    if mask is None and rest != mask_text:
        raise ConfigError(f"{text}: Invalid IPv6 mask")
    if mask is None or rest:
        raise ConfigError(f"{text}: invalid IPv6 address")
    return value, mask


def _prefix(text: str, bits: int, where: str, invalid: str) -> int:
    found = scan_int(text)
    if found is None:
        raise ConfigError(invalid)
    length, rest = found
    if not 0 <= length <= bits:
        raise ConfigError(f"{where} network prefix bits not between 0 and {bits}, inclusive")
    if rest:
        raise ConfigError(invalid)
    return length


def _parse_frag(text: str) -> tuple[int, int]:
    for name, value, mask in FRAGMENTS:
        if name == text.lower():
            return value, mask
    raise ConfigError(
        f'{text}: unknown fragment type (valid types are "no", "yes", "first", "later", "not_later"'
    )


def _parse_packet_type(text: str) -> int:
    rest = text
    fault = "missing '('"
    try:
        if not rest.startswith("("):
            raise ValueError
        rest, fault = rest[1:], "ns"
        name_space, tail = numbers.scan_integer(rest, 2)
        fault = "missing ','"
        if not tail.startswith(","):
            raise ValueError
        rest, fault = tail[1:], "ns_type"
        type_, tail = numbers.scan_integer(rest, 2)
        fault = "missing ')'"
        if not tail.startswith(")"):
            raise ValueError
    except ValueError:
        raise ConfigError(f"{rest}: bad syntax for packet type {fault}") from None
    return name_space << 16 | type_


def format_field_value(
    field: Field,
    value: int,
    mask: int | None = None,
    port_names: Mapping[int, str] | None = None,
) -> str:
    """`value` of `field` (in its bits) as text; with a `mask` that is not all ones, both."""
    if mask is None:
        mask = field.ones
    form = field.form
    if mask == 0 and form not in FLAG_FORMS:
        return "ANY"
    if form in ("port", "port10") and mask == field.ones:
        number = port_from_of10(value) if form == "port10" and value <= 0xFFFF else value
        return format_port(number, port_names)
    if form in _MASKED:
        return _MASKED[form](value, mask)
    if form == "frag":
        return format_frag(value, mask)
    if form == "packet_type":
        return format_packet_type(value)
    if form in FLAG_FORMS:
        names, _, allowed = FLAG_FORMS[form]
        full = 0xFFFF if form == "ct_state" else allowed
        exact = mask == field.ones and form != "tun_flags"
        return numbers.format_flags_masked(value, full if exact else mask, names, full)
    text = numbers.format_hex(value) if form == "hex" else str(value)
    return text if mask == field.ones else f"{text}/{numbers.format_hex(mask)}"


_MASKED: Final = {
    "ethernet": format_mac_masked,
    "ipv4": format_ipv4_masked,
    "ipv6": format_ipv6_masked,
}


def format_frag(value: int, mask: int) -> str:
    """`no`, `first`, `later`, `yes` or `not_later`."""
    for name, fragment, fragment_mask in FRAGMENTS:
        if value & mask == fragment and mask == fragment_mask:
            return name
    return "<error>"


def format_packet_type(value: int) -> str:
    """`(1,0x800)`; a type of one digit is decimal."""
    kind = value & 0xFFFF
    return f"({value >> 16},{kind if kind < 10 else hex(kind)})"
