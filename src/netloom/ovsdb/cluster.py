"""A clustered database: what joins a server's `raft.machine` to the database that it keeps.

    cluster = Cluster(server, raft, file)
    cluster.receive(rpc, now_ms)
    for rpcs in cluster.run(now_ms): ...    # after every event: what to send to other servers

What must hold: the database shows what is committed and nothing else; a client's transaction is
answered after it was committed, and after the monitors here were told; it happens once, however
often it was tried.

A transaction runs here first, as in any database. What it would change is proposed to the cluster
with the id of the newest data here as its prerequisite, so that it is committed only if the
database is still what it ran upon; else it runs again. One is on its way at a time: a second one
would be refused for the first one's sake. The ids of all attempts are kept until one of them is
seen among what is committed, for an attempt whose answer was lost may have succeeded. Two attempts
never do: they name the same prerequisite, or the earlier one was passed by. Only behind a snapshot
that was installed from elsewhere can nobody tell; then the client's connection is closed.
"""

from __future__ import annotations

from netloom.base.log import get_logger
from netloom.ovsdb.database import Database
from netloom.ovsdb.errors import OvsdbError
from netloom.ovsdb.file_store import (
    COMPACTED_ONLINE,
    Schedule,
    apply_record,
    convert_database,
    make_record,
    make_snapshot,
    read_record,
)
from netloom.ovsdb.raft.commands import IO_ERROR, SUCCESS
from netloom.ovsdb.schema import DatabaseSchema
from netloom.ovsdb.uuids import no_uuid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from netloom.ovsdb.cluster_file import ClusterFile
    from netloom.ovsdb.raft.entry import Entry
    from netloom.ovsdb.raft.machine import Raft
    from netloom.ovsdb.raft.rpc import Rpc
    from netloom.ovsdb.server import Served, Server, Trigger
    from netloom.ovsdb.transact import Outcome
    from netloom.ovsdb.uuids import Uuid

log = get_logger("ovsdb_server")
raft_log = get_logger("raft")
#: After so long a transaction is tried again that the cluster did not take, if nothing else says
#: that it may now.
RETRY_MS = 250


def load_contents(name: str, data: Any, new_version: Callable[[], Uuid] = no_uuid) -> Database:
    """The database that a snapshot's data, `[schema, transaction]`, stands for; raises
    `OvsdbError`."""
    if type(data) is not list or len(data) != 2 or type(data[0]) is not dict:
        raise OvsdbError("syntax error", "snapshot is not [schema, transaction]")
    database = Database(DatabaseSchema.from_json(data[0]), keeps_history=True)
    if database.name != name:
        raise OvsdbError("ovsdb error", f"snapshot of {name} has schema {database.name}")
    if type(data[1]) is dict:
        apply_record(database, data[1], new_version)
    return database


def load_entry(
    database: Database, entry: Entry, new_version: Callable[[], Uuid] = no_uuid
) -> Database:
    """The database after one more committed entry."""
    schema, record = split_data(entry.data)
    if schema is not None:
        return converted(database, schema, record, new_version)
    if record is not None:
        changes = read_record(database, record, new_version)
        database.install(changes)
        database.remember(entry.eid, changes)
    return database


def split_data(data: Any) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """The schema and the transaction of an entry's data; None where there is none."""
    if data is None:
        return None, None
    if type(data) is not list or len(data) != 2:
        raise OvsdbError("syntax error", "entry's data is not [schema, transaction]")
    for part in data:
        if part is not None and type(part) is not dict:
            raise OvsdbError("syntax error", "schema and transaction must be objects")
    return data[0], data[1]


def converted(
    old: Database,
    schema: dict[str, Any],
    record: dict[str, Any] | None,
    new_version: Callable[[], Uuid] = no_uuid,
) -> Database:
    """The database after a change of schema. Since Open vSwitch 3.2 its contents may be left out:
    they follow from what was there."""
    if record is not None:
        return load_contents(old.name, [schema, record], new_version)
    database = convert_database(old, DatabaseSchema.from_json(schema))
    database.keep_history()
    return database


class Proposal:
    """One attempt to have a transaction committed."""

    __slots__ = ("results", "trigger")

    def __init__(self, trigger: Trigger, results: Any) -> None:
        self.trigger = trigger
        #: What the client is to be told if it is committed.
        self.results = results


