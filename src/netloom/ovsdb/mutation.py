"""Mutations: changes of a column relative to its value (RFC 7047 section 5.1).

Arithmetic works on a number or on each number of a set and follows C: 64-bit integers, division
towards zero, a range error instead of an overflow. "insert" and "delete" work on sets and maps.
"""

from __future__ import annotations

import math

from netloom.ovsdb.datum import (
    insert_atoms,
    keys_of,
    parse_datum,
    remove_atoms,
    sorted_map,
    unique_atoms,
)
from netloom.ovsdb.errors import OvsdbError, constraint_violation, syntax_error
from netloom.ovsdb.members import INT64_MAX, INT64_MIN
from netloom.ovsdb.triples import column_of_triple
from netloom.ovsdb.types import UNLIMITED, BaseType, ColumnType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from netloom.ovsdb.datum import Symbols
    from netloom.ovsdb.schema import ColumnSchema
    from netloom.ovsdb.types import Datum

_ARITHMETIC = ("+=", "-=", "*=", "/=", "%=")


class Mutation:
    """One compiled mutation of one column."""

    __slots__ = ("argument", "column", "mutator")

    def __init__(self, column: ColumnSchema, mutator: str, argument: Datum) -> None:
        self.column = column
        self.mutator = mutator
        self.argument = argument

    def apply(self, old: Datum) -> Datum:
        """The new value; raises "domain error", "range error" or "constraint violation"."""
        if self.mutator == "insert":
            new = _insert(old, self.argument)
        elif self.mutator == "delete":
            new = _delete(old, self.argument)
        else:
            return self._calculate_all(old)
        column_type = self.column.type
        size = len(new)  # type: ignore[arg-type]
        if not column_type.min <= size <= column_type.max:
            raise constraint_violation(
                f"Attempted to store {size} elements in {column_type.describe()}."
            )
        return new

    def _calculate_all(self, old: Datum) -> Datum:
        base = self.column.type.key
        atoms = [self._calculate(atom) for atom in keys_of(old)]
        for atom in atoms:
            base.check(atom)
        if self.column.type.is_scalar:
            return atoms[0]
        unique = unique_atoms(atoms)
        if len(unique) != len(atoms):
            raise constraint_violation(f'Result of "{self.mutator}" operation contains duplicates.')
        return unique

    def _calculate(self, left: Any) -> int | float:
        right: Any = self.argument
        operator = self.mutator
        if operator in ("/=", "%=") and right == 0:
            raise OvsdbError("domain error", "Division by zero.")
        if self.column.type.key.name == "real":
            result = _real(operator, left, right)
            in_range = math.isfinite(result)
        else:
            result = _integer(operator, left, right)
            in_range = INT64_MIN <= result <= INT64_MAX
        if not in_range:
            raise OvsdbError("range error", f'Result of "{operator}" operation is out of range.')
        return result


def _integer(operator: str, left: int, right: int) -> int:
    if operator == "+=":
        return left + right
    if operator == "-=":
        return left - right
    if operator == "*=":
        return left * right
    quotient = abs(left) // abs(right)
    if (left < 0) != (right < 0):
        quotient = -quotient
    return quotient if operator == "/=" else left - quotient * right


def _real(operator: str, left: float, right: float) -> float:
    if operator == "+=":
        return left + right
    if operator == "-=":
        return left - right
    return left * right if operator == "*=" else left / right


def _insert(old: Datum, argument: Datum) -> Datum:
    if type(old) is dict:
        assert type(argument) is dict
        # Keys that are there keep their values.
        return sorted_map({**argument, **old})
    return insert_atoms(keys_of(old), keys_of(argument))


def _delete(old: Datum, argument: Datum) -> Datum:
    if type(old) is dict:
        if type(argument) is dict:
            return {k: v for k, v in old.items() if k not in argument or argument[k] != v}
        drop = set(keys_of(argument))
        return {key: value for key, value in old.items() if key not in drop}
    return remove_atoms(keys_of(old), keys_of(argument))


def parse_mutations(
    table_name: str,
    columns: Mapping[str, ColumnSchema],
    json: list[Any],
    symbols: Symbols | None = None,
) -> list[Mutation]:
    """Compile a "mutations" array; raises `OvsdbError`."""
    return [_parse_mutation(table_name, columns, item, symbols) for item in json]


def _parse_mutation(
    table_name: str,
    columns: Mapping[str, ColumnSchema],
    json: Any,
    symbols: Symbols | None,
) -> Mutation:
    column = column_of_triple("mutation", table_name, columns, json)
    if not column.mutable:
        raise syntax_error(
            json,
            f"Cannot mutate immutable column {column.name} in table {table_name}.",
            "constraint violation",
        )
    mutator = json[1]
    if mutator in _ARITHMETIC:
        return Mutation(column, mutator, _parse_operand(column, mutator, json, symbols))
    if mutator in ("insert", "delete"):
        return Mutation(column, mutator, _parse_elements(column, mutator, json, symbols))
    raise OvsdbError("unknown mutator", f"No mutator named {mutator}.")


def _mismatch(column: ColumnSchema, mutator: str, json: Any) -> OvsdbError:
    return syntax_error(
        json,
        f'Type mismatch: "{mutator}" operator may not be applied to column '
        f"{column.name} of type {column.type.describe()}.",
    )


def _parse_operand(column: ColumnSchema, mutator: str, json: Any, symbols: Symbols | None) -> Datum:
    name = column.type.key.name
    allowed = ("integer",) if mutator == "%=" else ("integer", "real")
    if column.type.is_map or name not in allowed:
        raise _mismatch(column, mutator, json)
    return parse_datum(ColumnType(BaseType(name), None, 1, 1), json[2], symbols)


def _parse_elements(
    column: ColumnSchema, mutator: str, json: Any, symbols: Symbols | None
) -> Datum:
    column_type = column.type
    if column_type.is_scalar:
        raise _mismatch(column, mutator, json)
    n_max = column_type.max if mutator == "insert" else UNLIMITED
    if column_type.value is None or mutator == "insert":
        argument_type = ColumnType(column_type.key, column_type.value, 0, n_max)
        return parse_datum(argument_type, json[2], symbols)
    # Pairs of a map may be deleted by pair or by key.
    try:
        pairs = ColumnType(column_type.key, column_type.value, 0, UNLIMITED)
        return parse_datum(pairs, json[2], symbols)
    except OvsdbError:
        return parse_datum(ColumnType(column_type.key, None, 0, UNLIMITED), json[2], symbols)
