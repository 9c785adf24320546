"""The switch's end of an OpenFlow connection: the bridge takes its events, and somebody else owns
the socket."""

from __future__ import annotations

from netloom.base.log import get_logger
from netloom.openflow.connection import Connection, Negotiated
from netloom.openflow.messages import EchoRequest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from netloom.base.errors import ProtocolError

log: Final = get_logger("connmgr")


class BridgeEnd(Connection):
    """That the peer broke the protocol is told to the owner of the socket, who closes it."""

    def __init__(self, name: str, versions: frozenset[int], now_ms: int) -> None:
        super().__init__(name, tuple(sorted(versions)), now_ms)
        #: Breaks the connection off; the owner of the socket sets it.
        self.break_off: Callable[[], None] = _nothing
        #: Is told when the version is settled.
        self.negotiated: Callable[[], None] = _nothing

    def _take_hello(self, data: bytes) -> Negotiated:
        event = super()._take_hello(data)
        self.negotiated()
        return event

    def _give_up(self, failure: ProtocolError) -> None:
        log.dbg("%s: closing after protocol error: %s", self.name, failure)
        self.break_off()

    def send_probe(self) -> None:
        """Ask whether the peer lives; whatever it answers is proof."""
        self.send(EchoRequest(), 0)


def _nothing() -> None:
    """Nobody to tell."""
