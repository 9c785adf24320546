"""Numbers in text that others wrote: what is none is no crash."""

from __future__ import annotations

import pytest

from netloom.base.log_pattern import compile_pattern
from netloom.base.numbers import decimal, leading_number
from netloom.datapath.userspace.port_numbers import _number_in_name
from netloom.ofproto.in_band import _remote

#: `str.isdigit` says yes to it, and `int` no; Python's `int` refuses thousands of digits as well.
SUPERSCRIPT, THOUSANDS = "\u00b2", "9" * 5_000


@pytest.mark.parametrize(
    ("text", "number"),
    [("0", 0), ("007", 7), (str(2**64), 2**64), ("", None), ("-1", None), ("+1", None),
     (" 1", None), ("1_0", None), ("\u0661", None), (SUPERSCRIPT, None), (THOUSANDS, None)],
)  # fmt: skip
def test_only_ascii_digits_are_a_number(text: str, number: int | None) -> None:
    assert decimal(text) == number


@pytest.mark.parametrize("odd", [SUPERSCRIPT, THOUSANDS])
def test_names_of_ports_and_targets_may_have_odd_digits(odd: str) -> None:
    assert _number_in_name(f"p{odd}") == 0
    assert _number_in_name(f"p7{SUPERSCRIPT}") == 7
    assert _remote(f"tcp:10.0.0.1:{odd}", 6640) == (0x0A000001, 6640)


@pytest.mark.parametrize("odd", [SUPERSCRIPT, THOUSANDS])
def test_patterns_of_the_log_may_have_odd_digits(odd: str) -> None:
    compile_pattern(f"%{odd}m|%-{odd}p")


@pytest.mark.parametrize(
    ("text", "base", "number"),
    [
        ("12ab", 10, 12), (" -7", 10, -7), ("+3", 10, 3), ("x1", 10, None), ("", 0, None),
        ("0x1F", 0, 31), ("-0x10z", 0, -16), ("010", 0, 8), ("0", 0, 0), ("0x", 0, None),
        ("1" + "0" * 700, 10, 10**700),
    ],
)  # fmt: skip
def test_a_number_is_read_as_far_as_it_goes(text: str, base: int, number: int | None) -> None:
    assert leading_number(text, base) == number
