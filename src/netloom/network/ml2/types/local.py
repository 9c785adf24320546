"""Local networks: nothing leaves the host, so there is nothing to allocate."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from netloom.network.errors import invalid_input
from netloom.network.ml2.interfaces import Segment
from netloom.network.settings import Settings

if TYPE_CHECKING:
    from netloom.network.store.transaction import Transaction


class LocalType:
    """The type driver `local`."""

    name = "local"

    def __init__(self, settings: Settings) -> None:
        self._mtu = settings.global_physnet_mtu

    def check(self, segment: Segment) -> None:
        """Refuse everything but the type."""
        if segment.physical_network is not None:
            raise invalid_input("provider:physical_network specified for local network")
        if segment.segmentation_id is not None:
            raise invalid_input("provider:segmentation_id specified for local network")

    def choose(
        self, wanted: Segment, tx: Transaction, choose: Callable[[int], int]
    ) -> Segment | None:
        """The one segment that there is."""
        return Segment("local")

    def claim(self, segment: Segment, network_id: str, tx: Transaction) -> bool:
        return True

    def release(self, segment: Segment, network_id: str, tx: Transaction) -> None:
        return

    def taken(self, segment: Segment) -> Exception:
        raise AssertionError("local segments are never taken")

    def mtu(self, physical_network: str | None) -> int:
        return self._mtu
