"""News of a bridge's ports: what controllers were told of each, and what is still to be said.

A port that comes is not live yet, and whether a link follows its port's configuration is seen a
moment after that has changed: controllers hear of the one, then of the other, each as a message of
its own, as they do of a link that goes.
"""

from __future__ import annotations

from collections.abc import Callable

from netloom.base.record import replace
from netloom.openflow import messages as m

#: Sends a port status: its reason, the port, and what the port was before.
Send = Callable[[int, m.PhyPort, m.PhyPort | None], None]


def _not_live(port: m.PhyPort) -> m.PhyPort:
    return replace(port, state=port.state & ~m.OFPPS_LIVE)


class PortNews:
    """The ports of one bridge as they were seen last, by number."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._seen: dict[int, m.PhyPort] = {}
        #: What was told last, where that is not all.
        self._told: dict[int, m.PhyPort] = {}

    def find(self, number: int) -> m.PhyPort | None:
        return self._seen.get(number)

    def added(self, port: m.PhyPort) -> None:
        self._seen[port.port_no] = port
        self._told[port.port_no] = _not_live(port)
        self._send(m.OFPPR_ADD, _not_live(port), None)

    def deleted(self, number: int) -> None:
        gone = self._seen.pop(number, None)
        self._told.pop(number, None)
        if gone is not None:
            self._send(m.OFPPR_DELETE, gone, None)

    def configured(self, before: m.PhyPort, now: m.PhyPort) -> None:
        """Somebody has changed its configuration, which was `before`."""
        self._seen[now.port_no] = now
        if (before.config ^ now.config) & m.OFPPC_PORT_DOWN:
            now = self._told[now.port_no] = _not_live(replace(before, config=now.config))
        self._send(m.OFPPR_MODIFY, now, before)

    def changed(self, now: m.PhyPort) -> bool:
        """Is `now` not what was seen before? Then it is told."""
        before = self._seen.get(now.port_no)
        if before is None or before == now:
            return False
        if before.state & m.OFPPS_LIVE and not now.state & m.OFPPS_LIVE:
            # It cannot be used any more: that is the first that is seen of it.
            self._send(m.OFPPR_MODIFY, _not_live(before), before)
            before = _not_live(before)
        self._seen[now.port_no] = now
        self._send(m.OFPPR_MODIFY, now, before)
        return True

    def tell_the_rest(self) -> None:
        """Says what is still to be said."""
        told, self._told = self._told, {}
        for number, before in told.items():
            self._send(m.OFPPR_MODIFY, self._seen[number], before)
