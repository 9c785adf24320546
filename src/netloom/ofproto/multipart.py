"""Requests in several messages: put together before they are carried out (OpenFlow 1.3 and later).

A multipart request whose messages but the last say that more follows (OFPMPF_REQ_MORE) is one
request; its messages have the same transaction id and kind. Only table features and flow monitors
ever need more than one message. What does not go on for a second is given up.
"""

from __future__ import annotations

from netloom.base.record import replace
from netloom.openflow import messages as m
from netloom.openflow.connection import Received
from netloom.openflow.errors import OpenFlowError
from netloom.openflow.message_table import MORE
from netloom.openflow.messages_monitor import FlowMonitorRequest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

PATIENCE_MS: Final = 1_000
#: OFPT_MULTIPART_REQUEST of OpenFlow 1.1 and later.
_REQUEST: Final = 18
#: Of a multipart request: kind, flags, padding.
_HEADER_BYTES: Final = 16


class _Open:
    """A request that is not complete: its messages, and when the last one came."""

    __slots__ = ("at_ms", "parts")

    def __init__(self, part: Received, now_ms: int) -> None:
        self.parts = [part]
        self.at_ms = now_ms


class Assembler:
    """The incomplete requests of one session, by transaction id."""

    __slots__ = ("_open",)

    def __init__(self) -> None:
        self._open: dict[int, _Open] = {}

    def take(self, event: Received, now_ms: int) -> Received | None:
        """The request that `event` is or completes; None: more of it is to come. Raises
        OpenFlowError."""
        data = event.data
        if data[1] != _REQUEST or data[0] < m.OFP13_VERSION:
            return event
        more = bool(data[11] & MORE)
        known = self._open.get(event.xid)
        if known is None:
            if not more:
                return event
            self._open[event.xid] = _Open(event, now_ms)
            return None
        if known.parts[0].data[8:10] != data[8:10]:
            del self._open[event.xid]
            raise OpenFlowError("OFPBRC_BAD_STAT")
        known.parts.append(event)
        known.at_ms = now_ms
        if more:
            return None
        del self._open[event.xid]
        return _whole(known.parts)

    def expire(self, now_ms: int) -> list[bytes]:
        """The first messages of requests that have waited too long for their rest."""
        late = [xid for xid, known in self._open.items() if now_ms >= known.at_ms + PATIENCE_MS]
        return [self._open.pop(xid).parts[0].data for xid in late]

    def deadline(self) -> int | None:
        return min((known.at_ms + PATIENCE_MS for known in self._open.values()), default=None)


def _whole(parts: list[Received]) -> Received:
    """One request of all its messages."""
    filled = [part for part in parts if len(part.data) > _HEADER_BYTES]
    if len(filled) <= 1:
        return (filled or parts)[0]
    first = filled[0]
    messages = [part.message for part in filled]
    if isinstance(first.message, m.TableFeaturesRequest):
        body = b"".join([each.body for each in messages if isinstance(each, type(first.message))])
        return Received(m.TableFeaturesRequest(body), first.xid, first.data)
    if isinstance(first.message, FlowMonitorRequest):
        wanted = [
            each
            for part in messages
            if isinstance(part, FlowMonitorRequest)
            for each in part.requests
        ]
        message = replace(first.message, requests=tuple(wanted))
        return Received(message, first.xid, first.data)
    raise OpenFlowError("OFPBRC_MULTIPART_BUFFER_OVERFLOW")
