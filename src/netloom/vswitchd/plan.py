"""What is, what is wished -> the ordered steps between them. Pure.

What must hold: `plan(x, x)` is empty; after all steps succeeded, what is equals the wish; steps
that fail leave their part out of what is, so that the next plan holds them again and nothing else.

Order: deletes before adds, over all bridges, so that a device, a name or an OpenFlow port number
can move from one port to another in one plan. Interfaces that ask for a number are added before
those that take any, and a port that sits on a number which somebody else asks for is moved away.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from netloom.base.record import Record, replace
from netloom.ofproto.settings import BundleSettings
from netloom.vswitchd.wish import BridgeWish, InterfaceWish, Wish


class Step(Record):
    """Base of all steps; `bridge` is the name of the bridge that it concerns."""

    bridge: str


class DestroyBridge(Step):
    """Remove the bridge with all its ports."""


class DelBundle(Step):
    name: str


class DelInterface(Step):
    name: str


class CreateBridge(Step):
    """Make an empty bridge of that data-path type."""

    datapath_type: str


class AddInterface(Step):
    """Open the device and add it as port."""

    wish: InterfaceWish


class ChangeInterface(Step):
    """Give an interface that stays new options, peer, address or MTU."""

    wish: InterfaceWish


class SetBundle(Step):
    settings: BundleSettings


class SettleBridge(Step):
    """Choose address and datapath id anew, and apply the bridge's own settings."""

    wish: BridgeWish


#: The OpenFlow port number of each interface, by bridge and interface name.
OfPorts = Mapping[tuple[str, str], int]


def plan(actual: Wish, wish: Wish, ofports: OfPorts | None = None) -> list[Step]:
    """The steps from `actual` (what was applied; `ofports` says with which numbers) to `wish`."""
    old = {bridge.name: bridge for bridge in actual.bridges}
    new = {bridge.name: bridge for bridge in wish.bridges}
    steps: list[Step] = [
        DestroyBridge(name)
        for name, bridge in old.items()
        if name not in new or new[name].datapath_type != bridge.datapath_type
    ]
    gone = {step.bridge for step in steps}
    diffs = [
        _BridgeDiff(None if name in gone else old.get(name), bridge, ofports or {})
        for name, bridge in new.items()
    ]
    for diff in diffs:
        steps.extend(diff.deletions())
    for diff in diffs:
        steps.extend(diff.creation())
    for diff in diffs:
        steps.extend(diff.additions())
    return steps


class _BridgeDiff:
    """The difference of one bridge that is wished."""

    def __init__(self, old: BridgeWish | None, new: BridgeWish, ofports: OfPorts) -> None:
        self._old = old
        self._new = new
        self._ofports = ofports
        self._had = _interfaces(old)
        self._wanted = {name: wish for name, wish in _interfaces(new).items() if wish.error is None}
        self._doomed = self._find_doomed()
        old_bundles = _bundles(old, self._had)
        self._new_bundles = _bundles(new, self._wanted)
        #: Bundles that lose a port on the way have to be set again.
        self._old_bundles = {
            name: bundle
            for name, bundle in old_bundles.items()
            if not self._doomed.intersection(bundle.members)
        }
        self._dead_bundles = [name for name in old_bundles if name not in self._new_bundles]

    def _find_doomed(self) -> set[str]:
        """Names of the interfaces to be removed, be it to come back."""
        doomed = {
            name
            for name, had in self._had.items()
            if (wanted := self._wanted.get(name)) is None
            or wanted.type != had.type
            or self._must_move(had, wanted)
        }
        claimed = {
            wanted.ofport
            for name, wanted in self._wanted.items()
            if wanted.ofport_requested and name in doomed
        }
        for name, wanted in self._wanted.items():
            sits_on = self._ofports.get((self._new.name, name))
            if name in self._had and not wanted.ofport_requested and sits_on in claimed:
                doomed.add(name)
        return doomed

    def _must_move(self, had: InterfaceWish, wanted: InterfaceWish) -> bool:
        """Does it ask for another number than it has, one that nobody else has by right?"""
        number = wanted.ofport
        sits_on = self._number_of(had.name)
        if sits_on is None:
            return wanted.ofport_requested and _request(had) != number
        if not wanted.ofport_requested or sits_on == number:
            return False
        return not any(
            other.ofport_requested and other.ofport == number and self._number_of(name) == number
            for name, other in self._wanted.items()
        )

    def _number_of(self, name: str) -> int | None:
        return self._ofports.get((self._new.name, name)) if name in self._had else None

    def deletions(self) -> Iterator[Step]:
        for name in self._dead_bundles:
            yield DelBundle(self._new.name, name)
        for name in sorted(self._doomed):
            yield DelInterface(self._new.name, name)

    def creation(self) -> Iterator[Step]:
        if self._old is None:
            yield CreateBridge(self._new.name, self._new.datapath_type)

    def additions(self) -> Iterator[Step]:
        steps = [*self._interface_steps(), *self._bundle_steps()]
        yield from steps
        if steps or self._doomed or self._dead_bundles or not self._settings_equal():
            yield SettleBridge(self._new.name, self._new)

    def _interface_steps(self) -> Iterator[Step]:
        kept = {name for name in self._had if name not in self._doomed}
        missing = [wish for name, wish in self._wanted.items() if name not in kept]
        missing.sort(key=lambda wish: (wish.name != self._new.name, _urgency(wish), wish.name))
        for wish in missing:
            yield AddInterface(self._new.name, wish)
        for name in sorted(kept):
            wanted = self._wanted[name]
            if _essence(self._had[name]) != _essence(wanted):
                yield ChangeInterface(self._new.name, wanted)

    def _bundle_steps(self) -> Iterator[Step]:
        for name, bundle in self._new_bundles.items():
            if self._old_bundles.get(name) != bundle:
                yield SetBundle(self._new.name, bundle)

    def _settings_equal(self) -> bool:
        return self._old is not None and _frame(self._old) == _frame(self._new)


def _frame(bridge: BridgeWish) -> BridgeWish:
    """The bridge less its interfaces and bundles, which have steps of their own; Port.mac and
    fake bridges have none, and matter for addresses."""
    ports = tuple(
        replace(port, interfaces=(), bundle=BundleSettings(port.name, ()))
        for port in bridge.ports
        if port.mac or port.fake_bridge
    )
    return replace(bridge, ports=ports)


def _interfaces(bridge: BridgeWish | None) -> dict[str, InterfaceWish]:
    if bridge is None:
        return {}
    return {wish.name: wish for port in bridge.ports for wish in port.interfaces}


def _bundles(bridge: BridgeWish | None, present: Iterable[str]) -> dict[str, BundleSettings]:
    """The bundles of the ports that have any interface."""
    if bridge is None:
        return {}
    names = set(present)
    return {port.name: port.bundle for port in bridge.ports if names & set(port.bundle.members)}


def _request(wish: InterfaceWish) -> int:
    return wish.ofport if wish.ofport_requested else 0


def _urgency(wish: InterfaceWish) -> int:
    """Requested numbers first, then numbers to be kept, then the rest."""
    if wish.ofport_requested:
        return 0
    return 1 if wish.ofport else 2


def _essence(wish: InterfaceWish) -> InterfaceWish:
    """The interface less the number that it happens to have."""
    return replace(wish, ofport=_request(wish))
