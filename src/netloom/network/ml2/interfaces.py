"""What a driver is: the three axes of ML2, as small protocols.

    type driver        makes segments: numbers on physical networks or tunnels
    mechanism driver   binds ports to segments, and hears of every change
    extension driver   judges and completes attributes before they are stored

A driver is found by an entry point (groups `netloom.ml2.type_drivers`, `.mechanism_drivers`,
`.extension_drivers`; the name is what `ml2_conf.ini` lists) whose value is called with the
`Settings` and gives the driver. The built-in ones come the same way.

A mechanism driver has one method for all it hears of. `precommit(change, tx)` runs inside the
transaction: it may read and write, and raising `ApiError` undoes everything. `postcommit(change)`
runs after the commit, is tried again until it succeeds, and may so happen more than once: what it
does must be idempotent. Only changes of the kinds in `postcommit_kinds` are kept for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from netloom.network.document import Change, Document

if TYPE_CHECKING:
    from netloom.network.store.transaction import Transaction


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment of a network; None where a type has no such thing."""

    network_type: str
    physical_network: str | None = None
    segmentation_id: int | None = None


@dataclass(frozen=True, slots=True)
class Binding:
    """How a port is bound: the segment's index, and what the host's plumber needs to know."""

    segment: int
    vif_type: str
    vif_details: MappingProxyType[str, Any]


class TypeDriver(Protocol):
    """Segments of one network type."""

    name: str

    def check(self, segment: Segment) -> None:
        """Raise `ApiError` unless an administrator may ask for this segment."""

    def choose(
        self, wanted: Segment, tx: Transaction, choose: Callable[[int], int]
    ) -> Segment | None:
        """Fill in what `wanted` leaves open with something free; None if nothing is."""

    def claim(self, segment: Segment, network_id: str, tx: Transaction) -> bool:
        """Whether the segment was free and is now the network's."""

    def release(self, segment: Segment, network_id: str, tx: Transaction) -> None:
        """Give the segment back."""

    def taken(self, segment: Segment) -> Exception:
        """The error that says that somebody has this segment."""

    def mtu(self, physical_network: str | None) -> int:
        """The largest IP packet, in bytes."""


class MechanismDriver(Protocol):
    """Something that carries out what networks and ports ask for."""

    name: str
    postcommit_kinds: frozenset[str]

    def precommit(self, change: Change, tx: Transaction) -> None:
        """Hear of a change before it is committed; raise `ApiError` to veto it."""

    def postcommit(self, change: Change) -> None:
        """Carry out a committed change; idempotent."""

    def bind(
        self, port: Document, segments: Sequence[Segment], agents: Sequence[Document]
    ) -> Binding | None:
        """Bind `port` at its host, whose live agents are given; None: not by this driver."""


class ExtensionDriver(Protocol):
    """Attributes beyond the core ones."""

    name: str
    #: Extensions that the driver makes work.
    aliases: tuple[str, ...]

    def process(self, change: Change, body: dict[str, Any], network: Document | None) -> None:
        """Judge `body` and complete `change.after`; `network` is a port's network."""
