"""Database schemas: tables of columns with types (RFC 7047 section 3.2).

Parsing applies the checks and the completions of Open vSwitch: names that begin with "_" are
reserved; references must lead to tables that exist; if no table says that it is a root, all are;
a column with weak references is always mutable. `to_json` gives back an equal schema, with every
default left out, which is also what `get_schema` serves.

Rows are lists of data; `ColumnSchema.index` is a column's place in that list. Columns are laid out
in sorted order of their names, so two parsings of one schema agree.
"""

from __future__ import annotations

from netloom.ovsdb.errors import OvsdbError, syntax_error
from netloom.ovsdb.members import (
    ARRAY,
    BOOLEAN,
    ID,
    INTEGER,
    OBJECT,
    STRING,
    Members,
    is_id,
)
from netloom.ovsdb.types import UINT_MAX, BaseType, ColumnType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from netloom.ovsdb.types import Datum


class ColumnSchema:
    """One column: name, type, and place in the row."""

    __slots__ = ("ephemeral", "index", "mutable", "name", "type")

    def __init__(
        self, name: str, column_type: ColumnType, mutable: bool = True, ephemeral: bool = False
    ) -> None:
        self.name = name
        self.type = column_type
        self.mutable = mutable or column_type.has_weak_refs
        self.ephemeral = ephemeral
        self.index = -1

    def to_json(self) -> dict[str, Any]:
        json: dict[str, Any] = {"type": self.type.to_json()}
        if not self.mutable:
            json["mutable"] = False
        if self.ephemeral:
            json["ephemeral"] = True
        return json

    @staticmethod
    def from_json(name: str, json: Any) -> ColumnSchema:
        parser = Members(json, f"schema for column {name}")
        mutable = parser.get("mutable", BOOLEAN, optional=True)
        ephemeral = parser.get("ephemeral", BOOLEAN, optional=True)
        type_json = parser.get("type", STRING + OBJECT)
        parser.finish()
        column_type = ColumnType.from_json(type_json)
        return ColumnSchema(name, column_type, mutable is not False, bool(ephemeral))


class TableSchema:
    """One table. `columns` is in layout order and leaves out `_uuid` and `_version`."""

    __slots__ = ("columns", "defaults", "indexes", "is_root", "max_rows", "name")

    def __init__(
        self,
        name: str,
        columns: dict[str, ColumnSchema],
        is_root: bool = False,
        max_rows: int = UINT_MAX,
        indexes: tuple[tuple[ColumnSchema, ...], ...] = (),
    ) -> None:
        self.name = name
        self.columns = {key: columns[key] for key in sorted(columns)}
        for index, column in enumerate(self.columns.values()):
            column.index = index
        self.is_root = is_root
        self.max_rows = max_rows
        #: Sets of columns whose values together are unique in the table.
        self.indexes = indexes
        #: A row of default values; copy before changing.
        self.defaults: list[Datum] = [column.type.default for column in self.columns.values()]

    def to_json(self, default_is_root: bool = False) -> dict[str, Any]:
        json: dict[str, Any] = {
            "columns": {name: column.to_json() for name, column in self.columns.items()}
        }
        if self.max_rows != UINT_MAX:
            json["maxRows"] = self.max_rows
        if self.is_root != default_is_root:
            json["isRoot"] = self.is_root
        if self.indexes:
            json["indexes"] = [[column.name for column in index] for index in self.indexes]
        return json

    @staticmethod
    def from_json(name: str, json: Any) -> TableSchema:
        parser = Members(json, f"table schema for table {name}")
        columns_json = parser.get("columns", OBJECT)
        max_rows = parser.get("maxRows", INTEGER, optional=True)
        is_root = parser.get("isRoot", BOOLEAN, optional=True)
        indexes_json = parser.get("indexes", ARRAY, optional=True)
        parser.finish()
        if max_rows is not None and max_rows <= 0:
            raise syntax_error(json, "maxRows must be at least 1")
        if not columns_json:
            raise syntax_error(json, "table must have at least one column")
        columns: dict[str, ColumnSchema] = {}
        for column_name, column_json in columns_json.items():
            _check_name(column_name, json)
            columns[column_name] = ColumnSchema.from_json(column_name, column_json)
        limit = UINT_MAX if max_rows is None else min(max_rows, UINT_MAX)
        table = TableSchema(name, columns, bool(is_root), limit)
        table.indexes = tuple([table._index_from_json(index) for index in indexes_json or ()])
        return table

    def _index_from_json(self, json: Any) -> tuple[ColumnSchema, ...]:
        columns = self.columns_from_json(json)
        if not columns:
            raise syntax_error(json, "index must have at least one column")
        for column in columns:
            if column.ephemeral:
                raise syntax_error(
                    json, f"ephemeral columns (such as {column.name}) may not be indexed"
                )
        return columns

    def columns_from_json(self, json: Any) -> tuple[ColumnSchema, ...]:
        """The columns that an array of distinct names lists; `_uuid`, `_version` are not known."""
        if type(json) is not list:
            raise syntax_error(json, "array of distinct column names expected")
        columns: list[ColumnSchema] = []
        for item in json:
            if type(item) is not str:
                raise syntax_error(json, "array of distinct column names expected")
            column = self.columns.get(item)
            if column is None:
                raise syntax_error(json, f"{item} is not a valid column name")
            if column in columns:
                raise syntax_error(json, "array of distinct column names expected")
            columns.append(column)
        return tuple(columns)


