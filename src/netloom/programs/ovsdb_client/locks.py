"""`lock`, `steal` and `unlock`, for tests of servers, and `wait`."""

from __future__ import annotations

import sys
from functools import partial

from netloom.base.errors import CommandError
from netloom.base.log import get_logger
from netloom.programs.ovsdb_client.staying import Stay
from netloom.rpc.jsonrpc import Notify, Reply

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from netloom.programs.ovsdb_client.client import Client
    from netloom.rpc.jsonrpc import Message

_STATES = ("added", "connected", "removed")


class _Holder:
    """Sends requests about locks, one at a time, and prints what the server says of them."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._stay = Stay(client, keep_stderr=False)
        #: The request that waits for its reply, and the one that is to follow it.
        self._asked: int | None = None
        self._next: tuple[str, str] | None = None

    def run(self, method: str, lock: str) -> None:
        self._stay.listen(
            [(name, "LOCK", 1, partial(self._ask, name)) for name in ("unlock", "steal", "lock")]
        )
        self._ask(method, [lock])
        self._stay.run(self._handle)

    def _ask(self, method: str, args: list[str]) -> str:
        self._next = (method, args[0])
        self._go_on()
        return ""

    def _go_on(self) -> None:
        if self._asked is None and self._next is not None:
            method, lock = self._next
            self._asked, self._next = self._client.send(method, [lock]), None
            self._client.link.flush()

    def _handle(self, message: Message) -> None:
        if isinstance(message, Reply) and message.id == self._asked:
            self._client.print_json(message.result)
            self._asked = None
            self._go_on()
        elif isinstance(message, Notify):
            self._client.print(message.method)
            self._client.print_json(message.params)
        sys.stdout.flush()
        if self._asked is None:
            self._stay.ready()


def run_lock(client: Client) -> None:
    _Holder(client).run("lock", client.args[0])


def run_steal(client: Client) -> None:
    _Holder(client).run("steal", client.args[0])


def run_unlock(client: Client) -> None:
    _Holder(client).run("unlock", client.args[0])


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
