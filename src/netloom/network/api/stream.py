"""The watch as a stream of lines.

Each line is one JSON object: `{"revision": N, "changes": [...]}` for each revision in order;
`{"revision": N}` alone now and then, so that both sides know that the other lives; and at the end
`{"error": "expired"}` if the journal no longer has what follows. Before each batch of lines, so
at least every `QUIET_S`, the watcher's right is looked at again: a token that has ended or was
revoked ends the stream. A watcher that does not read is waited for; what it misses stays in the
journal.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

from netloom.network.api.hub import Hub
from netloom.network.store import journal
from netloom.network.store.database import Database
from netloom.network.store.transaction import Transaction

#: Seconds between signs of life.
QUIET_S = 5.0
#: Revisions read at once.
BATCH = 200

Run = Callable[[Callable[[], Any]], Awaitable[Any]]
#: Whether who watches may still do so.
MayGoOn = Callable[[], Awaitable[bool]]


def _read(transaction: Transaction, after: int) -> list[journal.Entry] | None:
    try:
        return journal.after(transaction, after, BATCH)
    except journal.Expired:
        return None


async def stream_changes(
    database: Database, hub: Hub, since: int, run: Run, may_go_on: MayGoOn
) -> AsyncIterator[bytes]:
    """Lines for every revision after `since`, as long as the watcher may have them."""
    while await may_go_on():
        entries = await run(partial(database.read, partial(_read, after=since)))
        if entries is None:
            yield b'{"error":"expired"}\n'
            return
        for entry in entries:
            since = entry.revision
            yield f'{{"revision":{entry.revision},"changes":{entry.changes}}}\n'.encode()
        if len(entries) < BATCH and not await hub.wait(since, QUIET_S):
            yield f'{{"revision":{since}}}\n'.encode()
