"""What is forgotten with a port."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "trace"))
from small_switch import SmallSwitch


def test_addresses_of_a_port_that_goes_are_forgotten_by_other_bridges_too() -> None:
    switch = SmallSwitch()
    for name, port in (("br0", 1), ("br1", 2)):
        switch.add_bridge(name)
        switch.add_port(name, f"p{port}", port, {})
    bridges = switch.backer.bridges
    for name, port in (("br0", "p1"), ("br1", "p2")):
        for mac in (1, 2) if name == "br1" else (1,):
            bridges[name].macs.learn(mac, 0, bridges[name].bundles[port], 0)
    bridges["br0"].bundle_del("p1")
    assert len(bridges["br0"].macs) == 0
    assert [entry.mac for entry in bridges["br1"].macs] == [2]
