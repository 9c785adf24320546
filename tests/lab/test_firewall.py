"""A stateful firewall in OpenFlow: machines inside may open connections, machines outside may only
answer, but for one service; addresses are translated on the way out, and inwards for the service.

Real namespaces, real TCP, UDP and ICMP, on both data paths."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest
from tests.support.peers import wait_until
from tests.support.switches import RunningSwitch, needs_root

from netloom.lab.lab import Lab
from netloom.lab.namespace import VirtualMachine
from netloom.lab.switch import Programs

pytestmark = [pytest.mark.root, needs_root]

INSIDE, OUTSIDE = "in_port=1", "in_port=2"
FIREWALL = f"""
table=0,arp,actions=normal
table=0,ip,actions=ct(zone=5,table=1)
table=1,priority=30,ct_state=+trk+inv,ip,actions=drop
table=1,priority=20,ct_state=+trk+est,ip,actions=normal
table=1,priority=20,ct_state=+trk+rel,ip,actions=normal
table=1,priority=10,ct_state=+trk+new,ip,{INSIDE},actions=ct(commit,zone=5),normal
table=1,priority=10,ct_state=+trk+new,tcp,tcp_dst=8000,{OUTSIDE},actions=ct(commit,zone=5),normal
"""
#: The machine inside has a private address; 10.0.0.100 stands for it outside.
TRANSLATION = f"""
table=0,priority=5,arp,actions=normal
table=0,priority=10,arp,arp_tpa=10.0.0.100,arp_op=1,actions=move:eth_src[]->eth_dst[],\
load:0x020000000064->eth_src[],load:2->arp_op[],move:arp_sha[]->arp_tha[],\
load:0x020000000064->arp_sha[],move:arp_spa[]->arp_tpa[],load:0x0a000064->arp_spa[],in_port
table=0,ip,{INSIDE},actions=ct(commit,zone=7,nat(src=10.0.0.100:20000-20999),table=1)
table=0,ip,{OUTSIDE},actions=ct(zone=7,nat,table=2)
table=1,ip,actions=load:0x020000000002->eth_dst[],output:2
table=2,priority=20,ct_state=+trk+est,ip,actions=load:0x020000000001->eth_dst[],output:1
table=2,priority=20,ct_state=+trk+rel,ip,actions=load:0x020000000001->eth_dst[],output:1
table=2,priority=10,ct_state=+trk+new,tcp,tcp_dst=8000,\
actions=ct(commit,zone=7,nat(dst=192.168.1.1:8000),table=3)
table=3,ip,actions=load:0x020000000001->eth_dst[],output:1
"""

SERVE = (
    "import socket, sys\n"
    "listener = socket.create_server(('', int(sys.argv[1])))\n"
    "print('ready', flush=True)\n"
    "while True:\n"
    "    peer, address = listener.accept()\n"
    "    peer.sendall(address[0].encode())\n"
    "    peer.close()\n"
)
DIAL = (
    "import socket, sys\n"
    "peer = socket.create_connection((sys.argv[1], int(sys.argv[2])), 2)\n"
    "print(peer.recv(100).decode(), end='')\n"
)
PYTHON = ("/usr/bin/env", "python3", "-c")


class Stand:
    """Bridge br0 with a machine inside (port 1) and one outside (port 2)."""

    def __init__(self, lab: Lab, tools: Programs) -> None:
        self.switch = RunningSwitch(lab, tools, tools)
        self.inside = lab.add_vm("inside", "vif1", "10.0.0.1/24")
        self.outside = lab.add_vm("outside", "vif2", "10.0.0.2/24")
        self._servers: list[subprocess.Popen[bytes]] = []
        self.switch.start()
        self.switch.vsctl(
            "add-br", "br0", "--", "set", "bridge", "br0", "fail_mode=secure",
            *(word for n in (1, 2) for word in (
                "--", "add-port", "br0", f"vif{n}", "--", "set", "interface", f"vif{n}",
                f"ofport_request={n}")),
        )  # fmt: skip

    def install(self, flows: str) -> None:
        self.switch.run("ovs-ofctl", "add-flows", "br0", "-", stdin=flows)

    def serve(self, vm: VirtualMachine, port: int) -> None:
        server = subprocess.Popen(
            ["ip", "netns", "exec", vm.name, *PYTHON, SERVE, str(port)], stdout=subprocess.PIPE
        )
        self._servers.append(server)
        assert server.stdout is not None
        assert server.stdout.readline() == b"ready\n"

    def dial(self, vm: VirtualMachine, address: str, port: int) -> str:
        """What the server says, which is who it thinks it is spoken to by; empty if nobody."""
        return vm.run(*PYTHON, DIAL, address, str(port), check=False).stdout

    def connections(self) -> list[str]:
        return self.switch.appctl("dpctl/dump-conntrack").splitlines()

    def close(self) -> None:
        for server in self._servers:
            server.kill()
            server.wait()


@pytest.fixture
def stand(lab: Lab, tools: Programs) -> Iterator[Stand]:
    made = Stand(lab, tools)
    try:
        yield made
    finally:
        made.close()


def test_answers_come_in_and_questions_do_not(stand: Stand) -> None:
    stand.install(FIREWALL)
    stand.serve(stand.inside, 8000)
    stand.serve(stand.inside, 9000)
    stand.serve(stand.outside, 9000)
    assert stand.inside.ping("10.0.0.2", count=3)
    assert not stand.outside.ping("10.0.0.1")
    assert stand.dial(stand.inside, "10.0.0.2", 9000) == "10.0.0.1"
    assert stand.dial(stand.outside, "10.0.0.1", 9000) == ""
    assert stand.dial(stand.outside, "10.0.0.1", 8000) == "10.0.0.2"
    tracked = [line for line in stand.connections() if "dport=8000" in line]
    assert len(tracked) == 1
    assert tracked[0].startswith("tcp,orig=(src=10.0.0.2,dst=10.0.0.1,")
    assert "zone=5" in tracked[0]


def test_an_error_about_a_connection_belongs_to_it(stand: Stand) -> None:
    stand.install(FIREWALL)
    # Nobody listens: the answer to the datagram is an ICMP error, which is let in as related.
    code = (
        "import socket\n"
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "s.settimeout(5)\n"
        "s.connect(('10.0.0.2', 7777))\n"
        "s.send(b'hello')\n"
        "try:\n    s.recv(1)\n"
        "except ConnectionRefusedError:\n    print('refused')\n"
    )
    assert stand.inside.run(*PYTHON, code).stdout == "refused\n"
    # The other way round nothing comes in that could be refused.
    there = code.replace("10.0.0.2", "10.0.0.1").replace("settimeout(5)", "settimeout(1)")
    done = stand.outside.run(*PYTHON, there, check=False)
    assert "refused" not in done.stdout
    assert "timed out" in done.stderr


def test_connections_that_were_forgotten_begin_anew(stand: Stand) -> None:
    stand.install(FIREWALL)
    assert stand.inside.ping("10.0.0.2", wait_s=10)
    assert len(stand.connections()) == 1
    stand.switch.appctl("dpctl/flush-conntrack", "zone=6")
    assert len(stand.connections()) == 1
    stand.switch.appctl("dpctl/flush-conntrack", "zone=5")
    assert stand.connections() == []
    assert stand.inside.ping("10.0.0.2", wait_s=10)


def test_addresses_are_translated_both_ways(stand: Stand) -> None:
    inside = stand.inside
    inside.ip("addr", "flush", "dev", "eth0")
    inside.ip("addr", "add", "192.168.1.1/24", "dev", "eth0")
    inside.ip("route", "add", "default", "via", "192.168.1.254")
    inside.ip("neigh", "add", "192.168.1.254", "lladdr", "02:00:00:00:00:64", "dev", "eth0")
    stand.install(TRANSLATION)
    stand.serve(stand.outside, 9000)
    stand.serve(inside, 8000)
    assert inside.ping("10.0.0.2", count=2)
    assert stand.dial(inside, "10.0.0.2", 9000) == "10.0.0.100"
    assert stand.dial(stand.outside, "10.0.0.100", 8000) == "10.0.0.2"
    assert stand.dial(stand.outside, "10.0.0.100", 9000) == ""
    lines = [line for line in stand.connections() if "dport=9000" in line]
    assert any("src=192.168.1.1,dst=10.0.0.2" in line and "dst=10.0.0.100" in line
               for line in lines), lines  # fmt: skip


def test_without_its_rule_no_connection_begins(stand: Stand) -> None:
    stand.install(FIREWALL)
    stand.serve(stand.outside, 9000)
    assert stand.dial(stand.inside, "10.0.0.2", 9000) == "10.0.0.1"
    stand.switch.ofctl("--strict", "del-flows", "br0",
                       "table=1,priority=10,ct_state=+trk+new,ip,in_port=1")  # fmt: skip
    assert stand.dial(stand.inside, "10.0.0.2", 9000) == ""
    assert wait_until(lambda: not stand.inside.ping("10.0.0.2", wait_s=0.3))
