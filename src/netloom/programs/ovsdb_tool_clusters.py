"""The commands of ovsdb-tool for files of clusters: making them, checking them, getting out what is
in them."""

from __future__ import annotations

import sys

from netloom.base.errors import CommandError
from netloom.base.log import get_logger
from netloom.ovsdb.cluster import load_contents, load_entry, split_data
from netloom.ovsdb.cluster_file import create_cluster_file, read_file, read_member
from netloom.ovsdb.errors import OvsdbError
from netloom.ovsdb.file_store import FileStore, make_snapshot
from netloom.ovsdb.log_file import create_file, file_kind
from netloom.ovsdb.members import is_id
from netloom.ovsdb.raft.entry import (
    DEFAULT_ELECTION_TIMER_MS,
    MAX_ELECTION_TIMER_MS,
    MIN_ELECTION_TIMER_MS,
    Entry,
    Snapshot,
)
from netloom.ovsdb.raft.state import State
from netloom.ovsdb.schema import DatabaseSchema
from netloom.ovsdb.uuids import UuidSource, parse_uuid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from netloom.rpc.json_codec import Codec

log = get_logger("ovsdb")
#: The index and the term of what a new cluster begins with.
_FIRST = 1


def check_address(address: str) -> None:
    """Refuse what no server can be reached at; raises `OvsdbError`."""
    kind, colon, rest = address.partition(":")
    if kind == "unix" and rest:
        return
    if kind not in ("tcp", "ssl") or not colon:
        raise OvsdbError("ovsdb error", f'{address}: expected "tcp" or "ssl" address')
    host, colon, port = rest.rpartition(":")
    if not colon or not host or not port.isdigit() or host.count("[") != host.count("]"):
        raise OvsdbError("ovsdb error", f"{address}: syntax error in address")


def without_ephemeral(schema: DatabaseSchema, source: str) -> DatabaseSchema:
    """The schema with all columns persistent: clusters have no others."""
    names = [
        (table.name, column.name)
        for table in schema.tables.values()
        for column in table.columns.values()
        if column.ephemeral
    ]
    if not names:
        return schema
    table_name, column_name = names[0]
    log.warn(
        "%s: changed %d columns in '%s' database from ephemeral to persistent, including '%s' "
        "column in '%s' table, because clusters do not support ephemeral columns",
        source,
        len(names),
        schema.name,
        column_name,
        table_name,
    )
    json = schema.to_json()
    for table_name, column_name in names:
        del json["tables"][table_name]["columns"][column_name]["ephemeral"]
    return DatabaseSchema.from_json(json)


def read_contents(
    path: str, schema: DatabaseSchema | None, codec: Codec, now_ms: int
) -> tuple[DatabaseSchema, dict[str, Any]]:
    """The schema and the rows that a cluster is to begin with: `schema`, or what a standalone
    database file holds."""
    if schema is not None:
        return without_ephemeral(schema, path), {}
    store = FileStore.open(path, codec.decode, codec.encode, writable=False)
    store.close()
    if store.log.damage is not None:
        raise store.log.damage
    database = store.database
    return without_ephemeral(database.schema, path), make_snapshot(
        database, f"created from {path}", now_ms
    )


def create_cluster(
    path: str,
    contents: tuple[DatabaseSchema, dict[str, Any]],
    address: str,
    election_timer: int | None,
    codec: Codec,
) -> None:
    """Make the file of the first server of a new cluster."""
    check_address(address)
    schema, rows = contents
    new_uuid = UuidSource()
    state = State(schema.name, new_uuid(), address, new_uuid())
    data = [schema.to_json(), rows]
    state.snapshot = Snapshot(_FIRST, _FIRST, {state.sid: address}, data, new_uuid())
    if election_timer is not None:
        if not MIN_ELECTION_TIMER_MS <= election_timer <= MAX_ELECTION_TIMER_MS:
            raise OvsdbError(
                "ovsdb error",
                f"election timer must be between {MIN_ELECTION_TIMER_MS} and "
                f"{MAX_ELECTION_TIMER_MS}, in msec.",
            )
        if election_timer != DEFAULT_ELECTION_TIMER_MS:
            state.put(_FIRST + 1, Entry(_FIRST, election_timer=election_timer))
    create_cluster_file(path, state, codec.encode)


