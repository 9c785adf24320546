"""The shape of every protocol object: a machine that does no input or output of its own.

A machine is fed bytes and the time, and is asked what happened, what to send and when it wants to
be woken. One driver (`netloom.transport.driver`) runs all of them on real sockets; a test runs
them with literal bytes and literal times.

    machine.receive_data(data)          # raises ProtocolError only from next_event
    while (event := machine.next_event()) is not None: ...
    machine.send(message)
    stream.write(machine.data_to_send())
    loop.call_at(machine.deadline(), machine.advance)

What must hold: feeding bytes one by one gives the same events as feeding them at once; after a
`ProtocolError` the machine is dead and says so on every call; `data_to_send` returns each byte
once; `advance(now_ms)` with a time before `deadline()` changes nothing.
"""

from __future__ import annotations

from typing import Protocol, TypeVar

Event_co = TypeVar("Event_co", covariant=True)


class Machine(Protocol[Event_co]):
    """What the transport driver needs of a protocol object."""

    def receive_data(self, data: bytes) -> None:
        """Take bytes from the peer; `b""` means that the peer closed its side."""

    def next_event(self) -> Event_co | None:
        """The next thing that happened, or None if more bytes are needed.

        Raises `ProtocolError` when the peer broke the protocol."""

    def data_to_send(self) -> bytes:
        """All bytes to be written since the last call."""

    def deadline(self) -> int | None:
        """When `advance` must be called next, in `now_ms` of the clock; None for never."""

    def advance(self, now_ms: int) -> None:
        """Let time-outs happen that are due at `now_ms`."""
