"""The database file: every cut, every damage, a full disk."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from netloom.ovsdb.database import Database
from netloom.ovsdb.errors import OvsdbError
from netloom.ovsdb.file_store import FileStore, create_database
from netloom.ovsdb.log_file import file_kind
from netloom.ovsdb.schema import DatabaseSchema
from netloom.ovsdb.transact import Context, execute
from netloom.ovsdb.uuids import UuidSource
from netloom.rpc.json_codec import LightJson

CODEC = LightJson()
SCHEMA = {
    "name": "D",
    "version": "1.0.0",
    "tables": {
        "T": {
            "columns": {
                "name": {"type": "string"},
                "set": {"type": {"key": "integer", "min": 0, "max": "unlimited"}},
                "brief": {"type": "integer", "ephemeral": True},
            },
            "isRoot": True,
        }
    },
}
NEW_UUID = UuidSource()


def make(path: Path) -> FileStore:
    create_database(str(path), DatabaseSchema.from_json(SCHEMA), CODEC.encode)
    return reopen(path)


def reopen(path: Path) -> FileStore:
    store = FileStore.open(str(path), CODEC.decode, CODEC.encode)
    store.start_writing()
    return store


def transact(store: FileStore, *operations: dict[str, Any]) -> list[Any]:
    outcome = execute(store.database, list(operations), Context(NEW_UUID, lambda name: False))
    assert outcome.results is not None
    if outcome.changes:
        store.record(outcome.changes, outcome.comment, 1_700_000_000_000, outcome.durable)
        store.database.install(outcome.changes)
    return outcome.results


def insert(name: str) -> dict[str, Any]:
    return {"op": "insert", "table": "T", "row": {"name": name, "set": ["set", [1, 2]]}}


def update(**columns: Any) -> dict[str, Any]:
    return {"op": "update", "table": "T", "where": [["name", "==", "a"]], "row": columns}


def contents(database: Database) -> dict[str, list[Any]]:
    rows = database.tables["T"].rows
    return {uuid: [row[1], row[2]] for uuid, row in rows.items()}


def test_contents_survive_a_restart_and_ephemeral_columns_do_not(tmp_path: Path) -> None:
    store = make(tmp_path / "db")
    transact(store, insert("a"), insert("b"))
    transact(store, update(set=["set", [2, 3]], brief=7))
    transact(store, {"op": "delete", "table": "T", "where": [["name", "==", "b"]]})
    before = contents(store.database)
    store.close()
    again = reopen(tmp_path / "db")
    assert contents(again.database) == before
    assert [row[0] for row in again.database.tables["T"].rows.values()] == [0]
    again.close()


def test_file_cut_at_any_byte_opens_to_what_was_committed_before(tmp_path: Path) -> None:
    path = tmp_path / "db"
    store = make(path)
    states = [(os.path.getsize(path), contents(store.database))]
    for i in range(6):
        transact(store, insert(f"n{i}"), update(set=i))
        states.append((os.path.getsize(path), contents(store.database)))
    store.close()
    data = path.read_bytes()
    cut = tmp_path / "cut"
    for size in range(states[0][0], len(data)):
        cut.write_bytes(data[:size])
        opened = FileStore.open(str(cut), CODEC.decode, CODEC.encode)
        whole, expected = [state for state in states if state[0] <= size][-1]
        assert contents(opened.database) == expected
        assert (opened.log.damage is not None) == (size != whole)
        opened.start_writing()
        assert os.path.getsize(cut) == whole
        opened.close()


def test_writing_goes_on_after_a_dropped_tail(tmp_path: Path) -> None:
    path = tmp_path / "db"
    store = make(path)
    transact(store, insert("a"))
    transact(store, insert("b"))
    store.close()
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 3)
    store = reopen(path)
    transact(store, insert("c"))
    store.close()
    store = reopen(path)
    assert sorted(row[0] for row in contents(store.database).values()) == ["a", "c"]
    store.close()


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", "cannot identify file type"),
        (b"hello\n", "unexpected file format"),
        (b"OVSDB FOO 1 x\n", "cannot identify file type"),
        (b"OVSDB CLUSTER 5 abc\n", "cannot apply this operation to clustered database file"),
        (b"OVSDB JSON x y\n", 'parse error at offset 0 in header line "OVSDB JSON x y"'),
    ],
)
def test_file_that_is_no_database_is_refused_by_name(
    tmp_path: Path, content: bytes, error: str
) -> None:
    path = tmp_path / "db"
    path.write_bytes(content)
    with pytest.raises(OvsdbError) as caught:
        FileStore.open(str(path), CODEC.decode, CODEC.encode)
    assert f"{path}: {error}" in str(caught.value)
    assert path.read_bytes() == content


def test_wrong_checksum_of_the_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "db"
    make(path).close()
    path.write_bytes(path.read_bytes().replace(b'"name":"D"', b'"name":"E"'))
    with pytest.raises(OvsdbError, match="have SHA-1 hash"):
        FileStore.open(str(path), CODEC.decode, CODEC.encode)


def test_full_disk_is_an_error_and_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "db"
    store = make(path)
    transact(store, insert("a"))
    before = path.read_bytes()
    real = os.pwrite

    def half(fd: int, data: Any, offset: int) -> int:
        if len(data) > 20:
            return real(fd, data[:20], offset)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: half(fd, bytes(data)[:40], at))
    with pytest.raises(OvsdbError, match="No space left on device"):
        transact(store, insert("b"))
    monkeypatch.undo()
    assert path.read_bytes() == before
    transact(store, insert("c"))
    store.close()
    again = reopen(path)
    assert sorted(row[0] for row in contents(again.database).values()) == ["a", "c"]
    again.close()


def test_second_writer_is_locked_out(tmp_path: Path) -> None:
    path = tmp_path / "db"
    store = make(path)
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            FileStore.open(str(path), CODEC.decode, CODEC.encode)
        except OvsdbError as error:
            text = "failed to lock lockfile (Resource temporarily unavailable)"
            status = 0 if text in str(error) else 2
        os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    store.close()


def test_compaction_keeps_contents_and_shrinks_the_file(tmp_path: Path) -> None:
    path = tmp_path / "db"
    store = make(path)
    transact(store, insert("a"))
    for i in range(100):
        transact(store, update(set=i))
    large = path.stat().st_size
    before = contents(store.database)
    store.compact("compacted", 5)
    assert path.stat().st_size < large / 4
    transact(store, insert("b"))
    store.close()
    again = reopen(path)
    assert before.items() <= contents(again.database).items()
    assert len(again.database.tables["T"].rows) == 2
    again.close()
    assert file_kind(str(path)) == "standalone"


def test_old_records_without_differences_are_read(tmp_path: Path) -> None:
    store = make(tmp_path / "db")
    store.use_diff = False
    transact(store, insert("a"))
    transact(store, update(set=["set", [2, 3]]))
    store.close()
    assert b"_is_diff" not in (tmp_path / "db").read_bytes()
    again = reopen(tmp_path / "db")
    assert list(contents(again.database).values()) == [["a", (2, 3)]]
    again.close()


def test_a_link_to_nothing_becomes_the_name_of_a_new_file(tmp_path: Path) -> None:
    (tmp_path / "dir").mkdir()
    link = tmp_path / "db"
    link.symlink_to("dir/db")
    make(link).close()
    assert link.is_symlink()
    assert (tmp_path / "dir/db").read_bytes().startswith(b"OVSDB JSON")
    with pytest.raises(OvsdbError, match="File exists"):
        make(link)


def test_what_is_wrong_with_a_record_is_quoted(tmp_path: Path) -> None:
    store = make(tmp_path / "db")
    store.log.append(CODEC.encode({"nobody": {}}))
    store.close()
    damage = FileStore.open(str(tmp_path / "db"), CODEC.decode, CODEC.encode).log.damage
    assert str(damage) == 'syntax "{"nobody":{}}": unknown table: No table named nobody.'


def test_rows_that_are_loaded_have_versions_of_their_own(tmp_path: Path) -> None:
    store = make(tmp_path / "db")
    transact(store, insert("a"), insert("b"))
    store.close()
    again = FileStore.open(
        str(tmp_path / "db"), CODEC.decode, CODEC.encode, new_version=UuidSource()
    )
    table = again.database.tables["T"]
    assert len({row[table.version_index] for row in table.rows.values()}) == 2
