"""What is looked at before a field of a connection is read."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from netloom.flow.fields import FIELD, SLOT
from netloom.ofproto.translate.fields import has_field


@dataclass
class Packet:
    key: int
    mask: int = 0
    is_later_fragment: bool = False


@pytest.mark.parametrize(
    ("state", "has"), [(0x21, True), (0x22, True), (0x28, True), (0x20, False), (0x30, False)]
)
def test_packets_have_the_addresses_of_a_connection_that_is_there(state: int, has: bool) -> None:
    slot = SLOT["ct_state"]
    packet = Packet(slot.put(0, state))
    assert has_field(packet, FIELD["ct_nw_src"]) is has  # type: ignore[arg-type]
    assert slot.get(packet.mask) == 0x0B
