"""Who the host hands a packet to: what in-band control lets ARP through for."""

from __future__ import annotations

import pytest

from netloom.base.errors import ConfigError
from netloom.flow.mapped import parse_mapped
from netloom.ofproto.underlay import Underlay
from netloom.ofproto.underlay.routes import Route


def address(text: str) -> int:
    number = parse_mapped(text)
    assert number is not None
    return number


def test_gateway_of_the_route_is_asked_for_else_the_remote_itself() -> None:
    underlay = Underlay()
    own = address("10.0.0.5")
    underlay.routes.set_system(
        (
            Route(address("10.0.0.0"), 120, "br0", source=own),
            Route(address("10.9.0.0"), 112, "br0", address("10.0.0.1"), own),
            Route(own, 128, "lo", source=own, is_local=True),
        )
    )
    known = {("br0", 0x0A000001): 0xAA, ("br0", 0x0A000007): 0xBB, ("lo", 0x0A000005): 0xCC}
    underlay.host_neighbour = lambda device, ip: known.get((device, ip))
    assert underlay.next_hop_mac(0x0A090102) == 0xAA
    assert underlay.next_hop_mac(0x0A000007) == 0xBB
    assert underlay.next_hop_mac(0x0A000008) is None
    assert underlay.next_hop_mac(0x0A000005) is None
    with pytest.raises(ConfigError, match="No such device or address"):
        underlay.next_hop_mac(0x0B000001)
