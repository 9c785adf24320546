"""The backup role of ovsdb-server: the connection to the active server, and the change of roles.

`netloom.ovsdb.replication` copies; this module connects it, and answers the commands about it. A
server with an active server to follow is a backup from the moment it is told to be one, connected
or not, until it is told otherwise or replication ends for good.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from netloom.ovsdb.replication import Excluded, Replication
from netloom.programs.ovsdb_remotes import LoggedRpc
from netloom.rpc.reconnect import Reconnect
from netloom.transport.address import OVSDB_PORT
from netloom.transport.client import ReconnectingClient

if TYPE_CHECKING:
    from netloom.ovsdb.server import Server
    from netloom.rpc.jsonrpc import Message
    from netloom.transport.driver import Connection
    from netloom.transport.loop import MainLoop
    from netloom.transport.tls import TlsSettings

#: Copying much takes an active server long, so it is asked seldom whether it lives.
DEFAULT_PROBE_INTERVAL_MS = 60_000


class Standby:
    """The role of the server, and what it is to follow as a backup."""

    def __init__(self, loop: MainLoop, server: Server, tls: TlsSettings) -> None:
        self._loop = loop
        self._server = server
        self._tls = tls
        #: The server to follow when told to; None if none was named.
        self.active: str | None = None
        self.excluded = Excluded({})
        self._probe_interval_ms = DEFAULT_PROBE_INTERVAL_MS
        self._replication: Replication | None = None
        self._backoff: Reconnect | None = None
        self._client: ReconnectingClient[Message] | None = None
        self._rpc = LoggedRpc()

    def connect(self) -> bool:
        """Become the backup of the active server that was named; False if none was."""
        if self.active is None:
            return False
        self._close()
        loop, now_ms = self._loop, self._loop.clock.now_ms()
        self._server.is_backup = True
        self._replication = Replication(self._server, self.active, self.excluded)
        self._backoff = Reconnect(self.active, now_ms, probe_interval_ms=self._probe_interval_ms)
        self._backoff.enable(now_ms)
        self._client = ReconnectingClient(
            loop,
            self.active,
            self._backoff,
            self._make,
            self._received,
            on_connect=self._connected,
            on_disconnect=self._disconnected,
            probe=lambda connection: self._rpc.send_echo(),
            default_port=OVSDB_PORT,
            tls=self._tls,
        )
        loop.wake()
        return True

    def disconnect(self) -> None:
        """Follow nobody: take the active role."""
        self._close()
        self._server.is_backup = False

    def _close(self) -> None:
        if self._client is not None:
            self._client.close()
        self._client = self._backoff = self._replication = None

    def close(self) -> None:
        """Close the connection; the role stays, for the server ends."""
        self._close()

    def exclude(self, excluded: Excluded) -> None:
        """Leave other tables out; a backup begins anew."""
        self.excluded = excluded
        if self._server.is_backup:
            self.connect()

    def set_probe_interval(self, interval_ms: int) -> None:
        """How long the active server may be silent until it is probed."""
        self._probe_interval_ms = interval_ms
        if self._backoff is not None:
            self._backoff.set_probe_interval(interval_ms)

    def status(self) -> str:
        """The text of `ovsdb-server/sync-status`."""
        if self._replication is None:
            return "state: active\n"
        return f"state: backup\n{self._replication.status()}"

    # -- the connection ------------------------------------------------------------------

    def _make(self) -> LoggedRpc:
        self._rpc = LoggedRpc()
        return self._rpc

    def _connected(self, connection: Connection[Message]) -> None:
        self._rpc.name = connection.name
        if self._replication is not None:
            self._replication.connected(self._rpc.send)

    def _received(self, message: Message) -> None:
        replication = self._replication
        if replication is None:
            return
        replication.received(message)
        if replication.error is not None:
            self.disconnect()

    def _disconnected(self, error: int) -> None:
        del error
        if self._replication is not None:
            self._replication.disconnected()
