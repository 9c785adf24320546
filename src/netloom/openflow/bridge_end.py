"""The switch's end of an OpenFlow connection: the bridge takes its events, and somebody else owns
the socket."""

from __future__ import annotations

from netloom.base.counters import Counter, Counters
from netloom.base.log import get_logger
from netloom.openflow.connection import Connection, Negotiated
from netloom.openflow.messages import EchoRequest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from netloom.base.errors import ProtocolError

log: Final = get_logger("connmgr")


class Traffic:
    """The coverage counters of all connections together."""

    def __init__(self, counters: Counters) -> None:
        self.vconn_sent = counters.counter("vconn_sent")
        self.rconn_sent = counters.counter("rconn_sent")
        self.discarded = counters.counter("rconn_discarded")
        #: Messages that the bridge never sees: the greeting, and probes.
        self.hellos = Counter("hellos")
        self.kept = Counter("kept")
        counters.counter("rconn_queued").follow(
            lambda: self.rconn_sent.total + self.discarded.total
        )
        requests = counters.counter("ofproto_recv_openflow")
        requests.follow(lambda: self.kept.total)
        counters.counter("vconn_received").follow(lambda: requests.total + self.hellos.total)


def _count(pieces: list[bytes]) -> int:
    """Messages in pieces of a stream, of which each has at least one."""
    count = 0
    for piece in pieces:
        pos = 0
        while pos < len(piece):
            pos += max(piece[pos + 2] << 8 | piece[pos + 3], 8)
            count += 1
    return count


class BridgeEnd(Connection):
    """That the peer broke the protocol is told to the owner of the socket, who closes it."""

    def __init__(
        self, name: str, versions: frozenset[int], now_ms: int, traffic: Traffic | None = None
    ) -> None:
        super().__init__(name, tuple(sorted(versions)), now_ms)
        self._traffic = traffic or Traffic(Counters())
        self._has_greeted = False
        #: Breaks the connection off; the owner of the socket sets it.
        self.break_off: Callable[[], None] = _nothing
        #: Is told when the version is settled.
        self.negotiated: Callable[[], None] = _nothing

    def _take_hello(self, data: bytes) -> Negotiated:
        event = super()._take_hello(data)
        self._traffic.hellos.add()
        self.negotiated()
        return event

    def _kept(self) -> None:
        self._traffic.kept.add()

    def data_to_send(self) -> bytes:
        if not self._out:
            return b""
        n_messages = _count(self._out)
        self._traffic.vconn_sent.add(n_messages)
        # The greeting comes first, and from below the queue of what is to be sent.
        self._traffic.rconn_sent.add(n_messages if self._has_greeted else n_messages - 1)
        self._has_greeted = True
        return super().data_to_send()

    def discard(self) -> None:
        """The connection is gone: what was not sent never will be."""
        self._traffic.discarded.add(_count(self._out))
        self._out.clear()

    def _give_up(self, failure: ProtocolError) -> None:
        log.dbg("%s: closing after protocol error: %s", self.name, failure)
        self.break_off()

    def send_probe(self) -> None:
        """Ask whether the peer lives; whatever it answers is proof."""
        self.send(EchoRequest(), 0)


def _nothing() -> None:
    """Nobody to tell."""
