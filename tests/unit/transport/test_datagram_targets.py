"""Targets of collectors: a host and perhaps a port."""

from __future__ import annotations

import errno

import pytest

from netloom.transport.address import parse_target


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("192.0.2.1", ("192.0.2.1", 6343)),
        ("192.0.2.1:9", ("192.0.2.1", 9)),
        ("192.0.2.1:", ("192.0.2.1", 6343)),
        ("[2001:db8::1]", ("2001:db8::1", 6343)),
        ("[2001:db8::1]:9", ("2001:db8::1", 9)),
    ],
)
def test_what_is_left_out_is_the_default(text: str, found: tuple[str, int]) -> None:
    assert parse_target(text, 6343) == found


@pytest.mark.parametrize("text", ["", ":9", "192.0.2.1:0", "192.0.2.1:99999", "1:2:3", "a:b"])
def test_bad_targets_are_a_system_error(text: str) -> None:
    with pytest.raises(OSError, match="not supported") as raised:
        parse_target(text, 6343)
    assert raised.value.errno == errno.EAFNOSUPPORT


def test_without_a_default_the_port_has_to_be_named() -> None:
    assert parse_target("192.0.2.1:2055", 0) == ("192.0.2.1", 2055)
    for text in ("192.0.2.1", "192.0.2.1:"):
        with pytest.raises(OSError, match="not supported"):
            parse_target(text, 0)
