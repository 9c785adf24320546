"""`backup` and `restore`: a database as a file, through the server."""

from __future__ import annotations

import sys

from netloom.base.clock import SystemClock
from netloom.base.errors import CommandError
from netloom.ovsdb.database import Database
from netloom.ovsdb.datum import datum_to_json
from netloom.ovsdb.errors import OvsdbError
from netloom.ovsdb.file_store import apply_record
from netloom.ovsdb.json_text import format_json
from netloom.ovsdb.log_file import LogFile, encode_record
from netloom.ovsdb.schema import DatabaseSchema
from netloom.rpc.json_codec import LightJson

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from netloom.ovsdb.schema import TableSchema
    from netloom.programs.ovsdb_client.client import Client

COMMENT = 'produced by "ovsdb-client backup"'


def _kept_columns(table: TableSchema) -> list[str]:
    """The columns that a file has: those that are not ephemeral."""
    return [name for name, column in table.columns.items() if not column.ephemeral]


def run_backup(client: Client) -> None:
    if sys.stdout.isatty():
        raise CommandError("not writing backup to a terminal; please redirect stdout to a file")
    json = client.schema_json()
    schema = DatabaseSchema.from_json(json)
    tables = [(table, _kept_columns(table)) for table in schema.tables.values()]
    operations = [
        {"op": "select", "table": table.name, "where": [], "columns": ["_uuid", *columns]}
        for table, columns in tables
    ]
    results = client.call("transact", [client.database, *operations])
    record: dict[str, Any] = {}
    for (table, _), result in zip(tables, results):
        if "rows" not in result:
            raise CommandError(f"transaction returned error: {format_json(result)}")
        rows = {row.pop("_uuid")[1]: row for row in result["rows"]}
        if rows:
            record[table.name] = rows
    record["_date"] = SystemClock().wall_ms()
    record["_comment"] = COMMENT
    for part in (json, record):
        sys.stdout.write(encode_record(format_json(part).encode()).decode())


def run_restore(client: Client) -> None:
    database = _read_backup()
    current = client.schema()
    if not client.settings.force:
        _compare_schemas(database.schema, current)
    operations: list[dict[str, Any]] = [
        {"op": "delete", "table": name, "where": []} for name in current.tables
    ]
    for table in database.tables.values():
        operations += [_insertion(database, table.schema, uuid) for uuid in table.rows]
    operations.append({"op": "comment", "comment": 'restored by "ovsdb-client restore"'})
    results = client.call("transact", [client.database, *operations])
    for result in results:
        if isinstance(result, dict) and "error" in result:
            raise CommandError(f"transaction returned error: {format_json(result)}")


def _read_backup() -> Database:
    """The database on standard input."""
    log = LogFile("/dev/stdin", LightJson().decode, writable=False)
    schema_json = log.read()
    if schema_json is None:
        raise log.damage or OvsdbError("ovsdb error", "/dev/stdin: the file is empty")
    database = Database(DatabaseSchema.from_json(schema_json))
    while (record := log.read()) is not None:
        apply_record(database, record)
    if log.damage is not None:
        raise log.damage
    return database


def _compare_schemas(backup: DatabaseSchema, current: DatabaseSchema) -> None:
    if backup.to_json() == current.to_json():
        return
    if backup.version != current.version:
        difference = (
            f'backup schema has version "{backup.version}" but database schema has version '
            f'"{current.version}"'
        )
    else:
        difference = f"backup schema and database schema are both version {backup.version} but "
        difference += "still differ"
    raise CommandError(
        f'{difference} (use --force to override differences, or "ovsdb-client convert" to change '
        "the schema)"
    )


def _row_name(uuid: str) -> str:
    return "row" + uuid.replace("-", "_")


def _insertion(database: Database, table: TableSchema, uuid: str) -> dict[str, Any]:
    """The operation that makes one row of the backup anew."""
    row = database.tables[table.name].rows[uuid]  # type: ignore[index]
    values = {}
    for name in _kept_columns(table):
        column = table.columns[name]
        value: Any = datum_to_json(column.type, row[column.index])
        values[name] = _name_references(database, value)
    return {"op": "insert", "table": table.name, "uuid-name": _row_name(uuid), "row": values}


def _name_references(database: Database, json: Any) -> Any:
    """`json` with references to the backup's rows replaced by the names of the new ones."""
    if not isinstance(json, list):
        return json
    if len(json) == 2 and json[0] == "uuid":
        return ["named-uuid", _row_name(json[1])]
    return [_name_references(database, item) for item in json]
