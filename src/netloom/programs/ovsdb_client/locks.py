"""`lock`, `steal` and `unlock`, for tests of servers, and `wait`."""

from __future__ import annotations

import sys

from netloom.base.errors import CommandError
from netloom.base.log import get_logger
from netloom.rpc.jsonrpc import Notify, Reply, Request, format_message

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from netloom.programs.ovsdb_client.client import Client

_STATES = ("added", "connected", "removed")


def _hold(client: Client, method: str) -> None:
    """Send the request, then print what the server says of the lock until the program is ended."""
    number = client.send(method, [client.args[0]])
    while True:
        message = client.next_message()
        if isinstance(message, Reply) and message.id == number:
            client.print_json(message.result)
        elif isinstance(message, (Notify, Request)):
            client.print_json(format_message(message))
        sys.stdout.flush()


def run_lock(client: Client) -> None:
    _hold(client, "lock")


def run_steal(client: Client) -> None:
    _hold(client, "steal")


def run_unlock(client: Client) -> None:
    _hold(client, "unlock")


def _reached(state: str, row: dict[str, Any] | None) -> bool:
    """Whether a database with that row of _Server (None for none) is in `state`."""
    if state == "removed":
        return row is None
    return row is not None and (state == "added" or bool(row.get("connected")))


def run_wait(client: Client) -> None:
    database, state = client.args
    if state not in _STATES:
        raise CommandError(f"{state}: unknown state")
    log = get_logger("reconnect")
    log.info("%s: connecting...", client.server)
    log.info("%s: connected", client.server)
    client.note_db_changes()
    request = {"Database": [{"columns": ["name", "connected"]}]}
    updates = client.call("monitor_cond", ["_Server", None, request])
    rows: dict[str, dict[str, Any]] = {}
    while True:
        _apply(rows, updates)
        row = next((row for row in rows.values() if row.get("name") == database), None)
        if _reached(state, row):
            return
        message = client.next_message()
        while not (isinstance(message, Notify) and message.method == "update2"):
            message = client.next_message()
        updates = message.params[1]


def _apply(rows: dict[str, dict[str, Any]], updates: Any) -> None:
    for uuid, update in updates.get("Database", {}).items():
        ((kind, values),) = update.items()
        if kind == "delete":
            rows.pop(uuid, None)
        else:
            rows[uuid] = {**rows.get(uuid, {}), **values}
