"""The work of mechanism drivers after commits, as rows."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
from sqlalchemy import bindparam, delete, select, update

from netloom.network.document import Change
from netloom.network.store.schema import DRIVER_TASKS
from netloom.network.store.transaction import Transaction

_decode = msgspec.json.Decoder().decode
_FIRST = (
    select(DRIVER_TASKS)
    .where(DRIVER_TASKS.c.driver == bindparam("name"))
    .order_by(DRIVER_TASKS.c.id)
    .limit(1)
)
_DONE = delete(DRIVER_TASKS).where(DRIVER_TASKS.c.id == bindparam("task"))
_POSTPONE = (
    update(DRIVER_TASKS)
    .where(DRIVER_TASKS.c.id == bindparam("task"))
    .values(due_ms=bindparam("at"), attempts=DRIVER_TASKS.c.attempts + 1, error=bindparam("text"))
)


class Task(NamedTuple):
    """A change that a driver has to carry out."""

    id: int
    due_ms: int
    attempts: int
    change: Change
    error: str


def first(transaction: Transaction, driver: str) -> Task | None:
    """The driver's oldest task."""
    row = transaction.connection.execute(_FIRST, {"name": driver}).mappings().first()
    if row is None:
        return None
    change = Change(*_decode(row["change"]))
    return Task(row["id"], row["due_ms"], row["attempts"], change, row["error"])


def done(transaction: Transaction, task: int) -> None:
    """The task is carried out."""
    transaction.connection.execute(_DONE, {"task": task})


def postpone(transaction: Transaction, task: int, due_ms: int, error: str) -> None:
    """The task failed; it is tried again."""
    transaction.connection.execute(_POSTPONE, {"task": task, "at": due_ms, "text": error})
