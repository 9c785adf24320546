"""The first lab of Open vSwitch, told on real packets: `make demo`."""

from __future__ import annotations

import re

from netloom.lab.lab import Lab
from netloom.lab.namespace import VirtualMachine
from netloom.lab.narrator import Narrator

VLAN_10, VLAN_20 = 10, 20
#: A MAC address that no machine has.
NOBODY = "02:00:00:00:00:99"


class Story:
    """The chapters, in order; each leaves the network as the next one finds it."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.switch = lab.add_switch()
        self.vm1 = lab.add_vm("vm1", "vif1", "10.0.0.1/24")
        self.vm2 = lab.add_vm("vm2", "vif2", "10.0.0.2/24")
        self.vm3 = lab.add_vm("vm3", "vif3", "10.0.0.3/24")
        self.narrator = Narrator(self.switch)

    def tell(self) -> bool:
        """All chapters; True if every check held."""
        self.narrator.say(
            "Three virtual machines (network namespaces) and a switch of Netloom on one host."
        )
        self.switch.start()
        self.one_bridge()
        self.access_ports()
        self.two_bridges()
        self.flows()
        self.restart()
        return self.narrator.finish()

    def tag(self, vm: VirtualMachine, vlan: int) -> None:
        self.narrator.command("ovs-vsctl", "set", "port", vm.vif, f"tag={vlan}")

    def one_bridge(self) -> None:
        tell = self.narrator
        tell.chapter("One bridge, two machines")
        tell.command("ovs-vsctl", "add-br", "br0")
        tell.command("ovs-vsctl", "add-port", "br0", "vif1", "--", "add-port", "br0", "vif2")
        tell.command("ovs-vsctl", "show", show=True)
        tell.ping(self.vm1, self.vm2, expect=True)

    def access_ports(self) -> None:
        tell = self.narrator
        tell.chapter("VLANs: a tag makes an access port")
        self.tag(self.vm1, VLAN_10)
        tell.ping(self.vm1, self.vm2, expect=False)
        self.tag(self.vm2, VLAN_10)
        tell.ping(self.vm1, self.vm2, expect=True)

    def two_bridges(self) -> None:
        tell = self.narrator
        tell.chapter("Two bridges, joined by a pair of patch ports: a trunk")
        tell.command("ovs-vsctl", "add-br", "br1", "--", "add-port", "br1", "vif3", "tag=10")
        for bridge, port, peer in (("br0", "to-br1", "to-br0"), ("br1", "to-br0", "to-br1")):
            tell.command(
                *("ovs-vsctl", "add-port", bridge, port, "--", "set", "interface", port),
                *("type=patch", f"options:peer={peer}"),
            )
        tell.ping(self.vm1, self.vm3, expect=True)
        self.tag(self.vm3, VLAN_20)
        tell.ping(self.vm1, self.vm3, expect=False)
        tell.say("Both in VLAN 20: the trunk carries every VLAN, until trunks= says which.")
        self.tag(self.vm1, VLAN_20)
        tell.ping(self.vm1, self.vm3, expect=True)
        tell.command("ovs-vsctl", "set", "port", "to-br1", "trunks=10")
        tell.ping(self.vm1, self.vm3, expect=False)
        tell.say("VLAN 10 is on the list.")
        self.tag(self.vm1, VLAN_10)
        self.tag(self.vm3, VLAN_10)
        tell.ping(self.vm1, self.vm3, expect=True)
        tell.command("ovs-vsctl", "clear", "port", "to-br1", "trunks")

    def flows(self) -> None:
        self.drop_some()
        self.rewrite_destination()
        self.translate_vlan()
        self.look_inside()

    def drop_some(self) -> None:
        tell = self.narrator
        tell.chapter("OpenFlow: drop some traffic")
        tell.command(
            *("ovs-ofctl", "add-flow", "br0"),
            "priority=100,icmp,in_port=vif1,nw_dst=10.0.0.2,actions=drop",
        )
        tell.ping(self.vm1, self.vm2, expect=False)
        tell.ping(self.vm1, self.vm3, expect=True)
        shown = tell.command("ovs-ofctl", "dump-flows", "br0", show=True).stdout
        dropped = re.search(r"n_packets=(\d+).*priority=100", shown)
        tell.check("the flow counted 3 packets", bool(dropped) and dropped[1] == "3")  # type: ignore[index]
        tell.command("ovs-ofctl", "del-flows", "br0", "icmp")
        tell.ping(self.vm1, self.vm2, expect=True)

    def rewrite_destination(self) -> None:
        tell = self.narrator
        tell.chapter("OpenFlow: rewrite addresses")
        tell.say(f"vm1 believes that vm2 has the address {NOBODY}, which nobody has.")
        neighbour = ("neigh", "replace", self.vm2.ip_address, "lladdr", NOBODY, "dev", "eth0")
        self.vm1.ip(*neighbour, "nud", "permanent")
        tell.ping(self.vm1, self.vm2, expect=False)
        tell.command(
            *("ovs-ofctl", "add-flow", "br0"),
            f"priority=100,in_port=vif1,dl_dst={NOBODY},"
            "actions=mod_dl_dst:02:00:00:00:00:02,output:vif2",
        )
        tell.ping(self.vm1, self.vm2, expect=True)
        self.vm1.ip("neigh", "del", self.vm2.ip_address, "dev", "eth0")
        tell.command(
            "ovs-ofctl",
            "--strict",
            "del-flows",
            "br0",
            f"priority=100,in_port=vif1,dl_dst={NOBODY}",
        )

    def translate_vlan(self) -> None:
        tell = self.narrator
        tell.chapter("OpenFlow: translate between VLANs")
        self.tag(self.vm3, VLAN_20)
        tell.ping(self.vm1, self.vm3, expect=False)
        for flow in (
            "table=0,priority=100,in_port=vif1,actions=mod_vlan_vid:20,output:to-br1",
            "table=0,priority=100,in_port=to-br1,dl_vlan=20,actions=strip_vlan,output:vif1",
        ):
            tell.command("ovs-ofctl", "add-flow", "br0", flow)
        tell.ping(self.vm1, self.vm3, expect=True)

    def look_inside(self) -> None:
        tell = self.narrator
        tell.chapter("Look inside")
        learned = tell.command("ovs-appctl", "fdb/show", "br1", show=True).stdout
        tell.check("br1 has learned vm1 in VLAN 20", _has_mac(learned, 20, "02:00:00:00:00:01"))
        traced = tell.command(
            *("ovs-appctl", "ofproto/trace", "br0"),
            "in_port=vif1,icmp,dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:03",
            show=True,
        ).stdout
        tell.check("the packet crosses into br1", 'bridge("br1")' in traced)
        actions = traced.rpartition("Datapath actions: ")[2].strip()
        tell.check("and leaves by one port, its tag gone again", actions.isdigit())
        tell.command("ovs-appctl", "dpctl/dump-flows", show=True)

    def restart(self) -> None:
        tell = self.narrator
        tell.chapter("Stop and start the daemons")
        tell.say("Flows belong to controllers and go; the configuration is in the database.")
        self.tag(self.vm3, VLAN_10)
        self.switch.stop()
        tell.ping(self.vm1, self.vm2, expect=False)
        self.switch.start()
        # It asked for the address while nobody answered: let it not wait until it asks again.
        self.vm1.ip("neigh", "del", self.vm2.ip_address, "dev", "eth0")
        tell.command("ovs-vsctl", "show", show=True)
        tell.ping(self.vm1, self.vm2, expect=True)
        tell.ping(self.vm1, self.vm3, expect=True)


def _has_mac(shown: str, vlan: int, mac: str) -> bool:
    """Is there a row of fdb/show with this VLAN and address?"""
    rows = [line.split() for line in shown.splitlines()]
    return any(row[1:3] == [str(vlan), mac] for row in rows)


def run_demo(keep: bool) -> bool:
    """Bring the lab up, tell the story, take it down; True if every check held."""
    with Lab("demo", keep=keep) as lab:
        story = Story(lab)
        ok = story.tell()
        if keep:
            _explain_kept(story)
    return ok


def _explain_kept(story: Story) -> None:
    tell = story.narrator
    tell.say("")
    tell.say("The lab is still there. To look around:")
    tell.say(
        f"   export OVS_RUNDIR={story.switch.rundir} PATH={story.switch.programs.path[0]}:$PATH"
    )
    tell.say("   ovs-vsctl show")
    tell.say(f"   ip netns exec {story.vm1.name} ping {story.vm2.ip_address}")
    tell.say("To remove it: make clean-host")
