"""A controller's end of a connection to a bridge's socket, which says any bytes and collects what
the bridge answers before it is done with them."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

_PATIENCE_S = 40
_HELLO = 0
#: The barrier behind each question: the answer to it comes last.
_FENCE = 0x0FE1CE
CLOSED = b""


class ControllerLine:
    """Speaks one version of OpenFlow to the bridge that listens at `path`."""

    def __init__(self, path: Path, version: int) -> None:
        self._path = path
        self._version = version
        self._barrier = 18 if version == 1 else 20
        self._connect()

    def _connect(self) -> None:
        self._data = b""
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(_PATIENCE_S)
        self._socket.connect(str(self._path))
        versions = struct.pack("!HHI", 1, 8, 1 << self._version)
        self._socket.sendall(struct.pack("!BBHI", self._version, _HELLO, 16, 1) + versions)
        hello = self._receive()
        assert hello[1] == _HELLO, hello

    def _receive(self) -> bytes:
        """The next message; CLOSED if the bridge hung up."""
        while len(self._data) < 8 or len(self._data) < int.from_bytes(self._data[2:4], "big"):
            try:
                received = self._socket.recv(1 << 16)
            except ConnectionResetError:
                return CLOSED
            if not received:
                return CLOSED
            self._data += received
        size = int.from_bytes(self._data[2:4], "big")
        message, self._data = self._data[:size], self._data[size:]
        return message

    def ask(self, question: bytes) -> list[bytes]:
        """What is answered to the bytes; with CLOSED at its end if that broke the connection,
        which is made anew then."""
        fence = struct.pack("!BBHI", self._version, self._barrier, 8, _FENCE)
        self._socket.sendall(question + fence)
        answers = []
        while True:
            message = self._receive()
            if message[1:2] == bytes((self._barrier + 1,)) and message[4:8] == fence[4:8]:
                return answers
            answers.append(message)
            if message == CLOSED:
                self.close()
                self._connect()
                return answers

    def close(self) -> None:
        self._socket.close()
