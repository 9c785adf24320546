"""The operations of a `transact` request (RFC 7047 section 5.2 and Open vSwitch's extensions).

`execute` runs the operations one after the other on a working copy, then checks the whole; the
first failure drops everything. The outcome is a list with one result per operation, then possibly
the error of the whole, and for a success the changes, which the caller makes durable, installs
and tells to monitors.

A `wait` whose condition does not hold yet makes the outcome "waiting": the caller runs the
transaction again after the next commit, and at the deadline, when it fails with "timed out".
"""

from __future__ import annotations

from netloom.ovsdb.commit import prepare
from netloom.ovsdb.condition import parse_condition
from netloom.ovsdb.database import freeze
from netloom.ovsdb.datum import Symbols, datum_to_json, order_key, parse_datum
from netloom.ovsdb.errors import OvsdbError, syntax_error
from netloom.ovsdb.members import ARRAY, BOOLEAN, ID, NUMBER, OBJECT, STRING, Members
from netloom.ovsdb.mutation import parse_mutations
from netloom.ovsdb.rbac import MUTATE, UPDATE
from netloom.ovsdb.txn import Txn
from netloom.ovsdb.uuids import parse_uuid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from netloom.ovsdb.condition import Condition
    from netloom.ovsdb.database import Changes, Database, RowData, Table
    from netloom.ovsdb.rbac import Rbac
    from netloom.ovsdb.schema import ColumnSchema
    from netloom.ovsdb.types import Datum
    from netloom.ovsdb.uuids import Uuid

#: Operations that do not change the database.
_READ_ONLY = ("select", "wait", "commit", "abort", "comment", "assert")


class _Waiting(Exception):
    """A `wait` is not satisfied and its time is not over."""


class Outcome:
    """What a transaction came to.

    `results` is the reply; None while a `wait` is unsatisfied, and `timeout_ms` then says how long
    after the first execution it may stay so (None for ever). `changes` is empty unless the
    transaction succeeded and changed something. `forward` is set, and `results` is None, if another
    server has to run it (see `Context.forwards`)."""

    __slots__ = ("changes", "comment", "durable", "failed", "forward", "results", "timeout_ms")

    def __init__(self) -> None:
        self.results: list[Any] | None = None
        self.timeout_ms: int | None = None
        self.changes: Changes = {}
        self.comment = ""
        self.durable = False
        self.failed = False
        self.forward = False


class Context:
    """Who runs a transaction: what depends on the client, and the source of UUIDs.

    `holds_lock` answers "assert"; `elapsed_ms` is the time since the first execution; where nobody
    can run the transaction again, `may_wait` is false. `rbac` limits what may be changed. Where the
    database is another server's, `forwards` has what would change it handed on, once it succeeded
    here."""

    __slots__ = (
        "elapsed_ms",
        "forwards",
        "holds_lock",
        "may_wait",
        "new_uuid",
        "rbac",
        "read_only",
    )

    def __init__(
        self,
        new_uuid: Callable[[], Uuid],
        holds_lock: Callable[[str], bool],
        read_only: bool = False,
        elapsed_ms: int = 0,
        may_wait: bool = True,
    ) -> None:
        self.may_wait = may_wait
        self.new_uuid = new_uuid
        self.holds_lock = holds_lock
        self.read_only = read_only
        self.elapsed_ms = elapsed_ms
        self.rbac: Rbac | None = None
        self.forwards = False


def execute(database: Database, operations: list[Any], context: Context) -> Outcome:
    """Run `operations` (without the database name) and check the whole; see the module."""
    return _Execution(database, operations, context).run()


