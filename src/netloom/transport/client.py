"""Connections that are kept: made, lost, made again.

`ReconnectingClient` is a runnable that does what a back-off machine decides and reports to it what
happened. The machine is given by the program (`netloom.rpc.reconnect.Reconnect` is one): this
package knows only its shape.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from netloom.base.machine import Machine

from .address import OVSDB_PORT, Address, parse_address
from .driver import Connection, error_number
from .dscp import set_dscp
from .loop import MainLoop
from .playback import Player
from .played_transport import PlayedTransport
from .tls import bootstrap, make_context, server_hostname
from .tls_settings import TlsSettings
from .unix_path import with_short_name

Event = TypeVar("Event")


class Backoff(Protocol):
    """Decides when to connect. Actions are "connect", "disconnect", "probe" or None; errors are
    system error numbers, -1 for the end of the stream, 0 for none."""

    def run(self, now_ms: int) -> str | None: ...

    def deadline(self) -> int | None: ...

    def connecting(self, now_ms: int) -> None: ...

    def connected(self, now_ms: int) -> None: ...

    def connect_failed(self, now_ms: int, error: int = 0) -> None: ...

    def disconnected(self, now_ms: int, error: int = 0) -> None: ...

    def activity(self, now_ms: int) -> None: ...


async def open_connection(
    loop: MainLoop,
    address: Address,
    connection: Connection[Any],
    tls: TlsSettings | None = None,
    dscp: int | None = None,
) -> None:
    """Connect `connection` to an active `address`, with a class of service for its packets;
    OSError if that fails."""
    settings = tls or TlsSettings()
    loop.n_called += 1
    if loop.player is not None:
        await _play_connection(loop, loop.player, address, connection)
        return
    context = make_context(settings, server=False) if address.kind == "ssl" else None
    try:
        sock = await _connect_socket(loop, address, dscp)
    except OSError as error:
        if loop.recorder is not None:
            loop.recorder.open(address.text, error_number(error))
        raise
    if loop.recorder is not None:
        connection.track = loop.recorder.open(address.text)
    try:
        await loop.aio.create_connection(
            lambda: connection,
            sock=sock,
            ssl=context,
            server_hostname=(server_hostname(address, settings) or "") if context else None,
        )
    except OSError as error:
        sock.close()
        if connection.track is not None:
            connection.track.failed(error_number(error))
        raise
    if context is not None and settings.must_bootstrap:
        try:
            bootstrap(connection.extra_info("ssl_object"), settings)
        except OSError:
            connection.abort()
            raise


async def _play_connection(
    loop: MainLoop, player: Player, address: Address, connection: Connection[Any]
) -> None:
    """Connect `connection` to what was recorded, as soon as it is time for that."""
    is_time = asyncio.Event()
    player.call(address.text, is_time.set)
    loop.wake()
    await is_time.wait()
    PlayedTransport(loop, player.open(address.text), connection)


async def _connect_socket(loop: MainLoop, address: Address, dscp: int | None) -> socket.socket:
    if address.kind == "unix":
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        sock.setblocking(False)
        try:
            with_short_name(address.path, sock.connect)
        except OSError:
            sock.close()
            raise
        return sock
    try:
        found = await loop.aio.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except socket.gaierror:
        raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT)) from None
    family, kind, proto, _, target = found[0]
    sock = socket.socket(family, kind | socket.SOCK_CLOEXEC, proto)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        set_dscp(sock, dscp)
        await loop.aio.sock_connect(sock, target)
    except (OSError, asyncio.CancelledError):
        sock.close()
        raise
    return sock


class ReconnectingClient(Generic[Event]):
    """A runnable that keeps a connection to `address`.

    For each connection `make()` gives a fresh machine, `on_connect(connection)` is called when it
    is up, `on_event(event)` for each event, `on_disconnect(error)` when it is gone.
    `probe(connection)` is to send what the peer will answer. `dscp`: see `set_dscp`.
    """

    def __init__(
        self,
        loop: MainLoop,
        address: str,
        backoff: Backoff,
        make: Callable[[], Machine[Event]],
        on_event: Callable[[Event], None],
        *,
        on_connect: Callable[[Connection[Event]], None] | None = None,
        on_disconnect: Callable[[int], None] | None = None,
        probe: Callable[[Connection[Event]], None] | None = None,
        default_port: int = OVSDB_PORT,
        tls: TlsSettings | None = None,
        dscp: int | None = None,
    ) -> None:
        self.address = address
        self.connection: Connection[Event] | None = None
        #: The error of the last failed attempt or lost connection (a number as in Backoff).
        self.last_error = 0
        self._loop = loop
        self._backoff = backoff
        self._make = make
        self._on_event = on_event
        self._on_connect = on_connect
        self._on_disconnect = on_disconnect
        self._probe = probe
        self._default_port = default_port
        self._tls = tls
        self._dscp = dscp
        self._task: asyncio.Task[None] | None = None
        loop.register(self)

    def run(self) -> None:
        now_ms = self._loop.clock.now_ms()
        action = self._backoff.run(now_ms)
        if action == "connect":
            self._start(now_ms)
        elif action == "disconnect":
            self._drop(now_ms)
        elif action == "probe" and self.connection is not None and self._probe is not None:
            self._probe(self.connection)

    def deadline(self) -> int | None:
        return self._backoff.deadline()

    def _start(self, now_ms: int) -> None:
        self._backoff.connecting(now_ms)
        try:
            address = parse_address(self.address, self._default_port)
            if address.passive:
                raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
        except OSError as error:
            self.last_error = error_number(error)
            self._backoff.connect_failed(now_ms, self.last_error)
            return
        connection: Connection[Event] = Connection(
            self._loop, self._make(), self._on_event, self._closed, self.address
        )
        if not (address.kind == "ssl" and self._tls is not None and self._tls.must_bootstrap):
            connection.on_open = self._opened
        connection.on_activity = lambda: self._backoff.activity(self._loop.clock.now_ms())
        self._task = self._loop.aio.create_task(self._attempt(address, connection))

    async def _attempt(self, address: Address, connection: Connection[Event]) -> None:
        try:
            await open_connection(self._loop, address, connection, self._tls, self._dscp)
        except OSError as error:
            self._task = None
            self.last_error = error_number(error)
            self._backoff.connect_failed(self._loop.clock.now_ms(), self.last_error)
            self._loop.wake()

    def _opened(self, connection: Connection[Event]) -> None:
        self._task = None
        self.connection = connection
        self._backoff.connected(self._loop.clock.now_ms())
        if self._on_connect is not None:
            self._on_connect(connection)

    def _drop(self, now_ms: int) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None
            self.last_error = errno.ETIMEDOUT
        elif self.connection is not None:
            connection, self.connection = self.connection, None
            connection.abort()
            if self._on_disconnect is not None:
                self._on_disconnect(0)
        self._backoff.disconnected(now_ms)

    def _closed(self, error: int) -> None:
        if self.connection is None:
            return
        self.connection = None
        self.last_error = error
        self._backoff.disconnected(self._loop.clock.now_ms(), error)
        if self._on_disconnect is not None:
            self._on_disconnect(error)

    def close(self) -> None:
        """Disconnect and do not come back."""
        self._loop.unregister(self)
        if self._task is not None:
            self._task.cancel()
            self._task = None
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.close()
