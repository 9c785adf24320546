"""What BFD, CFM and LLDP have in common on a bridge: a machine for each interface that wants one.

A machine watches the link of its interface. It hears packets and says some, at times of its own;
when what it thinks of the link changes, groups, bonds and people have to know.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Generic, NamedTuple, Protocol, TypeVar

from netloom.base.errors import CommandError
from netloom.ofproto.events import PORT_TOGGLED
from netloom.ofproto.liveness import note_watchers

if TYPE_CHECKING:
    from netloom.ofproto.bridge import Ofproto
    from netloom.ofproto.ports import OfPort
    from netloom.ofproto.translate.context import Context

Row = tuple[str, str, int, int, Callable[[list[str]], str]]
ORDERS = {"normal": None, "true": True, "false": False}


#: An answer to an answer is the last that any protocol has; more, in one turn, may be a mistake.
_MAX_ANSWERS = 4


class Speaker(Protocol):
    """What speaks a protocol over one link."""

    def deadline(self) -> int | None: ...


class Machine(Speaker, Protocol):
    """What watches one link."""

    def show(self, now_ms: int) -> str: ...

    def order(self, value: bool | None) -> None:
        """Have it say this, whatever it thinks; None: what it thinks."""


S = TypeVar("S", bound=Speaker)
M = TypeVar("M", bound=Machine)


class LinkWatch(ABC, Generic[S]):
    """The machines of one bridge, by interface."""

    #: What packets that machines take are counted as.
    protocol: str

    def __init__(self, bridge: Ofproto) -> None:
        self._bridge = bridge
        self.machines: dict[str, S] = {}
        self._outlooks: dict[str, object] = {}

    @abstractmethod
    def _is_wanted(self, port: OfPort) -> bool:
        """Does the interface ask for a machine?"""

    @abstractmethod
    def _make(self, port: OfPort, now_ms: int) -> S:
        """One for an interface that does."""

    @abstractmethod
    def _tend(self, machine: S, port: OfPort, now_ms: int) -> bytes | None:
        """Configure it, let its timers end; the frame that it has to say."""

    def _counter(self, name: str) -> Callable[[], int]:
        """What tells how many packets have come in at the port of that name."""

        def count() -> int:
            port = self._bridge.ports_by_name.get(name)
            if port is None:
                return 0
            stats = port.patch_stats() if port.device is None else port.device.stats()
            return stats.rx_packets

        return count

    def _is_oam(self, machine: S) -> bool:
        """Do tunnels mark what it says as operation and maintenance?"""
        return False

    @abstractmethod
    def _outlook(self, machine: S, now_ms: int) -> object:
        """What others have to hear of when it changes."""

    @abstractmethod
    def knows(self, context: Context, port: OfPort) -> bool:
        """Is the packet, as it is now, one of the protocol that is spoken at this port?"""

    @abstractmethod
    def _receive(self, machine: S, frame: bytes, now_ms: int) -> None:
        """Give it a packet of its protocol."""

    @abstractmethod
    def is_up(self, port: OfPort) -> bool:
        """May packets use this port, which is watched?"""

    def run(self, now_ms: int) -> None:
        """Follow settings, let timers end, send what is due."""
        ports = self._bridge.ports_by_name
        for name in list(self.machines):
            port = ports.get(name)
            if port is None or not self._is_wanted(port):
                del self.machines[name]
                self._outlooks.pop(name, None)
                self._changed()
        for port in ports.values():
            if self._is_wanted(port):
                self._run_port(port, now_ms)
        self._answer(now_ms)

    def _answer(self, now_ms: int) -> None:
        """Have those speak at once who are asked by what others have just said."""
        for _ in range(_MAX_ANSWERS):
            due = [name for name, machine in self.machines.items() if _is_due(machine, now_ms)]
            if not due:
                return
            for name in due:
                self._run_port(self._bridge.ports_by_name[name], now_ms)

    def _run_port(self, port: OfPort, now_ms: int) -> None:
        name = port.name
        machine = self.machines.get(name)
        if machine is None:
            machine = self.machines[name] = self._make(port, now_ms)
            self._changed()
        frame = self._tend(machine, port, now_ms)
        if frame is not None:
            self._bridge.send_packet(port, frame, now_ms, is_oam=self._is_oam(machine))
        outlook = self._outlook(machine, now_ms)
        if self._outlooks.get(name) != outlook:
            self._outlooks[name] = outlook
            self._changed()

    def _changed(self) -> None:
        self._bridge.status_version += 1
        for port in self._bridge.ports_by_name.values():
            note_watchers(port)
        self._bridge.backer.config_changed(PORT_TOGGLED)
        self._bridge.devices_changed()

    def deadline(self) -> int | None:
        """When a timer ends."""
        times = (machine.deadline() for machine in self.machines.values())
        return min((at for at in times if at is not None), default=None)

    def watches(self, port: OfPort) -> bool:
        """Is there a machine for this port, or will there be one in a moment?"""
        return self._is_wanted(port)

    def takes(self, context: Context, port: OfPort) -> bool:
        """Is the packet, as it is now, for the machine of this port? If so, it gets it."""
        machine = self.machines.get(port.name)
        if machine is None:
            return False
        context.cannot_repeat()
        if not self.knows(context, port):
            return False
        if context.packet and context.side_effects:
            self._receive(machine, context.packet, context.now_ms)
        context.slow.add(self.protocol)
        return True


def _is_due(machine: Speaker, now_ms: int) -> bool:
    due_ms = machine.deadline()
    return due_ms is not None and due_ms <= now_ms


class Words(NamedTuple):
    """What the commands of a protocol are called and say. `heading` stands above each of several
    machines; `absent` is said by `show`, `absent_for_order` by the other one."""

    protocol: str
    order: str
    absent: str
    absent_for_order: str
    heading: str = ""


class LinkWatchCommands(Generic[M]):
    """`<protocol>/show` and `<protocol>/set-…` over the machines of all bridges."""

    def __init__(
        self,
        words: Words,
        machines: Callable[[], list[Mapping[str, M]]],
        now_ms: Callable[[], int],
    ) -> None:
        self._words = words
        self._machines = machines
        self._now_ms = now_ms

    def commands(self) -> list[Row]:
        """Name, usage, least and most arguments, handler."""
        name = self._words.protocol
        usage = "[interface] normal|false|true"
        return [
            (f"{name}/show", "[interface]", 0, 1, self._show),
            (f"{name}/{self._words.order}", usage, 1, 2, self._order),
        ]

    def _chosen(self, names: list[str], absent: str) -> dict[str, M]:
        found: dict[str, M] = {}
        for machines in self._machines():
            found |= machines
        if names and names[0] not in found:
            raise CommandError(absent)
        return {name: found[name] for name in names or sorted(found)}

    def _show(self, args: list[str]) -> str:
        heading = "" if args else self._words.heading
        return "".join(
            f"{heading.format(name)}{machine.show(self._now_ms())}"
            for name, machine in self._chosen(args, self._words.absent).items()
        )

    def _order(self, args: list[str]) -> str:
        word = args[-1].lower()
        if word not in ORDERS:
            raise CommandError("unknown fault string")
        for machine in self._chosen(args[:-1], self._words.absent_for_order).values():
            machine.order(ORDERS[word])
        return "OK\n"
