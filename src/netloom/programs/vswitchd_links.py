"""The OpenFlow sockets of all bridges: management sockets, listeners and controllers.

Every bridge listens on `RUNDIR/BRIDGE.mgmt` and `BRIDGE.snoop`; what its Controller rows ask for
comes on top. Bytes go between a socket and an OpenFlow machine; the bridge
reads the machine's events and writes the answers (`ofproto.interface`).
"""

from __future__ import annotations

import errno
from collections.abc import Callable

from netloom.base.counters import Counters
from netloom.base.log import get_logger
from netloom.base.paths import rundir
from netloom.base.record import replace
from netloom.ofproto.interface import Bridge
from netloom.ofproto.settings import ControllerSettings, ControllerStatus
from netloom.openflow import connection as openflow
from netloom.openflow.bridge_end import BridgeEnd, Traffic
from netloom.programs.vswitchd_snoop import Snooped, accept_snooper
from netloom.transport.address import OPENFLOW_PORT, is_passive, parse_address
from netloom.transport.client import ReconnectingClient
from netloom.transport.driver import Connection
from netloom.transport.loop import MainLoop
from netloom.transport.server import Listener
from netloom.transport.signals import FatalSignals
from netloom.transport.tls import TlsSettings
from netloom.vswitchd.apply import LiveBridge
from netloom.vswitchd.rconn import Accepted, Rconn

log = get_logger("connmgr")

#: After how much silence the tools of the same machine are asked whether they live.
MANAGEMENT_PROBE_MS = 60_000
#: The role of a controller, and the counts of its rate limits: keys and values of `status`.
Standing = tuple[str, tuple[tuple[str, str], ...]]
_MadeFor = tuple[Bridge, frozenset[int], str, int]
_NO_STANDING: Standing = ("other", ())


class ByteMover:
    """A machine for the transport that leaves events to the bridge."""

    def __init__(self, end: BridgeEnd) -> None:
        self._end = end
        self.data_to_send = end.data_to_send
        self.deadline = end.deadline
        self.advance = end.advance

    def receive_data(self, data: bytes) -> None:
        self._end.receive_data(data)
        if not data and self._end.has_failed:
            # The bridge cannot say so any more: the socket is closed at once.
            self._end.break_off()

    def next_event(self) -> None:
        """None: the bridge takes them."""


def _ignore(event: object) -> None:
    del event


def _tie(machine: BridgeEnd, connection: Connection[None], bridge: Bridge) -> None:
    """Have a session's machine know of its stream, and the bridge deal with what comes."""
    machine.break_off = lambda: connection.break_off(errno.EPROTO)
    machine.unsent = connection.backlog
    connection.serve = lambda: bridge.serve(machine)


class Caller:
    """A connection that somebody made to a listener."""

    def __init__(
        self,
        links: OpenFlowLinks,
        bridge: Bridge,
        name: str,
        machine: BridgeEnd,
        settings: ControllerSettings,
    ) -> None:
        self._loop = links.loop
        self.machine = machine
        self.life = Accepted(machine.name, settings, links.loop.clock.now_ms())
        self.connection: Connection[None] = Connection(
            links.loop, ByteMover(machine), _ignore, self._closed, name
        )
        self.connection.on_activity = lambda: self.life.activity(self._now_ms())
        self.connection.on_open = lambda connection: _tie(machine, connection, bridge)
        machine.negotiated = lambda: self.life.negotiated(self._now_ms())
        #: Is told when the connection is gone.
        self.gone: Callable[[Caller], None] = _ignore

    def run(self, now_ms: int) -> None:
        due_ms = self.life.deadline()
        if due_ms is None or now_ms < due_ms or self.connection.has_unread():
            return
        action = self.life.run(now_ms)
        if action == "probe":
            self.machine.send_probe()
        elif action == "disconnect":
            self.connection.abort()

    def _closed(self, error: int) -> None:
        self.life.disconnected(self._now_ms(), error)
        self.machine.discard()
        self.gone(self)

    def _now_ms(self) -> int:
        return self._loop.clock.now_ms()