class _Execution:
    """One run of one transaction."""

    def __init__(self, database: Database, operations: list[Any], context: Context) -> None:
        self.database = database
        self.operations = operations
        self.context = context
        self.txn = Txn(database, context.new_uuid)
        self.symbols = Symbols(context.new_uuid)
        self.outcome = Outcome()
        self.comments: list[str] = []
        self.writes = False

    def run(self) -> Outcome:
        outcome = self.outcome
        results: list[Any] = []
        n = len(self.operations)
        try:
            for number, operation in enumerate(self.operations, 1):
                results.append(self._run_operation(operation, number, n))
        except _Waiting:
            return outcome
        except OvsdbError as error:
            results.append(error.to_json())
            results.extend([None] * (n - len(results)))
            outcome.failed = True
        else:
            if self.writes and self.context.forwards:
                outcome.forward = True
                return outcome
            try:
                outcome.changes = prepare(self.txn)
            except OvsdbError as error:
                results.append(error.to_json())
                outcome.failed = True
        outcome.results = results
        outcome.comment = "\n".join(self.comments)
        return outcome

    def _run_operation(self, operation: Any, number: int, total: int) -> dict[str, Any]:
        parser = Members(operation, f"ovsdb operation {number} of {total}")
        name = parser.get("op", ID)
        error: OvsdbError | None = None
        result: dict[str, Any] = {}
        if name is not None:
            runner = _OPERATIONS.get(name)
            if runner is None:
                parser.fail(f'No operation "{name}"')
            else:
                self.writes |= name not in _READ_ONLY
                try:
                    result = runner(self, parser)
                except _ParserFailed:
                    result = {}
                except OvsdbError as exc:
                    error = exc
        # What is wrong with the operation's form goes before what is wrong with its contents.
        if error is None or parser.failed:
            parser.finish()
        else:
            raise error
        if name not in _READ_ONLY:
            self._check_writable(name)
        return result

    def _check_writable(self, name: str) -> None:
        """Refuse an operation that would change what may not be changed; what else is wrong with
        it was told before."""
        if self.context.read_only:
            raise OvsdbError(
                "not allowed",
                f"{name} operation not allowed when database server is in read only mode",
            )
        if self.database.name.startswith("_"):
            raise OvsdbError(
                "not allowed",
                f"{name} operation not allowed on table in reserved database {self.database.name}",
            )

    # -- parts that operations share -----------------------------------------------------

    def _table(self, parser: Members) -> Table:
        name = parser.get("table", ID)
        table = self.database.tables.get(name) if name is not None else None
        if table is None:
            if name is not None:
                parser.fail(f"No table named {name}.")
            raise _ParserFailed
        return table

    def _condition(self, table: Table, json: Any) -> Condition:
        return parse_condition(table.name, table.columns, json, self.symbols)

    def _row(self, table: Table, json: Any) -> list[tuple[ColumnSchema, Datum]]:
        """The columns of a `<row>`."""
        if type(json) is not dict:
            raise syntax_error(json, "row must be JSON object")
        columns = table.columns
        symbols = self.symbols
        row: list[tuple[ColumnSchema, Datum]] = []
        for name, value in json.items():
            column = columns.get(name)
            if column is None:
                raise syntax_error(
                    json, f"No column {name} in table {table.name}.", "unknown column"
                )
            row.append((column, parse_datum(column.type, value, symbols)))
        return row

    def _check_change(
        self, table: Table, found: list[tuple[Uuid, RowData]], columns: list[str], what: str
    ) -> None:
        rbac = self.context.rbac
        assert rbac is not None
        rbac.check_change(self.database, table, [row for _uuid, row in found], columns, what)

    # -- operations ----------------------------------------------------------------------

    def insert(self, parser: Members) -> dict[str, Any]:
        table = self._table(parser)
        uuid_json = parser.get("uuid", STRING, optional=True)
        name = parser.get("uuid-name", ID, optional=True)
        row_json = parser.get("row", OBJECT)
        if parser.failed:
            raise _ParserFailed
        uuid: Uuid | None = None
        if uuid_json is not None:
            uuid = self._chosen_uuid(table, uuid_json)
        if name is not None:
            uuid = self._named_uuid(name, uuid)
        if uuid is None:
            uuid = self.context.new_uuid()
        row: RowData = table.schema.defaults.copy()
        given = self._row(table, row_json)
        n = table.n_columns
        for column, datum in given:
            if column.index < n:
                row[column.index] = datum
        if self.context.rbac is not None:
            self.context.rbac.check_insert(self.database, table, row)
        if len(given) < n:
            _check_defaults(table, {column.index for column, _ in given})
        self.txn.insert(table, uuid, row)
        return {"uuid": ["uuid", uuid]}

    def _chosen_uuid(self, table: Table, json: str) -> Uuid:
        uuid = parse_uuid(json)
        if uuid is None:
            raise syntax_error(json, "bad uuid")
        if self.txn.knows(table, uuid):
            raise syntax_error(
                json,
                f'This UUID would duplicate a UUID already present within the "{table.name}" table '
                "or deleted from this table within the same transaction.",
                "duplicate uuid",
            )
        return uuid

    def _named_uuid(self, name: str, chosen: Uuid | None) -> Uuid:
        symbols = self.symbols
        if name in symbols.created:
            raise syntax_error(
                name,
                'This "uuid-name" appeared on an earlier "insert" operation.',
                "duplicate uuid-name",
            )
        symbols.created.add(name)
        if chosen is not None:
            symbols.uuids[name] = chosen
        return symbols.resolve(name)

    def select(self, parser: Members) -> dict[str, Any]:
        table = self._table(parser)
        where = parser.get("where", ARRAY)
        columns_json = parser.get("columns", ARRAY, optional=True)
        sort_json = parser.get("sort", ARRAY, optional=True)
        if parser.failed:
            raise _ParserFailed
        condition = self._condition(table, where)
        columns = _columns(table, columns_json)
        found = [row for _uuid, row in self.txn.find(table, condition)]
        if sort_json is not None:
            sort = _columns(table, sort_json)
            found.sort(key=lambda row: [order_key(row[column.index]) for column in sort])
        return {
            "rows": [
                {column.name: datum_to_json(column.type, row[column.index]) for column in columns}
                for row in _distinct(found, columns)
            ]
        }

    def update(self, parser: Members) -> dict[str, Any]:
        table = self._table(parser)
        where = parser.get("where", ARRAY)
        row_json = parser.get("row", OBJECT)
        if parser.failed:
            raise _ParserFailed
        row = self._row(table, row_json)
        for column, _datum in row:
            if not column.mutable:
                raise syntax_error(
                    parser.json,
                    f"Cannot update immutable column {column.name} in table {table.name}.",
                    "constraint violation",
                )
        found = self.txn.find(table, self._condition(table, where))
        if self.context.rbac is not None:
            self._check_change(table, found, [column.name for column, _datum in row], UPDATE)
        for uuid, _row in found:
            target = self.txn.writable(table, uuid)
            for column, datum in row:
                target[column.index] = datum
        return {"count": len(found)}

    def mutate(self, parser: Members) -> dict[str, Any]:
        table = self._table(parser)
        where = parser.get("where", ARRAY)
        mutations_json = parser.get("mutations", ARRAY)
        if parser.failed:
            raise _ParserFailed
        mutations = parse_mutations(table.name, table.columns, mutations_json, self.symbols)
        found = self.txn.find(table, self._condition(table, where))
        # Without mutations it only counts the rows, which anybody may.
        if self.context.rbac is not None and mutations:
            names = [mutation.column.name for mutation in mutations]
            self._check_change(table, found, names, MUTATE)
        for uuid, _row in found:
            target = self.txn.writable(table, uuid)
            for mutation in mutations:
                index = mutation.column.index
                target[index] = mutation.apply(target[index])
        return {"count": len(found)}

    def delete(self, parser: Members) -> dict[str, Any]:
        table = self._table(parser)
        where = parser.get("where", ARRAY)
        if parser.failed:
            raise _ParserFailed
        found = self.txn.find(table, self._condition(table, where))
        if self.context.rbac is not None:
            rows = [row for _uuid, row in found]
            self.context.rbac.check_delete(self.database, table, rows)
        for uuid, _row in found:
            self.txn.delete(table, uuid)
        return {"count": len(found)}

    def wait(self, parser: Members) -> dict[str, Any]:
        timeout = parser.get("timeout", NUMBER, optional=True)
        where = parser.get("where", ARRAY)
        columns_json = parser.get("columns", ARRAY, optional=True)
        until = parser.get("until", STRING)
        rows_json = parser.get("rows", ARRAY)
        table = self._table(parser)
        if parser.failed:
            raise _ParserFailed
        condition = self._condition(table, where)
        columns = _columns(table, columns_json)
        timeout_ms = None if timeout is None else int(timeout)
        if timeout_ms is not None and timeout_ms < 0:
            raise syntax_error(timeout, "timeout must be nonnegative")
        self._note_timeout(timeout_ms)
        if until not in ("==", "!="):
            raise syntax_error(until, '"until" must be "==" or "!="')
        expected = {self._expected_key(table, json, columns) for json in rows_json}
        actual = {_row_key(row, columns) for _uuid, row in self.txn.find(table, condition)}
        if (expected == actual) != (until == "=="):
            self._unsatisfied(timeout_ms)
        return {}

    def _note_timeout(self, timeout_ms: int | None) -> None:
        earlier = self.outcome.timeout_ms
        if timeout_ms is not None and (earlier is None or timeout_ms < earlier):
            self.outcome.timeout_ms = timeout_ms

    def _expected_key(self, table: Table, json: Any, columns: list[ColumnSchema]) -> object:
        row: RowData = [*table.schema.defaults, "", ""]
        for column, datum in self._row(table, json):
            row[column.index] = datum
        return _row_key(row, columns)

    def _unsatisfied(self, timeout_ms: int | None) -> None:
        elapsed_ms = self.context.elapsed_ms
        if timeout_ms is None or elapsed_ms < timeout_ms:
            if not self.context.may_wait:
                raise OvsdbError("not supported", "triggers not supported")
            raise _Waiting
        if elapsed_ms:
            raise OvsdbError("timed out", f'"wait" timed out after {elapsed_ms} ms')
        raise OvsdbError("timed out", '"where" clause test failed')

    def commit(self, parser: Members) -> dict[str, Any]:
        self.outcome.durable |= bool(parser.get("durable", BOOLEAN))
        return {}

    def abort(self, parser: Members) -> dict[str, Any]:
        del parser
        raise OvsdbError("aborted", "aborted by request")

    def comment(self, parser: Members) -> dict[str, Any]:
        comment = parser.get("comment", STRING)
        if comment is not None:
            self.comments.append(comment)
        return {}

    def assert_lock(self, parser: Members) -> dict[str, Any]:
        lock = parser.get("lock", STRING)
        if lock is not None and not self.context.holds_lock(lock):
            raise OvsdbError("not owner", f"Asserted lock {lock} not held.")
        return {}


