"""Machines whose packets go through service headers (NSH, RFC 8300), on a wire and in a tunnel: put
on and taken off in the kernel, without Python."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest
from tests.support.peers import wait_until
from tests.support.switches import needs_root
from tests.support.tunnel_sites import ADDRESSES, WIRE, Site, lay_wire, reach

from netloom.lab.lab import Lab
from netloom.lab.namespace import Namespace, VirtualMachine
from netloom.lab.switch import Programs, Switch

pytestmark = [pytest.mark.root, needs_root]

RECEIVER = """import hashlib, socket, sys
s = socket.create_server((sys.argv[1], 5001))
print("listening", flush=True)
c, _ = s.accept()
sum_ = hashlib.sha256()
while data := c.recv(65536):
    sum_.update(data)
print(sum_.hexdigest())
"""
SENDER = """import hashlib, random, socket, sys
data = random.Random(1).randbytes(int(sys.argv[2]))
with socket.create_connection((sys.argv[1], 5001), 10) as s:
    s.sendall(data)
print(hashlib.sha256(data).hexdigest())
"""
HEADERS = {
    "MD type 1": "encap(nsh(md_type=1)),set_field:0x1234->nsh_spi,set_field:0x77->nsh_c3",
    "MD type 2": "encap(nsh(md_type=2,tlv(0x1000,10,0x12345678))),set_field:0x1234->nsh_spi",
}


def transfer(source: VirtualMachine, target: VirtualMachine, n_bytes: int) -> bool:
    """Whether that many random bytes arrive as they were sent, over TCP."""
    inside = ["ip", "netns", "exec"]
    receiver = subprocess.Popen(
        [*inside, target.name, "python3", "-c", RECEIVER, target.ip_address],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert receiver.stdout is not None
        assert receiver.stdout.readline() == "listening\n"
        sent = source.run("python3", "-c", SENDER, target.ip_address, str(n_bytes)).stdout
        return receiver.communicate(timeout=30)[0] == sent
    finally:
        receiver.kill()
        receiver.wait()


def slow_packets(switch: Switch) -> int:
    name = "dpif_slow_packet"
    return int(switch.run("ovs-appctl", "coverage/read-counter", name).stdout)


def actions_of_flows(switch: Switch) -> list[str]:
    """Of the flows that packets of the machines went through."""
    text = switch.run("ovs-appctl", "dpctl/dump-flows").stdout
    return [line.split("actions:")[1] for line in text.splitlines() if "actions:" in line]


class Host:
    """A machine on a switch, whose other port is the wire; `flows` decide what goes where."""

    def __init__(self, lab: Lab, host: Namespace, number: int, tools: Programs) -> None:
        self.switch = lab.add_switch(f"s{number}", tools, host=host)
        self.switch.start()
        self.vm = lab.add_vm(f"m{number}", f"vif{number}", f"10.0.0.{number + 1}/24", host)
        self.switch.run(
            "ovs-vsctl", "add-br", "br0", "--", "set", "bridge", "br0", "fail_mode=secure",
            "protocols=OpenFlow10,OpenFlow13,OpenFlow15",
        )  # fmt: skip
        for port, device in ((1, self.vm.vif), (2, WIRE)):
            self.switch.run(
                "ovs-vsctl", "add-port", "br0", device, "--", "set", "interface", device,
                f"ofport_request={port}",
            )  # fmt: skip

    def add_flows(self, *flows: str) -> None:
        for flow in flows:
            self.switch.run("ovs-ofctl", "-O", "OpenFlow13", "add-flow", "br0", flow)


@pytest.fixture
def wired(
    request: pytest.FixtureRequest, datapath: str
) -> Iterator[tuple[Lab, Namespace, Namespace]]:
    """Two hosts with a wire between them, on each data path in turn."""
    with Lab(f"c{abs(hash(request.node.name)) % 10_000}") as lab:
        yield lab, *lay_wire(lab)


def segments_none(machine: VirtualMachine) -> None:
    """Have a machine segment what it sends by itself."""
    machine.run("ethtool", "-K", "eth0", "tso", "off", "gso", "off")


@pytest.mark.parametrize("kind", HEADERS)
def test_machines_talk_through_service_headers(
    wired: tuple[Lab, Namespace, Namespace], tools: Programs, datapath: str, kind: str
) -> None:
    lab, near, far = wired
    hosts = [Host(lab, host, number, tools) for number, host in enumerate((near, far))]
    for host in hosts:
        host.add_flows(
            f"in_port=1,actions={HEADERS[kind]},encap(ethernet),"
            "set_field:02:00:00:00:00:99->dl_dst,output:2",
            "in_port=2,dl_type=0x894f,nsh_spi=0x1234,nsh_ttl=63,actions=decap(),decap(),output:1",
        )
    check(hosts[0].switch, hosts[0].vm, hosts[1].vm, datapath)
    shown = actions_of_flows(hosts[0].switch)
    assert any(text.startswith("push_nsh(flags=0,ttl=63,") for text in shown), shown
    assert any("push_eth(" in text for text in shown) and "pop_eth,pop_nsh(),recirc" in str(shown)


def check(switch: Switch, source: VirtualMachine, target: VirtualMachine, datapath: str) -> None:
    """The machines reach each other, nothing of that is Python's but the first packets, and data
    arrive intact whoever segments them."""
    assert reach(source, target)
    for machine in (source, target):
        segments_none(machine)
    assert transfer(source, target, 1_000)
    before = slow_packets(switch) if datapath == "kernel" else 0
    assert source.run("ping", "-q", "-c", "20", "-i", "0.01", target.ip_address).ok
    assert transfer(source, target, 300_000)
    shown = actions_of_flows(switch)
    assert shown and not any("userspace" in text for text in shown), shown
    if datapath == "kernel":
        assert slow_packets(switch) == before
    for machine in (source, target):
        machine.run("ethtool", "-K", "eth0", "tso", "on", "gso", "on")
    assert transfer(source, target, 300_000)


def test_machines_talk_through_service_headers_in_a_tunnel(
    wired: tuple[Lab, Namespace, Namespace], tools: Programs, datapath: str
) -> None:
    lab, near, far = wired
    sites = [
        Site(lab, host, number, tools, tools, "system") for number, host in enumerate((near, far))
    ]
    for site in sites:
        site.add_tunnel(
            "vxlan", ADDRESSES[1 - site.number], "key=7", "exts=gpe", "packet_type=ptap"
        )
        site.vsctl("set", "bridge", "br-int", "protocols=OpenFlow10,OpenFlow13")
        site.run("ovs-ofctl", "del-flows", "br-int")
        vif = site.vm.vif
        for flow in (
            f"in_port={vif},actions=encap(nsh),set_field:0x1234->nsh_spi,output:tun0",
            f"in_port=tun0,packet_type=(1,0x894f),nsh_spi=0x1234,actions=decap(),output:{vif}",
        ):
            site.run("ovs-ofctl", "-O", "OpenFlow13", "--names", "add-flow", "br-int", flow)
    assert wait_until(lambda: sites[0].vm.ping(sites[1].vm.ip_address, count=1), 15)
    check(sites[0].switch, sites[0].vm, sites[1].vm, datapath)
    shown = actions_of_flows(sites[0].switch)
    assert any(text.startswith("push_nsh(") and "tnl_push(" in text for text in shown), shown
    assert any(text.startswith("pop_nsh(),recirc(") for text in shown), shown


@pytest.mark.parametrize("kind", ("gre", "vxlan"))
def test_machines_talk_through_a_tunnel_without_ethernet(
    wired: tuple[Lab, Namespace, Namespace], tools: Programs, datapath: str, kind: str
) -> None:
    """A tunnel of layer 3: who is behind it knows his machine's address himself."""
    lab, near, far = wired
    sites = [
        Site(lab, host, number, tools, tools, "system") for number, host in enumerate((near, far))
    ]
    addresses = [site.vm.run("cat", "/sys/class/net/eth0/address").stdout.strip() for site in sites]
    for site in sites:
        options = ("key=7", "packet_type=legacy_l3", *(("exts=gpe",) if kind == "vxlan" else ()))
        site.add_tunnel(kind, ADDRESSES[1 - site.number], *options)
        site.run("ovs-ofctl", "del-flows", "br-int")
        vif, other = site.vm.vif, sites[1 - site.number].vm.ip_address
        site.vm.run("ip", "neigh", "add", other, "lladdr", "02:00:00:00:00:77", "dev", "eth0")
        for flow in (
            f"in_port={vif},ip,actions=output:tun0",
            f"in_port=tun0,ip,actions=set_field:{addresses[site.number]}->dl_dst,output:{vif}",
        ):
            site.run("ovs-ofctl", "--names", "add-flow", "br-int", flow)
    assert wait_until(lambda: sites[0].vm.ping(sites[1].vm.ip_address, count=1), 15)
    check(sites[0].switch, sites[0].vm, sites[1].vm, datapath)
    shown = actions_of_flows(sites[0].switch)
    assert any("pop_eth" in text and "tnl_push(" in text for text in shown), shown
    if datapath == "kernel":
        # What is to be segmented stays in one piece, or the kernel cuts it for the wire.
        before = [slow_packets(site.switch) for site in sites]
        assert transfer(sites[0].vm, sites[1].vm, 2_000_000)
        for host in (near, far):
            host.run("ethtool", "-K", WIRE, "tso", "off", "gso", "off", "tx-udp_tnl-segmentation",
                     "off", "tx-gre-segmentation", "off")  # fmt: skip
        assert transfer(sites[0].vm, sites[1].vm, 2_000_000)
        assert [slow_packets(site.switch) for site in sites] == before
    assert any(text.startswith("push_eth(") for text in shown), shown
