"""The header of a clustered database's file."""

from __future__ import annotations

import json
from hashlib import sha1
from pathlib import Path
from typing import Any

import pytest

from netloom.ovsdb.cluster_file import read_member
from netloom.ovsdb.errors import OvsdbError

SERVER = "89bbddfc-4243-44ff-945e-02bdcb687c64"
CLUSTER = "2e2d11a8-ec92-4bcb-a220-9e47be1bb409"
HEADER = {"name": "S", "server_id": SERVER, "local_address": "tcp:10.0.0.1:6644"}


def make(path: Path, header: Any) -> str:
    line = json.dumps(header).encode() + b"\n"
    path.write_bytes(
        b"OVSDB CLUSTER %d %s\n%s" % (len(line), sha1(line).hexdigest().encode(), line)
    )
    return str(path)


def test_header_tells_whose_file_it_is(tmp_path: Path) -> None:
    path = make(tmp_path / "db", {**HEADER, "cluster_id": CLUSTER, "prev_term": 1})
    member = read_member(path, json.loads)
    assert (member.name, member.server_id, member.cluster_id) == ("S", SERVER, CLUSTER)
    assert member.local_address == "tcp:10.0.0.1:6644"


def test_server_that_has_not_joined_may_not_know_its_cluster(tmp_path: Path) -> None:
    assert read_member(make(tmp_path / "db", HEADER), json.loads).cluster_id is None


@pytest.mark.parametrize(
    ("header", "text"),
    [
        ({}, "Parsing raft header failed: Required 'server_id' member is missing."),
        ({**HEADER, "server_id": "x"}, "server_id is not a valid UUID"),
        ({**HEADER, "local_address": 5}, "Type mismatch for member 'local_address'."),
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
