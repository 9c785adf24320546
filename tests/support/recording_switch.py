"""A switch that says yes: it speaks just enough OpenFlow to record what a client sends."""

from __future__ import annotations

import socket
import threading
from pathlib import Path


class RecordingSwitch:
    """Listens on a Unix socket; `messages` is what clients sent after their hello."""

    def __init__(self, path: Path, version: int) -> None:
        self.path = path
        self.version = version
        self.messages: list[bytes] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(8)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def take(self) -> list[bytes]:
        """The messages so far, which are forgotten."""
        messages, self.messages = self.messages, []
        return messages

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client:
                self._talk(client)

    def _talk(self, client: socket.socket) -> None:
        client.sendall(bytes((self.version, 0, 0, 8, 0, 0, 0, 1)))
        buffer = b""
        while data := client.recv(65536):
            buffer += data
            while len(buffer) >= 8 and len(buffer) >= int.from_bytes(buffer[2:4], "big"):
                size = int.from_bytes(buffer[2:4], "big")
                self._take(client, buffer[:size])
                buffer = buffer[size:]

    def _take(self, client: socket.socket, message: bytes) -> None:
        if message[1] == 0:
            return
        self.messages.append(message)
        if message[1] == (18 if self.version == 1 else 20):
            reply = bytes((self.version, message[1] + 1, 0, 8))
            client.sendall(reply + message[4:8])
        if _is_bundle_control(message):
            # The answer has the number after the request's.
            kind = int.from_bytes(message[-4:-2], "big") + 1
            client.sendall(message[:-4] + kind.to_bytes(2, "big") + message[-2:])


def _is_bundle_control(message: bytes) -> bool:
    """Bundle control of OpenFlow 1.4 and of ONF's extension of 1.3, without properties."""
    return message[1] == 33 or (message[1] == 4 and message[8:16] == b"ONF\0\0\0\x08\xfc")
