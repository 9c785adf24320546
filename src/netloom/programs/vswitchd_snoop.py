"""`BRIDGE.snoop`: whoever connects gets a copy of what a bridge and its controller say.

The controller is chosen when the snooper connects: the one that is in charge, else an equal, else
a secondary one. The snooper stays with it, also when that connection is lost and made again, until
the controller is no longer wanted. Hellos of the snooper's own connection are exchanged as usual;
what it says after is ignored.
"""

from __future__ import annotations

from collections.abc import Iterable

from netloom.base.log import get_logger
from netloom.openflow import connection as openflow
from netloom.transport.driver import Connection
from netloom.transport.loop import MainLoop

log = get_logger("connmgr")

#: Roles as the Controller row names them, the most interesting last.
_PREFERENCE = ("slave", "other", "master")


class Snooped:
    """A controller that can be snooped: its role, who taps its connections, and the sockets of
    these."""

    def __init__(
        self, role: str, taps: list[openflow.Connection], sockets: list[Connection[None]]
    ) -> None:
        self.role = role
        self.taps = taps
        self.sockets = sockets


class _Mover:
    """A machine for the transport: bytes move, events are nobody's."""

    def __init__(self, end: openflow.Connection) -> None:
        self.receive_data = end.receive_data
        self.data_to_send = end.data_to_send
        self.deadline = end.deadline
        self.advance = end.advance
        self._end = end

    def next_event(self) -> None:
        """None, when all events have been dropped; ProtocolError if the peer broke it."""
        while self._end.next_event() is not None:
            continue


def accept_snooper(
    loop: MainLoop,
    name: str,
    versions: frozenset[int],
    controllers: Iterable[Snooped],
) -> Connection[None] | None:
    """The connection of a snooper, tapped into one of `controllers`; None if there is none."""
    candidates = sorted(controllers, key=lambda each: _PREFERENCE.index(each.role))
    if not candidates:
        log.info_rl("no controller connection to snoop")
        return None
    snooped = candidates[-1]
    end = openflow.Connection(name, tuple(sorted(versions)), loop.clock.now_ms())

    def leave(error: int) -> None:
        snooped.taps.remove(end)
        snooped.sockets.remove(connection)

    connection: Connection[None] = Connection(loop, _Mover(end), _ignore, leave, name)
    snooped.taps.append(end)
    snooped.sockets.append(connection)
    return connection


def _ignore(event: None) -> None:
    del event
