"""One client of the database server: its requests, monitors, locks and waiting transactions.

`request` and `notify` take what the client sent; everything for the client goes through `send`, as
bytes of whole JSON-RPC messages, in order. Errors in a request are answered; only the connection's
owner closes it, when `disconnect` asks for that.
"""

from __future__ import annotations

from netloom.ovsdb.errors import OvsdbError, syntax_error
from netloom.ovsdb.json_text import format_json
from netloom.ovsdb.members import is_id
from netloom.ovsdb.monitor import METHODS, Monitor
from netloom.ovsdb.schema import DatabaseSchema
from netloom.ovsdb.uuids import parse_uuid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from netloom.ovsdb.rbac import Rbac
    from netloom.ovsdb.server import Served, Server, Trigger
    from netloom.ovsdb.uuids import Uuid


class Refused(Exception):
    """A request whose error reply is a bare string."""


class Session:
    """One connection, from its beginning to `closed`."""

    def __init__(
        self,
        server: Server,
        send: Callable[[bytes], None],
        disconnect: Callable[[str], None],
        read_only: bool = False,
        rbac: Rbac | None = None,
    ) -> None:
        self._server = server
        self.send = send
        #: Close the connection; the argument is the reason, for the log.
        self.disconnect = disconnect
        self.read_only = read_only
        #: Who the client is and what role it has; None for one that may do everything.
        self.rbac = rbac
        #: Whether the client copes with databases that come, go and change.
        self.change_aware = False
        self._monitors: dict[str, Monitor] = {}
        self._heads: dict[Monitor, bytes] = {}
        self._triggers: dict[str, Trigger] = {}
        server.sessions.append(self)

    def closed(self) -> None:
        """The connection is gone: forget everything."""
        server = self._server
        for monitor in self._monitors.values():
            self._forget_monitor(monitor)
        self._monitors.clear()
        for trigger in self._triggers.values():
            server.cancel(trigger)
        self._triggers.clear()
        if self in server.sessions:
            server.sessions.remove(self)
        server.locks.drop_client(self)

    def _forget_monitor(self, monitor: Monitor) -> None:
        served = self._server.served.get(monitor.database.name)
        if served is not None:
            served.monitors.pop(monitor, None)
        self._heads.pop(monitor, None)

    # -- messages ------------------------------------------------------------------------

    def request(self, method: str, params: list[Any], request_id: Any) -> None:
        """Run a request and send its reply, now or (a waiting transaction) later."""
        handler = _METHODS.get(method)
        try:
            if handler is None:
                raise Refused("unknown method")
            result = handler(self, method, params, request_id)
        except OvsdbError as error:
            self._send({"id": request_id, "error": error.to_json()})
        except Refused as error:
            self._send({"id": request_id, "error": str(error)})
        except RecursionError:
            # Only what a client nests hundreds of levels deep, to show it in an error, comes here.
            error_json = OvsdbError("syntax error", "request is nested too deeply").to_json()
            self._send({"id": request_id, "error": error_json})
        else:
            if result is not None:
                self._reply(request_id, result)

    def notify(self, method: str, params: list[Any]) -> None:
        """Take a notification; only "cancel" means anything."""
        if method == "cancel" and len(params) == 1:
            trigger = self._triggers.pop(format_json(params[0]), None)
            if trigger is not None and self._server.cancel(trigger):
                self._send({"id": params[0], "error": "canceled"})

    def _send(self, message: dict[str, Any]) -> None:
        self.send(self._server.encode(message))

    def _reply(self, request_id: Any, result: Any) -> None:
        self._send({"id": request_id, "result": result, "error": None})

    def _served(self, method: str, params: list[Any]) -> Served:
        """The database that a request's first parameter names."""
        if not params or type(params[0]) is not str:
            raise syntax_error(params, f"{method} request params must begin with <db-name>")
        served = self._server.served.get(params[0])
        if served is None:
            raise syntax_error(
                params,
                f"{method} request specifies unknown database {params[0]}",
                "unknown database",
            )
        if not served.is_available:
            raise OvsdbError(
                "database not available",
                f"{method} request specifies database {params[0]} which is not yet available "
                "because it has not completed joining its cluster",
            )
        return served

    # -- the server and its databases ----------------------------------------------------

    def echo(self, method: str, params: list[Any], request_id: Any) -> Any:
        del method, request_id
        return params

    def list_dbs(self, method: str, params: list[Any], request_id: Any) -> Any:
        del method, params, request_id
        return sorted(self._server.served)

    def get_schema(self, method: str, params: list[Any], request_id: Any) -> Any:
        del request_id
        return self._served(method, params).database.schema.to_json()

    def get_server_id(self, method: str, params: list[Any], request_id: Any) -> Any:
        del method, params, request_id
        return self._server.id

    def set_db_change_aware(self, method: str, params: list[Any], request_id: Any) -> Any:
        del request_id
        if len(params) != 1 or type(params[0]) is not bool:
            raise syntax_error(params, f"{method}: true or false parameter expected")
        self.change_aware = params[0]
        return {}

    def convert(self, method: str, params: list[Any], request_id: Any) -> Any:
        served = self._served(method, params)
        if len(params) != 2:
            raise syntax_error(params, "array expected")
        schema = DatabaseSchema.from_json(params[1])
        name = served.database.name
        if schema.name != name:
            raise OvsdbError(
                "invalid parameters",
                f"new schema name ({schema.name}) does not match database name ({name})",
            )
        if self.rbac is not None:
            self.rbac.check_convert(served.database)
        is_kept = served.store is not None or served.cluster is not None
        if self.read_only or served.is_backup or not is_kept:
            raise OvsdbError("not allowed", f"convert operation not allowed on database {name}")
        id_text, reply, fail = self._answers(method, params, request_id)
        trigger = self._server.convert(served, self, schema, reply, fail)
        if trigger is not None:
            self._triggers[id_text] = trigger
        return None

    # -- transactions --------------------------------------------------------------------

    def transact(self, method: str, params: list[Any], request_id: Any) -> Any:
        id_text, reply, fail = self._answers(method, params, request_id)
        served = self._served(method, params)
        trigger = self._server.transact(served, self, params[1:], reply, fail)
        if trigger is not None:
            self._triggers[id_text] = trigger
        return None

    def _answers(
        self, method: str, params: list[Any], request_id: Any
    ) -> tuple[str, Callable[[Any], None], Callable[[Any], None]]:
        """The key of a request that may have to wait, and what answers it, well or not."""
        id_text = format_json(request_id)
        if id_text in self._triggers:
            raise syntax_error(params, f"{method}: duplicate request ID")

        def reply(results: Any) -> None:
            self._triggers.pop(id_text, None)
            self._reply(request_id, results)

        def fail(error: Any) -> None:
            self._triggers.pop(id_text, None)
            self._send({"id": request_id, "error": error})

        return id_text, reply, fail

    # -- monitors ------------------------------------------------------------------------

    def monitor(self, method: str, params: list[Any], request_id: Any) -> Any:
        del request_id
        version = _MONITOR_VERSIONS[method]
        if version > 1 and not self._server.has_monitor_cond:
            raise Refused("unknown method")
        served = self._served(method, params)
        if len(params) != (4 if version == 3 else 3):
            raise syntax_error(params, "invalid parameters")
        monitor = Monitor.from_json(served.database, params[1], params[2], version)
        if monitor.id_text in self._monitors:
            raise syntax_error(params[1], "duplicate monitor ID")
        result = self._since(served, monitor, params[3]) if version == 3 else monitor.initial()
        self._monitors[monitor.id_text] = monitor
        served.monitors[monitor] = self
        return result

    def _since(self, served: Served, monitor: Monitor, last_id: Any) -> list[Any]:
        """The reply to `monitor_cond_since`: what the client missed, or everything."""
        if type(last_id) is not str:
            raise syntax_error(last_id, "last-txn-id must be string")
        uuid = parse_uuid(last_id)
        if uuid is None:
            raise syntax_error(last_id, "last-txn-id must be UUID format.")
        current = served.database.last_txn_id
        missed = served.database.changes_since(uuid)
        if missed is not None:
            return [True, current, monitor.compose(missed)]
        return [False, current, monitor.initial()]

    def monitor_cond_change(self, method: str, params: list[Any], request_id: Any) -> Any:
        del method, request_id
        if len(params) != 3:
            raise syntax_error(params, "invalid parameters")
        monitor = self._monitors.get(format_json(params[0]))
        if monitor is None:
            raise syntax_error(params[0], "unknown monitor session")
        new_id = format_json(params[1])
        if new_id != monitor.id_text and new_id in self._monitors:
            raise syntax_error(params[1], "duplicate monitor ID")
        updates = monitor.change_conditions(params[2])
        if new_id != monitor.id_text:
            del self._monitors[monitor.id_text]
            monitor.set_id(params[1])
            self._monitors[new_id] = monitor
            self._heads.pop(monitor, None)
        if updates:
            txn_id = monitor.database.last_txn_id
            self.send_update(monitor, txn_id, self._server.encode(updates))
        return {}

    def monitor_cancel(self, method: str, params: list[Any], request_id: Any) -> Any:
        del method, request_id
        if len(params) != 1:
            raise Refused("invalid parameters")
        monitor = self._monitors.pop(format_json(params[0]), None)
        if monitor is None:
            raise Refused("unknown monitor")
        self._forget_monitor(monitor)
        return {}

    def send_update(self, monitor: Monitor, txn_id: Uuid, body: bytes) -> None:
        """Send encoded `<table-updates>` of one of this session's monitors."""
        head = self._heads.get(monitor)
        if head is None:
            method = METHODS[monitor.version]
            text = b'{"id":null,"method":"%s","params":[' % method.encode()
            head = self._heads[monitor] = text + self._server.encode(monitor.id) + b","
        if monitor.version == 3:
            self.send(b'%s"%s",%s]}' % (head, txn_id.encode(), body))
        else:
            self.send(b"%s%s]}" % (head, body))

    def cancel_monitor(self, monitor: Monitor) -> None:
        """The monitor's database is gone or has another schema now."""
        self._monitors.pop(monitor.id_text, None)
        self._heads.pop(monitor, None)
        if self.change_aware:
            self._send({"id": None, "method": "monitor_canceled", "params": [monitor.id]})

    # -- locks ---------------------------------------------------------------------------

    def holds_lock(self, name: str) -> bool:
        return self._server.locks.holds(self, name)

    def _lock_name(self, method: str, params: list[Any]) -> str:
        if self.read_only or self._server.is_backup:
            raise Refused("lock and unlock methods not allowed, DB server is read only.")
        if len(params) != 1 or type(params[0]) is not str or not is_id(params[0]):
            raise syntax_error(params, f"{method} request params must be <id>")
        return params[0]

    def lock(self, method: str, params: list[Any], request_id: Any) -> Any:
        del request_id
        name = self._lock_name(method, params)
        locks = self._server.locks
        if locks.is_waiting(self, name):
            raise syntax_error(params, f'must issue "unlock" before new "{method}"')
        if method == "steal":
            locks.steal(self, name)
            return {"locked": True}
        return {"locked": locks.lock(self, name)}

    def unlock(self, method: str, params: list[Any], request_id: Any) -> Any:
        del request_id
        name = self._lock_name(method, params)
        if not self._server.locks.is_waiting(self, name):
            raise syntax_error(params, f'{method}: "unlock" without "lock" or "steal"')
        self._server.locks.unlock(self, name)
        return {}

    def lock_changed(self, method: str, name: str) -> None:
        """Tell the client that a lock came or was taken away."""
        self._send({"id": None, "method": method, "params": [name]})


_MONITOR_VERSIONS = {"monitor": 1, "monitor_cond": 2, "monitor_cond_since": 3}
_METHODS: dict[str, Callable[[Session, str, list[Any], Any], Any]] = {
    "echo": Session.echo,
    "list_dbs": Session.list_dbs,
    "get_schema": Session.get_schema,
    "get_server_id": Session.get_server_id,
    "set_db_change_aware": Session.set_db_change_aware,
    "convert": Session.convert,
    "transact": Session.transact,
    "monitor": Session.monitor,
    "monitor_cond": Session.monitor,
    "monitor_cond_since": Session.monitor,
    "monitor_cond_change": Session.monitor_cond_change,
    "monitor_cancel": Session.monitor_cancel,
    "lock": Session.lock,
    "steal": Session.lock,
    "unlock": Session.unlock,
}
