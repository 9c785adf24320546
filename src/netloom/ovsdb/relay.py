"""A relay: a copy, in memory, of a database that another server keeps (ovsdb(7), "Relay Service
Model"). It answers what only reads, and passes on what changes something.

    relay = Relay(server, "Open_vSwitch")
    relay.connected(send)               # whenever a connection to the source comes up
    relay.received(message)             # every JSON-RPC message of the source
    relay.disconnected()
    relay.unfit                         # why the source is of no use: the owner tries another

What must hold: the copy shows a state of the source, and on after a reconnection what changed
meanwhile; the update that a transaction causes is told to the monitors here before its result is
told to the client, since the source says both in that order; a transaction that was passed on is
answered exactly once, as "canceled" if the connection went away with its answer.

How: the source's database `_Server` tells the schema of the database and whether the source itself
is of use (another relay without connection, or a member that lost its cluster, is not). Then
`monitor_cond_since` asks for what happened after the last transaction known, or for everything;
sources that do not know that request are asked with `monitor_cond`, then `monitor`. A source
without `_Server` is asked for the schema; it closes the connection when that changes.

A transaction runs here first, up to its end: it fails here as it would there, and waits here, so
that waiting costs the source nothing. If it succeeds and would change something, it is passed on
as it is, or kept until there is a source. Locks are this server's own, as in Open vSwitch: a
transaction that asserts one and changes something fails at the source, which knows nothing of it.

Cost: per update one decoding, one dict look-up and list copy per row; what goes to clients is
encoded once per distinct monitor, as for any database. Constraints are not checked again.
"""

from __future__ import annotations

from netloom.base.log import get_logger
from netloom.ovsdb.collector import NoCollection
from netloom.ovsdb.database import Database
from netloom.ovsdb.errors import OvsdbError
from netloom.ovsdb.replica import monitor_requests, read_updates
from netloom.ovsdb.schema import DatabaseSchema
from netloom.ovsdb.uuids import ZERO_UUID, Uuid
from netloom.rpc.jsonrpc import Error, Notify, Reply, Request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from netloom.ovsdb.server import Served, Server, Trigger
    from netloom.rpc.jsonrpc import Message

log = get_logger("relay")

#: For so long a lost connection is not shown to clients, which would all run to another server.
GRACE_MS = 30_000
_SERVER = "_Server"
_SERVER_COLUMNS = ("name", "model", "connected", "schema")
_SERVER_MONITOR = ["monid", _SERVER]
#: Monitor requests from the best to the oldest, with the form of their updates.
_MONITORS = (("monitor_cond_since", 2), ("monitor_cond", 2), ("monitor", 1))
#: Why servers of a service model are of no use: without schema, and without connection.
_MODEL_WORDS = {
    "clustered": (
        "clustered database server has not yet joined cluster",
        "clustered database server is disconnected from cluster",
    ),
    "relay": (
        "relay database server has not yet connected to the relay source",
        "relay database server is disconnected from the relay source",
    ),
}
_FORMS = {"update": 1, "update2": 2, "update3": 2}


def empty_schema(name: str) -> DatabaseSchema:
    """What a relay serves before it knows the schema of its source."""
    return DatabaseSchema(name, "", "", {})


