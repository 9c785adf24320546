"""RSTP among several bridges of one switch, joined by patch ports; driven by our tools on a
virtual clock. (Debian's 3.1 hangs with this; `test_rapid_tree_peer` compares single bridges.)"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.support.dummy_switch import DummySwitch, dummy_switch

pytestmark = pytest.mark.interop

LINKS = ((1, 2), (2, 3), (1, 3))


@pytest.fixture
def switch() -> Iterator[DummySwitch]:
    with dummy_switch() as made:
        made.appctl("time/stop")
        words: list[str] = []
        for number in (1, 2, 3):
            words += ["--", "add-br", f"r{number}", "--", "set", "bridge", f"r{number}",
                      "datapath_type=dummy", "rstp_enable=true",
                      f"other-config:hwaddr=aa:66:aa:66:00:0{number}",
                      "--", "add-port", f"r{number}", f"d{number}",
                      "--", "set", "interface", f"d{number}", "type=dummy"]  # fmt: skip
        for one, other in LINKS:
            for here, there in ((one, other), (other, one)):
                name = f"p{here}{there}"
                words += ["--", "add-port", f"r{here}", name, "--", "set", "interface", name,
                          "type=patch", f"options:peer=p{there}{here}",
                          "--", "set", "port", name,
                          f"other_config:rstp-port-num={there}"]  # fmt: skip
        made.vsctl(*words[1:])
        yield made


def roles(switch: DummySwitch, bridge: str) -> list[str]:
    lines = switch.appctl("rstp/show", bridge).splitlines()
    return sorted(" ".join(line.split()[:3]) for line in lines if line.startswith(("  p", "  d")))


def test_three_bridges_in_a_ring_block_one_link(switch: DummySwitch) -> None:
    switch.appctl("time/warp", "6000", "500")
    assert roles(switch, "r1") == [
        "d1 Designated Forwarding", "p12 Designated Forwarding", "p13 Designated Forwarding",
    ]  # fmt: skip
    assert roles(switch, "r2") == [
        "d2 Designated Forwarding", "p21 Root Forwarding", "p23 Designated Forwarding",
    ]  # fmt: skip
    assert roles(switch, "r3") == [
        "d3 Designated Forwarding", "p31 Root Forwarding", "p32 Alternate Discarding",
    ]  # fmt: skip
    trace = switch.appctl("ofproto/trace", "r3", "in_port=d3")
    assert len(trace.split("Datapath actions: ")[1].split(",")) == 5
    assert "No such RSTP object" in switch.run("ovs-appctl", "rstp/show", "br0", check=False).stderr


def test_addresses_follow_the_tree_when_a_link_goes(switch: DummySwitch) -> None:
    switch.appctl("time/warp", "6000", "500")
    packet = "eth(src=50:54:00:00:00:01,dst=ff:ff:ff:ff:ff:ff),eth_type(0x1234)"
    switch.appctl("netdev-dummy/receive", "d1", packet)
    fdb = switch.appctl("fdb/show", "r3").splitlines()[1:]
    assert len(fdb) == 1
    port_before = fdb[0].split()[0]
    switch.vsctl("del-port", "r1", "p13", "--", "del-port", "r3", "p31")
    switch.appctl("time/warp", "4000", "500")
    assert "p32 Root Forwarding" in roles(switch, "r3")
    assert all(line.split()[0] != port_before
               for line in switch.appctl("fdb/show", "r3").splitlines()[1:])  # fmt: skip
    switch.appctl("netdev-dummy/receive", "d1", packet)
    assert switch.appctl("fdb/show", "r3").splitlines()[1].split()[0] != port_before


def test_without_rstp_all_ports_are_free_again(switch: DummySwitch) -> None:
    switch.appctl("time/warp", "6000", "500")
    switch.vsctl("set", "bridge", "r3", "rstp_enable=false")
    shown = switch.ofctl("show", "r3").stdout
    assert "STP_" not in shown
    assert switch.vsctl("get", "bridge", "r3", "rstp_status").strip() == "{}"
    assert switch.vsctl("get", "port", "p32", "rstp_status").strip() == "{}"
    assert "r1" in switch.appctl("rstp/show")
    assert "r3" not in switch.appctl("rstp/show")