class Service:
    """A listening socket, and who has called it."""

    def __init__(
        self, links: OpenFlowLinks, live: LiveBridge, target: str, settings: ControllerSettings
    ) -> None:
        self.settings = settings
        self._links = links
        self._bridge: Bridge = live.bridge
        self._versions = _versions(live)
        self._is_snoop = _is_snoop(live.name, target)
        self._is_management = target == _management_target(live.name)
        self._callers: dict[Caller, None] = {}
        address = parse_address(target, OPENFLOW_PORT)
        self._listener = Listener(links.loop, address, self._accept, links.tls, dscp=settings.dscp)
        if address.kind == "unix":
            links.signals.add_file(address.path)

    def _accept(self, name: str) -> Connection[None] | None:
        if self._is_snoop:
            snooped = self._links.snooped(self._bridge.name)
            return accept_snooper(self._links.loop, name, self._versions, snooped)
        now_ms = self._links.loop.clock.now_ms()
        full_name = f"{self._bridge.name}<->{name}"
        machine = BridgeEnd(full_name, self._versions, now_ms, self._links.traffic)
        caller = Caller(self._links, self._bridge, name, machine, self.settings)
        caller.gone = self._gone
        self._callers[caller] = None
        self._bridge.accept(machine, None if self._is_management else self.settings)
        self._links.note_change()
        return caller.connection

    def _gone(self, caller: Caller) -> None:
        del self._callers[caller]
        self._bridge.forget(caller.machine)
        self._links.note_change()

    def run(self, now_ms: int) -> None:
        for caller in list(self._callers):
            caller.run(now_ms)

    def deadline(self) -> int | None:
        due = [caller.life.deadline() for caller in self._callers]
        return min((at_ms for at_ms in due if at_ms is not None), default=None)

    def n_connections(self) -> int:
        return len(self._callers)

    def status(self, now_ms: int) -> ControllerStatus | None:
        """A row of a listener says nothing about those who come and go."""
        del now_ms
        return None

    def update(self, settings: ControllerSettings) -> None:
        self.settings = settings
        for caller in self._callers:
            caller.life.set(settings)

    def reconnect(self) -> None:
        """Listeners have nobody to call back."""

    def close(self) -> None:
        self._links.signals.remove_file(self._listener.address.path)
        self._listener.close()
        for caller in list(self._callers):
            caller.connection.close()


class Client:
    """The kept connection to one controller."""

    def __init__(
        self, links: OpenFlowLinks, live: LiveBridge, target: str, settings: ControllerSettings
    ) -> None:
        self.settings = settings
        self._links = links
        self._bridge: Bridge = live.bridge
        self._versions = _versions(live)
        self._machine: BridgeEnd | None = None
        self._taps: list[openflow.Connection] = []
        self._snoopers: list[Connection[None]] = []
        now_ms = links.loop.clock.now_ms()
        self._rconn = Rconn(f"{live.name}<->{target}", settings, now_ms)
        self._shown = ("", "", "")
        self._client: ReconnectingClient[None] = ReconnectingClient(
            links.loop,
            target,
            self._rconn,
            self._make,
            _ignore,
            on_connect=self._connected,
            on_disconnect=self._disconnected,
            probe=self._probe,
            default_port=OPENFLOW_PORT,
            tls=links.tls,
            dscp=settings.dscp,
        )
        # Call at once, as the log of Open vSwitch shows it.
        self._client.run()

    def _make(self) -> ByteMover:
        now_ms = self._links.loop.clock.now_ms()
        self._links.opened.add()
        self._machine = BridgeEnd(self._rconn.name, self._versions, now_ms, self._links.traffic)
        self._machine.taps = self._taps
        self._machine.negotiated = self._negotiated
        return ByteMover(self._machine)

    def _connected(self, connection: Connection[None]) -> None:
        machine = self._machine
        assert machine is not None
        _tie(machine, connection, self._bridge)
        self._bridge.accept(machine, self.settings)

    def _negotiated(self) -> None:
        self._rconn.negotiated(self._links.loop.clock.now_ms())

    def _disconnected(self, error: int) -> None:
        del error
        if self._machine is not None:
            machine, self._machine = self._machine, None
            machine.discard()
            self._bridge.forget(machine)

    def _probe(self, connection: Connection[None]) -> None:
        del connection
        if self._machine is not None:
            self._machine.send_probe()

    def deadline(self) -> None:
        """The client asks for its own turns."""

    def run(self, now_ms: int) -> None:
        """Notice changes that the Controller row shows: of the state, and of the role."""
        now = self.status(now_ms)
        shown = (now.state, now.role, now.last_error)
        if shown != self._shown:
            self._shown = shown
            self._links.note_change()

    def status(self, now_ms: int) -> ControllerStatus:
        role, packet_ins = _NO_STANDING
        if self._machine is not None and self._rconn.is_connected:
            role, packet_ins = self._links.standing_of(self._bridge.name, self._machine)
        status = self._rconn.status(self.settings.target, role, now_ms)
        return replace(status, packet_ins=packet_ins) if packet_ins else status

    def snooped(self) -> Snooped | None:
        """What a snooper may tap, if this is a controller in charge."""
        if self.settings.type != "primary":
            return None
        return Snooped(
            self.status(self._links.loop.clock.now_ms()).role, self._taps, self._snoopers
        )

    def update(self, settings: ControllerSettings) -> None:
        self.settings = settings
        self._rconn.set(settings)

    def reconnect(self) -> None:
        self._rconn.reconnect()

    def n_connections(self) -> int:
        return int(self._rconn.is_connected)

    def close(self) -> None:
        for snooper in list(self._snoopers):
            snooper.close()
        self._client.close()
        self._disconnected(0)


