"""The blocking TLS stream of the tools; imported only when an `ssl:` address asks for it."""

from __future__ import annotations

import _socket
import errno
import os
import select
import socket
import ssl

from netloom.base.limits import READ_BYTES
from netloom.base.log import get_logger

from .address import Address
from .sync_stream import Deadline, wait
from .tls import TlsSettings, bootstrap, make_context, server_hostname

log = get_logger("stream_ssl")


class TlsStream:
    """As `Stream`, over TLS."""

    def __init__(self, sock: ssl.SSLSocket, name: str) -> None:
        self._sock = sock
        self.name = name

    def fileno(self) -> int:
        return self._sock.fileno()

    def handshake(self, deadline: Deadline) -> None:
        while True:
            try:
                self._sock.do_handshake()
                return
            except ssl.SSLWantReadError:
                wait(self.fileno(), select.POLLIN, deadline)
            except ssl.SSLWantWriteError:
                wait(self.fileno(), select.POLLOUT, deadline)

    def send(self, data: bytes, deadline: Deadline) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[self._sock.send(view) :]
            except ssl.SSLWantWriteError:
                wait(self.fileno(), select.POLLOUT, deadline)
            except ssl.SSLWantReadError:
                wait(self.fileno(), select.POLLIN, deadline)

    def receive(self, deadline: Deadline) -> bytes:
        while True:
            data = self.receive_ready()
            if data is not None:
                return data
            wait(self.fileno(), select.POLLIN, deadline)

    def receive_ready(self) -> bytes | None:
        try:
            return self._sock.recv(READ_BYTES)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return None
        except ssl.SSLEOFError:
            return b""

    def close(self) -> None:
        self._sock.close()


def wrap_client(
    sock: _socket.socket, address: Address, settings: TlsSettings, deadline: Deadline
) -> TlsStream:
    """A blocking tool's TLS stream on a connected socket."""
    plain = socket.socket(fileno=sock.detach())
    plain.setblocking(False)
    context = make_context(settings, server=False)
    wrapped = context.wrap_socket(
        plain,
        do_handshake_on_connect=False,
        server_hostname=server_hostname(address, settings),
    )
    stream = TlsStream(wrapped, address.text)
    try:
        stream.handshake(deadline)
        if settings.must_bootstrap:
            bootstrap(wrapped, settings)
    except ssl.SSLError as error:
        stream.close()
        log.warn("SSL_connect: %s", error.reason or error)
        raise OSError(errno.EPROTO, os.strerror(errno.EPROTO)) from None
    except OSError:
        stream.close()
        raise
    return stream
