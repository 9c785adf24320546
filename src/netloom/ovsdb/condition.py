"""Conditions: the "where" of operations and of conditional monitors (RFC 7047 section 5.1).

A condition is a list of clauses `[column, function, value]` or booleans. In an operation a row must
match all of them; in a monitor (an extension of Open vSwitch) any of them. A clause is compiled
once into (place in the row, test, argument), and then tried on rows, which are lists.
"""

from __future__ import annotations

from netloom.ovsdb.datum import parse_datum
from netloom.ovsdb.errors import OvsdbError, syntax_error
from netloom.ovsdb.triples import column_of_triple
from netloom.ovsdb.types import UNLIMITED, ColumnType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from netloom.ovsdb.datum import Symbols
    from netloom.ovsdb.schema import ColumnSchema
    from netloom.ovsdb.types import Datum

    Test = Callable[[Any, Any], bool]


def _includes(field: Any, argument: Any) -> bool:
    if type(argument) is dict:
        return all(key in field and field[key] == value for key, value in argument.items())
    return all(atom in field for atom in argument)


def _excludes(field: Any, argument: Any) -> bool:
    if type(argument) is dict:
        return not any(key in field and field[key] == value for key, value in argument.items())
    return not any(atom in field for atom in argument)


def _optional(test: Test) -> Test:
    """An order of scalars for a column of none or one: false when it is empty."""

    def compare(field: Any, argument: Any) -> bool:
        return len(field) == 1 and test(field[0], argument)

    return compare


def _equal(field: Any, argument: Any) -> bool:
    return field == argument  # type: ignore[no-any-return]


def _differ(field: Any, argument: Any) -> bool:
    return field != argument  # type: ignore[no-any-return]


_ORDER: dict[str, Test] = {
    "<": lambda field, argument: field < argument,
    "<=": lambda field, argument: field <= argument,
    ">": lambda field, argument: field > argument,
    ">=": lambda field, argument: field >= argument,
}
_FUNCTIONS = ("==", "!=", "<", "<=", ">", ">=", "includes", "excludes")


class Clause:
    """One compiled clause: row[index] is tested against `argument`."""

    __slots__ = ("argument", "function", "index", "test")

    def __init__(self, index: int, function: str, test: Test, argument: Datum) -> None:
        self.index = index
        self.function = function
        self.test = test
        self.argument = argument


class Condition:
    """A list of clauses, with boolean clauses folded away.

    `never` and `always` tell of a false and a true among them."""

    __slots__ = ("always", "clauses", "never")

    def __init__(self, clauses: tuple[Clause, ...], always: bool, never: bool) -> None:
        self.clauses = clauses
        self.always = always
        self.never = never

    def matches_all(self, row: list[Datum]) -> bool:
        """Whether every clause holds; an empty condition always does."""
        if self.never:
            return False
        # No generator: it costs twice as much.
        for clause in self.clauses:  # noqa: SIM110
            if not clause.test(row[clause.index], clause.argument):
                return False
        return True

    def matches_any(self, row: list[Datum]) -> bool:
        """Whether some clause holds, or there is none at all."""
        if self.always or not (self.clauses or self.never):
            return True
        for clause in self.clauses:  # noqa: SIM110
            if clause.test(row[clause.index], clause.argument):
                return True
        return False

    @property
    def is_true(self) -> bool:
        """Whether `matches_any` holds for every row."""
        return self.always or not (self.clauses or self.never)


def parse_condition(
    table_name: str,
    columns: Mapping[str, ColumnSchema],
    json: Any,
    symbols: Symbols | None = None,
) -> Condition:
    """Compile a "where" array; raises `OvsdbError`."""
    clauses: list[Clause] = []
    always = never = False
    for item in json:
        if item is True:
            always = True
        elif item is False:
            never = True
        else:
            clauses.append(_parse_clause(table_name, columns, item, symbols))
    return Condition(tuple(clauses), always, never)


def _parse_clause(
    table_name: str,
    columns: Mapping[str, ColumnSchema],
    json: Any,
    symbols: Symbols | None,
) -> Clause:
    column = column_of_triple("condition", table_name, columns, json)
    function = json[1]
    if function not in _FUNCTIONS:
        raise OvsdbError("unknown function", f"No function named {function}.")
    test, argument_type = _choose_test(column, function, json)
    return Clause(column.index, function, test, parse_datum(argument_type, json[2], symbols))


def _choose_test(column: ColumnSchema, function: str, json: Any) -> tuple[Test, ColumnType]:
    """How to test a column, and the type of the argument."""
    column_type = column.type
    if function == "==":
        return _equal, column_type
    if function == "!=":
        return _differ, column_type
    order = _ORDER.get(function)
    if order is not None:
        is_number = column_type.key.name in ("integer", "real") and not column_type.is_map
        if is_number and column_type.is_scalar:
            return order, column_type
        if is_number and column_type.is_optional:
            return _optional(order), ColumnType(column_type.key, None, 1, 1)
        raise syntax_error(
            json,
            f'Type mismatch: "{function}" operator may not be applied to column '
            f"{column.name} of type {column_type.describe()}.",
        )
    if column_type.is_scalar:
        return (_equal if function == "includes" else _differ), column_type
    n_max = column_type.max if function == "includes" else UNLIMITED
    widened = ColumnType(column_type.key, column_type.value, 0, n_max)
    return (_includes if function == "includes" else _excludes), widened
