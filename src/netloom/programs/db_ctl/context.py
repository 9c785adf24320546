"""What commands get: the data they asked for, a transaction to change them, a place for output.

Before the database is asked for anything, each command states its `Needs`; the replica holds these
tables and columns and no others. Then each command runs once with a `Context` of its own; the
`Run` behind it is common to all commands of a command line.
"""

from __future__ import annotations

from netloom.base.errors import CommandError
from netloom.base.log import get_logger
from netloom.ovsdb.datum import Symbols
from netloom.ovsdb.idl_txn import Transaction
from netloom.ovsdb.uuids import UuidSource

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netloom.ovsdb.idl import Idl
    from netloom.ovsdb.row import Row
    from netloom.ovsdb.schema import DatabaseSchema
    from netloom.ovsdb.table_text import Table
    from netloom.ovsdb.types import Datum
    from netloom.ovsdb.uuids import Uuid
    from netloom.programs.db_ctl.command_line import Command
    from netloom.programs.db_ctl.run import Program


class TryAgain(Exception):
    """A command waits for the database to change; run everything again when it has."""


class ExitNow(Exception):
    """A command ends the program at once, without a transaction."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Needs:
    """Tables and columns that the commands will read or write; None stands for all columns."""

    def __init__(self, program: Program, schema: DatabaseSchema) -> None:
        self.program = program
        self.schema = schema
        self.wanted: dict[str, set[str] | None] = {}

    def table(self, table: str) -> None:
        """Which rows there are, if no more."""
        self.wanted.setdefault(table, set())

    def columns(self, table: str, *columns: str) -> None:
        found = self.wanted.setdefault(table, set())
        if found is not None:
            found.update(columns)

    def all_columns(self, table: str) -> None:
        self.wanted[table] = None

    def for_idl(self) -> dict[str, list[str] | None]:
        """The form that the replica takes."""
        return {
            table: None if columns is None else sorted(columns)
            for table, columns in self.wanted.items()
        }


class Run:
    """One attempt at the whole command line, on one state of the database."""

    def __init__(self, program: Program, idl: Idl, schema: DatabaseSchema) -> None:
        new_uuid = UuidSource()
        self.program = program
        self.idl = idl
        self.schema = schema
        self.log = get_logger(program.log_name)
        self.txn = Transaction(idl, new_uuid)
        self.symbols = Symbols(new_uuid)
        #: What the database says, by name; None until needed, and when out of date.
        self.model: object = None
        #: New Interface rows whose success the tool checks after the switch has reconfigured.
        self.new_interfaces: list[Uuid] = []

    def root(self) -> Row:
        """The row that all else hangs on, made if the database is still empty."""
        rows = self.txn.rows(self.program.root)
        return rows[0] if rows else self.txn.insert(self.program.root)


class Context:
    """One command in one run."""

    def __init__(self, run: Run, command: Command) -> None:
        self.run = run
        self.txn = run.txn
        self.schema = run.schema
        self.symbols = run.symbols
        self.command = command
        self.args = command.args
        self.output: list[str] = []
        self.table: Table | None = None
        #: For `create`: a row whose real UUID is to be printed after the commit.
        self.created: Row | None = None

    @property
    def root(self) -> Row:
        return self.run.root()

    def has_option(self, name: str) -> bool:
        return name in self.command.options

    def option(self, name: str) -> str | None:
        return self.command.options.get(name)

    def print(self, line: str) -> None:
        self.output.append(line + "\n")

    def read(self, row: Row, column: str) -> Datum:
        """A column's value; its default if the server has no such column."""
        value = row.get(column)
        if value is None:
            return self.schema.tables[row.table].columns[column].type.default
        return value

    def rows(self, table: str) -> list[Row]:
        """All rows of a table in the order in which they are listed."""
        from netloom.ovsdb.hash_order import listed_order

        rows = self.txn.rows(table)
        if len(rows) < 2:
            return rows
        by_uuid: dict[str, Row] = {row.uuid: row for row in rows}
        old = [row.uuid for row in self.run.idl.rows(table) if row.uuid in by_uuid]
        ordered = [by_uuid.pop(uuid) for uuid in listed_order(list[str](old))]
        return ordered + list(by_uuid.values())

    def now(self, row: Row) -> Row:
        """The row with what this transaction did to it."""
        return self.txn.row(row.table, row.uuid) or row

    def verify(self, row: Row, column: str) -> None:
        """Make the transaction depend on the value that was read."""
        self.txn.verify(row, column)

    def insert(self, table: str) -> Row:
        try:
            return self.txn.insert(table)
        except KeyError:
            raise CommandError(f"the database has no table {table}") from None
