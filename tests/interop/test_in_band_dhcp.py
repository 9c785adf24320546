"""A DHCP reply reaches the local port of a bridge with in-band control, whatever its flows say.

The expected lines are those of Open vSwitch 3.1.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.support.dummy_switch import DummySwitch, dummy_switch

pytestmark = pytest.mark.interop

REPLY = "udp,in_port=1,nw_src=1.1.1.1,nw_dst=255.255.255.255,udp_src=67,udp_dst=68"
OTHER = REPLY.replace("udp_dst=68", "udp_dst=69")
TOLD = "     -> outputting DHCP packet to local port for in-band control"


@pytest.fixture(scope="module")
def switch() -> Iterator[DummySwitch]:
    with dummy_switch() as made:
        made.vsctl("set", "bridge", "br0", "fail_mode=secure")
        made.vsctl("set-controller", "br0", "tcp:127.0.0.1:1")
        yield made


def trace(switch: DummySwitch, actions: str, flow: str, mode: str = "in-band") -> list[str]:
    switch.vsctl("set", "controller", "br0", f"connection_mode={mode}")
    switch.ofctl("del-flows", "br0")
    switch.ofctl("add-flow", "br0", f"actions={actions}")
    return switch.appctl("ofproto/trace", "br0", flow).splitlines()


def test_reply_that_is_dropped_goes_to_the_local_port(switch: DummySwitch) -> None:
    lines = trace(switch, "drop", REPLY)
    assert TOLD in lines
    assert lines[-2].endswith(",nw_frag=no,tp_src=67,tp_dst=68")
    assert lines[-1] == "Datapath actions: 100"


def test_reply_that_goes_there_anyway_goes_once(switch: DummySwitch) -> None:
    lines = trace(switch, "local,2", REPLY)
    assert TOLD not in lines
    assert lines[-1] == "Datapath actions: 100,2"


def test_other_udp_packets_are_not_told_apart_by_their_ports(switch: DummySwitch) -> None:
    lines = trace(switch, "drop", OTHER)
    assert TOLD not in lines
    assert lines[-2].endswith(",nw_frag=no")
    assert lines[-1] == "Datapath actions: drop"


def test_out_of_band_control_leaves_replies_to_the_flows(switch: DummySwitch) -> None:
    lines = trace(switch, "drop", REPLY, "out-of-band")
    assert TOLD not in lines
    assert lines[-1] == "Datapath actions: drop"
