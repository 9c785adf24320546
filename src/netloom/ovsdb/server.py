"""The database server without its sockets: databases, clients' sessions, waiting transactions.

What must hold: a transaction is in the file before it is in memory, and in memory before anybody
hears of it; the update that it causes goes to every monitor before its reply goes to the client;
a failure to write leaves file and memory as they were and is the client's error.

A commit composes and encodes its update once per distinct monitor (`Monitor.key`), however many
clients have it, and hands ready bytes to the sessions. Waiting transactions run again after every
commit to their database, and once more at their deadline.
"""

from __future__ import annotations

import gc
from json import loads

from netloom.base.log import get_logger
from netloom.ovsdb.commit import prepare
from netloom.ovsdb.database import Database
from netloom.ovsdb.errors import OvsdbError
from netloom.ovsdb.file_store import COMPACTED_ONLINE, convert_database
from netloom.ovsdb.json_text import format_json
from netloom.ovsdb.locks import Locks
from netloom.ovsdb.transact import Context, execute
from netloom.ovsdb.txn import Txn
from netloom.ovsdb.uuids import UuidSource

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from netloom.base.clock import Clock
    from netloom.ovsdb.cluster import Cluster
    from netloom.ovsdb.database import Changes
    from netloom.ovsdb.file_store import FileStore
    from netloom.ovsdb.monitor import Monitor
    from netloom.ovsdb.relay import Relay
    from netloom.ovsdb.schema import DatabaseSchema
    from netloom.ovsdb.session import Session
    from netloom.ovsdb.uuids import Uuid

log = get_logger("ovsdb_server")
#: The built-in database that tells about the others (ovsdb-server(5)).
SERVER_DATABASE = "_Server"
#: Operations from which on a transaction runs with the garbage collector off: it finds nothing,
#: and looking at 100,000 new objects again and again takes half of the time.
_BIG_TRANSACTION = 500

#: The error of a request whose database went away while it waited (RFC 7047 section 4.1.4).
CANCELED = "canceled"


class Trigger:
    """A transaction that may have to wait; `reply` gets its results, or `fail` the error of the
    server that a relay passed it on to. One with a `schema` is a change of schema."""

    __slots__ = (
        "changes_something",
        "deadline_ms",
        "fail",
        "operations",
        "passed_on",
        "reply",
        "schema",
        "served",
        "session",
        "start_ms",
    )

    def __init__(
        self,
        served: Served,
        session: Session | None,
        operations: list[Any],
        reply: Callable[[Any], None],
        fail: Callable[[Any], None],
        start_ms: int,
    ) -> None:
        self.served = served
        self.session = session
        self.operations = operations
        self.reply = reply
        self.fail = fail
        self.start_ms = start_ms
        self.deadline_ms: int | None = None
        #: Whether a relay or cluster has it, which then owes the answer.
        self.passed_on = False
        #: Whether it would have changed something when it was tried last.
        self.changes_something = False
        self.schema: DatabaseSchema | None = None


class Served:
    """One database with what the server keeps for it. `store` is its file; None for one in memory
    (the server's own, and one that another server keeps and that `relay` follows), and for one
    that a `cluster` keeps."""

    __slots__ = (
        "cluster",
        "database",
        "is_backup",
        "is_running",
        "is_stale",
        "monitors",
        "relay",
        "row_uuid",
        "schema_shown",
        "store",
        "triggers",
    )

    def __init__(
        self,
        database: Database,
        store: FileStore | None,
        relay: Relay | None = None,
        cluster: Cluster | None = None,
    ) -> None:
        self.database = database
        self.store = store
        self.relay = relay
        #: One that follows another server's lets no client change anything.
        self.is_backup = False
        self.cluster = cluster
        self.triggers: list[Trigger] = []
        #: Monitors of all sessions on this database, in the order of their requests.
        self.monitors: dict[Monitor, Session] = {}
        #: Whether waiting transactions are being tried, and whether to try them once more.
        self.is_running = False
        self.is_stale = False
        #: This database's row in the _Server database.
        self.row_uuid: Uuid | None = None
        #: The schema that was shown there last, and its text.
        self.schema_shown: tuple[DatabaseSchema, str] | None = None

    def schema_text(self) -> str:
        """The schema as clients of `_Server` see it."""
        schema = self.database.schema
        if self.schema_shown is None or self.schema_shown[0] is not schema:
            self.schema_shown = (schema, format_json(schema.to_json()))
        return self.schema_shown[1]

    @property
    def is_available(self) -> bool:
        """False for a relay, or a server that joins a cluster, without schema so far."""
        source = self.relay or self.cluster
        return source is None or source.has_contents

    @property
    def model(self) -> str:
        """How it is kept, as the `Database` table of `_Server` says."""
        if self.cluster is not None:
            return "clustered"
        return "standalone" if self.relay is None else "relay"