class DatabaseSchema:
    """A whole schema. `version` and `cksum` are "" where the schema has none."""

    __slots__ = ("cksum", "name", "tables", "version")

    def __init__(self, name: str, version: str, cksum: str, tables: dict[str, TableSchema]) -> None:
        self.name = name
        self.version = version
        self.cksum = cksum
        self.tables = {key: tables[key] for key in sorted(tables)}
        if not any(table.is_root for table in tables.values()):
            for table in tables.values():
                table.is_root = True

    def to_json(self) -> dict[str, Any]:
        """The `<database-schema>`."""
        json: dict[str, Any] = {"name": self.name}
        if self.version:
            json["version"] = self.version
        if self.cksum:
            json["cksum"] = self.cksum
        # A schema whose tables are all roots is written without saying so of each.
        all_roots = all(table.is_root for table in self.tables.values())
        json["tables"] = {name: table.to_json(all_roots) for name, table in self.tables.items()}
        return json

    @staticmethod
    def from_json(json: Any) -> DatabaseSchema:
        """Parse and check a `<database-schema>`; raises `OvsdbError`."""
        parser = Members(json, "database schema")
        name = parser.get("name", ID)
        version = parser.get("version", STRING, optional=True)
        cksum = parser.get("cksum", STRING, optional=True)
        tables_json = parser.get("tables", OBJECT)
        parser.finish()
        if version is not None and not is_version(version):
            raise syntax_error(json, f'schema version "{version}" not in format x.y.z')
        tables: dict[str, TableSchema] = {}
        for table_name, table_json in tables_json.items():
            _check_name(table_name, json)
            tables[table_name] = TableSchema.from_json(table_name, table_json)
        schema = DatabaseSchema(name, version or "", cksum or "", tables)
        schema._check_references()
        return schema

    def _check_references(self) -> None:
        for table in self.tables.values():
            for column in table.columns.values():
                _check_reference(self, column.name, column.type.key, "key")
                if column.type.value is not None:
                    _check_reference(self, column.name, column.type.value, "value")


def _check_reference(schema: DatabaseSchema, column: str, base: BaseType, part: str) -> None:
    if base.ref_table is not None and base.ref_table not in schema.tables:
        raise OvsdbError(
            "syntax error",
            f"column {column} {part} refers to undefined table {base.ref_table}",
        )


def _check_name(name: str, json: Any) -> None:
    if name.startswith("_"):
        raise syntax_error(json, 'names beginning with "_" are reserved')
    if not is_id(name):
        raise syntax_error(json, "name must be a valid id")


def is_version(text: str) -> bool:
    """Whether `text` is a schema version, x.y.z in decimal."""
    parts = text.split(".")
    return len(parts) == 3 and all(part.isascii() and part.isdigit() for part in parts)
