"""The connections of relayed databases to their sources (`relay:DB:REMOTE[,REMOTE]...`)."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from netloom.base.log import get_logger
from netloom.ovsdb.database import Database
from netloom.ovsdb.errors import OvsdbError
from netloom.ovsdb.relay import Relay, empty_schema
from netloom.programs.ovsdb_remotes import LoggedRpc
from netloom.rpc.reconnect import CONNECT, Reconnect
from netloom.transport.address import OVSDB_PORT
from netloom.transport.client import ReconnectingClient

if TYPE_CHECKING:
    from netloom.ovsdb.server import Server
    from netloom.rpc.jsonrpc import Message
    from netloom.transport.driver import Connection
    from netloom.transport.loop import MainLoop
    from netloom.transport.tls import TlsSettings

log = get_logger("relay")
_PREFIX = "relay:"
#: A source may have a whole database to send to many relays before it answers a probe.
DEFAULT_PROBE_INTERVAL_MS = 60_000


def is_relay_name(text: str) -> bool:
    """Whether a database argument names a relay."""
    return text.startswith(_PREFIX)


def parse_relay_name(text: str) -> tuple[str, list[str]]:
    """The database and the remotes of `relay:DB:REMOTE[,REMOTE]...`; raises `OvsdbError`."""
    name, colon, remotes = text[len(_PREFIX) :].partition(":")
    if not colon:
        raise OvsdbError("ovsdb error", f"{text}: invalid syntax")
    return name, [remote.strip() for remote in remotes.split(",") if remote.strip()]


class _Turns(Reconnect):
    """Reconnects to one remote after the other."""

    def __init__(self, remotes: list[str], now_ms: int, probe_interval_ms: int) -> None:
        super().__init__(remotes[0], now_ms, probe_interval_ms=probe_interval_ms)
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


class RelayLink:
    """The connection of one relay."""

    def __init__(
        self,
        loop: MainLoop,
        relay: Relay,
        remotes: list[str],
        tls: TlsSettings,
        probe_interval_ms: int = DEFAULT_PROBE_INTERVAL_MS,
    ) -> None:
        self._loop = loop
        self._relay = relay
        self._rpc = LoggedRpc()
        now_ms = loop.clock.now_ms()
        # Relays of one cluster spread over its members by chance.
        order = random.sample(remotes, len(remotes)) or [""]
        self._backoff = _Turns(order, now_ms, probe_interval_ms)
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
        )
        self._backoff.client = self._client

    def set_probe_interval(self, interval_ms: int) -> None:
        """How long the source may be silent until it is probed."""
        self._backoff.set_probe_interval(interval_ms)

    def _make(self) -> LoggedRpc:
        self._rpc = LoggedRpc()
        return self._rpc

    def _connected(self, connection: Connection[Message]) -> None:
        self._rpc.name = connection.name
        self._relay.connected(self._rpc.send)

    def _received(self, message: Message) -> None:
        relay = self._relay
        relay.received(message)
        if relay.unfit is not None:
            reason, relay.unfit = relay.unfit, None
            log.info("%s: %s; trying another server", self._rpc.name, reason)
            self._backoff.force_reconnect(self._loop.clock.now_ms())
            self._loop.wake()

    def _disconnected(self, error: int) -> None:
        del error
        self._relay.disconnected(self._loop.clock.now_ms())

    def close(self) -> None:
        self._client.close()


class Relays:
    """All relays of the server."""

    def __init__(self, loop: MainLoop, server: Server, tls: TlsSettings) -> None:
        self._loop = loop
        self._server = server
        self._tls = tls
        self._links: dict[str, RelayLink] = {}
        self._probe_interval_ms = DEFAULT_PROBE_INTERVAL_MS

    def add(self, text: str) -> None:
        """Serve the database of `relay:DB:REMOTE`; raises `OvsdbError`."""
        name, remotes = parse_relay_name(text)
        relay = Relay(self._server, name)
        self._server.add_database(Database(empty_schema(name)), None, relay)
        self._links[name] = RelayLink(
            self._loop, relay, remotes, self._tls, self._probe_interval_ms
        )
        log.dbg("added database: %s, %s", name, ",".join(remotes))

    def forget(self, name: str) -> None:
        """A database was removed: close its connection, if it had one."""
        link = self._links.pop(name, None)
        if link is not None:
            link.close()
            log.dbg("removed database: %s", name)

    def set_probe_interval(self, interval_ms: int) -> None:
        """How long every source, of these relays and later ones, may be silent."""
        self._probe_interval_ms = interval_ms
        for link in self._links.values():
            link.set_probe_interval(interval_ms)

    def close(self) -> None:
        for link in self._links.values():
            link.close()
