"""Commands about databases and their schemas."""

from __future__ import annotations

from netloom.base.errors import CommandError
from netloom.ovsdb import hash_order
from netloom.ovsdb import schema as ovsdb_schema
from netloom.ovsdb.errors import OvsdbError
from netloom.ovsdb.table_text import Cell, Table
from netloom.rpc.json_codec import LightJson, decode_document

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from netloom.programs.ovsdb_client.client import Client


def run_list_dbs(client: Client) -> None:
    for name in sorted(client.call("list_dbs", [])):
        client.print(name)


def run_get_schema(client: Client) -> None:
    client.print_json(client.schema().to_json())


def run_get_schema_version(client: Client) -> None:
    client.print(client.schema().version)


def run_get_schema_cksum(client: Client) -> None:
    client.print(client.schema().cksum)


def _table_names(json: Any) -> list[str]:
    """Table names in Open vSwitch's order: of a table made from the members of a JSON object."""
    return hash_order.object_order(hash_order.object_order(json["tables"]))


def run_list_tables(client: Client) -> None:
    table = Table(["Table"])
    for name in _table_names(client.schema_json()):
        table.add([Cell(name)])
    client.print_table(table)


def run_list_columns(client: Client) -> None:
    json = client.schema_json()
    schema = ovsdb_schema.DatabaseSchema.from_json(json)
    wanted = client.args[0] if client.args else None
    out = Table(["Column", "Type"] if wanted is not None else ["Table", "Column", "Type"])
    for table_name in _table_names(json):
        if wanted not in (None, table_name):
            continue
        columns = schema.tables[table_name].columns
        columns_json = json["tables"][table_name]["columns"]
        names = ["_uuid", "_version", *hash_order.object_order(columns_json)]
        for name in hash_order.object_order(names):
            type_json = columns[name].type.to_json() if name in columns else "uuid"
            cells = [Cell(name), Cell(type_json, is_json=True)]
            out.add(cells if wanted is not None else [Cell(table_name), *cells])
    client.print_table(out)


def _schema_from_file(path: str) -> ovsdb_schema.DatabaseSchema:
    try:
        with open(path, "rb") as file:
            json = decode_document(LightJson(), file.read())
        return ovsdb_schema.DatabaseSchema.from_json(json)
    except OSError as error:
        reason = f'error opening "{path}": {error.strerror}'
    except ValueError as error:
        reason = str(error)
    except OvsdbError as error:
        raise CommandError(f"failed to read schema: {error}") from None
    raise CommandError(f'failed to read schema: "{path}" could not be read as JSON ({reason})')


def run_needs_conversion(client: Client) -> None:
    wanted = _schema_from_file(client.args[0])
    client.database = wanted.name
    same = client.schema().to_json() == wanted.to_json()
    client.print("no" if same else "yes")


def _is_clustered(client: Client, database: str) -> bool:
    """Whether the server says so; one that cannot say anything of itself keeps no clusters."""
    select = {
        "op": "select",
        "table": "Database",
        "where": [["name", "==", database]],
        "columns": ["model"],
    }
    results, error = client.ask("transact", ["_Server", select])
    return error is None and {"model": "clustered"} in results[0].get("rows", ())


def run_convert(client: Client) -> None:
    wanted = _schema_from_file(client.args[0])
    if _is_clustered(client, wanted.name):
        from netloom.programs.ovsdb_tool_clusters import without_ephemeral

        wanted = without_ephemeral(wanted, client.args[0])
    client.note_db_changes()
    client.call("convert", [wanted.name, wanted.to_json()])
