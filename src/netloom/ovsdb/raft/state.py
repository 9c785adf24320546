"""What a server of a cluster must not forget, and the records in which it is on disk (ovsdb(5)).

    state = read_state(header, records)      # what a file says
    store = Store(state, disk)               # changes go to the disk first, then into `state`

What must hold: what was promised to another server (a term, a vote, an entry) is on disk before the
promise is sent. The methods below append records; the machine sends nothing before it has called
`sync`. A failure to append leaves disk and memory as they were.

An entry's record with an index that is in the log already cuts the log there: that is how entries
of a leader that lost its majority go away. Records of commit indexes and leaders help people (and
have a server show what is committed as soon as it starts); nothing depends on them.
"""

from __future__ import annotations

from netloom.base.log import get_logger
from netloom.ovsdb.errors import OvsdbError
from netloom.ovsdb.members import ANY, ARRAY, ID, INTEGER, OBJECT, STRING, Members
from netloom.ovsdb.raft.entry import (
    DEFAULT_ELECTION_TIMER_MS,
    Entry,
    Snapshot,
    get_uuid,
    parse_contents,
    parse_servers,
)
from netloom.ovsdb.uuids import ZERO_UUID

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Protocol

    from netloom.ovsdb.raft.entry import Servers
    from netloom.ovsdb.uuids import Uuid

    class Disk(Protocol):
        """Where records go; every method raises `OvsdbError`, and has then changed nothing."""

        def append(self, record: dict[str, Any]) -> None: ...

        def sync(self) -> None: ...

        def replace(self, records: list[dict[str, Any]]) -> None: ...


log = get_logger("raft")
#: The note that ends the life of a server in its cluster, and the one that leadership was given up.
LEFT = "left"
TRANSFER = "transfer leadership"