class _ParserFailed(Exception):
    """The operation's form is wrong; the parser knows how."""


_OPERATIONS: dict[str, Callable[[_Execution, Members], dict[str, Any]]] = {
    "insert": _Execution.insert,
    "select": _Execution.select,
    "update": _Execution.update,
    "mutate": _Execution.mutate,
    "delete": _Execution.delete,
    "wait": _Execution.wait,
    "commit": _Execution.commit,
    "abort": _Execution.abort,
    "comment": _Execution.comment,
    "assert": _Execution.assert_lock,
}


def _check_defaults(table: Table, given: set[int]) -> None:
    """An insertion may leave out a column only if its default satisfies its constraints."""
    for column in table.schema.columns.values():
        column_type = column.type
        if column_type.min == 0 or column.index in given:
            continue
        if column_type.key.constrained:
            column_type.key.check(column_type.key.default)


def _columns(table: Table, json: Any) -> list[ColumnSchema]:
    """The columns of a "columns" member; all of them if there is none."""
    if json is None:
        return list(table.columns.values())
    columns: list[ColumnSchema] = []
    for name in json:
        if type(name) is not str:
            raise syntax_error(json, "array of distinct column names expected")
        column = table.columns.get(name)
        if column is None:
            raise syntax_error(json, f"{name} is not a valid column name")
        if column in columns:
            raise syntax_error(json, "array of distinct column names expected")
        columns.append(column)
    return columns


def _row_key(row: RowData, columns: list[ColumnSchema]) -> object:
    return tuple([freeze(row[column.index]) for column in columns])


def _distinct(rows: list[RowData], columns: list[ColumnSchema]) -> list[RowData]:
    """`rows` without those whose columns equal an earlier one's."""
    seen: dict[object, RowData] = {}
    for row in rows:
        seen.setdefault(_row_key(row, columns), row)
    return list(seen.values())
