"""`ovs-vsctl`'s own schema, whose tables are read when they are asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import netloom
from netloom.ovsdb.schema import ColumnSchema, DatabaseSchema
from netloom.programs.db_ctl.schema_file import LateTable, load_schema

FILE = Path(netloom.__file__).parent / "ovsdb/schemas/vswitch.ovsschema"


def test_it_is_that_of_the_file() -> None:
    whole = DatabaseSchema.from_json(json.loads(FILE.read_text()))
    assert load_schema("vswitch.ovsschema").to_json() == whole.to_json()
    for name, table in load_schema("vswitch.ovsschema").tables.items():
        assert table.defaults == whole.tables[name].defaults


def test_a_column_is_read_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    usual = ColumnSchema.from_json
    monkeypatch.setattr(
        ColumnSchema, "from_json", lambda name, json: (read.append(name), usual(name, json))[1]
    )
    schema = load_schema("vswitch.ovsschema")
    assert schema.tables["Open_vSwitch"].is_root and not schema.tables["Port"].is_root
    columns = schema.tables["Port"].columns
    assert [(column.name, column.index) for column in columns.values()] == [
        (name, index) for index, name in enumerate(sorted(columns))
    ]
    assert read == []
    for _ in range(2):
        assert columns["tag"].mutable and not columns["tag"].ephemeral
        assert columns["tag"].type.max == 1
    assert read == ["tag"]
    assert len(schema.tables["Port"].defaults) == len(columns)


def test_a_table_and_a_column_have_no_more_attributes_than_others() -> None:
    with pytest.raises(AttributeError):
        _ = load_schema("vswitch.ovsschema").tables["Port"].columns["tag"].row  # type: ignore[attr-defined]
    with pytest.raises(AttributeError):
        _ = LateTable("Port", {}).rows  # type: ignore[attr-defined]
