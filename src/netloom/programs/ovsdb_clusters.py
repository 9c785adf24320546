"""The sockets between the servers of clustered databases.

Each server listens on its own address, and connects to the addresses of all others. A message goes
over any connection on which its receiver has been heard; a server that joins, and so is at no known
address yet, is answered on the connection that it made.

A peer that does not take what is sent to it is cut off when more than the limits of
`cluster/set-backlog-threshold` waits for it: what it misses it will be sent when it is back.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from netloom.base.log import get_logger
from netloom.ovsdb.cluster import Cluster
from netloom.ovsdb.cluster_file import ClusterFile
from netloom.ovsdb.errors import OvsdbError
from netloom.ovsdb.raft.machine import Raft
from netloom.ovsdb.raft.rpc import Rpc, parse_rpc
from netloom.ovsdb.raft.state import Store
from netloom.programs.ovsdb_failure_test import FailureTest
from netloom.programs.ovsdb_remotes import LoggedRpc
from netloom.rpc.jsonrpc import Message, Notify
from netloom.rpc.reconnect import Reconnect
from netloom.transport.address import OVSDB_PORT, parse_address
from netloom.transport.client import ReconnectingClient
from netloom.transport.driver import Connection
from netloom.transport.server import Listener

if TYPE_CHECKING:
    from collections.abc import Callable

    from netloom.ovsdb.server import Server
    from netloom.ovsdb.uuids import Uuid
    from netloom.rpc.fast_json import FastJson
    from netloom.transport.loop import MainLoop
    from netloom.transport.tls import TlsSettings

log = get_logger("raft")
#: After so long a server tries again to listen, in ms.
LISTEN_RETRY_MS = 1000
#: So long a peer may be silent until it is probed; leaders are heard much more often.
PROBE_INTERVAL_MS = 5000
#: What may wait for a peer, in messages and in bytes, and how many messages always may.
BACKLOG_MESSAGES = 500
BACKLOG_BYTES = 4 * 1024**3 - 1
BACKLOG_FREE_MESSAGES = 50


def passive_name(address: str) -> str:
    """Where to listen, as a server whose peers connect to `address`."""
    kind, _, rest = address.partition(":")
    if kind == "unix":
        return f"punix:{rest}"
    host, colon, port = rest.rpartition(":")
    if not colon or not port.isdigit():
        raise OvsdbError("ovsdb error", f"{address}: missing port number")
    return f"p{kind}:{port}:{host}"


class Neighbour:
    """One connection to another server, in either direction."""

    def __init__(self, link: ClusterLink) -> None:
        self._link = link
        self.rpc = LoggedRpc()
        self.connection: Connection[Message] | None = None
        #: Who is at the other end, once that was heard.
        self.sid: Uuid | None = None
        self._n_waiting = 0

    @property
    def is_open(self) -> bool:
        return self.connection is not None and self.connection.is_open

    def opened(self, connection: Connection[Message]) -> None:
        self.connection = connection
        self.rpc.name = connection.name

    def closed(self) -> None:
        self.connection = None
        sid, self.sid = self.sid, None
        self._link.lost(sid)

    def received(self, message: Message) -> None:
        connection = self.connection
        if connection is None:
            return
        if not isinstance(message, Notify):
            log.warn_rl("%s: received unexpected message", connection.name)
            return
        try:
            rpc = parse_rpc(message.method, message.params)
        except OvsdbError as error:
            log.warn_rl("%s: %s", connection.name, error)
            connection.close()
            return
        if self.sid != rpc.sender:
            self.sid = rpc.sender
            log.info("%s: learned server ID %s", connection.name, rpc.sender[:4])
        self._link.received(rpc)

    def send(self, rpc: Rpc) -> None:
        connection = self.connection
        if connection is None:
            return
        backlog = connection.backlog()
        self._n_waiting = self._n_waiting + 1 if backlog else 0
        limits = self._link.backlog
        if self._n_waiting > BACKLOG_FREE_MESSAGES and (
            self._n_waiting > limits[0] or backlog > limits[1]
        ):
            log.info("%s: sending backlog exceeded its limits, disconnecting", connection.name)
            connection.abort()
            return
        self.rpc.send(Notify(rpc.kind, rpc.params()))


class Outgoing(Neighbour):
    """A connection that this server makes, and makes again."""

    def __init__(self, link: ClusterLink, loop: MainLoop, address: str, tls: TlsSettings) -> None:
        super().__init__(link)
        now_ms = loop.clock.now_ms()
        self._backoff = Reconnect(address, now_ms, probe_interval_ms=PROBE_INTERVAL_MS)
        self._backoff.enable(now_ms)
        self._client: ReconnectingClient[Message] = ReconnectingClient(
            loop,
            address,
            self._backoff,
            self._make,
            self.received,
            on_connect=self.opened,
            on_disconnect=lambda error: self.closed(),
            probe=lambda connection: self.rpc.send_echo(),
            default_port=OVSDB_PORT,
            tls=tls,
        )

    def _make(self) -> LoggedRpc:
        self.rpc = LoggedRpc()
        return self.rpc

    def opened(self, connection: Connection[Message]) -> None:
        super().opened(connection)
        self._link.greet(self)

    def close(self) -> None:
        self._client.close()


class ClusterLink:
    """All connections of one clustered database. A runnable: runs its cluster, too."""

    def __init__(
        self, loop: MainLoop, cluster: Cluster, tls: TlsSettings, failure: FailureTest
    ) -> None:
        self._loop = loop
        self._failure = failure
        self._tls = tls
        self.cluster = cluster
        self.backlog = (BACKLOG_MESSAGES, BACKLOG_BYTES)
        self.n_disconnections = 0
        self.outgoing: dict[str, Outgoing] = {}
        self.incoming: list[Neighbour] = []
        self._listener: Listener | None = None
        self._listen_ms: int | None = loop.clock.now_ms()
        self._where = passive_name(cluster.raft.state.local_address)
        #: The server has left its cluster, and everybody was told.
        self.has_ended = False
        self._is_closed = False
        parse_address(self._where, OVSDB_PORT)
        loop.register(self)

    # -- the loop's side -----------------------------------------------------------------

    def deadline(self) -> int | None:
        times = [self.cluster.deadline(), self._listen_ms]
        return min((time for time in times if time is not None), default=None)

    def run(self) -> None:
        if self._is_closed:
            return
        now_ms = self._loop.clock.now_ms()
        if self._listen_ms is not None and now_ms >= self._listen_ms:
            self._listen(now_ms)
        self._failure.prepare(self.cluster, now_ms)
        for batch in self.cluster.run(now_ms):
            messages = self._failure.filter(batch)
            for rpc in messages:
                self._post(rpc)
            if messages:
                self._flush()
            if self._failure.is_last(messages):
                self._failure.crash()
        if self.cluster.raft.has_left:
            self.has_ended = True
            self._loop.wake()
            return
        self._connect()

    def _flush(self) -> None:
        """Have the messages on their way, whatever takes its time now."""
        for peer in (*self.outgoing.values(), *self.incoming):
            if peer.connection is not None:
                peer.connection.flush()

    def _listen(self, now_ms: int) -> None:
        self._listen_ms = None
        try:
            address = parse_address(self._where, OVSDB_PORT)
            self._listener = Listener(self._loop, address, self._accept, self._tls)
        except OSError as error:
            log.warn_rl("%s: listen failed (%s)", self._where, error.strerror)
            self._listen_ms = now_ms + LISTEN_RETRY_MS

    def _accept(self, name: str) -> Connection[Any]:
        peer = Neighbour(self)

        def opened(connection: Connection[Message]) -> None:
            self.incoming.append(peer)
            peer.opened(connection)

        def closed(error: int) -> None:
            del error
            if peer in self.incoming:
                self.incoming.remove(peer)
                peer.closed()

        connection: Connection[Message] = Connection(
            self._loop, peer.rpc, peer.received, closed, name
        )
        connection.on_open = opened
        return connection

    def _connect(self) -> None:
        """Have a connection to each server, and to no one else."""
        wanted = self.cluster.raft.membership.addresses()
        for address in wanted:
            if address not in self.outgoing:
                self.outgoing[address] = Outgoing(self, self._loop, address, self._tls)
        for address in [a for a in self.outgoing if a not in wanted]:
            self.outgoing.pop(address).close()

    # -- messages ------------------------------------------------------------------------

    def greet(self, peer: Neighbour) -> None:
        """Say who is speaking on a new connection."""
        kind, body = self.cluster.raft.membership.greeting()
        raft = self.cluster.raft
        peer.send(Rpc(kind, body, None, "", raft.id, raft.state.cid))

    def received(self, rpc: Rpc) -> None:
        if self._failure.is_silent:
            return
        self._failure.hear(self.cluster.raft, rpc)
        self.cluster.receive(rpc, self._loop.clock.now_ms())
        self._loop.wake()

    def lost(self, sid: Uuid | None) -> None:
        """A connection is gone."""
        self.n_disconnections += 1
        if sid is not None:
            self.cluster.raft.replication.lost_connection(sid)

    def _post(self, rpc: Rpc) -> None:
        if rpc.to is None:
            for peer in self.outgoing.values():
                peer.send(rpc)
            return
        receiver = self.peer_of(rpc.to)
        if receiver is not None:
            receiver.send(rpc)

    def peer_of(self, sid: Uuid) -> Neighbour | None:
        """A connection to a server; None if there is none."""
        outgoing = self.outgoing.get(self.cluster.raft.servers.get(sid, ""))
        if outgoing is not None and outgoing.is_open:
            return outgoing
        peers = [peer for peer in (*self.outgoing.values(), *self.incoming) if peer.sid == sid]
        return next((peer for peer in reversed(peers) if peer.is_open), None)

    def close(self) -> None:
        """Serve the database no longer; a leader has another one take its place first."""
        now_ms = self._loop.clock.now_ms()
        self.cluster.raft.transfer_leadership("this server is shutting down", now_ms)
        for rpc in self.cluster.raft.flush(now_ms):
            self._post(rpc)
        self._is_closed = True
        self._loop.unregister(self)
        if self._listener is not None:
            self._listener.close()
        for outgoing in self.outgoing.values():
            outgoing.close()
        for peer in list(self.incoming):
            if peer.connection is not None:
                peer.connection.close()


class Clusters:
    """All clustered databases. A runnable: has those removed whose cluster this server left."""

    def __init__(
        self, loop: MainLoop, server: Server, tls: TlsSettings, remove: Callable[[str], None]
    ) -> None:
        self._loop = loop
        self._server = server
        self._tls = tls
        self.links: dict[str, ClusterLink] = {}
        self._failure = FailureTest()
        self._remove = remove
        loop.register(self)

    def run(self) -> None:
        for name, link in list(self.links.items()):
            if link.has_ended:
                log.info("%s: removing database because server left its cluster", name)
                self._remove(name)

    def deadline(self) -> int | None:
        """Links wake the loop when they leave."""
        return None

    def add(self, path: str, codec: FastJson) -> str:
        """Serve the database of a cluster's file; its name. Raises `OvsdbError`."""
        file = ClusterFile(path, codec.decode, codec.encode)
        try:
            if file.state.has_left:
                raise OvsdbError("ovsdb error", f"{path}: server has left the cluster")
            now_ms = self._loop.clock.now_ms()
            raft = Raft(Store(file.state, file), now_ms, random.randrange)
            cluster = Cluster(self._server, raft, file)
            link = ClusterLink(self._loop, cluster, self._tls, self._failure)
        except OSError as error:
            file.close()
            raise OvsdbError("I/O error", path, io_error=error.strerror) from error
        except OvsdbError:
            file.close()
            raise
        name = cluster.name
        try:
            self._server.add_database(cluster.first_database(), None, cluster=cluster)
        except OvsdbError:
            link.close()
            file.close()
            raise
        log.info("local server ID is %s", raft.id[:4])
        self.links[name] = link
        return name

    def engage_failure(self, scenario: str) -> str:
        """Have this server fail (`cluster/failure-test`); the answer to the command."""
        rafts = [link.cluster.raft for link in self.links.values()]
        answer = self._failure.engage(scenario, rafts, self._loop.clock.now_ms())
        self._loop.wake()
        return answer

    def forget(self, name: str) -> None:
        """A database was removed: close its connections, if it had any."""
        link = self.links.pop(name, None)
        if link is not None:
            link.close()

    def close(self) -> None:
        for link in self.links.values():
            link.close()
            link.cluster.close()
