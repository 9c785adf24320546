"""The OpenFlow sockets of all bridges: management sockets, listeners and controllers.

Every bridge listens on `RUNDIR/BRIDGE.mgmt` (and has `BRIDGE.snoop`, which refuses); what its
Controller rows ask for comes on top. Bytes go between a socket and an OpenFlow machine; the bridge
reads the machine's events and writes the answers (`ofproto.interface`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from netloom.base.errors import ProtocolError
from netloom.base.log import get_logger
from netloom.base.paths import rundir
from netloom.ofproto.interface import Bridge, OpenFlowMachine
from netloom.ofproto.settings import ControllerSettings, ControllerStatus
from netloom.transport.address import OPENFLOW_PORT, is_passive, parse_address
from netloom.transport.client import ReconnectingClient
from netloom.transport.driver import Connection
from netloom.transport.loop import MainLoop
from netloom.transport.server import Listener
from netloom.transport.tls import TlsSettings
from netloom.vswitchd.apply import LiveBridge
from netloom.vswitchd.rconn import Rconn

log = get_logger("connmgr")


class Machine(OpenFlowMachine, Protocol):
    """What the sockets' side needs of an OpenFlow machine."""

    def receive_data(self, data: bytes) -> None: ...

    def data_to_send(self) -> bytes: ...

    def deadline(self) -> int | None: ...

    def advance(self, now_ms: int) -> None: ...

    def send_echo(self) -> None: ...

    @property
    def failed(self) -> str | None:
        """Why the connection must be closed (the peer broke the protocol), or None."""


#: Makes the switch's end of one connection, for the wire versions that the bridge allows.
MakeMachine = Callable[[frozenset[int]], Machine]