class Relay:
    """One database that is relayed. `bind` gives it its place in the server."""

    def __init__(self, server: Server, name: str) -> None:
        self.name = name
        #: Whether a schema is known, and the contents that belong to it.
        self.has_contents = False
        #: Why the connection is to be given up; None while it is of use.
        self.unfit: str | None = None
        self._server = server
        self._send: Callable[[Request], None] | None = None
        self._following = False
        self._lost_ms: int | None = None
        self._next_id = 0
        self._expected: dict[int, tuple[Callable[[Any], None], Callable[[Any], None]]] = {}
        #: Whether this connection was asked for the contents, and the place in _MONITORS.
        self._asked = False
        self._monitors = 0
        self._last_id: Uuid = ZERO_UUID
        self._row: dict[str, Any] = {}
        self._row_uuid = ""
        #: Transactions without a source to send them to, and those that wait for an answer.
        self._kept: list[Trigger] = []
        self._sent: dict[int, Trigger] = {}

    @property
    def served(self) -> Served:
        """The database's place in the server."""
        return self._server.served[self.name]

    # -- the connection ------------------------------------------------------------------

    def connected(self, send: Callable[[Request], None]) -> None:
        """A connection to the source is up."""
        self._send = send
        self.unfit = None
        self._asked = False
        self._monitors = 0
        self._row, self._row_uuid = {}, ""
        self._ask("get_schema", [_SERVER], self._server_schema, self._no_server_database)

    def disconnected(self) -> None:
        """The connection is gone. What was passed on may have happened or not."""
        self._send = None
        if self._following:
            self._following = False
            self._lost_ms = self._server.clock.now_ms()
        self._expected.clear()
        sent, self._sent = self._sent, {}
        for trigger in sent.values():
            trigger.fail("canceled")

    @property
    def is_connected(self) -> bool:
        """What clients are told: a connection that was lost just now counts."""
        return self._following or self._lost_ms is not None

    def deadline(self) -> int | None:
        """When `advance` must be called next, in ms of the clock."""
        return None if self._following or self._lost_ms is None else self._lost_ms + GRACE_MS

    def advance(self, now_ms: int) -> None:
        """Tell the clients of a connection that was lost some time ago."""
        due_ms = self.deadline()
        if due_ms is not None and now_ms >= due_ms:
            self._lost_ms = None
            self._server.publish(self.served)

    def received(self, message: Message) -> None:
        """Take a message of the source."""
        try:
            if isinstance(message, Notify):
                self._notified(message.method, message.params)
            elif isinstance(message, (Reply, Error)):
                self._answered(message)
        except (OvsdbError, ValueError) as error:
            # The copy may be wrong: the next connection is to send everything.
            self._last_id = ZERO_UUID
            self._give_up(error)

    def _notified(self, method: str, params: list[Any]) -> None:
        if method == "monitor_canceled" and params == [["monid", self.name]]:
            self._canceled()
            return
        form = _FORMS.get(method)
        if form is None or len(params) < 2:
            return
        if params[0] == _SERVER_MONITOR:
            self._server_rows(params[-1])
        elif params[0] == ["monid", self.name] and self.has_contents and self._following:
            self._apply(params[-1], form, params[1] if method == "update3" else None)

    def _canceled(self) -> None:
        """The source's database has another schema now, or is gone. Not every source says so in
        `_Server` at once, so it is asked."""
        if self._following:
            self._following = self._asked = False
            self._lost_ms = self._server.clock.now_ms()
            self._no_server_database(None)

    def _answered(self, message: Reply | Error) -> None:
        trigger = self._sent.pop(message.id, None)
        if trigger is not None:
            if isinstance(message, Reply):
                trigger.reply(message.result)
            else:
                trigger.fail(message.error)
            return
        expected = self._expected.pop(message.id, None)
        if expected is not None:
            good, bad = expected
            if isinstance(message, Reply):
                good(message.result)
            else:
                bad(message.error)

    def _ask(
        self,
        method: str,
        params: list[Any],
        good: Callable[[Any], None],
        bad: Callable[[Any], None],
    ) -> None:
        self._expected[self._request(method, params)] = (good, bad)

    def _request(self, method: str, params: list[Any]) -> int:
        assert self._send is not None
        self._next_id += 1
        self._send(Request(method, params, self._next_id))
        return self._next_id

    def _give_up(self, reason: object) -> None:
        self.unfit = str(reason)

    # -- the source and its schema -------------------------------------------------------

    def _server_schema(self, schema: Any) -> None:
        known = DatabaseSchema.from_json(schema).tables.get("Database")
        if known is None:
            return self._no_server_database(None)
        columns = [name for name in _SERVER_COLUMNS if name in known.columns]
        params = [_SERVER, _SERVER_MONITOR, {"Database": [{"columns": columns}]}]
        self._ask("monitor_cond", params, self._server_rows, self._no_server_database)
        # Only who hears of changes in _Server may ask not to be cut off because of them.
        self._ask("set_db_change_aware", [True], _ignore, _ignore)
        return None

    def _no_server_database(self, error: Any) -> None:
        del error
        self._ask("get_schema", [self.name], self._schema, self._give_up)

    def _server_rows(self, updates: Any) -> None:
        """Follow the row of our database in the source's `_Server`."""
        rows = updates.get("Database", {}) if type(updates) is dict else {}
        for uuid, update in rows.items():
            if type(update) is not dict:
                raise OvsdbError("syntax error", "<row-update2> is not object")
            row = update.get("initial") or update.get("insert")
            if row is not None and row.get("name") == self.name:
                self._row, self._row_uuid = dict(row), uuid
            elif uuid == self._row_uuid:
                if "delete" in update:
                    self._row = {}
                self._row.update(update.get("modify", {}))
        self._judge()

    def _judge(self) -> None:
        row = self._row
        schema, model = row.get("schema"), row.get("model", "standalone")
        words = _MODEL_WORDS.get(model)
        if not row:
            self._give_up(f"server does not have {self.name} database")
        elif type(schema) is not str:
            self._give_up(words[0] if words is not None else "database has no schema")
        elif words is not None and not row.get("connected"):
            self._give_up(words[1])
        else:
            self._schema(self._server.decode(schema.encode()))

    def _schema(self, json: Any) -> None:
        schema = DatabaseSchema.from_json(json)
        served = self.served
        is_new = not self.has_contents or schema.to_json() != served.database.schema.to_json()
        if is_new:
            log.dbg("database %s schema changed.", self.name)
            self._last_id = ZERO_UUID
            self._following = self._asked = False
            self.has_contents = True
            self._server.replace_database(self.name, Database(schema, keeps_history=True))
        if not self._asked:
            self._asked = True
            self._monitors = 0
            self._monitor()

    def _monitor(self) -> None:
        method, form = _MONITORS[self._monitors]
        params = [self.name, ["monid", self.name], monitor_requests(self.served.database.schema)]
        if method == "monitor_cond_since":
            params.append(self._last_id)
        self._ask(
            method,
            params,
            lambda result: self._contents(result, form, method == "monitor_cond_since"),
            self._older_monitor,
        )

    def _older_monitor(self, error: Any) -> None:
        self._monitors += 1
        if self._monitors < len(_MONITORS):
            self._monitor()
        else:
            self._give_up(f"monitor failed: {error}")

    # -- contents ------------------------------------------------------------------------

    def _contents(self, result: Any, form: int, since: bool) -> None:
        found, last_id, updates = False, None, result
        if since:
            if type(result) is not list or len(result) != 3:
                raise OvsdbError("syntax error", "monitor_cond_since reply is not [bool, id, rows]")
            found, last_id, updates = result
        self._following = True
        self._lost_ms = None
        with NoCollection():
            self._apply(updates, form, last_id, everything=not found)
        self._server.publish(self.served)
        kept, self._kept = self._kept, []
        for trigger in kept:
            self.forward(trigger)

    def _apply(self, updates: Any, form: int, last_id: Any, everything: bool = False) -> None:
        served = self.served
        new_version = self._server.new_uuid
        changes = read_updates(served.database, updates, form, new_version, everything=everything)
        if type(last_id) is str:
            self._last_id = Uuid(last_id)
        txn_id = self._last_id if self._last_id != ZERO_UUID else None
        self._server.commit_copy(served, changes, txn_id)

    # -- transactions --------------------------------------------------------------------

    def forward(self, trigger: Trigger) -> None:
        """Pass a transaction on; without a source, keep it until there is one."""
        if self._send is None or not self._following:
            self._kept.append(trigger)
            return
        self._sent[self._request("transact", [self.name, *trigger.operations])] = trigger

    def cancel(self, trigger: Trigger) -> bool:
        """Forget a transaction; what was passed on already may happen all the same."""
        if trigger in self._kept:
            self._kept.remove(trigger)
            return True
        for request_id, sent in self._sent.items():
            if sent is trigger:
                del self._sent[request_id]
                return True
        return False

    def close(self) -> None:
        """The database is served no longer."""
        self.disconnected()
        kept, self._kept = self._kept, []
        for trigger in kept:
            trigger.fail("canceled")


def _ignore(result: Any) -> None:
    del result
