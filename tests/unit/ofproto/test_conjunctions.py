"""What ofproto/trace tells of a conjunction, and how tables treat its flows."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "trace"))
from small_switch import SmallSwitch

PACKET = "in_port=1,tcp,nw_src=10.0.0.1,nw_dst=10.0.0.2,tcp_dst=80"


def switch() -> SmallSwitch:
    switch = SmallSwitch()
    switch.add_bridge("br0")
    switch.add_port("br0", "p1", 1, {})
    switch.add_port("br0", "p2", 2, {})
    return switch


def test_trace_lists_the_flows_of_the_conjunction_by_clause() -> None:
    stand = switch()
    stand.add_flow("br0", "priority=10,tcp,tcp_dst=80 actions=conjunction(7,2/2)")
    stand.add_flow("br0", "priority=10,ip,nw_src=10.0.0.1 actions=conjunction(7,1/2)")
    stand.add_flow("br0", "priority=10,ip,nw_src=10.0.0.2 actions=conjunction(7,1/2)")
    stand.add_flow("br0", "priority=1,conj_id=7 actions=output:2")
    lines = stand.control("ofproto/trace", "br0", PACKET).splitlines()
    at = lines.index(" 0. conj_id=7, priority 1")
    assert lines[at + 1 : at + 4] == [
        "     -> conj. priority=10,ip,nw_src=10.0.0.1",
        "     -> conj. priority=10,tcp,tp_dst=80",
        "    output:2",
    ]


def test_flow_that_is_modified_leaves_its_conjunction() -> None:
    stand = switch()
    for flow in ("priority=10,tcp,tcp_dst=80 actions=conjunction(7,2/2)",
                 "priority=10,ip,nw_src=10.0.0.1 actions=conjunction(7,1/2)",
                 "priority=1,conj_id=7 actions=output:2"):  # fmt: skip
        stand.add_flow("br0", flow)
    assert "conj_id=7, priority 1" in stand.control("ofproto/trace", "br0", PACKET)
    stand.add_flow("br0", "priority=10,tcp,tcp_dst=80 actions=drop")
    assert " 0. tcp,tp_dst=80, priority 10" in stand.control("ofproto/trace", "br0", PACKET)
