"""Sides whose machines are on two hosts, with VXLAN between them over a wire."""

from __future__ import annotations

from contextlib import ExitStack

from bench.datapath import BridgeSide, OwnSide, PeerSide, Side
from netloom.lab.lab import Lab
from netloom.lab.namespace import Namespace, VirtualMachine
from netloom.lab.switch import Programs

UNDERLAY = ("172.31.1.1", "172.31.1.2")
#: Room for the outer headers.
WIRE_MTU = 1_600


class Hosts(Side):
    """Two hosts with a wire between them, and a machine on each."""

    def __init__(self, stack: ExitStack) -> None:
        self.lab = stack.enter_context(Lab(f"bench-{type(self).__name__}"))
        far = self.lab.add_namespace("far")
        self.hosts = (self.lab.host, far)
        self.lab.host.run(
            "ip", "link", "add", "eth9", "type", "veth", "peer", "name", "eth9", "netns", far.name
        )
        self.vm1 = self.lab.add_vm("vm1", "vif1", "10.0.0.1/24")
        self.vm2 = self.lab.add_vm("vm2", "vif2", "10.0.0.2/24", far)
        for number, host in enumerate(self.hosts):
            host.ip("link", "set", "eth9", "mtu", str(WIRE_MTU), "up")
            vm, other = (self.vm1, self.vm2)[:: 1 - 2 * number]
            vm.ip("neigh", "replace", other.ip_address, "lladdr", f"02:00:00:00:00:0{2 - number}",
                  "dev", "eth0", "nud", "permanent")  # fmt: skip
            if not self.offloads:
                vm.run("ethtool", "-K", "eth0", "tx", "off")
            self.build(number, host, vm)
        self.add_sink()

    def build(self, number: int, host: Namespace, vm: VirtualMachine) -> None:
        """Put what forwards on a host."""
        raise TypeError("no such side")


class BridgeTunnel(Hosts, BridgeSide):
    """Linux's bridge and its VXLAN device."""

    def build(self, number: int, host: Namespace, vm: VirtualMachine) -> None:
        host.ip("addr", "add", f"{UNDERLAY[number]}/24", "dev", "eth9")
        ends = ("local", UNDERLAY[number], "remote", UNDERLAY[1 - number], "dev", "eth9")
        host.ip("link", "add", "vx0", "type", "vxlan", "id", "7", "dstport", "4789", *ends)
        host.ip("link", "add", "br0", "type", "bridge")
        for name in ("br0", "vx0"):
            host.ip("link", "set", name, "up")
        for name in ("vx0", vm.vif):
            host.ip("link", "set", name, "master", "br0")


class _SwitchTunnel(Hosts):
    """A switch on each host: br-phy has the wire, br-int the machine and the tunnel."""

    datapath_type = "system"

    def programs(self) -> Programs:
        raise TypeError("no such side")

    def build(self, number: int, host: Namespace, vm: VirtualMachine) -> None:
        switch = self.lab.add_switch(f"s{number}", programs=self.programs(), host=host)
        switch.start()
        for name in ("br-phy", "br-int"):
            switch.run("ovs-vsctl", "add-br", name, "--", "set", "bridge", name,
                       f"datapath_type={self.datapath_type}")  # fmt: skip
        switch.run("ovs-vsctl", "add-port", "br-phy", "eth9")
        switch.run("ovs-vsctl", "add-port", "br-int", vm.vif)
        switch.run("ovs-vsctl", "add-port", "br-int", "tun0", "--", "set", "interface", "tun0",
                   "type=vxlan", f"options:remote_ip={UNDERLAY[1 - number]}",
                   "options:key=7")  # fmt: skip
        host.ip("addr", "add", f"{UNDERLAY[number]}/24", "dev", "br-phy")
        host.ip("link", "set", "br-phy", "up")


class OwnTunnel(_SwitchTunnel, OwnSide):
    """Ours."""

    programs = OwnSide.programs

    def prepare(self, scenario: str) -> None:
        """As it was built."""


class PeerTunnel(_SwitchTunnel, PeerSide):
    """Debian's in user space."""

    datapath_type = PeerSide.datapath_type
    programs = PeerSide.programs

    def prepare(self, scenario: str) -> None:
        """As it was built."""
