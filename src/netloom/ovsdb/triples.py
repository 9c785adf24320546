"""The `[column, function, value]` triples that conditions and mutations are lists of."""

from __future__ import annotations

from netloom.ovsdb.errors import syntax_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from netloom.ovsdb.schema import ColumnSchema


def column_of_triple(
    what: str, table_name: str, columns: Mapping[str, ColumnSchema], json: Any
) -> ColumnSchema:
    """The column that `json` is about; raises `OvsdbError` unless it is such a triple. `what` says
    in that error where it stands: in a "condition" or a "mutation"."""
    is_triple = (
        type(json) is list
        and len(json) == 3
        and type(json[0]) is str
        and type(json[1]) is str
    )  # fmt: skip
    if not is_triple:
        raise syntax_error(json, f"Parse error in {what}.")
    column = columns.get(json[0])
    if column is None:
        raise syntax_error(json, f"No column {json[0]} in table {table_name}.", "unknown column")
    return column
