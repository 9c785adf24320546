"""A blocking stream for programs that do one thing: the classic tools.

    stream = connect(parse_address("unix:db.sock"), Deadline(10))
    driver = Dialogue(stream, machine, deadline)
    reply = driver.next_event()

Only `_socket` and `select`: asyncio, `socket` and (until a TLS address asks for it) `ssl` would
each take longer to import than the whole command may. Time-outs are wall-clock seconds; expiry is
a `TimeoutError`. Errors of the system are OSError with `errno` set; the peer's orderly close is
end of stream: `receive` returns `b""`, and `Dialogue.next_event` raises `EOFError`.
"""

from __future__ import annotations

import _socket
import errno
import posix
import select

from netloom.base.log import get_logger

from .address import Address
from .sync_stream import Deadline, Stream, wait
from .unix_path import with_short_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Generic, TypeVar

    from netloom.base.machine import Machine

    from .playback import PlayedStream
    from .sync_tls import TlsStream
    from .tapes import RecordedStream
    from .tls_settings import TlsSettings

    AnyStream = Stream | TlsStream | RecordedStream | PlayedStream
    Event = TypeVar("Event")
else:
    Event = None

    class Generic:
        """Stands in for `typing.Generic`, which would take 5 ms to import."""

        def __class_getitem__(cls, item):
            return cls


log = get_logger("stream_tcp")


def _connect_unix(path: str, deadline: Deadline) -> _socket.socket:
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    try:
        sock.setblocking(False)
        try:
            with_short_name(path, sock.connect)
        except BlockingIOError:
            # The listener's queue is full: a Unix socket has no connection in progress to wait
            # for, only another attempt.
            sock.close()
            select.poll().poll(min(10, deadline.remaining_ms() or 10))
            if deadline.expired:
                raise TimeoutError(errno.ETIMEDOUT, posix.strerror(errno.ETIMEDOUT)) from None
            return _connect_unix(path, deadline)
    except OSError:
        sock.close()
        raise
    return sock


def resolve(host: str, port: int) -> list[tuple[int, tuple[str, int]]]:
    """(family, address) candidates of a host: numeric, or looked up."""
    try:
        found = _socket.getaddrinfo(host, port, 0, _socket.SOCK_STREAM)
    except _socket.gaierror:
        raise OSError(errno.EAFNOSUPPORT, posix.strerror(errno.EAFNOSUPPORT)) from None
    return [(entry[0], entry[4]) for entry in found]  # type: ignore[misc]


def _connect_inet(address: Address, deadline: Deadline) -> _socket.socket:
    try:
        candidates = resolve(address.host, address.port)
    except OSError as error:
        log.err("%s: connect: %s", address.text, error.strerror)
        raise
    family, target = candidates[0]
    kind = _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC
    sock = _socket.socket(family, kind)
    try:
        sock.setblocking(False)
        sock.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
        code = sock.connect_ex(target)
        if code == errno.EINPROGRESS:
            wait(sock.fileno(), select.POLLOUT, deadline)
            code = sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_ERROR)
        if code:
            raise OSError(code, posix.strerror(code))
    except OSError:
        sock.close()
        raise
    return sock


def connect(
    address: Address, deadline: Deadline, tls: TlsSettings | None = None
) -> Stream | TlsStream:
    """Connect to an active address; OSError or TimeoutError if it cannot be."""
    assert not address.passive
    if address.kind == "unix":
        return Stream(_connect_unix(address.path, deadline), address.text)
    if address.kind == "tcp":
        return Stream(_connect_inet(address, deadline), address.text)
    from .sync_tls import wrap_client
    from .tls_settings import TlsSettings

    context_settings = tls or TlsSettings()
    context_settings.check()
    sock = _connect_inet(address, deadline)
    return wrap_client(sock, address, context_settings, deadline)


class Dialogue(Generic[Event]):
    """Runs one machine on one stream until an event is there."""

    def __init__(self, stream: AnyStream, machine: Machine[Event]) -> None:
        self._stream = stream
        self.machine = machine

    @property
    def name(self) -> str:
        """The stream's name, for messages."""
        return self._stream.name

    def plain_stream(self) -> Stream | None:
        """The stream, for who goes past the machine while that has nothing to do; None if it is
        none of bytes alone."""
        return self._stream if isinstance(self._stream, Stream) else None

    def flush(self, deadline: Deadline) -> None:
        data = self.machine.data_to_send()
        if data:
            self._stream.send(data, deadline)

    def next_event(self, deadline: Deadline) -> Event:
        """The machine's next event. EOFError if the peer closed first; ProtocolError, OSError and
        TimeoutError as they come."""
        while True:
            event = self.machine.next_event()
            self.flush(deadline)
            if event is not None:
                return event
            data = self._stream.receive(deadline)
            self.machine.receive_data(data)
            if not data:
                raise EOFError(f"{self._stream.name}: connection closed by peer")

    def fileno(self) -> int:
        return self._stream.fileno()

    def ready_event(self) -> Event | None:
        """The machine's next event of what has arrived by now; None if there is none. Errors as of
        `next_event`."""
        while True:
            event = self.machine.next_event()
            if event is not None:
                return event
            data = self._stream.receive_ready()
            if data is None:
                return None
            self.machine.receive_data(data)
            if not data:
                raise EOFError(f"{self._stream.name}: connection closed by peer")

    def close(self) -> None:
        self._stream.close()


__all__ = ["Deadline", "Dialogue", "Stream", "connect", "resolve", "wait"]
