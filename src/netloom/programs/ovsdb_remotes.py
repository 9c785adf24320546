"""The sockets of ovsdb-server: its remotes, and a session for every connection of each.

`Remotes.reconfigure` makes what is so of what is wished: remotes that are no longer wanted are
closed, new ones opened, the others keep their connections. A remote that cannot be opened (a bad
name, a port in use) is logged and tried again; it never stops the server.
"""

from __future__ import annotations

from typing import Any

from netloom.base.errors import ProtocolError
from netloom.base.log import get_logger
from netloom.ovsdb.collector import NoCollection
from netloom.ovsdb.rbac import Rbac
from netloom.ovsdb.remote_config import (
    RemoteOptions,
    default_options,
    desired_remotes,
    is_db_name,
    status_operations,
)
from netloom.ovsdb.server import Server
from netloom.ovsdb.session import Session
from netloom.rpc.fast_json import FastJson
from netloom.rpc.jsonrpc import JsonRpc, Message, Notify, Request
from netloom.rpc.reconnect import DEFAULT_MIN_BACKOFF_MS, Reconnect
from netloom.transport.address import OVSDB_PORT, parse_address
from netloom.transport.client import ReconnectingClient
from netloom.transport.driver import Connection, error_text
from netloom.transport.loop import MainLoop
from netloom.transport.server import Listener
from netloom.transport.signals import FatalSignals
from netloom.transport.tls import TlsSettings, common_name

log = get_logger("ovsdb_jsonrpc_server")
#: How often the status columns are written.
STATUS_INTERVAL_MS = 2500
#: From here on a message is a good part of a database.
_BIG_MESSAGE_BYTES = 1_000_000


class LoggedRpc(JsonRpc):
    """JSON-RPC that logs what was wrong with a message."""

    def __init__(self) -> None:
        super().__init__(FastJson())

    @property
    def name(self) -> str:
        """The peer, for the log."""
        return self._name

    @name.setter
    def name(self, name: str) -> None:
        self._name = name

    def next_event(self) -> Message | None:
        try:
            if len(self._buffer) > _BIG_MESSAGE_BYTES:
                with NoCollection():
                    return super().next_event()
            return super().next_event()
        except ProtocolError as error:
            text = str(error)
            if not text.startswith("error parsing stream"):
                text = f"received bad JSON-RPC message: {text}"
            get_logger("jsonrpc").warn_rl("%s: %s", self.name, text)
            raise


class Client:
    """One connection with its session."""

    def __init__(self, server: Server, options: RemoteOptions) -> None:
        self._server = server
        self._options = options
        self.rpc = LoggedRpc()
        self.session: Session | None = None
        self.connection: Connection[Message] | None = None

    def opened(self, connection: Connection[Message]) -> None:
        self.connection = connection
        self.rpc.name = connection.name
        self.session = Session(
            self._server,
            self.rpc.send_encoded,
            self._disconnect,
            self._options.read_only,
            self._rbac(self._options.role),
        )

    def _rbac(self, role: str) -> Rbac | None:
        """What a remote with that role lets this client do."""
        if not role or self.connection is None:
            return None
        return Rbac(role, common_name(self.connection.extra_info("ssl_object")))

    def set_options(self, options: RemoteOptions) -> None:
        """The remote's row has changed."""
        self._options = options
        if self.session is not None:
            self.session.read_only = options.read_only
            self.session.rbac = self._rbac(options.role)

    def _disconnect(self, reason: str) -> None:
        if self.connection is not None:
            log.info("%s: disconnecting (%s)", self.connection.name, reason)
            self.connection.close()

    def received(self, message: Message) -> None:
        session = self.session
        if session is None:
            return
        if isinstance(message, Request):
            session.request(message.method, message.params, message.id)
        elif isinstance(message, Notify):
            session.notify(message.method, message.params)

    def closed(self) -> None:
        if self.session is not None:
            self.session.closed()
            self.session = None
        self.connection = None

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()


def fill_session_status(status: dict[str, str], server: Server, client: Client | None) -> None:
    """Add what the status column tells about one session's locks."""
    if client is None or client.session is None:
        return
    held, waiting = server.locks.names_of(client.session)
    for key, names in (("locks_held", held), ("locks_waiting", waiting)):
        if names:
            status[key] = " ".join(names)


