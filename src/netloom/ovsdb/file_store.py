"""A database and its file: loading, recording transactions, compaction, change of schema.

The records are those of ovsdb(5): per table and row the columns that a transaction set, or null for
a deletion, with `_date` (milliseconds since 1970) and `_comment`. With `_is_diff` the columns of
modified rows hold differences, as in update2 notifications: short where a large set or map gains an
element. Ephemeral columns are not stored.
"""

from __future__ import annotations

from netloom.ovsdb.database import Database
from netloom.ovsdb.datum import apply_diff, datum_to_json, diff_datum, parse_datum
from netloom.ovsdb.errors import OvsdbError, syntax_error
from netloom.ovsdb.log_file import LogFile, create_file
from netloom.ovsdb.schema import DatabaseSchema
from netloom.ovsdb.types import diff_type
from netloom.ovsdb.uuids import no_uuid, parse_uuid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from netloom.ovsdb.database import Changes, RowData, Table
    from netloom.ovsdb.uuids import Uuid

    Encode = Callable[[Any], bytes]
    Decode = Callable[[bytes], Any]

#: What a file says of why it was rewritten while it was served.
COMPACTED_ONLINE = "compacting database online"
#: A file is compacted by itself when it is larger than this and has doubled since the last time,
#: but not sooner than COMPACT_MIN_MS after that; and COMPACT_MAX_MS after that in any case.
COMPACT_BYTES = 10 * 1024 * 1024
COMPACT_MIN_MS = 10 * 60 * 1000
COMPACT_MAX_MS = 24 * 60 * 60 * 1000


def make_record(changes: Changes, comment: str, date_ms: int, use_diff: bool) -> dict[str, Any]:
    """The record of one transaction; empty if no stored column changed."""
    record: dict[str, Any] = {}
    for table, rows in changes.items():
        stored: dict[str, Any] = {}
        for uuid, (old, new) in rows.items():
            if new is None:
                stored[uuid] = None
                continue
            columns = _changed_row(table, old, new, use_diff)
            if columns or old is None:
                stored[uuid] = columns
        if stored:
            record[table.name] = stored
    if not record:
        return record
    about: dict[str, Any] = {"_is_diff": True} if use_diff else {}
    if comment:
        about["_comment"] = comment
    about["_date"] = date_ms
    return about | record


def _changed_row(table: Table, old: RowData | None, new: RowData, use_diff: bool) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for column in table.persistent:
        i = column.index
        before = column.type.default if old is None else old[i]
        after = new[i]
        if before is after or before == after:
            continue
        if old is not None and use_diff:
            after = diff_datum(column.type, before, after)
        columns[column.name] = datum_to_json(column.type, after)
    return columns


def make_snapshot(database: Database, comment: str, date_ms: int) -> dict[str, Any]:
    """One record that makes an empty database what this one is."""
    everything: Changes = {
        table: {uuid: (None, row) for uuid, row in table.rows.items()}
        for table in database.tables.values()
    }
    record = make_record(everything, comment, date_ms, use_diff=False)
    # An empty database has a record, too: it tells when and why the file was rewritten.
    return record or {"_comment": comment, "_date": date_ms}


def apply_record(
    database: Database,
    record: dict[str, Any],
    new_version: Callable[[], Uuid] = no_uuid,
    lenient: bool = False,
) -> None:
    """Replay one record, see `read_record`; on an error nothing is changed."""
    database.install(read_record(database, record, new_version, lenient))


def read_record(
    database: Database,
    record: dict[str, Any],
    new_version: Callable[[], Uuid] = no_uuid,
    lenient: bool = False,
) -> Changes:
    """The changes that a record stands for. With `lenient`, unknown tables and columns are left out
    (as when a database is converted to another schema); else they are errors."""
    is_diff = record.get("_is_diff") is True
    changes: Changes = {}
    for name, rows in record.items():
        if name.startswith("_"):
            continue
        table = database.tables.get(name)
        if table is None:
            if lenient:
                continue
            raise syntax_error(record, f"No table named {name}.", "unknown table")
        if type(rows) is not dict:
            raise syntax_error(rows, "object expected")
        changes[table] = {}
        for uuid_text, columns in rows.items():
            uuid = parse_uuid(uuid_text)
            if uuid is None:
                raise OvsdbError("syntax error", f'"{uuid_text}" is not a valid UUID')
            old = table.rows.get(uuid)
            if columns is None:
                if old is None:
                    raise OvsdbError(
                        "syntax error", f"transaction deletes row {uuid} that does not exist"
                    )
                changes[table][uuid] = (old, None)
                continue
            version = new_version()
            new = [*table.schema.defaults, uuid, version] if old is None else old.copy()
            _set_columns(table, new, columns, is_diff and old is not None, lenient)
            new[table.version_index] = version
            changes[table][uuid] = (old, new)
    return changes


def _set_columns(table: Table, row: RowData, columns: Any, is_diff: bool, lenient: bool) -> None:
    if type(columns) is not dict:
        raise OvsdbError("syntax error", "row must be JSON object")
    for name, json in columns.items():
        column = table.schema.columns.get(name)
        if column is None:
            if lenient:
                continue
            raise OvsdbError("unknown column", f"No column {name} in table {table.name}.")
        if is_diff:
            diff = parse_datum(diff_type(column.type), json)
            row[column.index] = apply_diff(column.type, row[column.index], diff)
        else:
            row[column.index] = parse_datum(column.type, json)


