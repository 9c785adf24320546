"""Tunnelled networks: GRE keys, VXLAN and Geneve network identifiers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from netloom.network.errors import fail, invalid_input
from netloom.network.ml2.interfaces import Segment
from netloom.network.ml2.types.numbers import free_number
from netloom.network.settings import Range, Settings

if TYPE_CHECKING:
    from netloom.network.store.transaction import Transaction

IP_HEADER = {4: 20, 6: 40}
#: Inner Ethernet, tunnel header (with the GRE key), outer UDP where there is one: bytes.
GRE_OVERHEAD = 22
VXLAN_OVERHEAD = 30


class TunnelType:
    """A type driver whose segments are numbers from `lowest` to `highest` in tunnels."""

    def __init__(
        self,
        name: str,
        ranges: tuple[Range, ...],
        limits: Range,
        overhead: int,
        settings: Settings,
    ) -> None:
        self.name = name
        self._ranges = ranges
        self._limits = limits
        underlay = settings.global_physnet_mtu
        if settings.path_mtu:
            underlay = min(underlay, settings.path_mtu)
        self._mtu = max(0, underlay - overhead - IP_HEADER[settings.overlay_ip_version])

    def check(self, segment: Segment) -> None:
        """Tunnels know no physical network; the number must fit."""
        if segment.physical_network is not None:
            raise invalid_input(f"provider:physical_network specified for {self.name} network")
        low, high = self._limits
        number = segment.segmentation_id
        if number is not None and not low <= number <= high:
            raise invalid_input(f"segmentation_id out of range ({low} through {high})")

    def choose(
        self, wanted: Segment, tx: Transaction, choose: Callable[[int], int]
    ) -> Segment | None:
        """The wanted number, or a free one of the ranges."""
        if wanted.segmentation_id is not None:
            return wanted
        number = free_number(tx, self.name, "", self._ranges, choose)
        return None if number is None else Segment(self.name, None, number)

    def claim(self, segment: Segment, network_id: str, tx: Transaction) -> bool:
        assert segment.segmentation_id is not None
        return tx.relations.claim_segment(self.name, "", segment.segmentation_id, network_id)

    def release(self, segment: Segment, network_id: str, tx: Transaction) -> None:
        assert segment.segmentation_id is not None
        tx.relations.release_segment(self.name, "", segment.segmentation_id, network_id)

    def taken(self, segment: Segment) -> Exception:
        return fail("TunnelIdInUse", tunnel_id=segment.segmentation_id)

    def mtu(self, physical_network: str | None) -> int:
        return self._mtu


def gre(settings: Settings) -> TunnelType:
    """The type driver `gre`: 32-bit keys."""
    limits = (1, (1 << 32) - 1)
    return TunnelType("gre", settings.tunnel_id_ranges, limits, GRE_OVERHEAD, settings)


def vxlan(settings: Settings) -> TunnelType:
    """The type driver `vxlan`: 24-bit identifiers."""
    limits = (1, (1 << 24) - 1)
    return TunnelType("vxlan", settings.vxlan_vni_ranges, limits, VXLAN_OVERHEAD, settings)


def geneve(settings: Settings) -> TunnelType:
    """The type driver `geneve`: 24-bit identifiers, options make the header longer."""
    limits = (1, (1 << 24) - 1)
    return TunnelType(
        "geneve", settings.geneve_vni_ranges, limits, settings.max_header_size, settings
    )
