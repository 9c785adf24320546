"""The conditions of `find` and `wait-until`, see ovs-vsctl(8)."""

from __future__ import annotations

from netloom.base.errors import CommandError
from netloom.ovsdb.datum_text import parse_atom_text, parse_datum_text
from netloom.ovsdb.types import UNLIMITED, ColumnType
from netloom.programs.db_ctl.values import parse_condition

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from netloom.ovsdb.row import Row
    from netloom.ovsdb.schema import TableSchema
    from netloom.ovsdb.types import Datum
    from netloom.programs.db_ctl.context import Context


def condition_holds(context: Context, table: TableSchema, row: Row, argument: str) -> bool:
    """Whether `row` meets the condition `argument`."""
    setting = parse_condition(table, argument)
    column_type, operator = setting.column.type, setting.operator
    assert setting.value is not None
    have: Datum = context.read(row, setting.column.name)
    if setting.key is not None:
        if column_type.value is None:
            raise CommandError(
                f"cannot specify key to check for non-map column {setting.column.name}"
            )
        key = parse_atom_text(column_type.key, setting.key, context.symbols)
        assert isinstance(have, dict)
        is_set_operator = operator.startswith("{")
        if key not in have and not is_set_operator:
            return False
        n_max = UNLIMITED if is_set_operator else 1
        column_type = ColumnType(column_type.value, None, 0 if is_set_operator else 1, n_max)
        have = (have[key],) if key in have else ()
    want = parse_datum_text(column_type, setting.value, context.symbols)
    return _compare(operator, _elements(have), _elements(want))


def _elements(datum: Datum) -> tuple[Any, ...]:
    """A datum as a sorted tuple: of atoms, or of pairs."""
    if isinstance(datum, dict):
        return tuple(datum.items())
    return datum if isinstance(datum, tuple) else (datum,)


def _compare(operator: str, have: tuple[Any, ...], want: tuple[Any, ...]) -> bool:
    if operator.startswith("{"):
        return _compare_sets(operator[1:-1], set(have), set(want))
    left, right = _order_key(have), _order_key(want)
    match operator:
        case "=":
            return left == right
        case "!=":
            return left != right
        case "<":
            return left < right
        case "<=":
            return left <= right
        case ">":
            return left > right
    return left >= right


def _order_key(elements: tuple[Any, ...]) -> tuple[Any, ...]:
    """Orders sets by size, then by their elements; maps by their keys before their values."""
    if elements and isinstance(elements[0], tuple):
        return len(elements), [key for key, _ in elements], [value for _, value in elements]
    return len(elements), list(elements)


def _compare_sets(operator: str, have: set[Any], want: set[Any]) -> bool:
    match operator:
        case "=":
            return have == want
        case "!=":
            return have != want
        case "<":
            return have < want
        case "<=" | "in":
            return have <= want
        case ">":
            return have > want
        case ">=":
            return have >= want
    return not have & want
