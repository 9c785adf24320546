"""The pieces of a blocking stream: a deadline, waiting for a descriptor, the plain stream."""

from __future__ import annotations

import errno
import posix
import select

from netloom.base.clock import SystemClock
from netloom.base.limits import READ_BYTES

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket

_clock = SystemClock()
#: As many as most answers have.
_FEW_BYTES = 2_048


class Deadline:
    """A time by which something must be done; None or 0 seconds for no limit."""

    __slots__ = ("_at_ms",)

    def __init__(self, seconds: float | None = None) -> None:
        self._at_ms = _clock.now_ms() + int(seconds * 1000) if seconds else None

    def remaining_ms(self) -> int | None:
        """What is left, at least 0; None if there is no limit. For `poll`."""
        return None if self._at_ms is None else max(0, self._at_ms - _clock.now_ms())

    @property
    def expired(self) -> bool:
        return self.remaining_ms() == 0


def wait(fd: int, events: int, deadline: Deadline) -> None:
    """Wait until `fd` is ready for the poll(2) `events`; TimeoutError at the deadline."""
    poller = select.poll()
    poller.register(fd, events)
    while not poller.poll(deadline.remaining_ms()):
        if deadline.expired:
            raise TimeoutError(errno.ETIMEDOUT, posix.strerror(errno.ETIMEDOUT))


class Stream:
    """A connected socket, used without blocking."""

    def __init__(self, sock: _socket.socket, name: str) -> None:
        self._sock = sock
        self._readable = select.poll()
        self._readable.register(sock.fileno(), select.POLLIN)
        self.name = name

    def fileno(self) -> int:
        return self._sock.fileno()

    def send(self, data: bytes, deadline: Deadline) -> None:
        """Send all of `data`."""
        try:
            sent = self._sock.send(data)
        except BlockingIOError:
            sent = 0
        if sent == len(data):
            return
        view = memoryview(data)[sent:]
        while view:
            try:
                view = view[self._sock.send(view) :]
            except BlockingIOError:
                wait(self.fileno(), select.POLLOUT, deadline)

    def receive(self, deadline: Deadline) -> bytes:
        """At least one byte, or `b""` at the end of the stream."""
        # An answer takes a while: to ask for it too early costs more than to wait.
        while True:
            if not self._readable.poll(deadline.remaining_ms()) and deadline.expired:
                raise TimeoutError(errno.ETIMEDOUT, posix.strerror(errno.ETIMEDOUT))
            try:
                return self._sock.recv(READ_BYTES)
            except BlockingIOError:
                continue

    def set_blocking(self, on: bool) -> None:
        """For `receive_next`; turned off again before any other way to receive."""
        self._sock.setblocking(on)

    def receive_next(self) -> bytes:
        """The next few bytes, or `b""` at the end of the stream, for who asks many questions one
        after another and waits for each answer: one system call."""
        return self._sock.recv(_FEW_BYTES)

    def receive_ready(self) -> bytes | None:
        """What is there now, or None."""
        try:
            return self._sock.recv(READ_BYTES)
        except BlockingIOError:
            return None

    def close(self) -> None:
        self._sock.close()
