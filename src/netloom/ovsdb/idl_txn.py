"""Changes to a database, collected against the replica and committed as one transaction.

    txn = Transaction(idl)
    bridge = txn.insert("Bridge")
    txn.set(bridge, "name", "br0")
    txn.add_elements(root, "bridges", (bridge.uuid,))
    if txn.commit() == INCOMPLETE: ...         # send idl.take_messages(), feed replies, look at
    txn.status                                 # txn.status again

While it is open, `rows`, `row` and `refs` show the replica with the changes laid over it. `verify`
makes the commit fail with `TRY_AGAIN` if somebody else changed what a decision was based on. A new
row has a provisional UUID until the commit; `real_uuid` tells the one that the server chose.

What is sent: waits for all verified columns, then one insert, update, mutate or delete per row, the
increment, the comment. A write of the value that is there already is sent, so that the result is as
wished whatever happens meanwhile, but alone makes no transaction: the status is then `UNCHANGED`
and nothing is sent.
"""

from __future__ import annotations

from netloom.ovsdb.datum import atom_to_json, atoms_to_json, datum_to_json, keys_of, unique_atoms
from netloom.ovsdb.datum import sorted_map as _sorted_map
from netloom.ovsdb.json_text import format_json
from netloom.ovsdb.row import Row
from netloom.ovsdb.uuids import Uuid, UuidSource

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from netloom.ovsdb.idl import Idl
    from netloom.ovsdb.schema import ColumnSchema
    from netloom.ovsdb.types import Atom, Datum

UNCOMMITTED = "uncommitted"
#: Nothing to change, so nothing was sent.
UNCHANGED = "unchanged"
#: Sent; the reply is not there yet.
INCOMPLETE = "incomplete"
#: `abort` was called.
ABORTED = "aborted"
SUCCESS = "success"
#: A verified column was not as expected, or the connection was lost: decide anew and try again.
TRY_AGAIN = "try again"
#: The lock of `Idl.set_lock` is not held.
NOT_LOCKED = "not locked"
#: The server refused; `error` has its words.
ERROR = "error"


class _Pending:
    """What the transaction does to one row."""

    __slots__ = (
        "deleted",
        "inserted",
        "keeps_uuid",
        "mutations",
        "overlay",
        "reply_index",
        "verified",
        "written",
    )

    def __init__(self, overlay: Row, inserted: bool) -> None:
        #: The row as it will be.
        self.overlay = overlay
        self.inserted = inserted
        #: For an inserted row: its UUID is to be the one given, not one that the server chooses.
        self.keeps_uuid = False
        self.deleted = False
        self.written: set[str] = set()
        self.verified: dict[str, Datum] = {}
        #: Mutations by column: atoms (or pairs) to insert, and keys to delete.
        self.mutations: dict[str, tuple[dict[Atom, Any], dict[Atom, Any]]] = {}
        self.reply_index = -1


