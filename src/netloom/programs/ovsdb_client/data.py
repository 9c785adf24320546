"""Commands that run transactions: `transact`, `query`, `dump`."""

from __future__ import annotations

from netloom.base.errors import CommandError
from netloom.ovsdb.datum import parse_datum
from netloom.ovsdb.json_text import format_json
from netloom.ovsdb.table_text import Table, typed_cell
from netloom.ovsdb.types import BaseType, ColumnType
from netloom.programs.ovsdb_client.client import parse_json_argument
from netloom.programs.ovsdb_client.staying import Stay

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from netloom.ovsdb.schema import DatabaseSchema, TableSchema
    from netloom.programs.ovsdb_client.client import Client

_UUID_TYPE = ColumnType(BaseType("uuid"), None, 1, 1)


def _transaction(client: Client) -> list[Any]:
    json = parse_json_argument(client.args[0])
    if not isinstance(json, list) or not json or not isinstance(json[0], str):
        raise CommandError("not a valid OVSDB query")
    return json


def _transact(client: Client, transaction: list[Any]) -> Any:
    """The results of a transaction, which may take as long as it likes in the background."""
    if client.settings.db_change_aware:
        client.note_db_changes()
    Stay(client).ready()
    return client.call("transact", transaction)


def run_transact(client: Client) -> None:
    client.print_json(_transact(client, _transaction(client)))


def run_query(client: Client) -> None:
    result = _transact(client, [*_transaction(client), {"op": "abort"}])
    if isinstance(result, list) and result:
        last = result[-1]
        if isinstance(last, dict) and last.get("error") == "aborted":
            result = result[:-1]
    client.print_json(result)


def column_type(table: TableSchema, name: str) -> ColumnType:
    return _UUID_TYPE if name in ("_uuid", "_version") else table.columns[name].type


def _dumped_tables(client: Client, schema: DatabaseSchema) -> list[tuple[TableSchema, list[str]]]:
    """The tables to dump, with the names of their columns in the order of output."""
    if not client.args:
        return [(table, ["_uuid", *table.columns]) for table in schema.tables.values()]
    name, *columns = client.args
    table = schema.tables.get(name)
    if table is None:
        raise CommandError(f'No table "{name}" found.')
    for column in columns:
        if column not in table.columns and column not in ("_uuid", "_version"):
            raise CommandError(f'Table "{name}" has no column {column}.')
    return [(table, sorted(set(columns)) or ["_uuid", *table.columns])]


def run_dump(client: Client) -> None:
    schema = client.schema()
    tables = _dumped_tables(client, schema)
    request = [
        {"op": "select", "table": table.name, "where": [], "columns": columns}
        for table, columns in tables
    ]
    results = client.call("transact", [client.database, *request])
    for (table, columns), result in zip(tables, results):
        if "rows" not in result:
            raise CommandError(f"transaction returned error: {format_json(result)}")
        _print_rows(client, table, columns, result["rows"])


def _print_rows(client: Client, table: TableSchema, columns: list[str], rows: list[Any]) -> None:
    out = Table(columns, f"{table.name} table")
    types = [column_type(table, name) for name in columns]
    decoded = [[parse_datum(kind, row[name]) for kind, name in zip(types, columns)] for row in rows]
    # UUIDs mean nothing to a reader: they decide only between rows that are equal otherwise.
    order = sorted(range(len(columns)), key=lambda i: types[i].key.name == "uuid")
    decoded.sort(key=lambda row: [_order_key(row[i]) for i in order])
    for row in decoded:
        out.add([typed_cell(kind, datum) for kind, datum in zip(types, row)])
    client.print_table(out)


def _order_key(datum: Any) -> tuple[Any, ...]:
    """Orders data of one column: sets by size and then elements, maps by keys before values."""
    if isinstance(datum, dict):
        return len(datum), list(datum), list(datum.values())
    return (len(datum), list(datum)) if isinstance(datum, tuple) else (1, [datum])