class State:
    """Everything that a server's file says. Before it has joined, `snapshot` is the empty state
    before any log, and `remote_addresses` says whom to ask."""

    def __init__(self, name: str, sid: Uuid, local_address: str, cid: Uuid | None) -> None:
        self.name = name
        self.sid = sid
        self.local_address = local_address
        self.cid = cid
        self.remote_addresses: list[str] = []
        self.snapshot = Snapshot(0, 0, {}, None, ZERO_UUID)
        self.entries: list[Entry] = []
        #: The indexes of the entries that say more than data, which are few.
        self._special: list[int] = []
        self.term = 0
        self.vote: Uuid | None = None
        self.commit_index = 0
        self.has_left = False

    # -- the log -------------------------------------------------------------------------

    @property
    def log_start(self) -> int:
        return self.snapshot.index + 1

    @property
    def log_end(self) -> int:
        """The index of the next entry."""
        return self.snapshot.index + 1 + len(self.entries)

    @property
    def is_joining(self) -> bool:
        """Whether nothing of a cluster is in the file yet."""
        return self.snapshot.index == 0

    def entry(self, index: int) -> Entry:
        return self.entries[index - self.log_start]

    def term_at(self, index: int) -> int:
        """The term of an entry of the log, or of the last one before it."""
        return self.snapshot.term if index == self.snapshot.index else self.entry(index).term

    def eid_at(self, index: int) -> Uuid:
        """The id of the newest data up to an index."""
        for place in range(index - self.log_start, -1, -1):
            if self.entries[place].data is not None:
                return self.entries[place].eid
        return self.snapshot.eid

    def servers_at(self, index: int) -> Servers:
        """The servers that the cluster has by the log up to an index."""
        for place in reversed(self._special):
            servers = self.entry(place).servers
            if servers is not None and place <= index:
                return servers
        return self.snapshot.servers

    def later_servers(self) -> list[Servers]:
        """The sets of servers that are in the log, the oldest first."""
        found = [self.entry(place).servers for place in self._special]
        return [servers for servers in found if servers is not None]

    def election_timer_at(self, index: int) -> int:
        for place in reversed(self._special):
            timer = self.entry(place).election_timer
            if timer and place <= index:
                return timer
        return self.snapshot.election_timer

    def put(self, index: int, entry: Entry) -> None:
        """Make `entry` the last one of the log; raises `OvsdbError` if it has no place there."""
        if not self.log_start <= index <= self.log_end:
            raise OvsdbError(
                "ovsdb error",
                f"log entry index {index} not between {self.log_start} and {self.log_end}",
            )
        if index <= self.commit_index:
            raise OvsdbError(
                "ovsdb error",
                f"log entry index {index} would replace an entry committed at {self.commit_index}",
            )
        del self.entries[index - self.log_start :]
        self.entries.append(entry)
        while self._special and self._special[-1] >= index:
            self._special.pop()
        if entry.servers is not None or entry.election_timer:
            self._special.append(index)

    def keep_from(self, old: State) -> None:
        """Keep what the log of an older state has behind this one's snapshot."""
        self.entries = old.entries[self.log_start - old.log_start :]
        self._special = [index for index in old._special if index >= self.log_start]

    # -- records -------------------------------------------------------------------------

    def header(self) -> dict[str, Any]:
        """The first record of the file."""
        header: dict[str, Any] = {
            "server_id": self.sid,
            "name": self.name,
            "local_address": self.local_address,
        }
        if self.cid is not None:
            header["cluster_id"] = self.cid
        if self.is_joining:
            header["remote_addresses"] = self.remote_addresses
            return header
        snapshot = self.snapshot
        header["prev_term"] = snapshot.term
        header["prev_index"] = snapshot.index
        header["prev_servers"] = snapshot.servers
        header["prev_eid"] = snapshot.eid
        header["prev_data"] = snapshot.data
        if snapshot.election_timer != DEFAULT_ELECTION_TIMER_MS:
            header["prev_election_timer"] = snapshot.election_timer
        return header

    def records(self) -> list[dict[str, Any]]:
        """A whole file that says what this state is."""
        records = [self.header()]
        if self.term or self.vote is not None:
            records.append(term_record(self.term, self.vote))
        for index, entry in enumerate(self.entries, self.log_start):
            records.append(entry_record(index, entry))
        if self.commit_index >= self.log_start:
            records.append({"commit_index": self.commit_index})
        return records

    def take(self, record: dict[str, Any]) -> None:
        """Take over what one record says; raises `OvsdbError`."""
        if self.has_left:
            raise OvsdbError(
                "ovsdb error",
                "record indicates server has left the cluster; it cannot be added back (use "
                '"ovsdb-tool join-cluster" to add a new server)',
            )
        parser = Members(record, "raft record")
        parser.get("comment", STRING, optional=True)
        note = parser.get("note", STRING, optional=True)
        commit_index = parser.get("commit_index", INTEGER, optional=True)
        if note is not None or commit_index is not None:
            parser.finish()
            self.has_left = note == LEFT
            if commit_index is not None:
                self.commit_index = max(self.commit_index, min(commit_index, self.log_end - 1))
            return
        term = parser.get("term", INTEGER) or 0
        if term < self.term and "index" not in record:
            raise OvsdbError("ovsdb error", f"term {term} follows term {self.term}")
        index = parser.get("index", INTEGER, optional=True)
        if index is not None:
            entry = parse_contents(parser, term)
            parser.finish()
            self._new_term(max(term, self.term))
            self.put(index, entry)
            return
        vote = get_uuid(parser, "vote", optional=True)
        get_uuid(parser, "leader", optional=True)
        parser.finish()
        self._new_term(term)
        if vote is not None:
            if self.vote not in (None, vote):
                raise OvsdbError(
                    "ovsdb error",
                    f"record votes for {vote[:4]} in term {term} but a previous record for the "
                    f"same term voted for {self.vote and self.vote[:4]}",
                )
            self.vote = vote

    def _new_term(self, term: int) -> None:
        if term > self.term:
            self.term = term
            self.vote = None


def term_record(term: int, vote: Uuid | None) -> dict[str, Any]:
    return {"term": term} if vote is None else {"term": term, "vote": vote}


def entry_record(index: int, entry: Entry) -> dict[str, Any]:
    record = entry.to_json()
    record["index"] = index
    return record


