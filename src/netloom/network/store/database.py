"""The database: opening it, running one request as one transaction, trying again.

`run` calls a function with a `Transaction`. If the function loses a race (`Lost`, a broken
constraint, a deadlock, a busy database) everything it did is undone and it runs again, up to
`ATTEMPTS` times; so functions must do nothing but read and write through the transaction. A second
run sees what the winner did and gives the proper answer ("address in use"). No lock outlives a
transaction.

SQLite: one writer at a time takes the write lock when its transaction begins (WAL, so that readers
go on); commits are durable against a crash of the process, and at most the last moments are lost
with the machine. PostgreSQL: READ COMMITTED, many workers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, IntegrityError, NoSuchModuleError, OperationalError
from sqlalchemy.pool import StaticPool

from netloom.base.clock import Clock, format_time
from netloom.base.errors import ConfigError
from netloom.base.log import get_logger
from netloom.network.lost import Lost
from netloom.network.store.transaction import Transaction

log = get_logger("network_store")
T = TypeVar("T")

#: How often a request is run before it is given up.
ATTEMPTS = 24
#: SQLSTATEs after which a transaction may succeed when it runs again.
RETRIED = frozenset({"40001", "40P01", "55P03", "57P01", "08006", "08003", "57P03"})
BUSY_TIMEOUT_MS = 20_000


class Database:
    """A store. `clock` gives the times that are written."""

    def __init__(self, url: str, clock: Clock, *, connections: int = 8) -> None:
        self.url = url
        self._clock = clock
        self.engine = _open(url, connections)
        self.is_sqlite = self.engine.dialect.name == "sqlite"

    def run(self, work: Callable[[Transaction], T], *, write: bool = True) -> tuple[T, int]:
        """`work` in one transaction: its result and the revision it made (0: changed nothing)."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self._once(work, write)
            except (Lost, IntegrityError, OperationalError) as error:
                if attempt == ATTEMPTS or not _may_retry(error):
                    raise
                log.dbg("attempt %d lost a race: %s", attempt, error)
        raise AssertionError("the loop returns or raises")

    def _once(self, work: Callable[[Transaction], T], write: bool) -> tuple[T, int]:
        with self.engine.connect() as connection:
            if write and self.is_sqlite:
                connection = connection.execution_options(netloom_write=True)
            with connection.begin():
                transaction = Transaction(connection, self.now())
                result = work(transaction)
                return result, transaction.commit_journal()

    def read(self, work: Callable[[Transaction], T], *, snapshot: bool = False) -> T:
        """`work` on one state of the store, if `snapshot`; it must not write."""
        with self.engine.connect() as connection:
            if snapshot and not self.is_sqlite:
                connection = connection.execution_options(isolation_level="REPEATABLE READ")
            with connection.begin():
                return work(Transaction(connection, self.now()))

    def now(self) -> str:
        """The time as the API writes it."""
        return format_time("%Y-%m-%dT%H:%M:%SZ", self._clock.wall_ms(), utc=True)

    def close(self) -> None:
        self.engine.dispose()


def _may_retry(error: Exception) -> bool:
    if isinstance(error, Lost | IntegrityError):
        return True
    assert isinstance(error, OperationalError)
    if error.connection_invalidated:
        return True
    state = getattr(error.orig, "sqlstate", None)
    return state in RETRIED if state else "locked" in str(error.orig)


def _open(url: str, connections: int) -> Engine:
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "postgresql":
            # One driver, whatever the URL names: configurations of Neutron say psycopg2 or nothing.
            parsed = parsed.set(drivername="postgresql+psycopg")
            return create_engine(
                parsed,
                pool_size=connections,
                max_overflow=connections,
                pool_pre_ping=False,
                isolation_level="READ COMMITTED",
            )
        if parsed.get_backend_name() != "sqlite":
            raise ConfigError(
                f"{parsed.get_backend_name()}: only sqlite and postgresql are supported",
                "[database] connection",
            )
        engine = _open_sqlite(parsed, connections)
    except (ArgumentError, NoSuchModuleError) as error:
        raise ConfigError(str(error), "[database] connection") from None
    return engine


def _open_sqlite(parsed: Any, connections: int) -> Engine:
    arguments = {"check_same_thread": False, "timeout": BUSY_TIMEOUT_MS / 1000}
    if parsed.database in (None, "", ":memory:"):
        engine = create_engine(parsed, poolclass=StaticPool, connect_args=arguments)
    else:
        engine = create_engine(parsed, pool_size=connections, connect_args=arguments)

    @event.listens_for(engine, "connect")
    def prepare(raw: Any, _record: Any) -> None:
        # The driver's own BEGIN comes too late; `begin` below issues it.
        raw.isolation_level = None
        for pragma in (
            "journal_mode=WAL",
            "synchronous=NORMAL",
            "foreign_keys=ON",
            f"busy_timeout={BUSY_TIMEOUT_MS}",
            "cache_size=-65536",
        ):
            raw.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        write = connection.get_execution_options().get("netloom_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine
