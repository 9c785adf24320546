from __future__ import annotations

import pytest

from netloom.base.record import FEW, Record, replace


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


@pytest.mark.parametrize("before", [0, FEW + 1])
@pytest.mark.parametrize(
    ("args", "kwargs", "fault"),
    [
        ((), {"y": 1}, "missing 1 required positional argument: 'x'"),
        ((1, 2, 3), {}, "takes from 2 to 3 positional arguments but 4 were given"),
        ((1,), {"x": 2}, "got multiple values for argument 'x'"),
        ((1,), {"z": 2}, "got an unexpected keyword argument 'z'"),
    ],
)
def test_wrong_arguments_are_refused_from_the_first_instance_on(
    before: int, args: tuple[int, ...], kwargs: dict[str, int], fault: str
) -> None:
    class Fresh(Record):
        x: int
        y: int = 0

    for number in range(before):
        assert Fresh(number).x == number
    with pytest.raises(TypeError, match=fault):
        Fresh(*args, **kwargs)


def test_all_instances_are_made_alike() -> None:
    class Fresh(Record):
        x: int
        y: int = 5

    made = [Fresh(number, y=number) for number in range(2 * FEW)] + [Fresh(1)]
    assert [(each.x, each.y) for each in made[:-1]] == [(n, n) for n in range(2 * FEW)]
    assert made[-1].y == 5


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
