"""Remotes that rows of a database configure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from netloom.base.clock import ManualClock
from netloom.ovsdb import schemas_directory
from netloom.ovsdb.database import Database
from netloom.ovsdb.relay import Relay, empty_schema
from netloom.ovsdb.remote_config import (
    RemoteOptions,
    default_options,
    desired_remotes,
    is_pending,
)
from netloom.ovsdb.schema import DatabaseSchema
from netloom.ovsdb.server import Server

POINTER = "db:Remotes,Root,connections"
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
                "other_config": {
                    "type": {"key": "string", "value": "string", "min": 0, "max": "unlimited"}
                },
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
    remotes = desired_remotes(server, {POINTER: default_options(POINTER)})
    assert list(remotes) == ["ptcp:6640"]
    assert remotes["ptcp:6640"].read_only


def test_role_of_a_remote_is_read_from_its_row() -> None:
    server = server_with(target="ptcp:6640", role="ovn-controller")
    remotes = desired_remotes(server, {POINTER: default_options(POINTER)})
    assert remotes["ptcp:6640"].role == "ovn-controller"
    assert remotes["ptcp:6640"] != default_options("ptcp:6640")


@pytest.mark.parametrize(("text", "dscp"), [("46", 46), ("0", 0), ("64", None), ("x", None)])
def test_class_of_service_of_a_remote_is_read_from_its_row(text: str, dscp: int | None) -> None:
    server = server_with(target="ptcp:6640", other_config=["map", [["dscp", text]]])
    remotes = desired_remotes(server, {POINTER: default_options(POINTER)})
    assert remotes["ptcp:6640"].dscp == dscp


def test_remote_that_is_named_itself_has_the_options_it_was_given() -> None:
    server = server_with(target="ptcp:6640")
    options = RemoteOptions(1000, 0, read_only=True)
    assert desired_remotes(server, {"ptcp:6641": options}) == {"ptcp:6641": options}


def test_remote_in_a_database_without_schema_so_far_is_waited_for() -> None:
    server = server_with(target="ptcp:6640")
    server.add_database(Database(empty_schema("Later")), None, Relay(server, "Later"))
    pointer = "db:Later,Root,connections"
    assert is_pending(server, pointer)
    assert not is_pending(server, POINTER)
    assert desired_remotes(server, {pointer: default_options(pointer)}) == {}
