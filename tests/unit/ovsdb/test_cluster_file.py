"""The header of a clustered database's file."""

from __future__ import annotations

import errno
import json
import os
from hashlib import sha1
from pathlib import Path
from typing import Any

import pytest

from netloom.ovsdb.cluster_file import ClusterFile, read_file, read_member
from netloom.ovsdb.errors import OvsdbError
from netloom.ovsdb.raft.entry import Entry
from netloom.ovsdb.raft.state import Store

SERVER = "89bbddfc-4243-44ff-945e-02bdcb687c64"
CLUSTER = "2e2d11a8-ec92-4bcb-a220-9e47be1bb409"
HEADER = {
    "name": "S",
    "server_id": SERVER,
    "local_address": "tcp:10.0.0.1:6644",
    "remote_addresses": ["tcp:10.0.0.2:6644"],
}
EID = "11111111-2222-4333-8444-555555555555"
#: The header of a server that is in its cluster.
MEMBER = {
    **{name: value for name, value in HEADER.items() if name != "remote_addresses"},
    "cluster_id": CLUSTER,
    "prev_term": 1,
    "prev_index": 1,
    "prev_servers": {SERVER: "tcp:10.0.0.1:6644"},
    "prev_data": [{"name": "S", "tables": {}}, {}],
    "prev_eid": EID,
}


def record(json_value: Any) -> bytes:
    line = json.dumps(json_value).encode() + b"\n"
    return b"OVSDB CLUSTER %d %s\n%s" % (len(line), sha1(line).hexdigest().encode(), line)


def make(path: Path, *records: Any) -> str:
    path.write_bytes(b"".join([record(value) for value in records]))
    return str(path)


def open_file(path: str) -> ClusterFile:
    return ClusterFile(path, json.loads, lambda value: json.dumps(value).encode())


def test_header_tells_whose_file_it_is(tmp_path: Path) -> None:
    path = make(tmp_path / "db", MEMBER)
    member = read_member(path, json.loads)
    assert (member.name, member.sid, member.cid) == ("S", SERVER, CLUSTER)
    assert member.local_address == "tcp:10.0.0.1:6644"


def test_server_that_has_not_joined_may_not_know_its_cluster(tmp_path: Path) -> None:
    assert read_member(make(tmp_path / "db", HEADER), json.loads).cid is None


@pytest.mark.parametrize(
    ("header", "text"),
    [
        ({}, "Parsing raft header failed: Required 'server_id' member is missing."),
        ({**HEADER, "server_id": "x"}, "'server_id' is not a valid UUID"),
        ({**HEADER, "local_address": 5}, "Type mismatch for member 'local_address'."),
        ({**HEADER, "remote_addresses": []}, "'remote_addresses' must be one or more strings"),
        ({**MEMBER, "prev_index": 0}, "prev_index 0 is not positive"),
        ({**MEMBER, "prev_servers": {}}, "servers must be an object with one or more members"),
        ({**MEMBER, "extra": 1}, "Member 'extra' is present but not allowed here."),
        ([], "3 bytes starting at offset 57 are not a JSON object"),
    ],
)
def test_bad_header_is_an_error(tmp_path: Path, header: Any, text: str) -> None:
    with pytest.raises(OvsdbError) as caught:
        read_member(make(tmp_path / "db", header), json.loads)
    assert text in str(caught.value)


def test_standalone_file_is_no_members(tmp_path: Path) -> None:
    (tmp_path / "db").write_bytes(b"OVSDB JSON 3 x\n{}\n")
    with pytest.raises(OvsdbError):
        read_member(str(tmp_path / "db"), json.loads)


def test_records_make_the_state(tmp_path: Path) -> None:
    path = make(
        tmp_path / "db",
        MEMBER,
        {"term": 2, "vote": SERVER},
        {"term": 2, "index": 2},
        {"term": 2, "index": 3, "data": [None, {}], "eid": EID},
        {"commit_index": 2},
        {"term": 3},
        {"term": 3, "index": 3, "election_timer": 2000},
    )
    state = read_file(path, json.loads)
    assert (state.term, state.vote, state.commit_index, state.log_end) == (3, None, 2, 4)
    # The entry of term 3 has taken the place of the one that was not committed.
    assert [entry.term for entry in state.entries] == [2, 3]
    assert state.election_timer_at(2) == 1000
    assert state.election_timer_at(3) == 2000


@pytest.mark.parametrize(
    ("records", "text"),
    [
        (
            [{"term": 2, "vote": SERVER}, {"term": 2, "vote": EID}],
            "record 2: record votes for 1111 in term 2 but a previous record for the same term "
            "voted for 89bb",
        ),
        ([{"term": 1, "index": 4}], "record 1: log entry index 4 not between 2 and 2"),
        (
            [{"term": 1, "index": 2}, {"commit_index": 2}, {"term": 2, "index": 2}],
            "record 3: log entry index 2 would replace an entry committed at 2",
        ),
        ([{"term": 5}, {"term": 4}], "record 2: term 4 follows term 5"),
        ([{"note": "left"}, {"term": 9}], "record indicates server has left the cluster"),
        ([{"term": 2, "eid": EID, "index": 2}], "'data' and 'eid' must be present both"),
    ],
)
def test_records_that_cannot_follow_are_refused(
    tmp_path: Path, records: list[Any], text: str
) -> None:
    path = make(tmp_path / "db", MEMBER, *records)
    with pytest.raises(OvsdbError) as caught:
        open_file(path)
    assert text in str(caught.value)


def test_record_that_was_cut_short_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "db"
    whole = record(MEMBER) + record({"term": 2})
    torn = record({"term": 3, "vote": SERVER})
    for n in range(1, len(torn)):
        path.write_bytes(whole + torn[:n])
        file = open_file(str(path))
        assert file.state.term == 2
        file.append({"term": 4})
        file.close()
        assert read_file(str(path), json.loads).term == 4


def test_damage_before_good_records_is_no_end(tmp_path: Path) -> None:
    path = tmp_path / "db"
    damaged = bytearray(record({"term": 2, "vote": SERVER}))
    damaged[-5] ^= 1
    path.write_bytes(record(MEMBER) + damaged + record({"term": 3}))
    before = path.read_bytes()
    with pytest.raises(OvsdbError, match="have SHA-1 hash"):
        open_file(str(path))
    assert path.read_bytes() == before


def test_full_disk_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make(tmp_path / "db", MEMBER, {"term": 2})
    file = open_file(path)
    store = Store(file.state, file)
    before = Path(path).read_bytes()
    whole_write = os.pwrite

    def short_write(fd: int, data: bytes, offset: int) -> int:
        if offset > len(before):
            raise OSError(errno.ENOSPC, "No space left on device")
        return whole_write(fd, data[:10], offset)

    monkeypatch.setattr(os, "pwrite", short_write)
    with pytest.raises(OvsdbError, match="No space left on device"):
        store.put(2, Entry(2))
    with pytest.raises(OvsdbError):
        store.set_term(3, None)
    assert (store.state.term, store.state.log_end) == (2, 2)
    monkeypatch.setattr(os, "pwrite", whole_write)
    assert Path(path).read_bytes() == before
    store.put(2, Entry(2))
    store.sync()
    file.close()
    assert read_file(path, json.loads).log_end == 3
