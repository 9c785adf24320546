"""Two hosts, each with a switch and a machine, and a tunnel between them over a wire."""

from __future__ import annotations

from tests.support.peers import wait_until

from netloom.lab.lab import Lab
from netloom.lab.namespace import Namespace, VirtualMachine
from netloom.lab.switch import Programs, Switch

ADDRESSES = ("172.31.1.1", "172.31.1.2")
ADDRESSES6 = ("fd31::1", "fd31::2")
#: The device of the wire in both hosts.
WIRE = "eth9"


def lay_wire(lab: Lab, mtu: int = 1600) -> tuple[Namespace, Namespace]:
    """The lab's host and another, with a wire between them."""
    near, far = lab.host, lab.add_namespace("far")
    near.run("ip", "link", "add", WIRE, "type", "veth", "peer", "name", WIRE, "netns", far.name)
    for host in (near, far):
        host.ip("link", "set", "lo", "up")
        host.ip("link", "set", WIRE, "mtu", str(mtu), "up")
    return near, far


class Site:
    """A host with a switch: br-phy over the wire, br-int with a machine."""

    def __init__(
        self,
        lab: Lab,
        host: Namespace,
        number: int,
        daemons: Programs,
        tools: Programs,
        datapath_type: str = "netdev",
    ) -> None:
        self.host = host
        self.number = number
        self.switch = lab.add_switch(f"s{number}", daemons, host=host)
        self._tools = Switch(self.switch.rundir, host, tools)
        self.switch.start()
        self.vm = lab.add_vm(f"m{number}", f"vif{number}", f"10.0.0.{number + 1}/24", host)
        for name in ("br-phy", "br-int"):
            self.vsctl(
                "add-br", name, "--", "set", "bridge", name, f"datapath_type={datapath_type}"
            )
        self.vsctl("add-port", "br-phy", WIRE)
        self.vsctl("add-port", "br-int", self.vm.vif)
        host.ip("addr", "add", f"{ADDRESSES[number]}/24", "dev", "br-phy")
        host.ip("addr", "add", f"{ADDRESSES6[number]}/64", "dev", "br-phy", "nodad")
        host.ip("link", "set", "br-phy", "up")

    def run(self, *argv: str, stdin: str | None = None) -> str:
        """What a tool prints."""
        return self._tools.run(*argv, stdin=stdin).stdout

    def vsctl(self, *argv: str) -> None:
        self.run("ovs-vsctl", "--timeout=60", *argv)

    def appctl(self, *argv: str) -> str:
        return self.run("ovs-appctl", "--timeout=60", *argv)

    def status(self) -> str:
        """What is told of the tunnel's road."""
        return self.run("ovs-vsctl", "--timeout=60", "get", "interface", "tun0", "status")

    def add_tunnel(self, type_: str, remote: str, *options: str) -> None:
        words = [f"options:{option}" for option in (f"remote_ip={remote}", *options)]
        self.vsctl("add-port", "br-int", "tun0", "--", "set", "interface", "tun0",
                   f"type={type_}", *words)  # fmt: skip


def reach(source: VirtualMachine, target: VirtualMachine) -> bool:
    """Whether one machine comes to reach the other."""
    return wait_until(lambda: source.ping(target.ip_address, count=2))
