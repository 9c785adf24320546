"""What the commands of ovsdb-client get: a connection, a database's name, arguments, output."""

from __future__ import annotations

import sys

from netloom.base.errors import CommandError
from netloom.ovsdb.json_text import format_json
from netloom.ovsdb.table_text import TablePrinter, json_line
from netloom.programs.ovsdb_link import LinkError
from netloom.rpc.json_codec import LightJson, decode_document
from netloom.rpc.jsonrpc import Error, Reply, Request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from netloom.ovsdb.schema import DatabaseSchema
    from netloom.ovsdb.table_text import Table
    from netloom.programs.ovsdb_client.options import Settings
    from netloom.programs.ovsdb_link import Link
    from netloom.rpc.jsonrpc import Message


class ConnectionLost(CommandError):
    """The server went away while something was to come from it."""


class Client:
    """One run: `database` is empty for commands that need none."""

    def __init__(self, settings: Settings, link: Link, server: str) -> None:
        self.settings = settings
        self.link = link
        self.server = server
        self.database = ""
        self.args: list[str] = []
        self._printer = TablePrinter(settings.style)
        self._next_id = 0
        #: Messages that came while a reply was waited for.
        self._early: list[Message] = []

    # Messages.

    def send(self, method: str, params: list[Any]) -> int:
        """Send a request; its id."""
        number, self._next_id = self._next_id, self._next_id + 1
        self.link.send(Request(method, params, number))
        return number

    def next_message(self) -> Message:
        """The next message that is no reply to `call`."""
        if self._early:
            return self._early.pop(0)
        try:
            return self.link.next_event()
        except LinkError as error:
            raise ConnectionLost(f"{self.server}: receive failed ({error})") from None

    def ready_message(self) -> Message | None:
        """As `next_message`, but None if there is none yet."""
        if self._early:
            return self._early.pop(0)
        try:
            return self.link.ready_event()
        except LinkError as error:
            raise ConnectionLost(f"{self.server}: receive failed ({error})") from None

    def ask(self, method: str, params: list[Any]) -> tuple[Any, Any]:
        """Send a request and wait for its reply: (result, None) or (None, error)."""
        number = self.send(method, params)
        while True:
            try:
                message = self.link.next_event()
            except LinkError as error:
                raise ConnectionLost(f"transaction failed ({error})") from None
            if isinstance(message, Reply) and message.id == number:
                return message.result, None
            if isinstance(message, Error) and message.id == number:
                return None, message.error
            self._early.append(message)

    def call(self, method: str, params: list[Any]) -> Any:
        """As `ask`, but an error reply ends the program."""
        result, error = self.ask(method, params)
        if error is not None:
            what = "transaction" if method == "transact" else method
            raise CommandError(f"{what} returned error: {format_json(error)}")
        return result

    def note_db_changes(self) -> None:
        """Ask the server to keep the connection when its set of databases changes, unless an option
        says not to. Servers before Open vSwitch 2.9 do not know this request and need not."""
        if self.settings.db_change_aware is not False:
            self.ask("set_db_change_aware", [True])

    # Schemas.

    def schema_json(self) -> Any:
        """The schema of the database as the server sends it."""
        return self.call("get_schema", [self.database])

    def schema(self) -> DatabaseSchema:
        from netloom.ovsdb.schema import DatabaseSchema

        return DatabaseSchema.from_json(self.schema_json())

    # Output.

    def print(self, line: str) -> None:
        sys.stdout.write(line + "\n")

    def print_json(self, value: Any) -> None:
        sys.stdout.write(json_line(value, self.settings.style))

    def print_head(self, line: str) -> None:
        """A line that stands above the next table, in place of the blank line."""
        sys.stdout.write(f"\n{line}\n")
        self._printer = TablePrinter(self.settings.style)

    def print_table(self, table: Table) -> None:
        sys.stdout.write(self._printer.format(table))


def parse_json_argument(text: str) -> Any:
    """The JSON value of an argument, an object or an array."""
    try:
        return decode_document(LightJson(), text.encode("utf-8", "surrogateescape"))
    except ValueError as error:
        raise CommandError(f'"{text}": {error}') from None
