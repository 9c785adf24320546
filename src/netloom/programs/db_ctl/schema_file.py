"""The schema that this version of the tool knows."""

from __future__ import annotations

from netloom.ovsdb.schema import ColumnSchema, DatabaseSchema, TableSchema
from netloom.rpc.json_codec import LightJson

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class _LateColumn(ColumnSchema):
    """A column that is read when more than its name is asked for."""

    __slots__ = ("_json",)

    def __init__(self, name: str, json: Any, index: int) -> None:
        self.name = name
        self.index = index
        self._json = json

    def __getattr__(self, name: str) -> Any:
        if name not in ColumnSchema.__slots__:
            raise AttributeError(name)
        column = ColumnSchema.from_json(self.name, self._json)
        self.type, self.mutable, self.ephemeral = column.type, column.mutable, column.ephemeral
        return getattr(self, name)


class LateTable(TableSchema):
    """A table whose columns are read when they are asked for: a command looks at a few of two
    hundred, and to read all takes as long as what it does with them."""

    __slots__ = ("_json",)

    def __init__(self, name: str, json: Any) -> None:
        self.name = name
        self.is_root = json.get("isRoot", False)
        self._json = json

    def __getattr__(self, name: str) -> Any:
        if name == "columns":
            columns = sorted(self._json["columns"].items())
            self.columns = {
                name: _LateColumn(name, json, index) for index, (name, json) in enumerate(columns)
            }
            return self.columns
        if name not in TableSchema.__slots__:
            raise AttributeError(name)
        table = TableSchema.from_json(self.name, self._json)
        self.defaults, self.indexes, self.max_rows = table.defaults, table.indexes, table.max_rows
        return getattr(self, name)


def load_schema(name: str) -> DatabaseSchema:
    """A schema, from the package's own copy of the file of that name."""
    path = f"{__file__.rpartition('/programs/')[0]}/ovsdb/schemas/{name}"
    with open(path, "rb", buffering=0) as file:
        json = LightJson().decode(file.read())
    tables: dict[str, TableSchema] = {
        name: LateTable(name, table) for name, table in json["tables"].items()
    }
    return DatabaseSchema(json["name"], json["version"], json["cksum"], tables)
