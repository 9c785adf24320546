"""Tags on and off around the tracker and translation, with tags beside packets and inside of
them."""

from __future__ import annotations

import itertools

import pytest
from tests.support.bulk import RECEIVER, SENDER, talk
from tests.support.switches import TwoMachines, needs_root

from netloom.lab.lab import Lab
from netloom.lab.switch import Programs

pytestmark = [pytest.mark.root, needs_root]

BYTES = "1000000"
FEATURES = ("rxvlan", "txvlan", "tso")
#: Between VLAN 10 of vm1 and what vm2 has, with another source address for what vm1 opens.
ONE_TAG = """\
table=0,in_port=w1b,dl_vlan=10,ip,actions=pop_vlan,\
ct(commit,zone=1,nat(src=10.0.0.77:2000-60000),table=1)
table=0,in_port=w1b,dl_vlan=10,ipv6,actions=pop_vlan,\
ct(commit,zone=1,nat(src=[fd00::77]:2000-60000),table=1)
table=0,in_port=w2b,dl_vlan=20,ip,actions=pop_vlan,ct(zone=1,nat,table=1)
table=0,in_port=w2b,dl_vlan=20,ipv6,actions=pop_vlan,ct(zone=1,nat,table=1)
table=1,in_port=w1b,actions=push_vlan:0x8100,set_field:4116->vlan_vid,w2b
table=1,in_port=w2b,actions=push_vlan:0x8100,set_field:4106->vlan_vid,w1b
"""
TWO_TAGS = """\
table=0,in_port=w1b,dl_vlan=10,ip,actions=pop_vlan,\
ct(commit,zone=1,nat(src=10.0.0.77:2000-60000),table=1)
table=0,in_port=w1b,dl_vlan=10,ipv6,actions=pop_vlan,\
ct(commit,zone=1,nat(src=[fd00::77]:2000-60000),table=1)
table=0,in_port=w2b,dl_vlan=20,actions=pop_vlan,resubmit(,2)
table=2,dl_vlan=30,ip,actions=pop_vlan,ct(zone=1,nat,table=1)
table=2,dl_vlan=30,ipv6,actions=pop_vlan,ct(zone=1,nat,table=1)
table=1,in_port=w1b,actions=push_vlan:0x8100,set_field:4126->vlan_vid,\
push_vlan:0x88a8,set_field:4116->vlan_vid,w2b
table=1,in_port=w2b,actions=push_vlan:0x8100,set_field:4106->vlan_vid,w1b
"""


class Stand(TwoMachines):
    """vm1 in VLAN 10 and vm2 in VLAN 20, or in VLAN 30 of a provider's VLAN 20: other bridges tag
    what they say, and wires carry it to br0, which is what is tested."""

    def __init__(self, lab: Lab, tools: Programs, tags: int) -> None:
        super().__init__(lab, tools)
        self.wires = ["w1", "w2", *(["w3"] if tags == 2 else [])]
        for wire in self.wires:
            ends = [f"{wire}a", f"{wire}b"]
            lab.host.ip("link", "add", ends[0], "type", "veth", "peer", "name", ends[1])
            for end in ends:
                lab.host.ip("link", "set", end, "mtu", "1600", "up")
        vsctl = self.switch.vsctl
        vsctl("set", "Open_vSwitch", ".", "other_config:vlan-limit=2")
        vsctl("add-br", "br1", "--", "add-port", "br1", "vif1", "tag=10", "--", "add-port", "br1",
              "w1a")  # fmt: skip
        vsctl("add-br", "br2", "--", "add-port", "br2", "w2a")
        if tags == 1:
            vsctl("add-port", "br2", "vif2", "tag=20")
        else:
            vsctl("add-br", "br3", "--", "add-port", "br3", "vif2", "tag=30", "--", "add-port",
                  "br3", "w3a")  # fmt: skip
            vsctl("add-port", "br2", "w3b", "tag=20", "vlan_mode=dot1q-tunnel")
        vsctl("add-br", "br0", "--", "add-port", "br0", "w1b", "--", "add-port", "br0", "w2b")
        flows = ONE_TAG if tags == 1 else TWO_TAGS
        self.switch.run("ovs-ofctl", "del-flows", "br0")
        self.switch.run("ovs-ofctl", "-O", "OpenFlow13", "add-flows", "br0", "-", stdin=flows)
        for number, vm in enumerate((self.vm1, self.vm2), 1):
            vm.ip("addr", "add", f"fd00::{number}/64", "dev", "eth0", "nodad")
            for other in ("1", "2", "77"):
                mac = "02:00:00:00:00:02" if other == "2" else "02:00:00:00:00:01"
                for address in (f"10.0.0.{other}", f"fd00::{other}"):
                    vm.ip("neigh", "replace", address, "lladdr", mac, "dev", "eth0")

    def set_features(self, words: list[str]) -> None:
        for vm in (self.vm1, self.vm2):
            vm.run("ethtool", "-K", "eth0", *words)
            self.lab.host.run("ethtool", "-K", vm.vif, *words)
        for wire in self.wires:
            for end in "ab":
                self.lab.host.run("ethtool", "-K", f"{wire}{end}", *words)


@pytest.mark.parametrize("tags", [1, 2])
def test_tags_around_a_translation(lab: Lab, tools: Programs, tags: int) -> None:
    stand = Stand(lab, tools, tags)
    for combination in itertools.product(("on", "off"), repeat=len(FEATURES)):
        words = [word for pair in zip(FEATURES, combination, strict=True) for word in pair]
        stand.set_features(words)
        for address in ("10.0.0.2", "fd00::2"):
            received, sent = talk(stand.vm2, stand.vm1, RECEIVER, SENDER, address, BYTES)
            assert received == sent, (combination, address)
    shown = stand.switch.appctl("dpctl/dump-conntrack")
    assert "10.0.0.77" in shown or "fd00::77" in shown
