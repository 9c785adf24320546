"""Data arrives intact whatever the devices leave undone: checksums, segmentation, tags."""

from __future__ import annotations

import itertools

import pytest
from tests.support.bulk import RECEIVER, SENDER, Stand
from tests.support.switches import needs_root

from netloom.lab.lab import Lab
from netloom.lab.switch import Programs

pytestmark = [pytest.mark.root, needs_root]

FEATURES = ("tx", "tso", "gro", "rxvlan")
COMBINATIONS = list(itertools.product(("on", "off"), repeat=len(FEATURES)))
BYTES = "2000000"
#: Every connection through the tracker; those of vif1 get another address and port.
TRANSLATE = """\
table=0,priority=20,in_port=vif1,ip,actions=ct(commit,zone=1,nat(src=10.0.0.77:2000-60000),table=1)
table=0,priority=20,in_port=vif1,ipv6,actions=ct(commit,zone=1,nat(src=[fd00::77]:2000-60000),table=1)
table=0,priority=10,in_port=pa,ip,actions=ct(zone=1,nat,table=1)
table=0,priority=10,in_port=pa,ipv6,actions=ct(zone=1,nat,table=1)
table=0,priority=0,actions=NORMAL
table=1,in_port=vif1,actions=pa
table=1,in_port=pa,actions=vif1
"""


@pytest.fixture
def stand(lab: Lab, tools: Programs) -> Stand:
    return Stand(lab, tools)


def set_features(stand: Stand, combination: tuple[str, ...]) -> None:
    """On the devices of both machines, at both ends of their wires."""
    words = [word for pair in zip(FEATURES, combination, strict=True) for word in pair]
    for vm in (stand.vm1, stand.vm2):
        vm.run("ethtool", "-K", "eth0", *words)
        stand.lab.host.run("ethtool", "-K", vm.vif, *words)


@pytest.mark.parametrize("address", ["10.0.0.2", "fd00::2"])
def test_every_combination_of_features_delivers_intact_data(stand: Stand, address: str) -> None:
    for combination in COMBINATIONS:
        set_features(stand, combination)
        received, sent = stand.talk(RECEIVER, SENDER, address, BYTES)
        assert received == sent, combination


@pytest.mark.parametrize("address", ["10.0.0.2", "fd00::2"])
def test_translated_connections_deliver_intact_data(stand: Stand, address: str) -> None:
    for vm in (stand.vm1, stand.vm2):
        # Nobody answers for the other address: vm1's is told.
        vm.ip("neigh", "replace", "10.0.0.77", "lladdr", "02:00:00:00:00:01", "dev", "eth0")
        vm.ip("neigh", "replace", "fd00::77", "lladdr", "02:00:00:00:00:01", "dev", "eth0")
    # No tags: the flows bypass NORMAL.
    for port, column in (("vif1", "tag"), ("vif2", "tag"), ("pa", "trunks"), ("pb", "trunks")):
        stand.switch.vsctl("clear", "port", port, column)
    stand.switch.run("ovs-ofctl", "add-flows", "br0", "-", stdin=TRANSLATE)
    for combination in COMBINATIONS[:: len(COMBINATIONS) - 1]:
        set_features(stand, combination)
        received, sent = stand.talk(RECEIVER, SENDER, address, BYTES)
        assert received == sent, combination
    shown = stand.switch.appctl("dpctl/dump-conntrack")
    assert "10.0.0.77" in shown or "fd00::77" in shown
