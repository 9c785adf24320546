"""Remotes that rows of a database configure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from netloom.base.clock import ManualClock
from netloom.ovsdb import schemas_directory
from netloom.ovsdb.database import Database
from netloom.ovsdb.remote_config import default_options, desired_remotes
from netloom.ovsdb.schema import DatabaseSchema
from netloom.ovsdb.server import Server

SCHEMA = {
    "name": "Remotes",
    "version": "1.0.0",
    "tables": {
        "Root": {
            "isRoot": True,
            "columns": {
                "connections": {
                    "type": {
                        "key": {"type": "uuid", "refTable": "Connection"},
                        "min": 0,
                        "max": "unlimited",
                    }
                }
            },
        },
        "Connection": {
            "columns": {
                "target": {"type": "string"},
                "role": {"type": "string"},
                "read_only": {"type": "boolean"},
            }
        },
    },
}


def server_with(**row: Any) -> Server:
    own = json.loads(Path(schemas_directory(), "_server.ovsschema").read_text())
    server = Server(DatabaseSchema.from_json(own), ManualClock(), lambda value: b"")
    server.add_database(Database(DatabaseSchema.from_json(SCHEMA)), None)
    server.change_internally(
        "Remotes",
        [
            {"op": "insert", "table": "Connection", "uuid-name": "c", "row": row},
            {"op": "insert", "table": "Root", "row": {"connections": ["named-uuid", "c"]}},
        ],
    )
    return server


def test_row_names_a_remote_and_its_options() -> None:
    server = server_with(target="ptcp:6640", read_only=True)
    remotes = desired_remotes(server, ["db:Remotes,Root,connections"])
    assert list(remotes) == ["ptcp:6640"]
    assert remotes["ptcp:6640"].read_only


def test_role_of_a_remote_is_read_from_its_row() -> None:
    server = server_with(target="ptcp:6640", role="ovn-controller")
    remotes = desired_remotes(server, ["db:Remotes,Root,connections"])
    assert remotes["ptcp:6640"].role == "ovn-controller"
    assert remotes["ptcp:6640"] != default_options("ptcp:6640")