class ActiveRemote:
    """A remote that the server connects to, and keeps connected to."""

    def __init__(
        self,
        loop: MainLoop,
        server: Server,
        target: str,
        options: RemoteOptions,
        tls: TlsSettings,
    ) -> None:
        self._loop = loop
        self._server = server
        self._options = options
        now_ms = loop.clock.now_ms()
        self._backoff = Reconnect(
            target,
            now_ms,
            max_backoff_ms=options.max_backoff_ms,
            probe_interval_ms=options.probe_interval_ms,
        )
        self._backoff.enable(now_ms)
        self._current: Client | None = None
        self._made: Client | None = None
        self._client = ReconnectingClient(
            loop,
            target,
            self._backoff,
            self._make,
            self._received,
            on_connect=self._connected,
            on_disconnect=self._disconnected,
            probe=lambda connection: self._probe(),
            default_port=OVSDB_PORT,
            tls=tls,
            dscp=options.dscp,
        )

    def _make(self) -> JsonRpc:
        self._made = Client(self._server, self._options)
        return self._made.rpc

    def _connected(self, connection: Connection[Message]) -> None:
        self._current = self._made
        if self._current is not None:
            self._current.opened(connection)

    def _received(self, message: Message) -> None:
        if self._current is not None:
            self._current.received(message)

    def _disconnected(self, error: int) -> None:
        del error
        if self._current is not None:
            self._current.closed()
            self._current = None

    def _probe(self) -> None:
        if self._current is not None:
            self._current.rpc.send_echo()

    def reconnect(self) -> None:
        self._backoff.force_reconnect(self._loop.clock.now_ms())
        self._loop.wake()

    def set_options(self, options: RemoteOptions) -> None:
        self._options = options
        self._backoff.set_backoff(DEFAULT_MIN_BACKOFF_MS, options.max_backoff_ms)
        self._backoff.set_probe_interval(options.probe_interval_ms)
        if self._current is not None:
            self._current.set_options(options)

    def close(self) -> None:
        if self._current is not None:
            self._current.closed()
            self._current = None
        self._client.close()

    @property
    def n_clients(self) -> int:
        return 1 if self._backoff.connected_now else 0

    def status(self, now_ms: int) -> tuple[bool, dict[str, str]]:
        backoff = self._backoff
        status = {"state": backoff.state}
        if backoff.last_connected_ms is not None:
            status["sec_since_connect"] = str((now_ms - backoff.last_connected_ms) // 1000)
        if backoff.last_disconnected_ms is not None:
            since_ms = now_ms - backoff.last_disconnected_ms
            status["sec_since_disconnect"] = str(since_ms // 1000)
        if self._client.last_error:
            status["last_error"] = error_text(self._client.last_error)
        fill_session_status(status, self._server, self._current)
        return backoff.connected_now, status


class PassiveRemote:
    """A remote that the server listens on. A runnable: probes silent peers."""

    def __init__(
        self,
        loop: MainLoop,
        server: Server,
        target: str,
        options: RemoteOptions,
        tls: TlsSettings,
    ) -> None:
        self._loop = loop
        self._server = server
        self._options = options
        self._clients: dict[Client, Reconnect] = {}
        address = parse_address(target, OVSDB_PORT)
        self._listener = Listener(loop, address, self._accept, tls, options.dscp)
        loop.register(self)

    def _accept(self, name: str) -> Connection[Any]:
        client = Client(self._server, self._options)
        now_ms = self._loop.clock.now_ms()
        state = Reconnect(
            name, now_ms, probe_interval_ms=self._options.probe_interval_ms, quiet=True
        )
        state.max_tries = 1
        state.enable(now_ms)

        def opened(connection: Connection[Message]) -> None:
            self._clients[client] = state
            state.connected(self._loop.clock.now_ms())
            client.opened(connection)

        def closed(error: int) -> None:
            self._clients.pop(client, None)
            state.disconnected(self._loop.clock.now_ms(), error)
            client.closed()

        connection: Connection[Message] = Connection(
            self._loop, client.rpc, client.received, closed, name
        )
        connection.on_open = opened
        if self._options.probe_interval_ms:
            connection.on_activity = lambda: state.activity(self._loop.clock.now_ms())
        return connection

    def run(self) -> None:
        if not self._options.probe_interval_ms:
            return
        now_ms = self._loop.clock.now_ms()
        for client, state in list(self._clients.items()):
            action = state.run(now_ms)
            if action == "probe":
                client.rpc.send_echo()
            elif action == "disconnect":
                client.close()

    def deadline(self) -> int | None:
        if not self._options.probe_interval_ms:
            return None
        due = [d for state in self._clients.values() if (d := state.deadline()) is not None]
        return min(due, default=None)

    def reconnect(self) -> None:
        for client in list(self._clients):
            client.close()

    def set_options(self, options: RemoteOptions) -> None:
        self._options = options
        for client, state in self._clients.items():
            state.set_probe_interval(options.probe_interval_ms)
            client.set_options(options)

    def close(self) -> None:
        self._listener.close()
        self._loop.unregister(self)
        for client in list(self._clients):
            client.close()

    @property
    def n_clients(self) -> int:
        return len(self._clients)

    def status(self, now_ms: int) -> tuple[bool, dict[str, str]]:
        status: dict[str, str] = {}
        if self._listener.port:
            status["bound_port"] = str(self._listener.port)
        if self._clients:
            client, state = next(iter(self._clients.items()))
            status["state"] = state.state
            if state.last_connected_ms is not None:
                status["sec_since_connect"] = str((now_ms - state.last_connected_ms) // 1000)
            fill_session_status(status, self._server, client)
            if len(self._clients) > 1:
                status["n_connections"] = str(len(self._clients))
        return bool(self._clients), status


def socket_path(target: str) -> str:
    """The file of a `punix:` remote."""
    return parse_address(target, OVSDB_PORT).path


class Remotes:
    """All remotes of the server; a runnable."""

    def __init__(
        self, loop: MainLoop, server: Server, tls: TlsSettings, signals: FatalSignals
    ) -> None:
        self._signals = signals
        self._loop = loop
        self._server = server
        self._tls = tls
        #: What the configuration and `ovsdb-server/add-remote` named.
        self.wanted: dict[str, RemoteOptions] = {}
        self._open: dict[str, ActiveRemote | PassiveRemote] = {}
        self._options: dict[str, RemoteOptions] = {}
        self._failed: set[str] = set()
        self._dirty = True
        self._next_status_ms = 0
        server.watchers.append(self._database_changed)
        loop.register(self)

    def _database_changed(self, name: str, changes: Any) -> None:
        if any(remote.startswith(f"db:{name},") for remote in self.wanted):
            self._dirty = True

    def add(self, remote: str) -> None:
        self.wanted.setdefault(remote, default_options(remote))
        self.reconfigure()

    def remove(self, remote: str) -> None:
        del self.wanted[remote]
        self.reconfigure()

    def run(self) -> None:
        if self._dirty:
            self.reconfigure()
        now_ms = self._loop.clock.now_ms()
        if now_ms >= self._next_status_ms and not (self._loop.is_taped and self._next_status_ms):
            self._next_status_ms = now_ms + STATUS_INTERVAL_MS
            if self._failed:
                self.reconfigure()
            self._write_status(now_ms)
        self._server.advance(now_ms)

    def deadline(self) -> int | None:
        due_ms = self._server.deadline()
        if self._loop.is_taped:
            return due_ms
        if self._failed or any(is_db_name(remote) for remote in self.wanted):
            due_ms = min(due_ms or self._next_status_ms, self._next_status_ms)
        return due_ms

    def reconfigure(self) -> None:
        """Open and close sockets until they are what is wished."""
        self._dirty = False
        wanted = desired_remotes(self._server, self.wanted)
        if self._loop.is_taped:
            for options in wanted.values():
                options.probe_interval_ms = 0
        for target in [target for target in self._open if target not in wanted]:
            log.info("%s: remote deconfigured", target)
            self._close(target)
        for target, options in wanted.items():
            if target in self._open and options.dscp != self._options[target].dscp:
                self._close(target)
        self._failed &= wanted.keys()
        for target, options in wanted.items():
            remote = self._open.get(target)
            if remote is None:
                self._start(target, options)
            elif options != self._options[target]:
                self._options[target] = options
                remote.set_options(options)

    def _close(self, target: str) -> None:
        self._open.pop(target).close()
        if target.startswith("punix:"):
            self._signals.remove_file(socket_path(target))
        del self._options[target]

    def _start(self, target: str, options: RemoteOptions) -> None:
        arguments = (self._loop, self._server, target, options, self._tls)
        if not target.startswith(("punix:", "ptcp:", "pssl:")):
            self._open[target] = ActiveRemote(*arguments)
        else:
            try:
                self._open[target] = PassiveRemote(*arguments)
            except OSError as error:
                if target not in self._failed:
                    log.err("%s: listen failed: %s", target, error.strerror)
                self._failed.add(target)
                return
            if target.startswith("punix:"):
                self._signals.add_file(socket_path(target))
        self._failed.discard(target)
        self._options[target] = options

    def reconnect(self) -> None:
        """Drop all connections; clients and active remotes connect again."""
        for remote in self._open.values():
            remote.reconnect()

    @property
    def n_sessions(self) -> int:
        return sum(remote.n_clients for remote in self._open.values())

    def _write_status(self, now_ms: int) -> None:
        pointers = [remote for remote in self.wanted if is_db_name(remote)]
        if not pointers:
            return
        statuses = {target: remote.status(now_ms) for target, remote in self._open.items()}
        for pointer in pointers:
            name, operations = status_operations(self._server, pointer, statuses)
            cluster = self._server.served[name].cluster if operations else None
            # All servers of a cluster have one row for their remotes: the leader tells of its own.
            if operations and (cluster is None or cluster.raft.is_leader):
                self._server.change_internally(name, operations)

    def close(self) -> None:
        for remote in self._open.values():
            remote.close()
        self._open.clear()