class OpenFlowLinks:
    """All of them; a runnable of the main loop, and `vswitchd.switch.Connections`."""

    def __init__(
        self,
        loop: MainLoop,
        tls: TlsSettings,
        standing_of: Callable[[str, BridgeEnd], Standing],
        may_call: Callable[[], bool],
        signals: FatalSignals,
        counters: Counters | None = None,
    ) -> None:
        self.loop = loop
        events = counters or Counters()
        self.traffic = Traffic(events)
        #: Connections to controllers that were tried.
        self.opened = events.counter("vconn_open")
        self._may_call = may_call
        self.signals = signals
        self.tls = tls
        self.standing_of = standing_of
        self._links: dict[tuple[str, str], Service | Client] = {}
        #: What a link was made for: it is made anew when its bridge or versions are others.
        self._made_for: dict[tuple[str, str], _MadeFor] = {}
        self._changes = 0
        loop.register(self)

    # -- vswitchd.switch.Connections -----------------------------------------------------

    def follow(self, bridges: dict[str, LiveBridge]) -> None:
        wanted: dict[tuple[str, str], tuple[LiveBridge, ControllerSettings]] = {}
        for live in bridges.values():
            for settings in _all_settings(live, self._may_call()):
                wanted[live.name, settings.target] = (live, settings)
        for key in list(self._links):
            self._drop_unless_wanted(key, wanted.get(key))
        for key, (live, settings) in wanted.items():
            link = self._links.get(key)
            if link is None:
                self._open(key, live, settings)
            elif link.settings != settings:
                link.update(settings)

    def status(self, bridge: str, target: str, now_ms: int) -> ControllerStatus | None:
        link = self._links.get((bridge, target))
        return None if link is None else link.status(now_ms)

    def changes(self) -> int:
        return self._changes

    def note_change(self) -> None:
        self._changes += 1

    # -- the loop ------------------------------------------------------------------------

    def run(self) -> None:
        now_ms = self.loop.clock.now_ms()
        for link in list(self._links.values()):
            link.run(now_ms)

    def deadline(self) -> int | None:
        due = [link.deadline() for link in self._links.values()]
        return min((at_ms for at_ms in due if at_ms is not None), default=None)

    def reconnect(self, bridge: str) -> None:
        """Have all controllers of the bridge called anew (`bridge/reconnect`)."""
        for (name, _), link in self._links.items():
            if name == bridge:
                link.reconnect()
        self.loop.wake()

    def snooped(self, bridge: str) -> list[Snooped]:
        """The controllers of a bridge that can be snooped."""
        clients = [link for (name, _), link in self._links.items() if name == bridge]
        found = [link.snooped() for link in clients if isinstance(link, Client)]
        return [each for each in found if each is not None]

    def n_connections(self) -> int:
        return sum(link.n_connections() for link in self._links.values())

    # -- opening and closing -------------------------------------------------------------

    def _drop_unless_wanted(
        self, key: tuple[str, str], wanted: tuple[LiveBridge, ControllerSettings] | None
    ) -> None:
        made_for = self._made_for[key]
        kind = made_for[2]
        if wanted is not None and _made_for(*wanted) == made_for:
            return
        link = self._links.pop(key)
        del self._made_for[key]
        name, target = key
        if wanted is None:
            if not _is_snoop(name, target):
                log.info('%s: removed %s controller "%s"', name, kind, target)
        elif not _is_snoop(name, target):
            log.info(
                '%s: Changes to controller "%s" expects re-initialization: Re-initializing now.',
                name,
                target,
            )
        link.close()

    def _open(self, key: tuple[str, str], live: LiveBridge, settings: ControllerSettings) -> None:
        name, target = key
        kind = Service if is_passive(target) else Client
        try:
            self._links[key] = kind(self, live, target, settings)
        except OSError as error:
            log.err("%s: failed to listen on %s: %s", name, target, error.strerror)
            return
        self._made_for[key] = _made_for(live, settings)
        if not _is_snoop(name, target):
            log.info('%s: added %s controller "%s"', name, settings.type, target)


def _made_for(live: LiveBridge, settings: ControllerSettings) -> _MadeFor:
    return live.bridge, _versions(live), settings.type, settings.dscp


def _versions(live: LiveBridge) -> frozenset[int]:
    assert live.settings is not None
    return live.settings.protocols


def _all_settings(live: LiveBridge, with_controllers: bool) -> list[ControllerSettings]:
    """The bridge's own sockets, then its controllers."""
    if live.settings is None:
        return []
    own = [
        ControllerSettings(target=target, type="service", inactivity_probe_ms=MANAGEMENT_PROBE_MS)
        for target in (_management_target(live.name), _snoop_target(live.name))
    ]
    return [*own, *live.settings.controllers] if with_controllers else own


def _management_target(bridge: str) -> str:
    return f"punix:{rundir()}/{bridge}.mgmt"


def _snoop_target(bridge: str) -> str:
    return f"punix:{rundir()}/{bridge}.snoop"


def _is_snoop(bridge: str, target: str) -> bool:
    return target == _snoop_target(bridge)
