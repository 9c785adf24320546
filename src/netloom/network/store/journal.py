"""Reading the journal: the newest revision, what came after one, and a whole snapshot."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import bindparam, func, select

from netloom.network.document import Document
from netloom.network.store.schema import DOCUMENTS, JOURNAL
from netloom.network.store.transaction import Transaction

_NEWEST = select(func.max(JOURNAL.c.revision))
_OLDEST = select(func.min(JOURNAL.c.revision))
_AFTER = (
    select(JOURNAL.c.revision, JOURNAL.c.body)
    .where(JOURNAL.c.revision > bindparam("after"))
    .order_by(JOURNAL.c.revision)
    .limit(bindparam("limit_"))
)


class Entry(NamedTuple):
    """One revision: `changes` is the JSON text of a list of changes."""

    revision: int
    changes: str


class Expired(Exception):
    """The journal no longer has what follows this revision: list again."""


def newest(transaction: Transaction) -> int:
    """The latest revision; 0 in a new store."""
    return int(transaction.connection.execute(_NEWEST).scalar() or 0)


def after(transaction: Transaction, revision: int, limit: int) -> list[Entry]:
    """The revisions that follow `revision`; `Expired` if some of them are gone."""
    rows = transaction.connection.execute(_AFTER, {"after": revision, "limit_": limit})
    entries = [Entry(int(row[0]), row[1]) for row in rows]
    oldest = int(transaction.connection.execute(_OLDEST).scalar() or 0)
    if oldest > revision + 1 or (not entries and revision > newest(transaction)):
        raise Expired(f"revision {revision}")
    return entries


def snapshot(
    transaction: Transaction, kinds: tuple[str, ...]
) -> tuple[int, dict[str, list[Document]]]:
    """The newest revision and every document of `kinds`, as they were at one moment."""
    revision = newest(transaction)
    found: dict[str, list[Document]] = {}
    for kind in kinds:
        if kind in DOCUMENTS:
            found[kind] = transaction.find(kind)
        else:
            found[kind] = _schedules(transaction, kind.removesuffix("_schedule"))
    return revision, found


def _schedules(transaction: Transaction, kind: str) -> list[Document]:
    """Schedules as they are journalled: one entry for each network or router that has agents."""
    hosts = {agent["id"]: agent["host"] for agent in transaction.find("agent")}
    grouped: dict[str, list[str]] = {}
    for key, agent_id in transaction.relations.schedules(kind):
        grouped.setdefault(key, []).append(agent_id)
    return [
        {"id": key, "agents": agents, "hosts": sorted(hosts[agent] for agent in agents)}
        for key, agents in grouped.items()
    ]