class Schedule:
    """When to compact a file."""

    def __init__(self) -> None:
        self._compacted_ms: int | None = None

    def is_due(self, log: LogFile, now_ms: int) -> bool:
        """Whether the file should be compacted now; the first call starts the clock."""
        if self._compacted_ms is None:
            self._compacted_ms = now_ms
        age_ms = now_ms - self._compacted_ms
        if age_ms < COMPACT_MIN_MS:
            return False
        grew = log.offset > COMPACT_BYTES and log.offset // 2 > log.base_size > 0
        due = grew or (age_ms >= COMPACT_MAX_MS and log.n_records > 2)
        if due:
            self._compacted_ms = now_ms
        return due


class FileStore:
    """A database that lives in a file."""

    def __init__(self, log: LogFile, database: Database, encode: Encode) -> None:
        self.log = log
        self.database = database
        self._encode = encode
        #: Whether records of modified rows hold differences.
        self.use_diff = True
        self._schedule = Schedule()

    @staticmethod
    def open(
        path: str,
        decode: Decode,
        encode: Encode,
        writable: bool = True,
        new_version: Callable[[], Uuid] = no_uuid,
        lenient_schema: DatabaseSchema | None = None,
    ) -> FileStore:
        """Load the database of a file; `log.damage` tells of a tail that was dropped.

        `lenient_schema` loads the data into another schema than the file's."""
        log = LogFile(path, decode, writable)
        try:
            schema = _read_schema(log)
            log.base_size = log.offset
            lenient = lenient_schema is not None
            database = Database(lenient_schema or schema)
            while True:
                start = log.offset
                record = log.read()
                if record is None:
                    break
                try:
                    apply_record(database, record, new_version, lenient)
                except OvsdbError as error:
                    if lenient:
                        raise
                    log.unread(start, error)
        except OvsdbError:
            log.close()
            raise
        return FileStore(log, database, encode)

    def start_writing(self) -> None:
        self.log.start_writing()

    def record(self, changes: Changes, comment: str, date_ms: int, durable: bool) -> None:
        """Write a transaction; raises and leaves the file as it was if that fails."""
        record = make_record(changes, comment, date_ms, self.use_diff)
        if record:
            self.log.append(self._encode(record), durable)
        elif durable:
            self.log.sync()

    def compact(self, comment: str, date_ms: int) -> None:
        """Rewrite the file with the schema and the present contents only."""
        self.log.replace(self._snapshot_records(self.database, comment, date_ms))

    def convert(self, database: Database, comment: str, date_ms: int) -> None:
        """Put another database, of another schema, into the file."""
        self.log.replace(self._snapshot_records(database, comment, date_ms))
        self.database = database

    def _snapshot_records(self, database: Database, comment: str, date_ms: int) -> list[bytes]:
        return snapshot_records(database, self._encode, comment, date_ms)

    def compaction_due(self, now_ms: int) -> bool:
        """Whether the file should be compacted now; the first call starts the clock."""
        return self._schedule.is_due(self.log, now_ms)

    def close(self) -> None:
        self.log.close()


def snapshot_records(database: Database, encode: Encode, comment: str, date_ms: int) -> list[bytes]:
    """The lines of a file that holds exactly this database."""
    return [
        encode(database.schema.to_json()),
        encode(make_snapshot(database, comment, date_ms)),
    ]


def _read_schema(log: LogFile) -> DatabaseSchema:
    record = log.read()
    if record is None:
        if log.damage is not None:
            raise log.damage
        raise OvsdbError("I/O error", f"{log.path}: unexpected end of file reading schema")
    try:
        return DatabaseSchema.from_json(record)
    except OvsdbError as error:
        raise OvsdbError(
            error.tag,
            f'failed to parse "{log.path}" as ovsdb schema: {error.details}',
            error.syntax,
        ) from error


def create_database(path: str, schema: DatabaseSchema, encode: Encode) -> None:
    """Make a file with an empty database."""
    create_file(path, [encode(schema.to_json())])


def convert_database(old: Database, schema: DatabaseSchema) -> Database:
    """A copy of a database under another schema: what that lacks is left out, what it adds has
    default values, and all its constraints are checked. Raises `OvsdbError`."""
    from netloom.ovsdb.commit import prepare
    from netloom.ovsdb.txn import Txn

    new = Database(schema)
    txn = Txn(new, no_uuid)
    for table in new.tables.values():
        old_table = old.tables.get(table.name)
        if old_table is None:
            continue
        common = [
            (column, old_table.columns[name])
            for name, column in table.schema.columns.items()
            if name in old_table.schema.columns
        ]
        for uuid, old_row in old_table.rows.items():
            row = table.schema.defaults.copy()
            for column, old_column in common:
                json = datum_to_json(old_column.type, old_row[old_column.index])
                row[column.index] = parse_datum(column.type, json)
            txn.insert(table, uuid, row)
            row[table.version_index] = old_row[old_table.version_index]
    new.install(prepare(txn))
    return new
