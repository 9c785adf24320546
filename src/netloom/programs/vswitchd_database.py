"""ovs-vswitchd's connection to the database: a replica kept in step over a kept connection."""

from __future__ import annotations

from netloom.ovsdb.idl import Idl
from netloom.rpc.fast_json import FastJson
from netloom.rpc.jsonrpc import JsonRpc, Message, Request, format_message
from netloom.rpc.reconnect import Reconnect
from netloom.transport.client import ReconnectingClient
from netloom.transport.driver import Connection
from netloom.transport.loop import MainLoop
from netloom.transport.tls import TlsSettings

#: A database server that says nothing for this long is asked whether it lives. On a Unix socket
#: the kernel tells when it died.
PROBE_MS = 5_000


class DatabaseClient:
    """Carries messages between an `Idl` and a server."""

    def __init__(self, loop: MainLoop, remote: str, idl: Idl, tls: TlsSettings) -> None:
        self._idl = idl
        self._codec = FastJson()
        self._rpc: JsonRpc | None = None
        is_local = remote.startswith(("unix:", "punix:"))
        self._backoff = Reconnect(
            remote, loop.clock.now_ms(), probe_interval_ms=0 if is_local else PROBE_MS
        )
        self._backoff.enable(loop.clock.now_ms())
        self._client: ReconnectingClient[Message] = ReconnectingClient(
            loop,
            remote,
            self._backoff,
            self._make,
            self._received,
            on_connect=self._connected,
            on_disconnect=self._disconnected,
            probe=self._probe,
            tls=tls,
        )

    def _make(self) -> JsonRpc:
        self._rpc = JsonRpc(self._codec)
        return self._rpc

    def _connected(self, connection: Connection[Message]) -> None:
        del connection
        self._idl.connected()

    def _disconnected(self, error: int) -> None:
        del error
        self._idl.disconnected()

    def _received(self, message: Message) -> None:
        self._idl.receive(format_message(message))

    def _probe(self, connection: Connection[Message]) -> None:
        del connection
        if self._rpc is not None:
            self._rpc.send_echo()

    def push(self) -> None:
        """Hand over what the replica has to say; call it last in a turn."""
        messages = self._idl.take_messages()
        if self._rpc is not None:
            for message in messages:
                self._rpc.send(Request(message["method"], message["params"], message["id"]))

    def close(self) -> None:
        self._client.close()