def join_cluster(path: str, name: str, addresses: list[str], cid: str | None, codec: Codec) -> None:
    """Make the file of a server that is to ask the others for its cluster."""
    if not is_id(name):
        raise CommandError(
            f'{name}: not a valid schema name (use "schema-name" command to find the correct name)'
        )
    local, remotes = addresses[0], addresses[1:]
    for address in addresses:
        check_address(address)
    if local in remotes:
        raise OvsdbError("ovsdb error", "remote addresses cannot be the same as the local address")
    cluster_id = None
    if cid is not None:
        cluster_id = parse_uuid(cid)
        if cluster_id is None:
            raise CommandError(f"{cid}: not a valid UUID")
        if not cluster_id.strip("0-"):
            raise CommandError("all-zero UUID is not valid cluster ID")
    state = State(name, UuidSource()(), local, cluster_id)
    state.remote_addresses = remotes
    create_cluster_file(path, state, codec.encode)


def cluster_to_standalone(target: str, path: str, codec: Codec) -> None:
    """Make a standalone database of all that is in a server's log."""
    if file_kind(path) != "clustered":
        raise CommandError("Database is not clustered db.\n")
    state = read_file(path, codec.decode)
    if state.is_joining:
        raise CommandError(f"{path}: server has not joined its cluster yet")
    # Opened here, as a server would, so that what cannot be opened is not written.
    database = load_contents(state.name, state.snapshot.data)
    records = list(state.snapshot.data)
    for entry in state.entries:
        database = load_entry(database, entry)
        schema, record = split_data(entry.data)
        if schema is not None:
            rows = make_snapshot(database, "converted", 0) if record is None else record
            records = [schema, rows]
        elif record is not None:
            records.append(record)
    create_file(target, [codec.encode(record) for record in records])


def check_cluster(paths: list[str], codec: Codec) -> None:
    """Compare the files of a cluster's servers: what cannot be is an error."""
    states: list[tuple[str, State]] = []
    for path in paths:
        if file_kind(path) != "clustered":
            raise CommandError(f"{path}: not a clustered database")
        states.append((path, read_file(path, codec.decode)))
    first_path, first = states[0]
    for path, state in states[1:]:
        if None not in (state.cid, first.cid) and state.cid != first.cid:
            raise CommandError(
                f"{first_path} has cluster ID {(first.cid or '')[:4]} but {path} has cluster ID "
                f"{(state.cid or '')[:4]}"
            )
        if state.name != first.name:
            raise CommandError(
                f"{first_path} has name {first.name} but {path} has name {state.name}"
            )
    _check_ids(states)
    known = [(path, state) for path, state in states if not state.is_joining]
    for number, one in enumerate(known):
        for two in known[number + 1 :]:
            _check_pair(one, two)
    for path, state in known:
        database = load_contents(state.name, state.snapshot.data)
        for entry in state.entries[: state.commit_index - state.snapshot.index]:
            try:
                database = load_entry(database, entry)
            except OvsdbError as error:
                raise CommandError(f"{path}: {error}") from error


def _check_ids(states: list[tuple[str, State]]) -> None:
    seen: dict[str, str] = {}
    for path, state in states:
        if state.sid in seen:
            raise CommandError(f"{path} and {seen[state.sid]} have the same server ID")
        seen[state.sid] = path


def _check_pair(one: tuple[str, State], two: tuple[str, State]) -> None:
    """Where two logs overlap, equal terms mean equal entries, and so does being committed."""
    (path, log_one), (other, log_two) = one, two
    committed = min(log_one.commit_index, log_two.commit_index)
    first = max(log_one.log_start, log_two.log_start)
    for index in range(first, min(log_one.log_end, log_two.log_end)):
        mine, theirs = log_one.entry(index), log_two.entry(index)
        if mine != theirs and (index <= committed or mine.term == theirs.term):
            raise CommandError(f"log entries with index {index} in {path} and {other} differ")


def print_member(path: str, what: str, codec: Codec) -> int:
    """Print one fact about the server whose file that is; the exit status."""
    if file_kind(path) == "standalone":
        raise CommandError(f"{path}: not a clustered database")
    state = read_member(path, codec.decode)
    text = {"cid": state.cid, "sid": state.sid, "address": state.local_address}[what]
    if text is None:
        sys.stderr.write(f"{path}: cluster ID not yet known\n")
        return 2
    print(text)
    return 0
