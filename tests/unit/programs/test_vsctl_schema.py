"""The schemas of `ovs-vsctl` and `vtep-ctl`, whose tables are read when they are asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import netloom
from netloom.ovsdb.schema import ColumnSchema, DatabaseSchema
from netloom.programs.db_ctl.run import Program
from netloom.programs.db_ctl.schema_file import LateTable, load_schema
from netloom.programs.vsctl import main as vsctl
from netloom.programs.vtep_ctl import main as vtep_ctl

FILES = Path(netloom.__file__).parent / "ovsdb/schemas"


@pytest.mark.parametrize("program", [vsctl.PROGRAM, vtep_ctl.PROGRAM], ids=lambda p: p.name)
def test_it_is_that_of_the_file(program: Program) -> None:
    whole = DatabaseSchema.from_json(json.loads((FILES / program.schema).read_text()))
    assert (whole.name, whole.version) == (program.database, program.schema_version)
    assert load_schema(program.schema).to_json() == whole.to_json()
    for name, table in load_schema(program.schema).tables.items():
        assert table.defaults == whole.tables[name].defaults


@pytest.mark.parametrize("program", [vsctl.PROGRAM, vtep_ctl.PROGRAM], ids=lambda p: p.name)
def test_what_a_program_names_is_in_its_schema(program: Program) -> None:
    tables = load_schema(program.schema).tables
    assert program.root in tables and set(program.row_ids) <= set(tables)
    named = [(i.table, c) for i in program.row_ids.values() for c in (i.name, i.via) if c]
    named += [(table, c) for table, columns in program.shown.items() for c in columns if c]
    assert [(table, c) for table, c in named if c not in tables[table].columns] == []


@pytest.mark.parametrize("program", [vsctl.PROGRAM, vtep_ctl.PROGRAM], ids=lambda p: p.name)
def test_every_command_has_its_function(program: Program) -> None:
    for spec in program.specs.values():
        assert callable(getattr(program.module(spec.where), "run_" + spec.function))


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