class Cluster:
    """This server's part in one clustered database."""

    def __init__(self, server: Server, raft: Raft, file: ClusterFile) -> None:
        self._server = server
        self.raft = raft
        self._file = file
        self.name = raft.state.name
        self._schedule = Schedule()
        #: All attempts of transactions that were not answered yet.
        self._proposals: dict[Uuid, Proposal] = {}
        #: The attempt that the cluster has.
        self._current: Uuid | None = None
        #: The last attempt failed: what the newest data was then, who led, and when to try again.
        self._refused: tuple[Uuid, Uuid | None] | None = None
        self._retry_ms = 0
        self._shown: object = None
        self._was_connected: bool | None = None
        #: The file is to be compacted when there is nothing to send.
        self._compacts = False

    @property
    def path(self) -> str:
        return self._file.log.path

    @property
    def served(self) -> Served:
        return self._server.served[self.name]

    @property
    def has_contents(self) -> bool:
        """False until this server has got a state of the cluster's that it tries to join."""
        return not self.raft.state.is_joining

    def first_database(self) -> Database:
        """What the file says was committed; raises `OvsdbError`."""
        state = self.raft.state
        if state.is_joining:
            return Database(DatabaseSchema(self.name, "", "", {}), keeps_history=True)
        database = load_contents(self.name, state.snapshot.data, self._server.new_uuid)
        while (news := self.raft.next_committed()) is not None:
            database = load_entry(database, news[1], self._server.new_uuid)
        return database

    def row(self) -> dict[str, Any]:
        """What the row of `_Server` tells of the cluster."""
        raft = self.raft
        connected = raft.is_connected
        if connected != self._was_connected:
            self._was_connected = connected
            raft_log.dbg("raft_is_connected: %s", "true" if connected else "false")
        return {
            "model": "clustered",
            "connected": connected,
            "leader": raft.is_leader,
            "cid": () if raft.state.cid is None else (raft.state.cid,),
            "sid": (raft.id,),
            "index": (raft.last_applied,) if self.has_contents else (),
        }

    # -- events --------------------------------------------------------------------------

    def receive(self, rpc: Rpc, now_ms: int) -> None:
        self.raft.receive(rpc, now_ms)

    def deadline(self) -> int | None:
        """When `run` must be called next."""
        times = [self.raft.deadline()]
        if self._refused is not None and self._current is None and self.raft.leader is not None:
            times.append(self._retry_ms)
        if self._compacts:
            times.append(self._server.clock.now_ms())
        return min((time for time in times if time is not None), default=None)

    def run(self, now_ms: int) -> Iterator[list[Rpc]]:
        """Do what is due, show what was committed, try what waits. Gives messages, which are to be
        on their way before the next ones are asked for."""
        raft = self.raft
        self._compact_soon()
        due_ms = raft.deadline()
        if due_ms is not None and due_ms <= now_ms:
            raft.advance(now_ms)
        yield from self._flush(now_ms)
        while self._take_news() or raft.outbox or raft.store.is_dirty:
            if raft.is_broken:
                break
            yield from self._flush(now_ms)
        if raft.is_broken and self._proposals:
            self._abandon()
        self._show()
        if self._refused is not None and self._may_propose():
            self._refused = None
            self._server.run_triggers(self.served)
            yield from self._flush(now_ms)

    def _flush(self, now_ms: int) -> Iterator[list[Rpc]]:
        early = self.raft.take_early()
        if early:
            yield early
        yield self.raft.flush(now_ms)

    def _take_news(self) -> bool:
        """Take over what was committed, and ends of attempts; whether there was anything."""
        raft = self.raft
        try:
            restored, raft.restored = raft.restored, False
            if restored:
                self._restore()
            moved = restored
            while (news := raft.next_committed()) is not None:
                moved = True
                self._apply(news[1])
        except OvsdbError as error:
            # What this server holds may be wrong now: it must not be asked any more.
            raft.give_up(error)
            return False
        results, raft.commands.results = raft.commands.results, []
        for eid, status in results:
            self._ended(eid, status)
        return moved or bool(results)

    def _show(self) -> None:
        row = self.row()
        if row != self._shown:
            self._shown = row
            self._server.publish(self.served)

    # -- what was committed --------------------------------------------------------------

    def _restore(self) -> None:
        """A snapshot takes the place of everything."""
        snapshot = self.raft.state.snapshot
        database = load_contents(self.name, snapshot.data, self._server.new_uuid)
        self._server.replace_database(self.name, database)
        done = self._proposals.get(snapshot.eid)
        if done is not None:
            self._answer(done)
        self._abandon()

    def _abandon(self) -> None:
        """Nobody will ever tell here what became of the attempts."""
        unknown = {proposal.trigger for proposal in self._proposals.values()}
        self._proposals.clear()
        self._current = None
        for trigger in unknown:
            self._server.forget_trigger(trigger)
            if trigger.session is not None:
                trigger.session.disconnect("nobody knows whether a transaction happened")

    def _apply(self, entry: Entry) -> None:
        if entry.data is None:
            return
        served = self.served
        schema, record = split_data(entry.data)
        if schema is not None:
            database = converted(served.database, schema, record, self._server.new_uuid)
            self._server.replace_database(self.name, database)
        elif record is not None:
            changes = read_record(served.database, record, self._server.new_uuid)
            self._server.commit_entry(served, changes, entry.eid)
        done = self._proposals.get(entry.eid)
        if done is not None:
            self._answer(done)
        self._server.run_triggers(served)

    def _answer(self, done: Proposal) -> None:
        """An attempt was committed: all attempts of its transaction are over."""
        trigger = done.trigger
        current = None if self._current is None else self._proposals.get(self._current)
        if current is not None and current.trigger is trigger:
            self._current = None
        self._drop_attempts(trigger)
        self._server.forget_trigger(trigger)
        trigger.reply(done.results)

    def _drop_attempts(self, trigger: Trigger) -> None:
        self._proposals = {e: p for e, p in self._proposals.items() if p.trigger is not trigger}

    # -- transactions --------------------------------------------------------------------

    @property
    def _newest(self) -> Uuid:
        """The id of the newest data in the database."""
        return self.raft.state.eid_at(self.raft.last_applied)

    def _may_propose(self) -> bool:
        raft = self.raft
        if self._current is not None or raft.leader is None:
            return False
        if self._refused is None or self._refused != (self._newest, raft.leader):
            return True
        return self._server.clock.now_ms() >= self._retry_ms

    def is_busy(self) -> bool:
        """Whether transactions that change something have to wait. If they never could be
        committed here, they need not."""
        if self._may_propose() or self.raft.is_broken:
            return False
        if self._current is None and self._refused is None:
            # Nothing that comes from the cluster may end the waiting, but a leader.
            self._wait()
        return True

    def _wait(self) -> None:
        self._refused = (self._newest, self.raft.leader)
        self._retry_ms = self._server.clock.now_ms() + RETRY_MS

    def propose(self, trigger: Trigger, outcome: Outcome) -> None:
        """Have the changes of a transaction committed, see `is_busy`; raises `OvsdbError` if this
        server cannot."""
        now_ms = self._server.clock.wall_ms()
        record = make_record(outcome.changes, outcome.comment, now_ms, use_diff=True)
        self._propose(trigger, outcome.results, [None, record])

    def propose_conversion(self, trigger: Trigger, database: Database) -> None:
        """Have a database of another schema take the place of this one; as `propose`."""
        schema = database.schema
        for table in schema.tables.values():
            for column in table.columns.values():
                if column.ephemeral:
                    raise OvsdbError(
                        "not supported",
                        f"Table {table.name} column {column.name} is ephemeral but clustered "
                        "databases do not support ephemeral columns.",
                    )
        record = make_snapshot(database, "converted by ovsdb-server", self._server.clock.wall_ms())
        self._propose(trigger, {}, [schema.to_json(), record])

    def _propose(self, trigger: Trigger, results: Any, data: Any) -> None:
        if self.raft.is_broken:
            raise OvsdbError("cluster error", "this server cannot write its log any more")
        eid, prereq = self._server.new_uuid(), self._newest
        self._refused = None
        self._proposals[eid] = Proposal(trigger, results)
        self._current = eid
        trigger.passed_on = True
        self.raft.commands.execute(data, prereq, eid, self._server.clock.now_ms())

    def _ended(self, eid: Uuid, status: str) -> None:
        """The cluster took an attempt, or not: then it is made again when that makes sense."""
        if eid == self._current and status != SUCCESS:
            self._current = None
        proposal = self._proposals.get(eid)
        if proposal is None or status == SUCCESS:
            return
        trigger = proposal.trigger
        if status == IO_ERROR:
            self._drop_attempts(trigger)
            error = OvsdbError("I/O error", "the cluster's log cannot be written").to_json()
            if type(proposal.results) is list:
                trigger.reply([*proposal.results, error])
            else:
                trigger.fail(error)
            self._server.run_triggers(self.served)
            return
        log.dbg("%s: transaction is to be tried again: %s", self.name, status)
        self._wait()
        trigger.passed_on = False
        self.served.triggers.insert(0, trigger)

    def cancel(self, trigger: Trigger) -> bool:
        """Answer a transaction no more; it may happen all the same."""
        known = any(p.trigger is trigger for p in self._proposals.values())
        self._drop_attempts(trigger)
        if self._current is not None and self._current not in self._proposals:
            self._current = None
            self._wait()
        return known

    # -- the file ------------------------------------------------------------------------

    def compact(self) -> None:
        """Write the file anew with what is in the database now; raises `OvsdbError`."""
        database = self.served.database
        now_ms = self._server.clock.wall_ms()
        record = make_snapshot(database, COMPACTED_ONLINE, now_ms)
        self.raft.compact([database.schema.to_json(), record])

    def compact_if_due(self, now_ms: int) -> None:
        """Compact a file that grew. A leader lets another lead first, as this takes its time."""
        raft = self.raft
        if raft.membership.is_joining or raft.has_left:
            return
        if not self._schedule.is_due(self._file.log, now_ms):
            return
        self.hand_over(now_ms)
        self._compacts = True

    def hand_over(self, now_ms: int) -> None:
        """Let another server lead, if there is one."""
        if self.raft.is_leader and self.raft.others:
            log.info("Transferring leadership to write a snapshot.")
            self.raft.transfer_leadership("preparing to write a snapshot", now_ms)

    def _compact_soon(self) -> None:
        """Compact once everybody was told who leads."""
        if not self._compacts or self.raft.outbox:
            return
        self._compacts = False
        try:
            self.compact()
        except OvsdbError as error:
            # The next attempt is some minutes away; until then the file only grows.
            log.warn("%s: compaction failed: %s", self.name, error)

    def close(self) -> None:
        """The database is served no longer."""
        triggers = {proposal.trigger for proposal in self._proposals.values()}
        self._proposals.clear()
        for trigger in triggers:
            if trigger.session is not None:
                trigger.fail("canceled")
        self._file.close()
