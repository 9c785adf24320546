"""Waking those who watch: within a process at once, between processes by the database.

PostgreSQL tells every worker of every commit (`LISTEN`); with SQLite a worker looks at the newest
revision a few times a second, which is one page read.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import psycopg
from sqlalchemy.engine import make_url

from netloom.base.log import get_logger
from netloom.network.store import journal
from netloom.network.store.database import Database
from netloom.network.store.transaction import NOTIFY_CHANNEL

log = get_logger("network_hub")
POLL_S = 0.25
RECONNECT_S = 1.0


class Hub:
    """Knows the newest revision that anybody has told of."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.newest = 0
        self._changed = asyncio.Event()

    def published(self, revision: int) -> None:
        """Somebody committed this revision."""
        if revision > self.newest:
            self.newest = revision
            self._changed.set()
            self._changed = asyncio.Event()

    async def wait(self, after: int, timeout_s: float) -> bool:
        """Whether there is something after this revision, within the time."""
        if self.newest > after:
            return True
        with suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), timeout_s)
        return self.newest > after

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Listen to other processes meanwhile."""
        work = self._poll() if self._database.is_sqlite else self._listen()
        task = asyncio.create_task(work)
        try:
            yield
        finally:
            task.cancel()

    async def _poll(self) -> None:
        while True:
            self.published(self._database.read(journal.newest))
            await asyncio.sleep(POLL_S)

    async def _listen(self) -> None:
        url = make_url(self._database.url).set(drivername="postgresql")
        target = url.render_as_string(hide_password=False)
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(target, autocommit=True) as line:
                    await line.execute(f"LISTEN {NOTIFY_CHANNEL}".encode())
                    # What was committed before the line was open.
                    self.published(await asyncio.to_thread(self._database.read, journal.newest))
                    async for note in line.notifies():
                        self.published(int(note.payload))
            except (psycopg.Error, OSError) as error:
                log.warn("listening to the database failed: %s", error)
            await asyncio.sleep(RECONNECT_S)
