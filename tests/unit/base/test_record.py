from __future__ import annotations

import pytest

from netloom.base.record import Record, replace


class Point(Record):
    x: int
    y: int = 0


class Point3(Point):
    z: int = 7


def test_fields_are_given_by_position_or_keyword() -> None:
    assert Point(1, 2) == Point(y=2, x=1)


def test_defaults_are_used() -> None:
    assert Point(1).y == 0


def test_a_missing_field_is_an_error() -> None:
    with pytest.raises(TypeError):
        Point()  # type: ignore[call-arg]


def test_a_subclass_adds_its_fields_after_those_of_its_base() -> None:
    assert repr(Point3(1, 2)) == "Point3(x=1, y=2, z=7)"


def test_records_of_different_classes_differ() -> None:
    assert Point3(1, 2) != Point(1, 2)


def test_equal_records_have_equal_hashes() -> None:
    assert hash(Point(1, 2)) == hash(Point(1, 2))
    assert len({Point(1), Point(1), Point(2)}) == 2


def test_replace_changes_some_fields() -> None:
    assert replace(Point3(1, 2), y=5) == Point3(1, 5)


def test_records_have_no_dict() -> None:
    assert not hasattr(Point(1), "__dict__")
