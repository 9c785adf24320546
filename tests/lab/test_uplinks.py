"""Tunnels whose outer addresses are those of plain devices of the host, no bridge's: as with Open
vSwitch's kernel module, and as every cloud has it."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterator

import pytest
from tests.support.kernel_programs import require_programs
from tests.support.peers import wait_until
from tests.support.switches import needs_root
from tests.support.tunnel_sites import ADDRESSES, ADDRESSES6, WIRE, lay_wire, reach

from netloom.lab.lab import Lab
from netloom.lab.namespace import Namespace
from netloom.lab.switch import Programs, Switch

pytestmark = [pytest.mark.root, needs_root]

#: What is copied: as Python says it, and its hash.
DATA = "bytes(range(256)) * 4096"
SUM = hashlib.sha256(bytes(range(256)) * 4096).hexdigest()
LISTEN = """
import hashlib, socket, sys
with socket.create_server((sys.argv[1], 5001)) as listener:
    print("ready", flush=True)
    peer, _ = listener.accept()
    sums = hashlib.sha256()
    while data := peer.recv(65536):
        sums.update(data)
    print(sums.hexdigest())
"""


class Host:
    """A host with a switch, a machine on its br0, and an address of its own on the wire."""

    def __init__(self, lab: Lab, host: Namespace, number: int, tools: Programs) -> None:
        self.host = host
        self.number = number
        self.switch: Switch = lab.add_switch(f"s{number}", tools, host=host)
        self.switch.start()
        self.vm = lab.add_vm(f"m{number}", f"vif{number}", f"10.0.0.{number + 1}/24", host)
        self.vm.ip("link", "set", "eth0", "mtu", "1450")
        host.ip("addr", "add", f"{ADDRESSES[number]}/24", "dev", WIRE)
        host.ip("addr", "add", f"{ADDRESSES6[number]}/64", "dev", WIRE, "nodad")
        self.vsctl("add-br", "br0", "--", "add-port", "br0", self.vm.vif)

    def vsctl(self, *argv: str) -> None:
        self.switch.run("ovs-vsctl", "--timeout=60", *argv)

    def appctl(self, *argv: str) -> str:
        return self.switch.run("ovs-appctl", *argv).stdout

    def add_tunnel(self, type_: str, remote: str) -> None:
        self.vsctl("add-port", "br0", "tun", "--", "set", "interface", "tun", f"type={type_}",
                   f"options:remote_ip={remote}", "options:key=7")  # fmt: skip

    @property
    def datapath_ports(self) -> str:
        return self.appctl("dpctl/show")


@pytest.fixture
def hosts(
    request: pytest.FixtureRequest, tools: Programs, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Host, Host]]:
    require_programs()
    monkeypatch.setenv("NETLOOM_SYSTEM_DATAPATH", "kernel")
    with Lab(f"p{abs(hash(request.node.name)) % 10_000}") as lab:
        wired = lay_wire(lab)
        yield Host(lab, wired[0], 0, tools), Host(lab, wired[1], 1, tools)


def join(hosts: tuple[Host, Host], type_: str, ends: tuple[str, str]) -> None:
    for host in hosts:
        host.add_tunnel(type_, ends[1 - host.number])


@pytest.mark.parametrize(
    ("type_", "ends"),
    [("vxlan", ADDRESSES), ("geneve", ADDRESSES), ("gre", ADDRESSES), ("vxlan", ADDRESSES6)],
)
def test_machines_talk_and_the_devices_stay_the_hosts(
    hosts: tuple[Host, Host], type_: str, ends: tuple[str, str]
) -> None:
    near, far = hosts
    join(hosts, type_, ends)
    assert reach(near.vm, far.vm)
    for address in (ADDRESSES[1], ADDRESSES6[1]):
        assert near.host.run("ping", "-n", "-c", "2", "-i", "0.2", address).ok
    assert WIRE in near.datapath_ports
    assert _sum_of_copy(near, far) == SUM
    near.vsctl("del-port", "tun")
    assert wait_until(lambda: WIRE not in near.datapath_ports)
    assert near.host.run("ping", "-n", "-c", "1", ADDRESSES[1]).ok


def _sum_of_copy(near: Host, far: Host) -> str:
    """The hash of what arrives of a megabyte sent over TCP."""
    inside = ("ip", "netns", "exec", far.vm.name, sys.executable, "-c", LISTEN, far.vm.ip_address)
    with subprocess.Popen(inside, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None and server.stdout.readline() == "ready\n"
        near.vm.run(
            *(sys.executable, "-c"),
            "import socket,sys\n"
            "with socket.create_connection((sys.argv[1], 5001), 60) as s:\n"
            f" s.sendall({DATA})\n",
            far.vm.ip_address,
        )
        return server.stdout.readline().strip()


def test_a_device_that_becomes_a_port_is_no_uplink_any_more(hosts: tuple[Host, Host]) -> None:
    near, far = hosts
    join(hosts, "geneve", ADDRESSES)
    assert reach(near.vm, far.vm)
    near.vsctl("add-br", "br-phy", "--", "add-port", "br-phy", WIRE)
    near.host.ip("addr", "del", f"{ADDRESSES[0]}/24", "dev", WIRE)
    near.host.ip("addr", "add", f"{ADDRESSES[0]}/24", "dev", "br-phy")
    near.host.ip("link", "set", "br-phy", "up")
    assert reach(near.vm, far.vm)
    near.vsctl("del-br", "br-phy")
    near.host.ip("addr", "add", f"{ADDRESSES[0]}/24", "dev", WIRE)
    assert reach(near.vm, far.vm)


def test_neighbours_that_move_are_followed(hosts: tuple[Host, Host]) -> None:
    near, far = hosts
    join(hosts, "vxlan", ADDRESSES)
    assert reach(near.vm, far.vm)
    far.host.ip("link", "set", WIRE, "address", "02:00:00:00:99:99")
    near.host.ip("neigh", "flush", "dev", WIRE)
    assert reach(near.vm, far.vm)


def test_a_killed_daemon_leaves_packets_flowing(hosts: tuple[Host, Host]) -> None:
    near, far = hosts
    join(hosts, "geneve", ADDRESSES)
    assert reach(near.vm, far.vm)
    near.switch.kill("ovs-vswitchd")
    assert near.vm.ping(far.vm.ip_address, 3)
    assert near.host.run("ping", "-n", "-c", "1", ADDRESSES[1]).ok
    near.switch.start_vswitchd()
    assert near.vm.ping(far.vm.ip_address, 3)
    assert near.host.run("ping", "-n", "-c", "1", ADDRESSES[1]).ok
    assert wait_until(lambda: WIRE in near.datapath_ports)
    near.appctl("exit", "--cleanup")
    assert near.host.run("ping", "-n", "-c", "1", ADDRESSES[1]).ok
