"""The mechanism driver `l2population`: every agent knows where every port is.

In a service whose agents watch everything, the forwarding entries of other hosts follow from ports
and agents (`netloom.network.watch.derive`). So the driver does nothing per change: that it is
configured is what agents are told, and then they fill their tables instead of flooding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from netloom.network.document import Change, Document
from netloom.network.ml2.interfaces import Binding, Segment
from netloom.network.settings import Settings

if TYPE_CHECKING:
    from netloom.network.store.transaction import Transaction


class L2populationDriver:
    """Turns population of forwarding tables on."""

    name = "l2population"
    postcommit_kinds: frozenset[str] = frozenset()

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def precommit(self, change: Change, tx: Transaction) -> None:
        """Nothing: entries are derived by those who watch."""

    def postcommit(self, change: Change) -> None:
        """Nothing: entries are derived by those who watch."""

    def bind(
        self, port: Document, segments: Sequence[Segment], agents: Sequence[Document]
    ) -> Binding | None:
        """Never binds."""
        return None
