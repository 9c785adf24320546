"""What is looked at before a field of a connection is read."""

from __future__ import annotations

import pytest

from netloom.flow.fields import FIELD, SLOT
from netloom.ofproto.translate.context import Context
from netloom.ofproto.translate.fields import has_field


@pytest.mark.parametrize(
    ("state", "has"), [(0x21, True), (0x22, True), (0x28, True), (0x20, False), (0x30, False)]
)
def test_packets_have_the_addresses_of_a_connection_that_is_there(state: int, has: bool) -> None:
    slot = SLOT["ct_state"]
    # Of a translation that has only begun: nothing but these two is asked for.
    context = Context.__new__(Context)
    context.key, context.mask = slot.put(0, state), 0
    assert has_field(context, FIELD["ct_nw_src"]) is has
    assert slot.get(context.mask) == 0x0B
