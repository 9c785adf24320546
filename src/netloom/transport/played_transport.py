"""A recorded stream in place of a socket, under a `driver.Connection`."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from .driver import Connection
from .loop import MainLoop
from .playback import PlayedTrack


class PlayedTransport(asyncio.Transport):
    """The connection is up when this has been made."""

    def __init__(self, loop: MainLoop, track: PlayedTrack, connection: Connection[Any]) -> None:
        super().__init__()
        self._loop = loop
        self._track = track
        self._connection = connection
        track.handle = self._take
        connection.connection_made(self)

    def _take(self, length: int, data: bytes) -> None:
        if length < 0:
            self._lose(OSError(-length, os.strerror(-length)))
        elif not length:
            self._connection.eof_received()
            self._lose(None)
        while data and not self._track.is_closed:
            buffer = self._connection.get_buffer(len(data))
            n_bytes = min(len(buffer), len(data))
            buffer[:n_bytes] = data[:n_bytes]
            data = data[n_bytes:]
            self._connection.buffer_updated(n_bytes)

    def _lose(self, error: OSError | None) -> None:
        """The other side ended the stream: this is heard of before what came later elsewhere."""
        if not self._track.is_closed:
            self._track.is_closed = True
            self._connection.connection_lost(error)

    def _end(self) -> None:
        if not self._track.is_closed:
            self._track.is_closed = True
            self._loop.aio.call_soon(self._connection.connection_lost, None)

    # What asyncio's protocols ask of a transport.

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        del name
        return default

    def is_reading(self) -> bool:
        return not self._track.is_closed

    def is_closing(self) -> bool:
        return self._track.is_closed

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        """Nobody is there to get it."""

    def get_write_buffer_size(self) -> int:
        return 0

    def close(self) -> None:
        self._end()

    def abort(self) -> None:
        self._end()
