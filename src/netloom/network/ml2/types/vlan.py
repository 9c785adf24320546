"""VLAN networks: an IEEE 802.1Q id on a physical network."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from netloom.network.errors import fail, invalid_input
from netloom.network.ml2.interfaces import Segment
from netloom.network.ml2.types.numbers import free_number
from netloom.network.settings import Settings

if TYPE_CHECKING:
    from netloom.network.store.transaction import Transaction

LOWEST, HIGHEST = 1, 4094


class VlanType:
    """The type driver `vlan`; `network_vlan_ranges` lists physical networks and tenants' ids."""

    name = "vlan"

    def __init__(self, settings: Settings) -> None:
        self._ranges = settings.network_vlan_ranges
        self._mtus = settings.physical_network_mtus
        self._mtu = settings.global_physnet_mtu

    def check(self, segment: Segment) -> None:
        """The physical network must be known, the id possible."""
        physical, number = segment.physical_network, segment.segmentation_id
        if physical:
            if physical not in self._ranges:
                raise invalid_input(
                    f"physical_network '{physical}' unknown for VLAN provider network"
                )
            if number is not None and not LOWEST <= number <= HIGHEST:
                raise invalid_input(f"segmentation_id out of range ({LOWEST} through {HIGHEST})")
            if number is None and not self._ranges[physical]:
                raise invalid_input(
                    f"Physical network {physical} requires segmentation_id to be specified "
                    "when creating a provider network"
                )
        elif number is not None:
            raise invalid_input(
                "segmentation_id requires physical_network for VLAN provider network"
            )

    def choose(
        self, wanted: Segment, tx: Transaction, choose: Callable[[int], int]
    ) -> Segment | None:
        """A free id of the ranges, on the wanted physical network or any."""
        if wanted.segmentation_id is not None:
            return wanted
        physicals = [wanted.physical_network] if wanted.physical_network else list(self._ranges)
        for physical in physicals:
            assert physical is not None
            number = free_number(tx, "vlan", physical, self._ranges[physical], choose)
            if number is not None:
                return Segment("vlan", physical, number)
        return None

    def claim(self, segment: Segment, network_id: str, tx: Transaction) -> bool:
        assert segment.segmentation_id is not None
        return tx.relations.claim_segment(
            "vlan", segment.physical_network or "", segment.segmentation_id, network_id
        )

    def release(self, segment: Segment, network_id: str, tx: Transaction) -> None:
        assert segment.segmentation_id is not None
        tx.relations.release_segment(
            "vlan", segment.physical_network or "", segment.segmentation_id, network_id
        )

    def taken(self, segment: Segment) -> Exception:
        return fail(
            "VlanIdInUse",
            vlan_id=segment.segmentation_id,
            physical_network=segment.physical_network,
        )

    def mtu(self, physical_network: str | None) -> int:
        return self._mtus.get(physical_network or "", self._mtu)