class ByteMover:
    """A machine for the transport that keeps its events for the bridge."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.receive_data = machine.receive_data
        self.data_to_send = machine.data_to_send
        self.deadline = machine.deadline
        self.advance = machine.advance

    def next_event(self) -> None:
        failed = self.machine.failed
        if failed is not None:
            raise ProtocolError(failed)


def _ignore(event: None) -> None:
    del event


class Service:
    """A listening socket; `settings` is None for the management socket."""

    def __init__(
        self, links: OpenFlowLinks, live: LiveBridge, target: str, settings: ControllerSettings
    ) -> None:
        self.settings = settings
        self._links = links
        self._bridge: Bridge = live.bridge
        self._versions = _versions(live)
        self._is_management = target.endswith((f"/{live.name}.mgmt", f"/{live.name}.snoop"))
        self._connections: dict[int, Connection[None]] = {}
        address = parse_address(target, OPENFLOW_PORT)
        self._listener = Listener(links.loop, address, self._accept, links.tls)

    def _accept(self, name: str) -> Connection[None] | None:
        if self._listener.address.path.endswith(".snoop"):
            log.warn_rl("%s: snooping is not supported by this version", self.settings.target)
            return None
        machine = self._links.make_machine(self._versions)
        connection: Connection[None] = Connection(
            self._links.loop,
            ByteMover(machine),
            _ignore,
            lambda error: self._closed(machine),
            name,
        )
        self._connections[id(machine)] = connection
        self._bridge.accept(machine, None if self._is_management else self.settings)
        self._links.note_change()
        return connection

    def _closed(self, machine: Machine) -> None:
        if self._connections.pop(id(machine), None) is not None:
            self._bridge.forget(machine)
            self._links.note_change()

    def n_connections(self) -> int:
        return len(self._connections)

    def status(self, now_ms: int) -> ControllerStatus | None:
        """A row of a listener says nothing about those who come and go."""
        del now_ms
        return None

    def update(self, settings: ControllerSettings) -> None:
        self.settings = settings

    def reconnect(self) -> None:
        """Listeners have nobody to call back."""

    def close(self) -> None:
        self._listener.close()
        for connection in list(self._connections.values()):
            connection.close()


class Client:
    """The kept connection to one controller."""

    def __init__(
        self, links: OpenFlowLinks, live: LiveBridge, target: str, settings: ControllerSettings
    ) -> None:
        self.settings = settings
        self._links = links
        self._bridge: Bridge = live.bridge
        self._versions = _versions(live)
        self._machine: Machine | None = None
        now_ms = links.loop.clock.now_ms()
        self._rconn = Rconn(f"{live.name}<->{target}", settings, now_ms)
        self._state = ""
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
        )

    def _make(self) -> ByteMover:
        self._machine = self._links.make_machine(self._versions)
        return ByteMover(self._machine)

    def _connected(self, connection: Connection[None]) -> None:
        assert self._machine is not None
        self._bridge.accept(self._machine, self.settings)

    def _disconnected(self, error: int) -> None:
        del error
        if self._machine is not None:
            machine, self._machine = self._machine, None
            self._bridge.forget(machine)

    def _probe(self, connection: Connection[None]) -> None:
        del connection
        if self._machine is not None:
            self._machine.send_echo()

    def watch(self, now_ms: int) -> None:
        """Tell the bridge when the state changed: fail-open depends on it."""
        if self._rconn.state != self._state:
            self._state = self._rconn.state
            self._bridge.controller_lost(self.settings.target, self.status(now_ms))
            self._links.note_change()

    def status(self, now_ms: int) -> ControllerStatus:
        role = "other"
        if self._machine is not None and self._rconn.is_connected:
            role = self._links.role_of(self._bridge, self._machine)
        return self._rconn.status(self.settings.target, role, now_ms)

    def update(self, settings: ControllerSettings) -> None:
        self.settings = settings
        self._rconn.set(settings)

    def reconnect(self) -> None:
        self._rconn.reconnect()

    def n_connections(self) -> int:
        return int(self._rconn.is_connected)

    def close(self) -> None:
        self._client.close()
        self._disconnected(0)


class OpenFlowLinks:
    """All of them; a runnable of the main loop, and `vswitchd.switch.Connections`."""

    def __init__(
        self,
        loop: MainLoop,
        tls: TlsSettings,
        make_machine: MakeMachine,
        role_of: Callable[[Bridge, Machine], str],
    ) -> None:
        self.loop = loop
        self.tls = tls
        self.make_machine = make_machine
        self.role_of = role_of
        self._links: dict[tuple[str, str], Service | Client] = {}
        #: What a link was made for: it is made anew when its bridge or versions are others.
        self._made_for: dict[tuple[str, str], tuple[Bridge, frozenset[int], str]] = {}
        self._changes = 0
        loop.register(self)

    # -- vswitchd.switch.Connections -----------------------------------------------------

    def follow(self, bridges: dict[str, LiveBridge]) -> None:
        wanted: dict[tuple[str, str], tuple[LiveBridge, ControllerSettings]] = {}
        for live in bridges.values():
            for settings in _all_settings(live):
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
        for link in self._links.values():
            if isinstance(link, Client):
                link.watch(now_ms)

    def deadline(self) -> int | None:
        return None

    def reconnect(self, bridge: str) -> None:
        """Have all controllers of the bridge called anew (`bridge/reconnect`)."""
        for (name, _), link in self._links.items():
            if name == bridge:
                link.reconnect()
        self.loop.wake()

    def n_connections(self) -> int:
        return sum(link.n_connections() for link in self._links.values())

    # -- opening and closing -------------------------------------------------------------

    def _drop_unless_wanted(
        self, key: tuple[str, str], wanted: tuple[LiveBridge, ControllerSettings] | None
    ) -> None:
        bridge, versions, kind = self._made_for[key]
        if wanted is not None:
            live, settings = wanted
            if live.bridge is bridge and _versions(live) == versions and settings.type == kind:
                return
        link = self._links.pop(key)
        del self._made_for[key]
        link.close()
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

    def _open(self, key: tuple[str, str], live: LiveBridge, settings: ControllerSettings) -> None:
        name, target = key
        kind = Service if is_passive(target) else Client
        try:
            self._links[key] = kind(self, live, target, settings)
        except OSError as error:
            log.err("%s: failed to listen on %s: %s", name, target, error.strerror)
            return
        self._made_for[key] = (live.bridge, _versions(live), settings.type)
        if not _is_snoop(name, target):
            log.info('%s: added %s controller "%s"', name, settings.type, target)


def _versions(live: LiveBridge) -> frozenset[int]:
    assert live.settings is not None
    return live.settings.protocols


def _all_settings(live: LiveBridge) -> list[ControllerSettings]:
    """The bridge's own sockets, then its controllers."""
    if live.settings is None:
        return []
    own = [
        ControllerSettings(target=f"punix:{rundir()}/{live.name}.{suffix}", type="service")
        for suffix in ("mgmt", "snoop")
    ]
    return [*own, *live.settings.controllers]


def _is_snoop(bridge: str, target: str) -> bool:
    return target.endswith(f"/{bridge}.snoop")
