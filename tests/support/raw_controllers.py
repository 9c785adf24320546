"""Controllers that send whatever bytes a test likes, and tell what the switch says to them.

    with Called() as office:                    # the switch calls: "tcp:127.0.0.1:PORT"
        switch.run("ovs-vsctl", "set-controller", "br0", office.target)
        controller = office.accept(version=4)
        controller.say(message(4, 14, ...))
        assert controller.heard() == [...]

What is heard comes as text of hexadecimal bytes, one message each, in order; the barrier by which
`heard` knows that all was said is not among them.
"""

from __future__ import annotations

import socket
import struct
from pathlib import Path
from types import TracebackType

from tests.support.peers import PATIENCE_S, wait_until

_HEADER = struct.Struct("!BBHI")
ECHO_REQUEST, ECHO_REPLY = 2, 3
_HELLO, _BARRIER_10, _BARRIER = 0, 18, 20
#: Of barriers; nothing else that a test sends should have such a number.
_FIRST_XID = 0x7F000000


def message(version: int, kind: int, body: bytes = b"", xid: int = 9) -> bytes:
    """An OpenFlow message."""
    return _HEADER.pack(version, kind, _HEADER.size + len(body), xid) + body


class RawController:
    """One connection, from the hello on."""

    def __init__(self, connection: socket.socket, version: int) -> None:
        self.version = version
        self._socket = connection
        self._socket.settimeout(PATIENCE_S)
        self._buffer = b""
        self._xid = _FIRST_XID
        self.say(message(version, _HELLO))
        assert self._next()[1] == _HELLO

    def say(self, *messages: bytes) -> None:
        self._socket.sendall(b"".join(messages))

    def heard(self, *messages: bytes) -> list[str]:
        """What the switch says up to the reply to a barrier behind `messages`."""
        self._xid += 1
        kind = _BARRIER if self.version > 1 else _BARRIER_10
        self.say(*messages, message(self.version, kind, xid=self._xid))
        said = []
        while (got := self._next())[4:8] != struct.pack("!I", self._xid):
            said.append(got.hex())
        assert got[1] == kind + 1, f"a barrier was answered with {got.hex()}"
        return said

    def keep_little(self) -> None:
        """Have the kernel keep little of what was not read."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)

    def next_kind(self) -> int | None:
        """The type of the next message; None if the switch hangs up instead."""
        try:
            return self._next()[1]
        except ConnectionError:
            return None

    def _next(self) -> bytes:
        while len(self._buffer) < 8 or len(self._buffer) < self._size():
            received = self._socket.recv(1 << 16)
            if not received:
                raise ConnectionResetError("the switch hung up")
            self._buffer += received
        size = self._size()
        found, self._buffer = self._buffer[:size], self._buffer[size:]
        return found

    def _size(self) -> int:
        return int.from_bytes(self._buffer[2:4], "big")

    def close(self) -> None:
        self._socket.close()


def call(target: str, version: int) -> RawController:
    """A controller that calls the switch: `unix:PATH` or `tcp:127.0.0.1:PORT`."""
    kind, _, where = target.partition(":")
    if kind == "unix":
        return RawController(greet(Path(where)), version)
    connection = socket.socket()
    host, _, port = where.rpartition(":")
    # Who is refused may call again with the same socket.
    assert wait_until(lambda: not connection.connect_ex((host, int(port))))
    return RawController(connection, version)


def greet(path: Path) -> socket.socket:
    """A connection to a socket of the switch, on which nothing was said yet."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(PATIENCE_S)
    # A socket has its name a moment before it listens.
    assert wait_until(lambda: path.exists() and not connection.connect_ex(str(path)))
    return connection


class Called:
    """Where switches call."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(PATIENCE_S)
        self.target = f"tcp:127.0.0.1:{self._listener.getsockname()[1]}"

    def accept(self, version: int) -> RawController:
        return RawController(self._listener.accept()[0], version)

    def close(self) -> None:
        self._listener.close()

    def __enter__(self) -> Called:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
