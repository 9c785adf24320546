"""Listening sockets: `punix:`, `ptcp:`, `pssl:`."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Callable
from typing import Any

from netloom.base.log import get_logger

from .address import Address
from .driver import Connection, error_number
from .dscp import set_dscp
from .loop import MainLoop
from .playback import PlayedTrack
from .played_transport import PlayedTransport
from .recording import Track
from .tls import make_context
from .tls_settings import TlsSettings
from .unix_path import with_short_name

log = get_logger("socket_util")
_fatal_log = get_logger("fatal_signal")
_unix_log = get_logger("stream_unix")

#: Connections that the kernel may hold for us.
BACKLOG = 64

#: Access of a control or database socket: its owner and group.
SOCKET_MODE = 0o770

#: Makes the connection for a peer of that name; None to refuse it.
Accept = Callable[[str], Connection[Any] | None]


def _bind_unix(path: str) -> socket.socket:
    """A listening Unix socket at `path`, in place of a socket that is there already."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        try:
            if stat.S_ISSOCK(os.lstat(path).st_mode):
                os.unlink(path)
        except FileNotFoundError:
            # Nothing to replace; a missing directory is reported by bind below.
            sock.setblocking(False)
        sock.setblocking(False)
        with_short_name(path, lambda name: _bind_with_mode(sock, name))
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        if not os.path.lexists(path):
            _fatal_log.warn('could not unlink "%s" (%s)', path, os.strerror(errno.ENOENT))
        _unix_log.err("%s: binding failed: %s", path, error.strerror)
        raise
    return sock


def _bind_with_mode(sock: socket.socket, name: str) -> None:
    """Bind so that nobody beyond SOCKET_MODE can connect, not even between bind and chmod."""
    before = os.umask(~SOCKET_MODE & 0o777 | 0o077)
    try:
        sock.bind(name)
    finally:
        os.umask(before)
    os.chmod(name, SOCKET_MODE & ~before)


def _bind_inet(address: Address) -> socket.socket:
    label = address.text.partition(":")[2]
    host = address.host
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    if not host and socket.has_ipv6:
        # One socket for both families, if this kernel has IPv6 at all.
        try:
            return _listen(family=socket.AF_INET6, host="::", port=address.port, label=label)
        except OSError as error:
            if error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                raise
    return _listen(family=family, host=host or "0.0.0.0", port=address.port, label=label)


def _listen(*, family: socket.AddressFamily, host: str, port: int, label: str) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind((host, port))
        sock.listen(BACKLOG)
    except socket.gaierror:
        sock.close()
        log.err('%s: bad IP address "%s"', label, host)
        raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT)) from None
    except OSError as error:
        sock.close()
        log.err("%s: bind: %s", label, error.strerror)
        raise
    if not port:
        log.info("%s: listening on port %d", label, sock.getsockname()[1])
    return sock


class Listener:
    """A listening socket that makes a `Connection` for each peer.

    Opens at once; OSError if it cannot. `close` also removes a Unix socket's file. A TLS listener
    reads its files again for each connection.
    """

    def __init__(
        self,
        loop: MainLoop,
        address: Address,
        accept: Accept,
        tls: TlsSettings | None = None,
        dscp: int | None = None,
    ) -> None:
        assert address.passive
        self.address = address
        self._loop = loop
        self._accept = accept
        self._tls = tls or TlsSettings()
        self._dscp = dscp
        self._serial = 0
        self._tasks: set[Any] = set()
        self._sock: socket.socket | None = None
        self._inode = 0
        self._track: Track | None = None
        self._played: PlayedTrack | None = None
        loop.n_listened += 1
        if loop.player is not None:
            self._played = loop.player.open(address.text)
            self._played.handle = self._play
        else:
            self._open()

    def _open(self) -> None:
        address, recorder = self.address, self._loop.recorder
        unix = address.kind == "unix"
        try:
            self._sock = _bind_unix(address.path) if unix else _bind_inet(address)
        except OSError as error:
            if recorder is not None:
                recorder.open(address.text, error_number(error))
            raise
        if recorder is not None:
            self._track = recorder.open(address.text)
        self._inode = os.stat(address.path).st_ino if unix else 0
        self._loop.watch(self._sock.fileno(), self._ready)

    @property
    def port(self) -> int:
        """The port listened on (the kernel's choice if 0 was asked for); 0 for a Unix socket."""
        if self._sock is None or self.address.kind == "unix":
            return 0
        return int(self._sock.getsockname()[1])

    def _ready(self) -> None:
        # As many as there are, but not for ever: others want their turn.
        for _ in range(BACKLOG):
            if self._sock is None:
                return
            try:
                sock, peer = self._sock.accept()
            except BlockingIOError:
                return
            except OSError as error:
                log.warn_rl("%s: accept: %s", self.address.text, error.strerror)
                if self._track is not None:
                    self._track.failed(error_number(error))
                return
            self._start(sock, peer)

    def _play(self, length: int, data: bytes) -> None:
        """Somebody connected, or failed to, when this was recorded."""
        if length <= 0:
            log.warn_rl("%s: accept: %s", self.address.text, os.strerror(-length))
            return
        name = data.decode("utf-8", "replace")
        connection = self._accept(name)
        if connection is not None and self._loop.player is not None:
            PlayedTransport(self._loop, self._loop.player.open(name), connection)

    def _start(self, sock: socket.socket, peer: Any) -> None:
        sock.setblocking(False)
        if self.address.kind == "unix":
            self._serial += 1
            name = f"unix#{self._serial}"
        else:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            set_dscp(sock, self._dscp)
            name = f"{self.address.kind}:{format_host(peer[0])}:{peer[1]}"
        if self._track is not None:
            self._track.came(name.encode())
        connection = self._accept(name)
        if connection is None:
            sock.close()
            return
        if self._loop.recorder is not None:
            connection.track = self._loop.recorder.open(name)
        task = self._loop.aio.create_task(self._connect(sock, connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, sock: socket.socket, connection: Connection[Any]) -> None:
        try:
            context = make_context(self._tls, server=True) if self.address.kind == "ssl" else None
            await self._loop.aio.connect_accepted_socket(lambda: connection, sock, ssl=context)
        except OSError as error:
            get_logger("stream_ssl").warn_rl("%s: SSL_accept: %s", connection.name, error)
            if connection.track is not None:
                connection.track.failed(error_number(error))
            sock.close()

    def close(self) -> None:
        if self._track is not None:
            self._track.close()
        if self._played is not None:
            self._played.is_closed = True
        if self._sock is None:
            return
        self._loop.unwatch(self._sock.fileno())
        self._sock.close()
        self._sock = None
        if self.address.kind == "unix":
            self._remove_file()

    def _remove_file(self) -> None:
        """Remove the socket's file, if it is still ours."""
        try:
            if os.stat(self.address.path).st_ino == self._inode:
                os.unlink(self.address.path)
        except FileNotFoundError:
            # Somebody removed it already, which is what was wanted.
            return
        except OSError as error:
            _fatal_log.warn('could not unlink "%s" (%s)', self.address.path, error.strerror)


def format_host(host: str) -> str:
    """`host` as it stands in a stream name: IPv6 in brackets, mapped IPv4 as IPv4."""
    host = host.removeprefix("::ffff:") if "." in host else host
    return f"[{host}]" if ":" in host else host
