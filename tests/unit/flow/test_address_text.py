from __future__ import annotations

import ipaddress
import random

import pytest

from netloom.flow.address import (
    format_ipv4_masked,
    format_ipv6,
    format_ipv6_masked,
    format_mac,
    parse_ipv4,
    parse_ipv6,
    parse_mac,
    prefix_length,
    prefix_mask,
)


@pytest.mark.parametrize(
    "text",
    ["::", "::1", "1::", "1:2:3:4:5:6:7:8", "fe80::1:0:0:1", "::ffff:1.2.3.4",
     "1:2:3:4:5:6:1.2.3.4", "1::8", "::2:3:4:5:6:7:8", "1:2:3:4:5:6:7::", "ABCD::ef01"],
)  # fmt: skip
def test_ipv6_addresses_of_every_form(text: str) -> None:
    assert parse_ipv6(text) == int(ipaddress.IPv6Address(text))


@pytest.mark.parametrize(
    "text",
    ["", ":", ":::", "1", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1::2::3", "12345::", "g::", "::1 ",
     "1:2:3:4:5:6:7:8::", ":1:2:3:4:5:6:7:8", "1.2.3.4", "::1.2.3", "::1.2.3.256", "1.2.3.4::",
     "::1.2.3.4:5"],
)  # fmt: skip
def test_what_is_no_ipv6_address(text: str) -> None:
    with pytest.raises(ValueError):
        ipaddress.IPv6Address(text)
    assert parse_ipv6(text) is None


def test_random_ipv6_addresses_print_as_they_should() -> None:
    rng = random.Random(4291)
    for _ in range(2000):
        groups = [rng.choice((0, 0, 1, 0xABC, 0xFFFF)) for _ in range(8)]
        value = int.from_bytes(b"".join(group.to_bytes(2, "big") for group in groups), "big")
        text = format_ipv6(value)
        assert parse_ipv6(text) == value
        if "." not in text:
            assert text == str(ipaddress.IPv6Address(value))


def test_embedded_ipv4_is_dotted() -> None:
    assert format_ipv6(0xFFFF01020304) == "::ffff:1.2.3.4"
    assert format_ipv6(0x01020304) == "::1.2.3.4"
    assert format_ipv6(1) == "::1"


def test_ipv4() -> None:
    assert parse_ipv4("1.2.3.4") == 0x01020304
    assert parse_ipv4("1.2.3.400") == 0x01020390
    assert parse_ipv4("1.2.+3. -4") == 0x010203FC
    for text in ("1.2.3", "1.2.3.4.5", "1.2.3.x", "1.2.3.", ""):
        assert parse_ipv4(text) is None


def test_ethernet() -> None:
    assert parse_mac("1:2:3:4:5:6") == 0x010203040506
    assert format_mac(0x0102030405AB) == "01:02:03:04:05:ab"
    for text in ("1:2:3:4:5", "1:2:3:4:5:6:7", "x:2:3:4:5:6", "", "1:2:3:4:5:"):
        assert parse_mac(text) is None


def test_prefixes() -> None:
    for bits in (32, 128):
        for length in range(bits + 1):
            assert prefix_length(prefix_mask(length, bits), bits) == length
    assert prefix_length(0xFF00FF00, 32) is None
    assert format_ipv4_masked(0x0A000000, 0xFF000000) == "10.0.0.0/8"
    assert format_ipv4_masked(0x0A000300, 0xFF00FF00) == "10.0.3.0/255.0.255.0"
    assert format_ipv4_masked(0, 0) == "0.0.0.0/0"
    assert format_ipv6_masked(0xFE80 << 112, prefix_mask(10, 128)) == "fe80::/10"
    assert format_ipv6_masked(1, 0xFFFF << 112 | 0xFFFF) == "::1/ffff::ffff"
