"""Wires of dummy devices: `options:stream` connects to the device at the other end, `pstream` waits
for any number of such. Frames go as `netdev.frame_stream` says, so that the other end may be in
this daemon, another of ours, or Open vSwitch's."""

from __future__ import annotations

import errno
import os
from typing import Any

from netloom.base.log import get_logger
from netloom.netdev.device import Wire
from netloom.netdev.frame_stream import FrameStream
from netloom.rpc.reconnect import Reconnect
from netloom.transport.address import parse_address
from netloom.transport.client import ReconnectingClient
from netloom.transport.driver import Connection
from netloom.transport.loop import MainLoop
from netloom.transport.server import Listener
from netloom.transport.signals import FatalSignals

log = get_logger("netdev_dummy")

#: Bytes that may wait for a peer that does not read; more are dropped, as on a wire.
_MOST_WAITING = 1 << 20
#: Addresses of wires have to name their port.
_NO_PORT = 0


class _Frames:
    """What came in and was not taken yet."""

    def __init__(self) -> None:
        self._waiting: list[bytes] = []

    def add(self, frame: bytes) -> None:
        self._waiting.append(frame)

    def receive(self) -> list[bytes]:
        waiting, self._waiting = self._waiting, []
        return waiting


def _send(connection: Connection[bytes], frame: bytes) -> None:
    machine = connection.machine
    if isinstance(machine, FrameStream) and connection.backlog() < _MOST_WAITING:
        machine.send(frame)


class ActiveWire(_Frames):
    """Connects, and connects again."""

    def __init__(self, loop: MainLoop, target: str) -> None:
        super().__init__()
        now_ms = loop.clock.now_ms()
        backoff = Reconnect(target, now_ms, probe_interval_ms=0)
        backoff.enable(now_ms)
        self._client: ReconnectingClient[bytes] = ReconnectingClient(
            loop, target, backoff, FrameStream, self.add, default_port=_NO_PORT
        )

    @property
    def state(self) -> str:
        return "disconnected" if self._client.connection is None else "connected"

    def send(self, frame: bytes) -> None:
        if self._client.connection is not None:
            _send(self._client.connection, frame)

    def close(self) -> None:
        self._client.close()


class PassiveWire(_Frames):
    """Has any number of peers, who get all frames. Raises OSError if it cannot listen."""

    def __init__(self, loop: MainLoop, target: str, signals: FatalSignals) -> None:
        super().__init__()
        self._loop = loop
        self._peers: dict[str, Connection[bytes]] = {}
        address = parse_address(target, _NO_PORT)
        if not address.passive:
            raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
        self._listener = Listener(loop, address, self._accept)
        if address.kind == "unix":
            signals.add_file(address.path)

    @property
    def state(self) -> str:
        return "unknown"

    def _accept(self, name: str) -> Connection[Any] | None:
        def gone(error: int) -> None:
            self._peers.pop(name, None)

        peer: Connection[bytes] = Connection(self._loop, FrameStream(), self.add, gone, name)
        self._peers[name] = peer
        return peer

    def send(self, frame: bytes) -> None:
        for peer in self._peers.values():
            _send(peer, frame)

    def close(self) -> None:
        self._listener.close()
        for peer in list(self._peers.values()):
            peer.close()
        self._peers.clear()


class WireOpener:
    """Opens the wires of dummies."""

    def __init__(self, loop: MainLoop, signals: FatalSignals) -> None:
        self._loop = loop
        self._signals = signals

    def __call__(self, option: str, target: str) -> Wire | None:
        """The wire that `option` ("stream" or "pstream") asks for; None if it cannot be had, which
        is logged."""
        try:
            if option == "stream":
                return ActiveWire(self._loop, target)
            return PassiveWire(self._loop, target, self._signals)
        except OSError as error:
            log.warn("%s: open failed (%s)", target, error.strerror)
            return None
