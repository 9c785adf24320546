"""`netloom network serve` and `netloom network db upgrade`: wires the service together."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import sys
import uuid
from dataclasses import replace
from pathlib import Path
from types import FrameType

import uvicorn

from netloom.base.clock import SystemClock
from netloom.base.errors import ConfigError
from netloom.base.log import get_logger
from netloom.network.api.app import Application
from netloom.network.api.dispatch import Authenticator, Service
from netloom.network.call import Parts
from netloom.network.config.load import is_loopback, load_settings
from netloom.network.identity.noauth import NoAuth
from netloom.network.ml2.drivers import load_drivers
from netloom.network.settings import Settings
from netloom.network.store import upgrade
from netloom.network.store.database import Database

log = get_logger("network")
CONFIG_FILES = ("/etc/neutron/neutron.conf", "/etc/neutron/plugins/ml2/ml2_conf.ini")
BACKLOG = 2048


def read_settings(config_files: list[Path]) -> Settings:
    """The settings of these files, or of those in the usual places that exist."""
    chosen = config_files or [Path(name) for name in CONFIG_FILES if Path(name).exists()]
    try:
        texts = [(str(path), path.read_text()) for path in chosen]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(str(error)) from None
    settings, warnings = load_settings(texts)
    for warning in warnings:
        log.warn("%s", warning)
    return settings


def with_options(settings: Settings, host: str, port: int, workers: int) -> Settings:
    """The settings with what the command line says instead."""
    if host and settings.auth_strategy == "noauth" and not is_loopback(host):
        raise ConfigError("without authentication only a loopback address will do", "--host")
    return replace(
        settings,
        bind_host=host or settings.bind_host,
        bind_port=port if port >= 0 else settings.bind_port,
        api_workers=workers or settings.api_workers,
    )


def open_database(settings: Settings) -> Database:
    """The store that the settings name; a file of SQLite is made with its folder."""
    if settings.connection.startswith("sqlite:///"):
        Path(settings.connection.removeprefix("sqlite:///")).parent.mkdir(
            parents=True, exist_ok=True
        )
    return Database(settings.connection, SystemClock(), connections=settings.max_pool_size)


def make_application(settings: Settings) -> Application:
    """A service, ready to run in this process."""
    clock = SystemClock()
    parts = Parts(
        settings,
        load_drivers(settings),
        random.SystemRandom().randrange,
        lambda: str(uuid.uuid4()),
        clock.wall_ms,
    )
    authenticator: Authenticator = NoAuth()
    if settings.auth_strategy == "keystone":
        from netloom.network.identity.keystone import Keystone

        authenticator = Keystone(settings.keystone, clock)
    return Application(Service(open_database(settings), parts, authenticator))


def upgrade_database(settings: Settings) -> tuple[str | None, str | None]:
    """Run the migrations that are missing; the revision before and after."""
    database = open_database(settings)
    try:
        return upgrade.upgrade(database.engine)
    finally:
        database.close()


def check_database(settings: Settings) -> None:
    """A file of SQLite is brought up to date; another database must be."""
    database = open_database(settings)
    try:
        with database.engine.connect() as connection:
            present = upgrade.current(connection)
    finally:
        database.close()
    if present == upgrade.newest():
        return
    if not database.is_sqlite:
        raise ConfigError(
            "the database is not up to date; run `netloom network db upgrade`",
            "[database] connection",
        )
    upgrade_database(settings)


def listen_unix(path: Path) -> socket.socket:
    """A Unix socket that only its owner may open, for agents and clients of this machine."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    path.unlink(missing_ok=True)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}", "--unix") from None
    finally:
        os.umask(before)
    listener.listen(BACKLOG)
    return listener


def serve(settings: Settings, unix: Path | None = None) -> int:
    """Serve until a signal ends it; the exit status."""
    check_database(settings)
    load_drivers(settings)
    listeners = [listen_unix(unix)] if unix is not None else []
    family = socket.AF_INET6 if ":" in settings.bind_host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Connections inherit it. Without it, the second part of an answer waits for the client's
    # delayed acknowledgement of the first: 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        listener.bind((settings.bind_host, settings.bind_port))
    except OSError as error:
        raise ConfigError(
            f"{settings.bind_host}:{settings.bind_port}: {error.strerror}", "[DEFAULT] bind_port"
        ) from None
    listener.listen(BACKLOG)
    listeners.append(listener)
    host, port = listener.getsockname()[:2]
    print(f"netloom: serving the Networking API on http://{host}:{port}/", flush=True)
    if settings.api_workers <= 1:
        _run_worker(settings, listeners)
        return 0
    return Supervisor(settings, listeners).run()


def _run_worker(settings: Settings, listeners: list[socket.socket]) -> None:
    config = uvicorn.Config(
        make_application(settings).asgi,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=2,
        # Agents and clients keep their connections; a proxy may close them when it likes.
        timeout_keep_alive=75,
    )
    uvicorn.Server(config).run(sockets=listeners)


class Supervisor:
    """Keeps a number of workers alive; they share the listening sockets."""

    def __init__(self, settings: Settings, listeners: list[socket.socket]) -> None:
        self._settings = settings
        self._listeners = listeners
        self._workers: set[int] = set()
        self._stopping = False

    def run(self) -> int:
        """Start workers, replace those that die, until a signal ends it."""
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        while not self._stopping:
            while len(self._workers) < self._settings.api_workers:
                self._start()
            try:
                pid, status = os.wait()
            except InterruptedError:
                continue
            self._workers.discard(pid)
            if not self._stopping:
                log.warn("worker %d ended (status %d); another one starts", pid, status)
        self._end_workers()
        for pid in list(self._workers):
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
        return 0

    def _start(self) -> None:
        pid = os.fork()
        if pid:
            self._workers.add(pid)
            return
        status = 1
        try:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            _run_worker(self._settings, self._listeners)
            status = 0
        finally:
            sys.stdout.flush()
            os._exit(status)

    def _stop(self, _signal: int, _frame: FrameType | None) -> None:
        self._stopping = True
        self._end_workers()

    def _end_workers(self) -> None:
        for pid in list(self._workers):
            # The signal may come after one was waited for, and before that was noted.
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
