"""Drives one machine on one connected socket.

Bytes go from the socket to the machine as they come; events go to `on_event` at once, in order.
Output is collected until the end of the loop's turn and written once; if the owner deals with what
comes at once (`serve`), right after that. A machine that raises
`ProtocolError` has its connection closed, after what it still had to say was sent.

Slow peers: while the kernel does not take what was written, no more is read from that peer; when
more than SEND_BACKLOG_BYTES wait for it, it is cut off.
"""

from __future__ import annotations

import asyncio
import errno
import os
import select
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from netloom.base.errors import ProtocolError
from netloom.base.limits import SEND_BACKLOG_BYTES
from netloom.base.log import get_logger
from netloom.base.machine import Machine

from .loop import MainLoop

if TYPE_CHECKING:
    from .recording import Track

Event = TypeVar("Event")

#: What the kernel usually takes at once.
_SHORT_BYTES = 65_536
#: Reported when the peer closed the connection in order.
EOF = -1

log = get_logger("stream_fd")


class Connection(asyncio.BufferedProtocol, Generic[Event]):
    """A machine and its socket.

    `on_event(event)` is called for each event, `on_close(error)` exactly once: with a system error
    number, EOF, or 0 if this side closed. `on_open`, if set, is called once when the connection is
    up, before any event; `on_activity` for each read.
    """

    def __init__(
        self,
        loop: MainLoop,
        machine: Machine[Event],
        on_event: Callable[[Event], None],
        on_close: Callable[[int], None],
        name: str = "",
    ) -> None:
        self.machine = machine
        self.name = name
        self.on_open: Callable[[Connection[Event]], None] | None = None
        self.on_activity: Callable[[], None] | None = None
        #: Deals with what the machine has received, in place of events, and says whether all else
        #: is to have its turn right after. To be set before the connection is up, or in `on_open`.
        self.serve: Callable[[], bool] | None = None
        self._loop = loop
        self._on_event = on_event
        self._on_close = on_close
        self._transport: asyncio.Transport | None = None
        #: Where what comes is written down.
        self.track: Track | None = None
        #: Bytes that were written and not yet taken by the kernel.
        self.backlog: Callable[[], int] = _no_bytes
        self._error: int | None = None
        self._open = False
        #: The descriptor, which with TLS is closed before this hears of it.
        self._read_at_once = -1

    # asyncio's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.backlog = transport.get_write_buffer_size
        self._open = True
        self._loop.add_connection(self)
        if self.on_open is not None:
            self.on_open(self)
        if self.serve is not None:
            self._read_at_once = self.extra_info("socket").fileno()
            self._loop.read_at_once(self._read_at_once)
            # Who greets does so before it reads.
            self.flush()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._loop.read_buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self.on_activity is not None:
            self.on_activity()
        data = bytes(self._loop.read_buffer[:nbytes])
        if self.track is not None:
            self.track.came(data)
        self.machine.receive_data(data)
        if self.serve is not None:
            self._serve_at_once(self.serve)
            return
        self._take_events()
        self._loop.wake()

    def _serve_at_once(self, serve: Callable[[], bool]) -> None:
        try:
            wants_turn = serve()
            self.flush()
        except BaseException as error:
            # As in `_take_events`.
            self._loop.fail(error)
            raise
        self._loop.worked(wants_turn)

    def eof_received(self) -> bool:
        if self.track is not None:
            self.track.came(b"")
        self.machine.receive_data(b"")
        self._take_events()
        if self._error is None:
            self._error = EOF
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._open = False
        if self.track is not None:
            if exc is not None:
                self.track.failed(error_number(exc))
            self.track.close()
        self._loop.remove_connection(self)
        if self._read_at_once >= 0:
            self._loop.read_at_once(self._read_at_once, False)
        if self._error is None:
            self._error = error_number(exc) if exc is not None else 0
        self._on_close(self._error)
        self._loop.wake()

    def pause_writing(self) -> None:
        if self._transport is not None and self._transport.is_reading():
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
        self._loop.wake()

    # The loop's side.

    def _take_events(self) -> None:
        try:
            while self._open and (event := self.machine.next_event()) is not None:
                self._on_event(event)
        except ProtocolError as error:
            log.dbg("%s: closing after protocol error: %s", self.name, error)
            self.break_off(errno.EPROTO)
        except BaseException as error:
            # asyncio would take an OSError for trouble with this socket.
            self._loop.fail(error)
            raise

    def pump(self, now_ms: int) -> None:
        due_ms = self.machine.deadline()
        if due_ms is not None and now_ms >= due_ms:
            self.machine.advance(now_ms)
            self._take_events()

    def flush(self) -> None:
        """Write what the machine has to say."""
        if not self._open or self._transport is None:
            return
        data = self.machine.data_to_send()
        if not data:
            return
        if self.track is not None:
            self.track.sent(len(data))
        # Of a view, what the kernel does not take at once is copied once and not twice.
        self._transport.write(data if len(data) < _SHORT_BYTES else memoryview(data))
        backlog = self.backlog()
        if backlog > SEND_BACKLOG_BYTES:
            log.warn(
                "%s: sending backlog exceeded maximum size (%d > %d bytes), disconnecting",
                self.name,
                backlog,
                SEND_BACKLOG_BYTES,
            )
            self._error = errno.ENOBUFS
            self._transport.abort()

    def deadline(self) -> int | None:
        return self.machine.deadline()

    # The owner's side.

    @property
    def is_open(self) -> bool:
        return self._open

    def has_unread(self) -> bool:
        """Whether something has come that is going to be read: this side was busy, not the peer
        silent."""
        if self._transport is None or not self._open or not self._transport.is_reading():
            return False
        waiting = select.poll()
        waiting.register(self.extra_info("socket").fileno(), select.POLLIN)
        return bool(waiting.poll(0))

    def extra_info(self, name: str) -> Any:
        """asyncio's `get_extra_info`: `peername`, `sockname`, `ssl_object` …"""
        return self._transport.get_extra_info(name) if self._transport is not None else None

    def close(self) -> None:
        """Send what is left, then close."""
        if self._transport is None or not self._open:
            return
        if self._error is None:
            self._error = 0
        self.flush()
        self._open = False
        self._transport.close()

    def break_off(self, error: int) -> None:
        """Send what is left, then close and report `error`."""
        if self._open:
            self._error = error
            self.close()

    def abort(self) -> None:
        """Close now."""
        if self._transport is not None:
            self._error = 0 if self._error is None else self._error
            self._open = False
            self._transport.abort()


def _no_bytes() -> int:
    return 0


def error_number(error: BaseException) -> int:
    """The system error number that stands for `error`."""
    if isinstance(error, ssl.SSLError):
        return errno.EPROTO
    if isinstance(error, OSError) and error.errno:
        return error.errno
    if isinstance(error, TimeoutError):
        return errno.ETIMEDOUT
    if isinstance(error, ConnectionError):
        # asyncio's own, for a peer that left in the middle of the TLS handshake.
        return errno.ECONNRESET
    return errno.EIO


def error_text(number: int) -> str:
    """`number` for a person: the system's text, or that the stream ended."""
    return "End of file" if number == EOF else os.strerror(number)
