"""A blocking JSON-RPC connection to an OVSDB server, as the tools use it.

    link = open_link("unix:db.sock", Deadline(), tls)
    link.send(Request("list_dbs", [], 0))
    message = link.next_event()

Passive remotes (`ptcp:`, `punix:`, `pssl:`) wait for the server to connect to the tool.
"""

from __future__ import annotations

import _socket
import errno
import posix
import select

from netloom.base.errors import ProtocolError
from netloom.base.log import get_logger
from netloom.rpc.json_codec import LightJson
from netloom.rpc.jsonrpc import Error, JsonRpc, Message, Reply, Request
from netloom.transport.address import parse_address
from netloom.transport.sync import Dialogue, connect
from netloom.transport.sync_stream import Deadline, Stream, wait
from netloom.transport.unix_path import with_short_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from netloom.transport.address import Address
    from netloom.transport.sync import AnyStream
    from netloom.transport.sync_tls import TlsStream
    from netloom.transport.tapes import Tapes
    from netloom.transport.tls_settings import TlsSettings


class LinkError(Exception):
    """The connection could not be made, or was lost; the text is the reason."""


class Link:
    """One connection."""

    def __init__(self, stream: AnyStream, deadline: Deadline) -> None:
        self._rpc = JsonRpc(LightJson())
        self._dialogue: Dialogue[Message] = Dialogue(stream, self._rpc)
        self._stream = stream
        self._deadline = deadline

    def fileno(self) -> int:
        return self._stream.fileno()

    def send(self, message: Message) -> None:
        """Queue a message; it goes out with the next `next_event` or `flush`."""
        self._rpc.send(message)

    def flush(self) -> None:
        try:
            self._dialogue.flush(self._deadline)
        except OSError as error:
            raise LinkError(error.strerror or str(error)) from None

    def next_event(self) -> Message:
        """Wait for the server's next message."""
        try:
            return self._dialogue.next_event(self._deadline)
        except (EOFError, OSError, ProtocolError) as error:
            raise self._failure(error) from None

    def ready_event(self) -> Message | None:
        """The next message that has come by now; None if there is none."""
        try:
            return self._dialogue.ready_event()
        except (EOFError, OSError, ProtocolError) as error:
            raise self._failure(error) from None

    def _failure(self, error: Exception) -> LinkError:
        if isinstance(error, EOFError):
            return LinkError("End of file")
        if isinstance(error, OSError):
            return LinkError(error.strerror or str(error))
        get_logger("jsonrpc").warn("%s: %s", self._stream.name, error)
        return LinkError(posix.strerror(errno.EPROTO))

    def close(self) -> None:
        self._dialogue.close()


def open_link(
    remote: str, deadline: Deadline, tls: TlsSettings, tapes: Tapes | None = None
) -> Link:
    """Connect to `remote`, or let it connect, as far as `tapes` do not tell what happened then;
    raises `LinkError`."""
    try:
        address = _parse(remote)
        if tapes is None:
            return Link(_open_stream(address, deadline, tls), deadline)
        made = tapes.connect(address.text, lambda: _open_stream(address, deadline, tls))
        return Link(made, deadline)
    except OSError as error:
        raise LinkError(error.strerror or str(error)) from None


def _open_stream(address: Address, deadline: Deadline, tls: TlsSettings) -> Stream | TlsStream:
    if address.passive:
        return _accept(address, deadline, tls)
    if address.kind == "ssl" and tls.must_bootstrap:
        find_packages()
    return connect(address, deadline, tls)


def find_packages() -> None:
    """Make third-party packages importable, which the tools' start scripts do without."""
    import sys

    if "site" not in sys.modules:
        import site

        site.main()


def _parse(remote: str) -> Address:
    """The address of `remote`, with Open vSwitch's remarks on it."""
    kind, _, rest = remote.partition(":")
    if kind not in ("tcp", "ssl"):
        return parse_address(remote)
    name = remote
    if ":" not in rest.rpartition("]")[2]:
        get_logger("stream").warn("The default OVSDB port number has changed from 6632 to 6640")
        name = f"{remote}:6640"
    try:
        return parse_address(remote)
    except OSError as error:
        get_logger("stream_tcp").err("%s: connect: %s", name, error.strerror)
        raise


def _accept(address: Address, deadline: Deadline, tls: TlsSettings) -> Stream | TlsStream:
    """Listen at `address` until one peer has connected."""
    listener = _listen(address)
    try:
        while True:
            wait(listener.fileno(), select.POLLIN, deadline)
            try:
                # The method of the C module returns the descriptor of the new connection.
                fd, _ = listener._accept()  # type: ignore[attr-defined]
                break
            except BlockingIOError:
                continue
    finally:
        listener.close()
        if address.kind == "unix":
            posix.unlink(address.path)
    sock = _socket.socket(listener.family, _socket.SOCK_STREAM, 0, fd)
    sock.setblocking(False)
    if address.kind != "ssl":
        return Stream(sock, address.text)
    return _accept_tls(sock, address, deadline, tls)


def _listen(address: Address) -> _socket.socket:
    if address.kind == "unix":
        sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        with_short_name(address.path, sock.bind)
    else:
        host = address.host or "0.0.0.0"
        family = _socket.AF_INET6 if ":" in host else _socket.AF_INET
        sock = _socket.socket(family, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
        sock.bind((host, address.port))
    sock.listen(1)
    sock.setblocking(False)
    return sock


def _accept_tls(
    sock: _socket.socket, address: Address, deadline: Deadline, tls: TlsSettings
) -> TlsStream:
    import socket

    from netloom.transport.sync_tls import TlsStream
    from netloom.transport.tls import make_context

    plain = socket.socket(fileno=sock.detach())
    plain.setblocking(False)
    context = make_context(tls, server=True)
    stream = TlsStream(
        context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False), address.text
    )
    stream.handshake(deadline)
    return stream


def in_random_order(remotes: Sequence[str]) -> list[str]:
    """The members of a cluster in the order to try them: clients spread over them by chance."""
    return sorted(remotes, key=lambda _remote: posix.urandom(8))


def leads(link: Link, database: str) -> bool:
    """Whether the server at the other end leads the cluster that keeps `database` (ovsdb(7)).

    A server leads every database that is not clustered, and one that knows no database `_Server`
    is too old for clusters. Raises `LinkError`."""
    return bool(_state_of(link, database)["leader"])


def is_in_cluster(link: Link, database: str) -> bool:
    """Whether the server at the other end can know what is committed to `database`, as all can but
    members of a cluster that are cut off from it. Raises `LinkError`."""
    return bool(_state_of(link, database)["connected"])


def _state_of(link: Link, database: str) -> dict[str, Any]:
    """What the server says of a database; the best if it says nothing."""
    best = {"leader": True, "connected": True}
    select = {
        "op": "select",
        "table": "Database",
        "where": [["name", "==", database]],
        "columns": list(best),
    }
    link.send(Request("transact", ["_Server", select], "leader"))
    while True:
        message = link.next_event()
        if isinstance(message, Error) and message.id == "leader":
            return best
        if isinstance(message, Reply) and message.id == "leader":
            rows = message.result[0].get("rows", [])
            return rows[0] if rows else best