class Server:
    """All databases and clients of one process."""

    def __init__(
        self,
        server_schema: DatabaseSchema,
        clock: Clock,
        encode: Callable[[Any], bytes],
        new_uuid: Callable[[], Uuid] | None = None,
        decode: Callable[[bytes], Any] = loads,
    ) -> None:
        self.clock = clock
        self.encode = encode
        self.decode = decode
        self.new_uuid = new_uuid or UuidSource()
        self.id = self.new_uuid()
        self.served: dict[str, Served] = {}
        self.sessions: list[Session] = []
        self.locks = Locks()
        #: False makes the server as one that does not know conditional monitors (for tests).
        self.has_monitor_cond = True
        #: Called after every commit with the database's name and the changes.
        self.watchers: list[Callable[[str, Changes], None]] = []
        self._meta = Served(Database(server_schema), None)
        self.served[SERVER_DATABASE] = self._meta
        self.publish(self._meta)

    # -- databases -----------------------------------------------------------------------

    def add_database(
        self,
        database: Database,
        store: FileStore | None,
        relay: Relay | None = None,
        cluster: Cluster | None = None,
    ) -> None:
        """Serve one more database; raises `OvsdbError` if its name is taken."""
        name = database.name
        if name in self.served:
            raise OvsdbError("ovsdb error", f"{name}: duplicate database name")
        served = self.served[name] = Served(database, store, relay, cluster)
        self._disconnect_unaware(f"adding {name} database")
        self.publish(served)

    @property
    def is_backup(self) -> bool:
        """Whether all of its databases are copies, so that its locks would be of no use."""
        databases = [served for served in self.served.values() if served is not self._meta]
        return bool(databases) and all(served.is_backup for served in databases)

    def remove_database(self, name: str, reason: str = "") -> None:
        """Serve a database no longer; its file is closed. Clients are told the reason."""
        served = self.served.pop(name)
        self._disconnect_unaware(reason or f"removing {name} database")
        self._cancel_monitors(served)
        waiting, served.triggers = served.triggers, []
        for trigger in waiting:
            trigger.fail(CANCELED)
        if served.row_uuid is not None:
            self._change_meta(served.row_uuid, None)
        if served.store is not None:
            served.store.close()
        for source in (served.relay, served.cluster):
            if source is not None:
                source.close()

    def replace_database(self, name: str, database: Database) -> None:
        """The database was converted to another schema, is the first that a relay found, or what a
        cluster has instead."""
        served = self.served[name]
        self._disconnect_unaware(f"database {name} schema changed")
        self._cancel_monitors(served)
        self._cancel_transactions(served)
        served.database = database
        self.publish(served)

    def publish(self, served: Served) -> None:
        """Show the database as it is now in the `Database` table of `_Server`."""
        database, relay = served.database, served.relay
        schema = (served.schema_text(),) if served.is_available else ()
        row = {
            "name": database.name,
            "model": served.model,
            "connected": relay is None or relay.is_connected,
            "leader": relay is None,
            "schema": schema,
        }
        if served.cluster is not None:
            row |= served.cluster.row()
        if served.row_uuid is None:
            served.row_uuid = self.new_uuid()
        self._change_meta(served.row_uuid, row)

    def _change_meta(self, uuid: Uuid, columns: dict[str, Any] | None) -> None:
        table = self._meta.database.tables["Database"]
        txn = Txn(self._meta.database, self.new_uuid)
        if columns is None:
            txn.delete(table, uuid)
        else:
            if uuid not in table.rows:
                txn.insert(table, uuid, table.schema.defaults.copy())
            row = txn.writable(table, uuid)
            for name, datum in columns.items():
                row[table.columns[name].index] = datum
        self._commit(self._meta, prepare(txn))
        self.run_triggers(self._meta)

    def _cancel_monitors(self, served: Served) -> None:
        for monitor, session in list(served.monitors.items()):
            session.cancel_monitor(monitor)
        served.monitors.clear()

    def _cancel_transactions(self, served: Served) -> None:
        """Transactions do not wait for another database than theirs; other conversions do."""
        waiting = served.triggers
        served.triggers = [trigger for trigger in waiting if trigger.schema is not None]
        for trigger in waiting:
            if trigger.schema is None:
                trigger.fail(CANCELED)

    def _disconnect_unaware(self, reason: str) -> None:
        for session in list(self.sessions):
            if not session.change_aware:
                session.disconnect(reason)

    # -- transactions --------------------------------------------------------------------

    def transact(
        self,
        served: Served,
        session: Session | None,
        operations: list[Any],
        reply: Callable[[list[Any]], None],
        fail: Callable[[Any], None] | None = None,
    ) -> Trigger | None:
        """Run a transaction; `reply` gets its results now, or later if it must wait. A relay that
        gets no results gives the reason to `fail`.

        The trigger of a waiting transaction is returned, for `cancel`."""
        big = len(operations) >= _BIG_TRANSACTION and gc.isenabled()
        if big:
            gc.disable()
        try:
            now_ms = self.clock.now_ms()
            trigger = Trigger(served, session, operations, reply, fail or _no_failure, now_ms)
            if not self._try(trigger):
                served.triggers.append(trigger)
                return trigger
            return trigger if trigger.passed_on else None
        finally:
            if big:
                gc.enable()

    def _try(self, trigger: Trigger) -> bool:
        """Run a transaction once; False if it still has to wait."""
        served, session = trigger.served, trigger.session
        cluster = served.cluster
        must_commit = trigger.changes_something and not self._is_late(trigger)
        if cluster is not None and must_commit and cluster.is_busy():
            return False
        if trigger.schema is not None:
            return self._try_conversion(trigger, trigger.schema)
        context = Context(
            self.new_uuid,
            _no_lock if session is None else session.holds_lock,
            session is not None and (session.read_only or served.is_backup),
            self.clock.now_ms() - trigger.start_ms,
        )
        context.rbac = None if session is None else session.rbac
        context.forwards = served.relay is not None
        outcome = execute(served.database, trigger.operations, context)
        if outcome.forward:
            assert served.relay is not None
            trigger.passed_on = True
            served.relay.forward(trigger)
            return True
        results = outcome.results
        if results is None:
            if outcome.timeout_ms is not None:
                trigger.deadline_ms = trigger.start_ms + outcome.timeout_ms
            return False
        if outcome.changes and not outcome.failed:
            trigger.changes_something = True
            if cluster is not None and cluster.is_busy():
                # Its conditions hold now, so its time is not running any more.
                trigger.deadline_ms = None
                return False
            try:
                if cluster is not None:
                    cluster.propose(trigger, outcome)
                    return True
                self._make_durable(served, outcome.changes, outcome.comment, outcome.durable)
            except OvsdbError as error:
                results.append(error.to_json())
                trigger.reply(results)
                return True
            self._commit(served, outcome.changes)
            trigger.reply(results)
            self.run_triggers(served)
        else:
            trigger.reply(results)
        return True

    def _is_late(self, trigger: Trigger) -> bool:
        return trigger.deadline_ms is not None and trigger.deadline_ms <= self.clock.now_ms()

    # -- changes of schema ---------------------------------------------------------------

    def convert(
        self,
        served: Served,
        session: Session,
        schema: DatabaseSchema,
        reply: Callable[[Any], None],
        fail: Callable[[Any], None],
    ) -> Trigger | None:
        """Give the database another schema; as `transact`. Raises `OvsdbError`."""
        trigger = Trigger(served, session, [], reply, fail, self.clock.now_ms())
        trigger.schema = schema
        trigger.changes_something = True
        if not self._try(trigger):
            served.triggers.append(trigger)
            return trigger
        return trigger if trigger.passed_on else None

    def _try_conversion(self, trigger: Trigger, schema: DatabaseSchema) -> bool:
        served = trigger.served
        try:
            database = convert_database(served.database, schema)
            if served.cluster is not None:
                served.cluster.propose_conversion(trigger, database)
                return True
            assert served.store is not None
            served.store.convert(database, "converted by ovsdb-server", self.clock.wall_ms())
        except OvsdbError as error:
            trigger.fail(error.to_json())
            return True
        self.replace_database(served.database.name, database)
        trigger.reply({})
        return True

    # -- commits -------------------------------------------------------------------------

    def _make_durable(self, served: Served, changes: Changes, comment: str, durable: bool) -> None:
        if served.store is not None:
            served.store.record(changes, comment, self.clock.wall_ms(), durable)

    def commit_copy(self, served: Served, changes: Changes, txn_id: Uuid | None = None) -> None:
        """Commit what another server said, under the id that it gave to the transaction (None for
        none); raises `OvsdbError` if it cannot be recorded."""
        if changes:
            self._make_durable(served, changes, "", durable=False)
            if served.relay is not None and txn_id is None:
                # Nobody may be told that nothing happened since a transaction before this one.
                served.database.history.clear()
            self._commit(served, changes, txn_id)
            self.run_triggers(served)

    def commit_entry(self, served: Served, changes: Changes, txn_id: Uuid) -> None:
        """Commit what a cluster has committed, under its id, be it that nothing changed."""
        if changes:
            self._commit(served, changes, txn_id)
        else:
            served.database.remember(txn_id, changes)

    def _commit(self, served: Served, changes: Changes, txn_id: Uuid | None = None) -> None:
        """Install changes and tell all monitors."""
        if not changes:
            return
        served.database.install(changes)
        if txn_id is not None:
            served.database.remember(txn_id, changes)
        elif served.database.keeps_history and served.relay is None and served.cluster is None:
            served.database.remember(self.new_uuid(), changes)
        if served.monitors:
            self._notify(served, changes)
        for watcher in self.watchers:
            watcher(served.database.name, changes)

    def _notify(self, served: Served, changes: Changes) -> None:
        txn_id = served.database.last_txn_id
        bodies: dict[str, bytes] = {}
        for monitor, session in served.monitors.items():
            body = bodies.get(monitor.key)
            if body is None:
                updates = monitor.compose(changes)
                body = bodies[monitor.key] = self.encode(updates) if updates else b""
            if body:
                session.send_update(monitor, txn_id, body)

    def change_internally(self, name: str, operations: list[Any]) -> list[Any]:
        """Run a transaction of the server's own, such as status of remotes; its results."""
        results: list[Any] = []
        self.transact(self.served[name], None, operations, results.extend)
        return results

    def run_triggers(self, served: Served) -> None:
        """Try the waiting transactions again, until a round of them commits nothing."""
        served.is_stale = True
        if served.is_running:
            return
        served.is_running = True
        try:
            while served.is_stale:
                served.is_stale = False
                waiting, served.triggers = served.triggers, []
                for trigger in waiting:
                    if not self._try(trigger):
                        served.triggers.append(trigger)
        finally:
            served.is_running = False

    def cancel(self, trigger: Trigger) -> bool:
        """Drop a waiting transaction; False if it does not wait any more."""
        waited = self.forget_trigger(trigger)
        source = trigger.served.relay or trigger.served.cluster
        return (source is not None and source.cancel(trigger)) or waited

    def forget_trigger(self, trigger: Trigger) -> bool:
        """Try a transaction no more; whether it waited."""
        if trigger in trigger.served.triggers:
            trigger.served.triggers.remove(trigger)
            return True
        return False

    # -- time ----------------------------------------------------------------------------

    def deadline(self) -> int | None:
        """When `advance` must be called next, in ms of the clock."""
        deadlines = [
            trigger.deadline_ms
            for served in self.served.values()
            for trigger in served.triggers
            if trigger.deadline_ms is not None
        ]
        for served in self.served.values():
            if served.relay is not None and (due_ms := served.relay.deadline()) is not None:
                deadlines.append(due_ms)
        return min(deadlines, default=None)

    def advance(self, now_ms: int) -> None:
        """Let the waits that are over fail, and compact files that grew."""
        for served in list(self.served.values()):
            if any(t.deadline_ms is not None and t.deadline_ms <= now_ms for t in served.triggers):
                self.run_triggers(served)
            if served.relay is not None:
                served.relay.advance(now_ms)
            if served.cluster is not None:
                served.cluster.compact_if_due(now_ms)
            if served.store is not None and served.store.compaction_due(now_ms):
                try:
                    self.compact(served)
                except OvsdbError as error:
                    # The next attempt is some minutes away; until then the file only grows.
                    log.warn("%s: compaction failed: %s", served.database.name, error)

    def compact(self, served: Served) -> None:
        """Rewrite a database's file; on an error the old file stays."""
        if served.cluster is not None:
            served.cluster.compact()
            return
        assert served.store is not None
        served.store.compact(COMPACTED_ONLINE, self.clock.wall_ms())


def _no_lock(name: str) -> bool:
    del name
    return False


def _no_failure(error: object) -> None:
    raise AssertionError(f"a transaction of the server's own was refused: {error}")