class Transaction:
    """One transaction of one replica; see the module."""

    def __init__(self, idl: Idl, new_uuid: Callable[[], Uuid] | None = None) -> None:
        self._idl = idl
        self._new_uuid = new_uuid or UuidSource()
        self._pending: dict[Uuid, _Pending] = {}
        self._comments: list[str] = []
        self._increment: tuple[Row, str, bool] | None = None
        self._increment_index = -1
        self._extra: list[Any] = []
        self._real_uuids: dict[Uuid, Uuid] = {}
        self.status = UNCOMMITTED
        #: For ERROR: the server's `<error>` as JSON text, as the tools print it.
        self.error: str | None = None
        #: After SUCCESS: the value of the column given to `increment`.
        self.increment_value: int | None = None

    # -- the view ------------------------------------------------------------------------

    def rows(self, table: str) -> list[Row]:
        """The rows of a table as they will be after this transaction."""
        rows: list[Row] = []
        for row in self._idl.rows(table):
            pending = self._pending.get(row.uuid)
            if pending is None:
                rows.append(row)
            elif not pending.deleted:
                rows.append(pending.overlay)
        for pending in self._pending.values():
            if pending.inserted and not pending.deleted and pending.overlay.table == table:
                rows.append(pending.overlay)
        return rows

    def row(self, table: str, uuid: str) -> Row | None:
        pending = self._pending.get(uuid)  # type: ignore[call-overload]
        if pending is not None and pending.overlay.table == table:
            return None if pending.deleted else pending.overlay
        return self._idl.row(table, uuid)

    def refs(self, row: Row, column: str) -> list[Row]:
        """The rows that a column refers to, as they will be; missing ones left out."""
        target = self._column(row, column).type.key.ref_table
        if target is None:
            return []
        current = self.row(row.table, row.uuid) or row
        rows = [self.row(target, uuid) for uuid in current.uuids(column)]
        return [found for found in rows if found is not None]

    def is_new(self, row: Row) -> bool:
        """Is it a row of this transaction's own?"""
        pending = self._pending.get(row.uuid)
        return pending is not None and pending.inserted

    def real_uuid(self, uuid: Uuid) -> Uuid:
        """After SUCCESS, the UUID that an inserted row got; other UUIDs stay as they are."""
        return self._real_uuids.get(uuid, uuid)

    # -- changes -------------------------------------------------------------------------

    def _column(self, row: Row, column: str) -> ColumnSchema:
        return self._idl.table_schema(row.table).columns[column]

    def _touch(self, row: Row) -> _Pending:
        assert self.status == UNCOMMITTED
        pending = self._pending.get(row.uuid)
        if pending is None:
            overlay = Row(row.table, row.uuid, dict(row.data))
            pending = self._pending[row.uuid] = _Pending(overlay, inserted=False)
        return pending

    def insert(self, table: str, uuid: Uuid | None = None, keep_uuid: bool = False) -> Row:
        """A new row of default values; non-root rows must be referred to or they vanish.

        `uuid` is its provisional UUID, a new one by default; with `keep_uuid` also the real one
        (servers since Open vSwitch 2.16)."""
        columns = self._idl.table_schema(table).columns
        defaults = {name: c.type.default for name, c in columns.items()}
        row = Row(table, uuid or self._new_uuid(), defaults)
        pending = self._pending[row.uuid] = _Pending(row, inserted=True)
        pending.keeps_uuid = keep_uuid
        return row

    def delete(self, row: Row) -> None:
        """Delete a row. A row of a non-root table goes when the last reference to it does."""
        pending = self._touch(row)
        if pending.inserted:
            del self._pending[row.uuid]
        else:
            pending.deleted = True

    def set(self, row: Row, column: str, datum: Datum) -> None:
        """Give a column a new value (in the shape that its type prescribes)."""
        pending = self._touch(row)
        pending.mutations.pop(column, None)
        pending.written.add(column)
        pending.overlay.data[column] = datum

    def verify(self, row: Row, column: str) -> None:
        """Commit only if the column still has the value that the replica shows."""
        pending = self._touch(row)
        original = self._idl.row(row.table, row.uuid)
        if pending.inserted or original is None or column in pending.written:
            return
        if column in original.data:
            pending.verified.setdefault(column, original.data[column])

    def add_elements(self, row: Row, column: str, atoms: Iterable[Atom]) -> None:
        """Add elements to a set; those that are there stay."""
        self._mutate(row, column, dict.fromkeys(atoms), {})

    def remove_elements(self, row: Row, column: str, atoms: Iterable[Atom]) -> None:
        """Remove elements of a set, or pairs of a map by key; missing ones are no error."""
        self._mutate(row, column, {}, dict.fromkeys(atoms))

    def put_pairs(self, row: Row, column: str, pairs: dict[Atom, Atom]) -> None:
        """Set the values of some keys of a map and leave its other keys alone."""
        self._mutate(row, column, pairs, {})

    def _mutate(self, row: Row, column: str, put: dict[Atom, Any], remove: dict[Atom, Any]) -> None:
        pending = self._touch(row)
        schema = self._column(row, column)
        old = pending.overlay.data.get(column, schema.type.default)
        new = _mutated(old, put, remove)
        if schema.type.is_scalar or pending.inserted or column in pending.written:
            self.set(row, column, new[0] if schema.type.is_scalar else new)  # type: ignore[index]
            return
        pending.overlay.data[column] = new
        inserts, deletes = pending.mutations.setdefault(column, ({}, {}))
        for key, value in put.items():
            # A map's "insert" mutation keeps the value of a key that is there: delete it first.
            if value is not None:
                deletes[key] = None
            else:
                deletes.pop(key, None)
            inserts[key] = value
        for key in remove:
            inserts.pop(key, None)
            deletes[key] = None

    def increment(self, row: Row, column: str, force: bool = False) -> None:
        """Add one to an integer column if anything else changes, or in any case with `force`.

        After the commit, `increment_value` has the new value."""
        self._increment = (row, column, force)

    def comment(self, text: str) -> None:
        """Text for the database log; several comments become several lines."""
        self._comments.append(text)

    def add_operation(self, operation: dict[str, Any]) -> None:
        """One more operation, as JSON, at the end of the transaction."""
        self._extra.append(operation)

    def abort(self) -> None:
        """Drop the transaction; a reply that is still to come is ignored."""
        self._idl.forget_transaction(self)
        if self.status in (UNCOMMITTED, INCOMPLETE):
            self.status = ABORTED

    # -- commit --------------------------------------------------------------------------

    def commit(self, dry_run: bool = False) -> str:
        """Send the transaction; with `dry_run` have the server check it and then abort it."""
        if self.status != UNCOMMITTED:
            return self.status
        if self._idl.lock_name is not None and not self._idl.has_lock:
            self.status = NOT_LOCKED
            return self.status
        operations, any_updates = self.operations()
        if dry_run:
            operations.append({"op": "abort"})
        if not any_updates:
            self.status = UNCHANGED
        elif self._idl.send_transaction(self, operations):
            self.status = INCOMPLETE
        else:
            self.status = TRY_AGAIN
        return self.status

    def operations(self) -> tuple[list[Any], bool]:
        """The operations of the transaction, and whether they change anything."""
        operations: list[Any] = []
        if self._idl.lock_name is not None:
            operations.append({"op": "assert", "lock": self._idl.lock_name})
        for pending in self._pending.values():
            if pending.verified:
                operations.append(self._wait_operation(pending))
        any_updates = bool(self._extra)
        for pending in self._pending.values():
            any_updates |= self._add_row_operations(pending, operations)
        if self._increment is not None and (any_updates or self._increment[2]):
            any_updates = True
            self._add_increment(operations, *self._increment[:2])
        operations.extend(self._extra)
        if self._comments:
            operations.append({"op": "comment", "comment": "\n".join(self._comments)})
        return operations, any_updates

    def _where(self, row: Row) -> list[Any]:
        return [["_uuid", "==", self._uuid_json(row.uuid)]]

    def _uuid_json(self, uuid: str) -> list[str]:
        pending = self._pending.get(uuid)  # type: ignore[call-overload]
        if pending is not None and pending.inserted and not pending.keeps_uuid:
            return ["named-uuid", "row" + uuid.replace("-", "_")]
        return ["uuid", uuid]

    def _value_json(self, column: ColumnSchema, datum: Datum) -> Any:
        json = datum_to_json(column.type, datum)
        value = column.type.value
        if column.type.key.name == "uuid" or (value is not None and value.name == "uuid"):
            return self._name_uuids(json)
        return json

    def _name_uuids(self, json: Any) -> Any:
        """`json` with the provisional UUIDs of new rows replaced by their names."""
        if type(json) is not list:
            return json
        if len(json) == 2 and json[0] == "uuid" and type(json[1]) is str:
            return self._uuid_json(json[1])
        return [self._name_uuids(item) for item in json]

    def _wait_operation(self, pending: _Pending) -> dict[str, Any]:
        row = pending.overlay
        return {
            "op": "wait",
            "table": row.table,
            "timeout": 0,
            "where": self._where(row),
            "until": "==",
            "columns": sorted(pending.verified),
            "rows": [
                {
                    name: self._value_json(self._column(row, name), datum)
                    for name, datum in pending.verified.items()
                }
            ],
        }

    def _add_row_operations(self, pending: _Pending, operations: list[Any]) -> bool:
        row = pending.overlay
        if pending.deleted:
            # The server collects rows of other tables by itself once nothing refers to them.
            if self._idl.table_schema(row.table).is_root:
                operations.append({"op": "delete", "table": row.table, "where": self._where(row)})
                return True
            return False
        if pending.inserted:
            pending.reply_index = len(operations)
            operations.append(
                {
                    "op": "insert",
                    "table": row.table,
                    "uuid" if pending.keeps_uuid else "uuid-name": self._uuid_json(row.uuid)[1],
                    "row": self._written_json(pending),
                }
            )
            return True
        changed = False
        if pending.written:
            original = self._idl.row(row.table, row.uuid)
            old = {} if original is None else original.data
            changed = any(
                name not in old or old[name] != row.data[name] for name in pending.written
            )
            operations.append(
                {
                    "op": "update",
                    "table": row.table,
                    "where": self._where(row),
                    "row": self._written_json(pending),
                }
            )
        return self._add_mutations(pending, operations) or changed

    def _written_json(self, pending: _Pending) -> dict[str, Any]:
        row = pending.overlay
        json: dict[str, Any] = {}
        for name in sorted(pending.written):
            column = self._column(row, name)
            if not pending.inserted or row.data[name] != column.type.default:
                json[name] = self._value_json(column, row.data[name])
        return json

    def _add_mutations(self, pending: _Pending, operations: list[Any]) -> bool:
        row = pending.overlay
        mutations: list[Any] = []
        for name, (inserts, deletes) in pending.mutations.items():
            column = self._column(row, name)
            key_name = column.type.key.name
            if deletes:
                keys = tuple(deletes)
                json = atoms_to_json(key_name, keys)
                if column.type.is_map and len(keys) == 1:
                    json = ["set", [atom_to_json(key_name, keys[0])]]
                mutations.append([name, "delete", self._name_uuids(json)])
            if inserts:
                value: Datum = inserts if column.type.is_map else unique_atoms(inserts)
                mutations.append([name, "insert", self._value_json(column, value)])
        if not mutations:
            return False
        operations.append(
            {
                "op": "mutate",
                "table": row.table,
                "where": self._where(row),
                "mutations": mutations,
            }
        )
        return True

    def _add_increment(self, operations: list[Any], row: Row, column: str) -> None:
        where = self._where(row)
        operations.append(
            {
                "op": "mutate",
                "table": row.table,
                "where": where,
                "mutations": [[column, "+=", 1]],
            }
        )
        self._increment_index = len(operations)
        operations.append({"op": "select", "table": row.table, "where": where, "columns": [column]})

    # -- the outcome ---------------------------------------------------------------------

    def connection_lost(self) -> None:
        """The connection went away before the reply came."""
        if self.status == INCOMPLETE:
            self.status = TRY_AGAIN

    def reply(self, result: Any, error: Any) -> None:
        """The server's reply to the transaction."""
        if self.status != INCOMPLETE:
            return
        if error is not None or type(result) is not list:
            self._fail(error if error is not None else result)
            return
        # "aborted" answers the abort that a dry run asked for: everything before it succeeded.
        failures = [
            item
            for item in result
            if type(item) is dict and item.get("error") not in (None, "aborted")
        ]
        if failures:
            tag = failures[0]["error"]
            if tag == "timed out":
                self.status = TRY_AGAIN
            elif tag == "not owner":
                self.status = NOT_LOCKED
            else:
                self._fail(failures[0])
            return
        self._succeed(result)

    def _fail(self, error: Any) -> None:
        self.status = ERROR
        self.error = format_json(error)

    def _succeed(self, result: list[Any]) -> None:
        try:
            for uuid, pending in self._pending.items():
                if pending.inserted:
                    self._real_uuids[uuid] = Uuid(result[pending.reply_index]["uuid"][1])
            if self._increment is not None and self._increment_index >= 0:
                rows = result[self._increment_index]["rows"]
                self.increment_value = rows[0][self._increment[1]] if rows else None
        except (IndexError, KeyError, TypeError):
            self._fail(result)
            return
        self.status = SUCCESS


def _mutated(old: Datum, put: dict[Atom, Any], remove: dict[Atom, Any]) -> Datum:
    if type(old) is dict:
        pairs = {key: value for key, value in old.items() if key not in remove}
        pairs.update(put)
        return _sorted_map(pairs)
    atoms = (set(keys_of(old)) | set(put)) - set(remove)
    return unique_atoms(atoms)
