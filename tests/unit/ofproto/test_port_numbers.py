"""The numbers that ports get."""

from __future__ import annotations

import pytest

from netloom.base.errors import ConfigError
from netloom.ofproto.port_numbers import REST_MS, PortNumbers


def test_a_wish_is_granted_unless_somebody_has_the_number_or_nobody_can() -> None:
    in_use = {7}
    numbers = PortNumbers(in_use, 10)
    assert numbers.choose(9, 0) == 9
    assert [numbers.choose(wanted, 0) for wanted in (7, 0, 11)] == [1, 2, 3]


def test_a_number_rests_for_an_hour_after_its_port_is_gone() -> None:
    numbers = PortNumbers(set(), 3)
    assert numbers.choose(0, 0) == 1
    numbers.free(1, 0)
    numbers.free(2, 0)
    assert [numbers.choose(0, 1) for _ in range(2)] == [3, 3]
    assert numbers.choose(0, REST_MS + 1) == 1


def test_if_all_rest_the_one_that_rests_longest_is_given() -> None:
    in_use = {2}
    numbers = PortNumbers(in_use, 3)
    numbers.free(3, 10)
    numbers.free(1, 20)
    assert numbers.choose(0, 30) == 3
    in_use |= {1, 3}
    with pytest.raises(ConfigError, match="no OpenFlow port number is left"):
        numbers.choose(0, 30)
