"""Traces of packets that never stop coming back end."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "trace"))
from small_switch import SmallSwitch


def test_a_packet_that_comes_back_for_ever_is_not_traced_for_ever() -> None:
    switch = SmallSwitch()
    switch.add_bridge("br0")
    switch.add_port("br0", "p1", 1, {})
    switch.add_flow("br0", "table=0,ip,actions=ct(table=0),ct(table=0)")
    text = switch.control("ofproto/trace", "br0", "in_port=1,tcp")
    assert text.count("resume conntrack") == 256
    assert text.endswith("came back 256 times: the rest is not traced.\n")
