"""`nat` to the address 0, which says that only ports that are taken are to be replaced."""

from __future__ import annotations

import pytest

from netloom.openflow.action_decode import decode_actions
from netloom.openflow.action_encode import encode_actions
from netloom.openflow.action_format import format_actions
from netloom.openflow.action_parse import parse_actions


@pytest.mark.parametrize("address", ["0.0.0.0", "[::]"])
def test_no_address_is_on_the_wire(address: str) -> None:
    actions, _ = parse_actions(f"ct(commit,nat(src={address}))")
    assert format_actions(actions).startswith("ct(commit,nat(src=")
    read = decode_actions(encode_actions(actions, 4), 4)
    assert format_actions(read) == "ct(commit,nat(src))"
