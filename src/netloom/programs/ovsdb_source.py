"""The connection to the server that a database follows: the source of a relay, or the active
server of a backup."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Protocol

from netloom.programs.ovsdb_remotes import LoggedRpc
from netloom.rpc.reconnect import CONNECT, DEFAULT_MIN_BACKOFF_MS, Reconnect
from netloom.transport.address import OVSDB_PORT
from netloom.transport.client import ReconnectingClient

if TYPE_CHECKING:
    from collections.abc import Callable

    from netloom.ovsdb.server_config import Source
    from netloom.rpc.jsonrpc import Message, Request
    from netloom.transport.driver import Connection
    from netloom.transport.loop import MainLoop
    from netloom.transport.tls import TlsSettings


class Follower(Protocol):
    """What copies a database: `netloom.ovsdb.relay.Relay` or `replication.Replication`."""

    def connected(self, send: Callable[[Request], None]) -> None: ...

    def received(self, message: Message) -> None: ...

    def disconnected(self) -> None: ...


class _Turns(Reconnect):
    """Reconnects to one remote after the other."""

    def __init__(self, remotes: list[str], now_ms: int, source: Source, probes: bool) -> None:
        options = source.options
        super().__init__(
            remotes[0],
            now_ms,
            max_backoff_ms=options.max_backoff_ms,
            probe_interval_ms=options.probe_interval_ms if probes else 0,
        )
        self._remotes = remotes
        self._turn = 0
        #: The client that is to connect to `name`.
        self.client: ReconnectingClient[Message] | None = None
        if len(remotes) > 1:
            self.set_backoff_free_tries(len(remotes))

    def run(self, now_ms: int) -> str | None:
        action = super().run(now_ms)
        if action == CONNECT:
            self.name = self._remotes[self._turn % len(self._remotes)]
            self._turn += 1
            if self.client is not None:
                self.client.address = self.name
        return action


class SourceLink:
    """Keeps one follower connected to its source. `on_message` is called after each message that
    the follower took, to see what it made of it."""

    def __init__(
        self,
        loop: MainLoop,
        source: Source,
        follower: Follower,
        tls: TlsSettings,
        on_message: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._follower = follower
        self._on_message = on_message
        self._rpc = LoggedRpc()
        now_ms = loop.clock.now_ms()
        # Followers of one cluster spread over its members by chance.
        remotes = source.remotes
        order = remotes if loop.is_taped else random.sample(remotes, len(remotes))
        order = order or [""]
        self._backoff = _Turns(order, now_ms, source, not loop.is_taped)
        self._backoff.enable(now_ms)
        self._client: ReconnectingClient[Message] = ReconnectingClient(
            loop,
            order[0],
            self._backoff,
            self._make,
            self._received,
            on_connect=self._connected,
            on_disconnect=self._disconnected,
            probe=lambda connection: self._rpc.send_echo(),
            default_port=OVSDB_PORT,
            tls=tls,
            dscp=source.options.dscp,
        )
        self._backoff.client = self._client
        loop.wake()

    @property
    def peer(self) -> str:
        """The name of the connection, for the log."""
        return self._rpc.name

    def set_options(self, source: Source) -> None:
        """The same source, to be reached in another manner."""
        self._backoff.set_backoff(DEFAULT_MIN_BACKOFF_MS, source.options.max_backoff_ms)
        if not self._loop.is_taped:
            self._backoff.set_probe_interval(source.options.probe_interval_ms)

    def try_another(self) -> None:
        """Give up this connection for the next one."""
        self._backoff.force_reconnect(self._loop.clock.now_ms())
        self._loop.wake()

    def _make(self) -> LoggedRpc:
        self._rpc = LoggedRpc()
        return self._rpc

    def _connected(self, connection: Connection[Message]) -> None:
        self._rpc.name = connection.name
        self._follower.connected(self._rpc.send)

    def _received(self, message: Message) -> None:
        self._follower.received(message)
        self._on_message()

    def _disconnected(self, error: int) -> None:
        del error
        self._follower.disconnected()

    def close(self) -> None:
        self._client.close()
