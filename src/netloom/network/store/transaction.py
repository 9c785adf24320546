"""One request's transaction: documents, claims, relations, and the record of what changed.

Plans see nothing of SQL; this class and `relations` hold all of it. Statements are built once.

* `insert`, `update` and `delete` of documents are recorded; when the request is done,
  `commit_journal` writes the record as one row, whose number is the store's next revision.
* `update` compares and sets `revision_number`. Losing that race raises `Lost`, and the whole
  request runs again (`netloom.network.store.database`).
* `claim_*` say whether the claim was won; they never break the transaction.

The journal is written last, under a lock that lasts from there to the commit (PostgreSQL: an
advisory lock; SQLite has one writer anyway). So the order of revisions is the order of commits, and
whoever has seen revision N has missed nothing below N.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import msgspec
from sqlalchemy import (
    Connection,
    Delete,
    Insert,
    Select,
    Update,
    bindparam,
    delete,
    func,
    insert,
    select,
    text,
    update,
)

from netloom.network.document import Change, Document
from netloom.network.lost import Lost
from netloom.network.store import schema
from netloom.network.store.relations import Relations

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Document).decode

#: Names PostgreSQL's advisory lock of the journal.
JOURNAL_LOCK = 0x6E65746C
NOTIFY_CHANNEL = "netloom_journal"
#: Journal rows that are kept for watchers that resume.
JOURNAL_KEPT = 20_000
#: Old rows are removed once in so many revisions.
JOURNAL_SWEEP = 512
#: Databases limit the parameters of one statement.
CHUNK = 500


@cache
def _get(kind: str) -> Select[str]:
    table = schema.DOCUMENTS[kind]
    return select(table.c.body).where(table.c.id == bindparam("id_"))


@cache
def _by(kind: str, columns: tuple[str, ...]) -> Select[str]:
    table = schema.DOCUMENTS[kind]
    wanted = select(table.c.body)
    for column in columns:
        wanted = wanted.where(table.c[column].in_(bindparam(column, expanding=True)))
    return wanted.order_by(table.c.id)


@cache
def _insert(kind: str) -> Insert:
    return insert(schema.DOCUMENTS[kind])


@cache
def _update(kind: str) -> Update:
    table = schema.DOCUMENTS[kind]
    columns: dict[str, Any] = {
        name: bindparam(f"new_{name}") for name in schema.COLUMNS[kind] if name != "id"
    }
    return (
        update(table)
        .where(table.c.id == bindparam("id_"), table.c.revision_number == bindparam("expected"))
        .values(**columns, body=bindparam("new_body"))
    )


@cache
def _delete(kind: str) -> Delete:
    table = schema.DOCUMENTS[kind]
    return delete(table).where(
        table.c.id == bindparam("id_"), table.c.revision_number == bindparam("expected")
    )


@cache
def _count(kind: str) -> Select[int]:
    table = schema.DOCUMENTS[kind]
    return (
        select(func.count())
        .select_from(table)
        .where(table.c.project_id == bindparam("project_id_"))
    )


_TASK_INSERT = insert(schema.DRIVER_TASKS)
_JOURNAL_INSERT = insert(schema.JOURNAL)
_JOURNAL_SWEEP = delete(schema.JOURNAL).where(schema.JOURNAL.c.revision <= bindparam("limit_"))
_LOCK = text(f"SELECT pg_advisory_xact_lock({JOURNAL_LOCK})")
_NOTIFY = text(f"SELECT pg_notify('{NOTIFY_CHANNEL}', :revision)")


class Transaction:
    """What a plan may do to the store, within one transaction."""

    def __init__(self, connection: Connection, now: str) -> None:
        self.connection = connection
        #: The time of the request as the API writes times.
        self.now = now
        self.changes: list[Change] = []
        self.relations = Relations(connection)
        #: Whether mechanism drivers have work to do after the commit.
        self.has_tasks = False
        #: What was read: (kind, ...) -> documents. Emptied for a kind when it is written.
        self._read: dict[str, dict[Any, Any]] = {}
        self._is_postgresql = connection.dialect.name == "postgresql"

    # Reading

    def get(self, kind: str, key: str) -> Document | None:
        """The document with this id. Nobody may change what this returns: it is kept."""
        kept = self._read.setdefault(kind, {})
        if key not in kept:
            body = self.connection.execute(_get(kind), {"id_": key}).scalar()
            kept[key] = None if body is None else decode(body)
        found: Document | None = kept[key]
        return found

    def find(self, kind: str, **columns: Any) -> list[Document]:
        """The documents whose columns have these values (or one of those in a list), by id."""
        wanted = {
            name: sorted(set(value)) if isinstance(value, list | tuple | set) else [value]
            for name, value in columns.items()
        }
        question = tuple((name, tuple(values)) for name, values in sorted(wanted.items()))
        kept = self._read.setdefault(kind, {})
        if question not in kept:
            kept[question] = self._find(kind, wanted)
        found: list[Document] = kept[question]
        return list(found)

    def _find(self, kind: str, wanted: dict[str, list[Any]]) -> list[Document]:
        statement = _by(kind, tuple(wanted))
        if not wanted:
            return [decode(row[0]) for row in self.connection.execute(statement)]
        longest = max(wanted, key=lambda name: len(wanted[name]))
        values = wanted[longest]
        found: list[Document] = []
        for start in range(0, len(values), CHUNK):
            part = {**wanted, longest: values[start : start + CHUNK]}
            found += [decode(row[0]) for row in self.connection.execute(statement, part)]
        return found

    def run(self, statement: Select[Any], parameters: Mapping[str, Any]) -> list[Document]:
        """The documents that a query of `store.queries` selects."""
        return [decode(row[0]) for row in self.connection.execute(statement, parameters)]

    def count(self, kind: str, project_id: str) -> int:
        """How many of `kind` the project has."""
        return int(self.connection.execute(_count(kind), {"project_id_": project_id}).scalar() or 0)

    # Writing

    def insert(self, kind: str, document: Document) -> Document:
        """Store a new document; sets its revision and times."""
        document["revision_number"] = 1
        document["created_at"] = document["updated_at"] = self.now
        self._read.pop(kind, None)
        self.connection.execute(_insert(kind), _row(kind, document))
        self.changes.append(Change(kind, "create", None, document))
        return document

    def update(self, kind: str, before: Document, after: Document) -> Document:
        """Replace a document, unless someone else has meanwhile (`Lost`)."""
        after["revision_number"] = before["revision_number"] + 1
        after["updated_at"] = self.now
        self._read.pop(kind, None)
        row = {f"new_{name}": value for name, value in _row(kind, after).items() if name != "id"}
        done = self.connection.execute(
            _update(kind), {**row, "id_": before["id"], "expected": before["revision_number"]}
        )
        if done.rowcount != 1:
            raise Lost(f"{kind} {before['id']}")
        self.changes.append(Change(kind, "update", before, after))
        return after

    def touch(self, kind: str, key: str) -> Document | None:
        """Give a document a new revision: requests that touch one thing happen one by one."""
        document = self.get(kind, key)
        return None if document is None else self.update(kind, document, dict(document))

    def delete(self, kind: str, document: Document) -> None:
        """Remove a document, unless someone else has changed it meanwhile (`Lost`)."""
        # Other kinds may go with it.
        self._read.clear()
        done = self.connection.execute(
            _delete(kind), {"id_": document["id"], "expected": document["revision_number"]}
        )
        if done.rowcount != 1:
            raise Lost(f"{kind} {document['id']}")
        self.changes.append(Change(kind, "delete", document, None))

    def note(self, kind: str, document: Document) -> None:
        """Put something into the journal that is no document of the store."""
        self.changes.append(Change(kind, "update", None, document))

    def add_task(self, driver: str, change: Change) -> None:
        """Keep a change for a mechanism driver to carry out after the commit."""
        body = encode([change.kind, change.operation, change.before, change.after]).decode()
        self.connection.execute(
            _TASK_INSERT,
            {"driver": driver, "due_ms": 0, "attempts": 0, "change": body, "error": ""},
        )
        self.has_tasks = True

    # The journal

    def commit_journal(self) -> int:
        """Write what changed as one revision; its number, or 0 if nothing changed."""
        if not self.changes:
            return 0
        body = encode([journal_entry(change) for change in self.changes]).decode()
        if self._is_postgresql:
            self.connection.execute(_LOCK)
        done = self.connection.execute(_JOURNAL_INSERT, {"body": body})
        assert done.inserted_primary_key is not None
        revision = int(done.inserted_primary_key[0])
        if revision % JOURNAL_SWEEP == 0:
            self.connection.execute(_JOURNAL_SWEEP, {"limit_": revision - JOURNAL_KEPT})
        if self._is_postgresql:
            self.connection.execute(_NOTIFY, {"revision": str(revision)})
        return revision


def journal_entry(change: Change) -> dict[str, Any]:
    """A change as watchers get it: what is now, or, of what was deleted, what was last."""
    document = change.document
    return {
        "op": change.operation,
        "kind": change.kind,
        "id": document["id"],
        "body": document,
    }


def _row(kind: str, document: Document) -> dict[str, Any]:
    row = {column: _cell(document.get(key), column) for column, key in schema.COLUMNS[kind].items()}
    row["body"] = encode(document).decode()
    if kind == "agent":
        row["heartbeat_ms"] = document.get("_heartbeat_ms", 0)
    return row


#: Columns in which a missing value is null; elsewhere it is the empty text.
_NULLABLE = frozenset(
    {
        "subnetpool_id",
        "port_id",
        "fixed_ip_address",
        "router_id",
        "remote_group_id",
    }
)


def _cell(value: Any, column: str) -> Any:
    return "" if value is None and column not in _NULLABLE else value
