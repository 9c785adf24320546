"""Frames over a stream: what two dummies at the ends of a socket say to each other.

Each frame has its length in front, 16 bits in network order; nothing else is ever sent. Any bytes
are frames of some length, so the peer can break nothing but itself.
"""

from __future__ import annotations

from collections import deque

_LENGTH = 2
#: A frame that is longer cannot be sent.
LONGEST = 0xFFFF


class FrameStream:
    """One connection, as a machine (`base.machine`) whose events are frames."""

    def __init__(self) -> None:
        self._input = bytearray()
        self._output = bytearray()
        self._frames: deque[bytes] = deque()

    def receive_data(self, data: bytes) -> None:
        self._input += data
        at = 0
        while len(self._input) - at >= _LENGTH:
            length = int.from_bytes(self._input[at : at + _LENGTH], "big")
            end = at + _LENGTH + length
            if len(self._input) < end:
                break
            self._frames.append(bytes(self._input[at + _LENGTH : end]))
            at = end
        del self._input[:at]

    def next_event(self) -> bytes | None:
        return self._frames.popleft() if self._frames else None

    def send(self, frame: bytes) -> None:
        """Have a frame sent; one that is too long is not."""
        if len(frame) <= LONGEST:
            self._output += len(frame).to_bytes(_LENGTH, "big") + frame

    def data_to_send(self) -> bytes:
        data, self._output = bytes(self._output), bytearray()
        return data

    def deadline(self) -> int | None:
        return None

    def advance(self, now_ms: int) -> None:
        """Nothing here depends on the time."""
