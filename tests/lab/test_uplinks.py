"""Tunnels whose outer addresses are those of plain devices of the host, no bridge's: as with Open
vSwitch's kernel module, and as every cloud has it."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from tests.support.kernel_programs import require_programs
from tests.support.peers import wait_until
from tests.support.switches import needs_root
from tests.support.tunnel_sites import ADDRESSES, ADDRESSES6, WIRE, lay_wire, reach

from netloom.lab.lab import Lab
from netloom.lab.namespace import Namespace
from netloom.lab.switch import Programs, Switch
from netloom.packet import tunnel as t

pytestmark = [pytest.mark.root, needs_root]

#: What is copied: as Python says it, and its hash.
DATA = "bytes(range(256)) * 4096"
SUM = hashlib.sha256(bytes(range(256)) * 4096).hexdigest()
#: What is behind IP, or UDP, of tunnels with key 7; and their ports.
HEADERS = {
    "vxlan": (t.build_vxlan(7), 4789),
    "geneve": (t.build_geneve(7), 6081),
    "gre": (t.build_gre(0x6558, key=7), 0),
}
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


#: Waits for one packet to port 9, and prints what it is of and its length.
WAIT = """
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    sock.bind(("", 9))
    sock.settimeout(10)
    print("ready", flush=True)
    data, sender = sock.recvfrom(65535)
    print(sender[0], len(data), data == bytes(n % 251 for n in range(len(data))))
"""
#: Sends argv[3], hexadecimal, to the address argv[1]: by UDP to port argv[2], or by GRE. The host
#: sends it in pieces.
SAY = """
import socket, sys
to, port, data = sys.argv[1], int(sys.argv[2]), bytes.fromhex(sys.argv[3])
family = socket.AF_INET6 if ":" in to else socket.AF_INET
kind = (socket.SOCK_DGRAM, 17) if port else (socket.SOCK_RAW, 47)
with socket.socket(family, *kind) as sock:
    if family == socket.AF_INET:
        sock.setsockopt(socket.IPPROTO_IP, 10, 0)
    sock.sendto(data, (to, port))
"""


@pytest.mark.parametrize(
    ("type_", "ends"),
    [
        ("vxlan", ADDRESSES), ("geneve", ADDRESSES), ("gre", ADDRESSES), ("vxlan", ADDRESSES6),
        ("gre", ADDRESSES6),
    ],
)  # fmt: skip
def test_pieces_of_a_tunnels_packet_are_put_together(
    hosts: tuple[Host, Host], type_: str, ends: tuple[str, str]
) -> None:
    near, far = hosts
    join(hosts, f"ip6{type_}" if type_ == "gre" and ":" in ends[0] else type_, ends)
    assert reach(near.vm, far.vm)
    far.vm.ip("link", "set", "eth0", "mtu", "9000")
    far.host.ip("link", "set", far.vm.vif, "mtu", "9000")
    mac = json.loads(far.vm.run("ip", "-j", "link", "show", "eth0").stdout)[0]["address"]
    payload = bytes(n % 251 for n in range(4_000))
    inner = bytes(
        Ether(dst=mac, src="02:00:00:00:00:aa") / IP(src=near.vm.ip_address, dst=far.vm.ip_address)
        / UDP(sport=7, dport=9) / payload
    )  # fmt: skip
    header, port = HEADERS[type_]
    inside = ("ip", "netns", "exec", far.vm.name, sys.executable, "-c", WAIT)
    with subprocess.Popen(inside, stdout=subprocess.PIPE, text=True) as waits:
        assert waits.stdout is not None and waits.stdout.readline() == "ready\n"
        data = (header + inner).hex()
        near.host.run(sys.executable, "-c", SAY, ends[1], str(port), data)
        assert waits.stdout.readline().split() == [near.vm.ip_address, "4000", "True"]
    # Those that are not in pieces go on in the kernel.
    assert reach(near.vm, far.vm)


def test_the_hosts_own_packets_in_pieces_stay_its_own(hosts: tuple[Host, Host]) -> None:
    near, far = hosts
    join(hosts, "vxlan", ADDRESSES)
    assert reach(near.vm, far.vm)
    inside = ("ip", "netns", "exec", far.host.name, sys.executable, "-c", WAIT)
    with subprocess.Popen(inside, stdout=subprocess.PIPE, text=True) as waits:
        assert waits.stdout is not None and waits.stdout.readline() == "ready\n"
        payload = bytes(n % 251 for n in range(4_000)).hex()
        near.host.run(sys.executable, "-c", SAY, ADDRESSES[1], "9", payload)
        assert waits.stdout.readline().split() == [ADDRESSES[0], "4000", "True"]
