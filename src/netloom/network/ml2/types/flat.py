"""Flat networks: one untagged network on each physical network."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from netloom.network.errors import fail, invalid_input
from netloom.network.ml2.interfaces import Segment
from netloom.network.settings import Settings

if TYPE_CHECKING:
    from netloom.network.store.transaction import Transaction


class FlatType:
    """The type driver `flat`; `flat_networks` lists physical networks, `*` means any."""

    name = "flat"

    def __init__(self, settings: Settings) -> None:
        self._allowed = frozenset(settings.flat_networks)
        self._mtus = settings.physical_network_mtus
        self._mtu = settings.global_physnet_mtu

    def check(self, segment: Segment) -> None:
        """The physical network must be given and known; numbers make no sense."""
        physical = segment.physical_network
        if not self._allowed:
            raise invalid_input("Flat provider networks are disabled")
        if not physical:
            raise invalid_input("physical_network required for flat provider network")
        if "*" not in self._allowed and physical not in self._allowed:
            raise invalid_input(f"physical_network '{physical}' unknown for flat provider network")
        if segment.segmentation_id is not None:
            raise invalid_input("segmentation_id prohibited for flat provider network")

    def choose(
        self, wanted: Segment, tx: Transaction, choose: Callable[[int], int]
    ) -> Segment | None:
        """What was asked for; nobody gets one without asking."""
        return wanted if wanted.physical_network else None

    def claim(self, segment: Segment, network_id: str, tx: Transaction) -> bool:
        return tx.relations.claim_segment("flat", segment.physical_network or "", 0, network_id)

    def release(self, segment: Segment, network_id: str, tx: Transaction) -> None:
        tx.relations.release_segment("flat", segment.physical_network or "", 0, network_id)

    def taken(self, segment: Segment) -> Exception:
        return fail("FlatNetworkInUse", physical_network=segment.physical_network)

    def mtu(self, physical_network: str | None) -> int:
        return self._mtus.get(physical_network or "", self._mtu)
