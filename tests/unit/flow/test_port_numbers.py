from __future__ import annotations

import pytest

from netloom.flow import ports
from netloom.flow.ports import (
    format_port,
    parse_port,
    port_from_of10,
    port_from_of11,
    port_to_of10,
    quote_name,
    unquote_name,
)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0), ("1", 1), ("65279", 65279), ("LOCAL", ports.LOCAL), ("local", ports.LOCAL),
        ("in_port", ports.IN_PORT), ("NONE", ports.ANY), ("any", ports.ANY), ("UNSET", ports.UNSET),
        ("65534", ports.LOCAL), ("65280", 0xFFFFFF00), ("4294967293", ports.CONTROLLER),
        ("65536", None), ("4294967039", None), ("4294967296", None), ("-1", None), ("0x1", None),
        ("", None), ("eth9", None),
    ],
)  # fmt: skip
def test_numbers_and_reserved_names(text: str, number: int | None) -> None:
    assert parse_port(text) == number


def test_names_of_a_switch_may_be_quoted() -> None:
    names = {"eth0": 3, "LOCAL": 9, "5": 6}
    assert parse_port("eth0", names) == 3
    assert parse_port('"eth0"', names) == 3
    assert parse_port("LOCAL", names) == ports.LOCAL
    assert parse_port('"5"', names) == 6


def test_printed_ports() -> None:
    names = {1: "eth0", 2: "vnet-1", 3: "4th"}
    assert format_port(1) == "1"
    assert format_port(ports.LOCAL) == "LOCAL"
    assert format_port(ports.ANY) == "ANY"
    assert [format_port(n, names) for n in (1, 2, 3, 4)] == ["eth0", '"vnet-1"', '"4th"', "4"]


@pytest.mark.parametrize(
    ("name", "quoted"),
    [
        ("eth0", "eth0"), ("p-3", '"p-3"'), ("p_4", '"p_4"'), ("5p", '"5p"'), ("p.6", '"p.6"'),
        ('p"q', '"p\\"q"'), ("p\\z", '"p\\\\z"'), ("é", '"é"'), ('a\\"b', '"a\\\\\\"b"'),
    ],
)  # fmt: skip
def test_names_that_are_not_letters_and_digits_are_quoted(name: str, quoted: str) -> None:
    assert quote_name(name) == quoted
    assert unquote_name(quoted) == name
    assert parse_port(quoted, {name: 9}) == 9


def test_the_two_widths() -> None:
    assert port_to_of10(ports.LOCAL) == 0xFFFE
    assert port_to_of10(65279) == 65279
    assert port_to_of10(65280) is None
    assert port_from_of10(0xFFFE) == ports.LOCAL
    assert port_from_of10(0xFEFF) == 0xFEFF
    assert port_from_of11(0xFF00) is None
    assert port_from_of11(ports.MAX) == ports.MAX


def test_every_openflow_10_number_survives_both_ways() -> None:
    for number in range(0x10000):
        assert port_to_of10(port_from_of10(number)) == number