def read_header(record: dict[str, Any]) -> State:
    """The state that a file's first record tells; raises `OvsdbError`."""
    parser = Members(record, "raft header")
    sid = get_uuid(parser, "server_id")
    name = parser.get("name", ID)
    local_address = parser.get("local_address", STRING)
    cid = get_uuid(parser, "cluster_id", optional=True)
    remotes = parser.get("remote_addresses", ARRAY, optional=True)
    state = State(name or "", sid or ZERO_UUID, local_address or "", cid)
    if remotes is not None:
        if not remotes or not all(type(remote) is str for remote in remotes):
            parser.fail("'remote_addresses' must be one or more strings")
        state.remote_addresses = remotes
    else:
        state.snapshot = _read_snapshot(parser)
        # What a cluster begins with has a term in which nobody leads or votes.
        state.term = state.snapshot.term if state.snapshot.index > 1 else 0
        state.commit_index = state.snapshot.index
    parser.finish()
    return state


def _read_snapshot(parser: Members) -> Snapshot:
    index = parser.get("prev_index", INTEGER) or 0
    term = parser.get("prev_term", INTEGER) or 0
    servers_json = parser.get("prev_servers", OBJECT)
    data = parser.get("prev_data", ANY)
    eid = get_uuid(parser, "prev_eid") or ZERO_UUID
    timer = parser.get("prev_election_timer", INTEGER, optional=True)
    if parser.failed:
        parser.finish()
    if index < 1:
        raise OvsdbError("ovsdb error", f"prev_index {index} is not positive")
    servers = parse_servers(servers_json)
    return Snapshot(index, term, servers, data, eid, timer or DEFAULT_ELECTION_TIMER_MS)


def read_state(records: Iterable[dict[str, Any]]) -> State:
    """What a file with these records says; raises `OvsdbError`."""
    rest = iter(records)
    first = next(rest, None)
    if first is None:
        raise OvsdbError("ovsdb error", "clustered database file has no header")
    state = read_header(first)
    for number, record in enumerate(rest, 1):
        try:
            state.take(record)
        except OvsdbError as error:
            raise OvsdbError(error.tag, f"record {number}: {error.details}") from error
    return state


class Store:
    """A state and the disk that it is kept on: each change is written, then made."""

    def __init__(self, state: State, disk: Disk) -> None:
        self.state = state
        self._disk = disk
        #: Whether something was written that may not have reached the disk yet, and whether that is
        #: what a server promises: a term, a vote.
        self.is_dirty = self.has_promised = False

    def _append(self, record: dict[str, Any]) -> None:
        self._disk.append(record)
        self.is_dirty = True

    def set_term(self, term: int, vote: Uuid | None) -> None:
        """Enter a term, or vote in it."""
        self._append(term_record(term, vote))
        self.has_promised = True
        self.state.term = term
        self.state.vote = vote

    def put(self, index: int, entry: Entry) -> None:
        """Write an entry as the last one of the log."""
        state = self.state
        if index <= state.commit_index or not state.log_start <= index <= state.log_end:
            state.put(index, entry)
        self._append(entry_record(index, entry))
        state.put(index, entry)

    def remark(self, record: dict[str, Any]) -> None:
        """Write a record that nothing depends on; a failure is logged."""
        try:
            self._disk.append(record)
        except OvsdbError as error:
            log.warn_rl("%s", error)

    def commit(self, index: int) -> None:
        """Everything up to `index` is committed."""
        self.state.commit_index = index
        self.remark({"commit_index": index})

    def install(self, snapshot: Snapshot, cid: Uuid | None) -> None:
        """Begin the log behind `snapshot`; what of the log is behind it, and goes on from it,
        stays. The file is written anew, and synchronized."""
        old = self.state
        new = State(old.name, old.sid, old.local_address, cid)
        new.snapshot = snapshot
        new.term, new.vote = old.term, old.vote
        new.commit_index = max(old.commit_index, snapshot.index)
        keeps = old.snapshot.index <= snapshot.index < old.log_end and (
            old.term_at(snapshot.index) == snapshot.term
        )
        if keeps:
            new.keep_from(old)
        self._disk.replace(new.records())
        self.is_dirty = self.has_promised = False
        self.state = new

    def leave(self) -> None:
        """The server's life in the cluster is over."""
        self._append({"note": LEFT, "comment": "this server left the cluster"})
        self.state.has_left = True

    def sync(self) -> None:
        """Wait until what was written is on the disk."""
        if self.is_dirty:
            self._disk.sync()
            self.is_dirty = self.has_promised = False
