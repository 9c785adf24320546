"""What is looked at before a field of a connection is read."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "trace"))
from small_switch import SmallSwitch

from netloom.flow.fields import SLOT
from netloom.flow.text import parse_flow
from netloom.ofproto.translate import translate
from netloom.openflow.action_parse import parse_actions

MOVE = "move:NXM_NX_CT_NW_SRC[]->NXM_NX_REG0[]"
STATE, ADDRESS, REGISTER = SLOT["ct_state"], SLOT["ct_nw_src"], SLOT["reg0"]


@pytest.mark.parametrize(
    ("state", "has"), [(0x21, True), (0x22, True), (0x28, True), (0x20, False), (0x30, False)]
)
def test_packets_have_the_addresses_of_a_connection_that_is_there(state: int, has: bool) -> None:
    switch = SmallSwitch()
    bridge = switch.add_bridge("br0")
    switch.add_port("br0", "p1", 1, {})
    key = ADDRESS.put(STATE.put(parse_flow("in_port=1,tcp"), state), 7)
    result = translate(bridge, key, 0, actions=parse_actions(MOVE)[0])
    assert REGISTER.get(result.key) == (7 if has else 0)
    assert STATE.get(result.mask) & 0x0B == 0x0B
