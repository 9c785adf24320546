"""Networks that carry traffic, told on real packets: `make demo`.

Three hosts under one service: a network node with the router and DHCP, and two compute nodes.
Tenants' networks are VXLAN where the switch has tunnels, else VLANs of a provider network.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

from netloom.lab.cloud import Cloud, Host, becomes_true
from netloom.lab.namespace import VirtualMachine
from netloom.lab.narrator import Narrator

OUTSIDE = "203.0.113.254"
#: The address of two machines, one of each tenant: nobody is given it by chance.
TWINS = "10.5.0.200"
SERVER = """
import socket, sys
s = socket.create_server(("", int(sys.argv[1])))
while True:
    s.accept()[0].close()
"""
CLIENT = """
import socket, sys
socket.create_connection((sys.argv[1], int(sys.argv[2])), 1).close()
"""


class Story:
    """The chapters, in order; each leaves the networks as the next one finds them."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.net = cloud.add_host("net", ("physnet1", "public"), network_node=True)
        self.node1 = cloud.add_host("node1")
        self.node2 = cloud.add_host("node2")
        self.narrator = Narrator(self.net.switch)
        self.ids: dict[str, Any] = {}

    def tell(self) -> bool:
        """All chapters; True if every check held."""
        began = time.monotonic()
        say = self.narrator.say
        say("Three hosts (network namespaces), each with a switch of Netloom: net, node1, node2.")
        self.cloud.start_switches()
        if not has_tunnels(self.net):
            say("This switch has no tunnels yet: the tenants' networks will be VLANs.")
            self.cloud.tunnels, self.cloud.tenant = (), "vlan"
        self.cloud.serve()
        self.cloud.start_agents()
        self.cloud.host.ip("addr", "add", f"{OUTSIDE}/24", "dev", "public")
        self.no_networks()
        self.networks_and_router()
        vm1 = self.first_machine()
        self.to_the_router(vm1)
        self.from_outside()
        self.two_hosts(vm1)
        say(f"It took {time.monotonic() - began:.0f} seconds.")
        return self.narrator.finish()

    def on(self, host: Host) -> Narrator:
        """The narrator, whose next commands are for this host's switch."""
        self.narrator.switch = host.switch
        self.narrator.say(f"On {host.name}:")
        return self.narrator

    def claim(self, text: str, condition: Callable[[], object]) -> None:
        """A check of something that is to become true within a few seconds."""
        self.narrator.check(text, becomes_true(condition, 8))

    # Chapters

    def no_networks(self) -> None:
        self.narrator.chapter("No networks yet")
        bridge = "br-tun" if self.cloud.tunnels else "br-physnet1"
        tell = self.on(self.node1)
        words = ("ovs-ofctl", "dump-flows", "--no-stats", bridge)
        self.claim(
            f"{bridge} has flows of the agent, and drops what is nobody's",
            lambda: "actions=drop" in self.node1.switch.run(*words, check=False).stdout,
        )
        tell.command(*words, show=True)

    def networks_and_router(self) -> None:
        tell = self.narrator
        tell.chapter("An external network, a tenant's network, and a router between them")
        before = self._n_flows(self.net)
        make = self.cloud.api.make
        flat: dict[str, Any] = {
            "provider:network_type": "flat",
            "provider:physical_network": "public",
        }
        flat["router:external"] = True
        public = make("network", name="public", **flat)
        make(
            "subnet",
            network_id=public["id"],
            cidr="203.0.113.0/24",
            ip_version=4,
            gateway_ip=OUTSIDE,
            enable_dhcp=False,
        )
        self.ids["public"] = public["id"]
        self.ids["blue"], subnet = self._tenant("blue")
        router = make("router", name="r1", external_gateway_info={"network_id": public["id"]})
        path = f"routers/{router['id']}/add_router_interface"
        self.cloud.api.request("PUT", path, {"subnet_id": subnet})
        ports = self.cloud.api.request("GET", f"ports?device_id={router['id']}")["ports"]
        self.claim(
            "the router's ports are ACTIVE",
            lambda: all(
                self.cloud.api.show("port", port["id"])["status"] == "ACTIVE" for port in ports
            ),
        )
        after = self._n_flows(self.net)
        tell.say(f"br-int of net had {before} flows; now it has {after}.")
        self.on(self.net).command("ovs-vsctl", "show", show=True)

    def first_machine(self) -> VirtualMachine:
        tell = self.narrator
        tell.chapter("A first machine on node1")
        before = self._n_flows(self.node1)
        vm = self._boot("vm1", self.node1, "blue", self._group("web"))
        tell.check("its port is ACTIVE", True)
        after = self._n_flows(self.node1)
        tell.say(f"br-int of node1 had {before} flows; now it has {after}: addresses that the")
        tell.say("machine may use (table 71), what it may send (72) and receive (82).")
        tell = self.on(self.node1)
        port = f"in_port={vm.vif}"
        tell.command("ovs-ofctl", "--no-stats", "dump-flows", "br-int", port, show=True)
        if self.cloud.tunnels:
            tell.command("ovs-ofctl", "--no-stats", "dump-flows", "br-tun", "table=22", show=True)
        return vm

    def to_the_router(self, vm: VirtualMachine) -> None:
        tell = self.narrator
        tell.chapter("From the machine to the router on the network node, and out")
        self.claim(f"vm1 reaches its router {vm.gateway}", lambda: vm.ping(vm.gateway, 1))
        if self.cloud.tunnels:
            tell = self.on(self.node1)
            learned = tell.command("ovs-ofctl", "dump-flows", "br-tun", "table=20", show=True)
            tell.check("an entry was learned for 300 seconds", "hard_timeout" in learned.stdout)
        self.claim("vm1 reaches the world outside", lambda: vm.ping(OUTSIDE, 1))

    def from_outside(self) -> None:
        tell = self.narrator
        tell.chapter("From outside, through a floating address")
        floating = self.cloud.api.make(
            "floatingip", floating_network_id=self.ids["public"], port_id=self.ids["vm1"]
        )
        address = floating["floating_ip_address"]
        ping = ("ping", "-n", "-q", "-c", "1", "-W", "1", address)
        tell.say(f"{address} leads to vm1.")
        self.claim(
            f"the outside reaches vm1 at {address}",
            lambda: self.cloud.host.run(*ping, check=False).ok,
        )

    def two_hosts(self, vm1: VirtualMachine) -> None:
        tell = self.narrator
        tell.chapter("Machine to machine across hosts; tenants apart; one port opened")
        fixed = [{"ip_address": TWINS}]
        vm2 = self._boot("vm2", self.node2, "blue", self.ids["web"], fixed_ips=fixed)
        self.claim("vm1 on node1 reaches vm2 on node2", lambda: vm1.ping(vm2.ip_address, 1))
        self.ids["red"], _ = self._tenant("red")
        other = self._boot("vm3", self.node1, "red", self._group("red"), fixed_ips=fixed)
        tell.say(f"vm3 of another tenant has vm2's address {other.ip_address}, on node1.")
        tell.check("vm3 does not reach vm1", not other.ping(vm1.ip_address, 2, 0.5))
        tell.check("vm1 still reaches vm2", vm1.ping(vm2.ip_address, 2))
        for port in (80, 81):
            self.cloud.spawn(vm2, f"server{port}", sys.executable, "-c", SERVER, str(port))
        tell.check("tcp/80 of vm2 is closed", not self._connects(vm1, vm2, 80))
        tell.say("A rule: ingress, tcp, port 80.")
        self._rule(self.ids["web"], protocol="tcp", port_range_min=80, port_range_max=80)
        self.claim("tcp/80 of vm2 is open", lambda: self._connects(vm1, vm2, 80))
        tell.check("tcp/81 is not", not self._connects(vm1, vm2, 81))

    # What chapters need

    def _n_flows(self, host: Host) -> int:
        return len(host.switch.run("ovs-ofctl", "dump-flows", "br-int").stdout.splitlines()) - 1

    def _tenant(self, name: str) -> tuple[str, str]:
        network = self.cloud.api.make("network", name=name)
        subnet = self.cloud.api.make(
            "subnet",
            network_id=network["id"],
            cidr="10.5.0.0/24",
            ip_version=4,
            allocation_pools=[{"start": "10.5.0.2", "end": "10.5.0.99"}],
        )
        return network["id"], subnet["id"]

    def _group(self, name: str) -> str:
        """A group that lets in ICMP and nothing else."""
        group = self.cloud.api.make("security_group", name=name)
        self.ids[name if name not in self.ids else f"{name}-group"] = group["id"]
        self._rule(group["id"], protocol="icmp")
        return str(group["id"])

    def _rule(self, group: str, **more: Any) -> None:
        self.cloud.api.make(
            "security_group_rule", security_group_id=group, direction="ingress", **more
        )

    def _boot(
        self, label: str, host: Host, network: str, group: str, **more: Any
    ) -> VirtualMachine:
        shown = self.cloud.api.show("network", self.ids[network])
        port = self.cloud.port(shown, host, security_groups=[group], **more)
        self.ids[label] = port["id"]
        return self.cloud.boot(label, host, port, gateway="10.5.0.1")

    @staticmethod
    def _connects(source: VirtualMachine, target: VirtualMachine, port: int) -> bool:
        words = (sys.executable, "-c", CLIENT, target.ip_address, str(port))
        return source.run(*words, check=False).ok


def has_tunnels(host: Host) -> bool:
    """Whether the switch can make a VXLAN port."""
    host.switch.run(
        *("ovs-vsctl", "add-br", "probe", "--", "add-port", "probe", "probe-vxlan"),
        *("--", "set", "interface", "probe-vxlan", "type=vxlan", "options:remote_ip=192.0.2.9"),
        check=False,
    )
    shown = host.switch.run("ovs-vsctl", "get", "interface", "probe-vxlan", "ofport", check=False)
    host.switch.run("ovs-vsctl", "--if-exists", "del-br", "probe")
    return shown.ok and shown.stdout.strip().isdigit()


def run_story(keep: bool) -> bool:
    """Tell the story in a lab of its own; True if every check held."""
    with Cloud("cloud", keep, tunnels=("vxlan",)) as cloud:
        return Story(cloud).tell()
