"""OVN's own daemons drive two of our switches and keep their data in our databases.

Two chassis with a tunnel (Geneve with OVN's option) between them. What machines do shows that OVN's
flows (thousands of them, with registers, stages of connection tracking, groups, meters, continued
packet-ins and learned options) do with us what they are meant to do.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from typing import NamedTuple

import pytest
from tests.support.ovn import Cloud
from tests.support.peers import wait_until
from tests.support.switches import needs_root

from netloom.lab.lab import Lab
from netloom.lab.namespace import VirtualMachine
from netloom.lab.switch import Programs

pytestmark = [pytest.mark.root, needs_root, pytest.mark.interop, pytest.mark.timeout(240)]

WEB = """
import socket
with socket.create_server(("0.0.0.0", 80)) as listener:
    print("ready", flush=True)
    while True:
        peer, _ = listener.accept()
        with peer:
            peer.sendall({name!r}.encode())
"""
ASK = """
import socket
for _ in range(8):
    with socket.create_connection(("{address}", 80), 3) as peer:
        print(peer.recv(64).decode())
"""
DISCOVER = """
import sys, time
from scapy.all import *
conf.verb = 0
mac = get_if_hwaddr("eth0")
packet = (Ether(src=mac, dst="ff:ff:ff:ff:ff:ff") / IP(src="0.0.0.0", dst="255.255.255.255")
          / UDP(sport=68, dport=67) / BOOTP(chaddr=bytes.fromhex(mac.replace(":", "")), xid=7)
          / DHCP(options=[("message-type", "discover"), "end"]))
sniffer = AsyncSniffer(iface="eth0", count=1, lfilter=lambda p: DHCP in p and p[BOOTP].op == 2)
sniffer.start()
for _ in range(160):
    sendp(packet, iface="eth0")
    time.sleep(0.25)
    if not sniffer.running:
        break
found = sniffer.results or sniffer.stop()
print(found[0][BOOTP].yiaddr, dict(o for o in found[0][DHCP].options if len(o) == 2)["router"])
"""


class Machines(NamedTuple):
    """`a1` and `b1` on the first host, `a2` on the second; a and b are two networks."""

    cloud: Cloud
    a1: VirtualMachine
    a2: VirtualMachine
    b1: VirtualMachine


@pytest.fixture
def machines(lab: Lab, tools: Programs, datapath: str) -> Iterator[Machines]:
    with ExitStack() as stack:
        cloud = Cloud(lab, tools, stack, has_uplinks=datapath == "kernel")
        say = cloud.northbound
        say("lr-add", "lr0")
        for name, number in (("a", 0), ("b", 1)):
            gateway = f"10.0.{number}.254"
            say("ls-add", name, "--", "set", "logical_switch", name,
                f"other_config:subnet=10.0.{number}.0/24",
                "--", "lrp-add", "lr0", f"lr0-{name}", f"02:00:00:00:ff:0{number}", f"{gateway}/24",
                "--", "lsp-add", name, f"{name}-lr0", "--", "lsp-set-type", f"{name}-lr0", "router",
                "--", "lsp-set-options", f"{name}-lr0", f"router-port=lr0-{name}",
                "--", "lsp-set-addresses", f"{name}-lr0", "router")  # fmt: skip
        found = Machines(
            cloud,
            cloud.add_machine("a1", "a", 0, "10.0.0.1", "10.0.0.254"),
            cloud.add_machine("a2", "a", 1, "10.0.0.2", "10.0.0.254"),
            cloud.add_machine("b1", "b", 0, "10.0.1.1", "10.0.1.254"),
        )
        cloud.settle()
        yield found


def test_logical_networks_work_across_hosts(machines: Machines) -> None:
    cloud, a1, a2, b1 = machines
    for source, address in ((a1, "10.0.0.2"), (a1, "10.0.1.1"), (b1, "10.0.0.2"),
                            (a2, "10.0.0.254")):  # fmt: skip
        assert wait_until(lambda s=source, d=address: s.ping(d)), (source.label, address)  # type: ignore[misc]
    _check_acls(cloud, a1, a2)
    _check_load_balancer(machines)
    _check_dhcp(cloud, a2)
    assert cloud.complaints() == []


def _check_acls(cloud: Cloud, a1: VirtualMachine, a2: VirtualMachine) -> None:
    cloud.northbound("acl-add", "a", "to-lport", "1000", 'outport == "a2" && icmp4', "drop")
    cloud.settle()
    assert not a1.ping("10.0.0.2", 2)
    cloud.northbound("acl-del", "a")
    to_a2 = 'outport == "a2" && icmp4'
    cloud.northbound("acl-add", "a", "to-lport", "1001", to_a2, "allow-related",
                     "--", "acl-add", "a", "to-lport", "900", "ip4", "drop")  # fmt: skip
    cloud.settle()
    assert a1.ping("10.0.0.2", wait_s=10)
    # Answers are let through, and what nobody asked for is not.
    assert not a2.ping("10.0.0.1", 2)
    cloud.northbound("acl-del", "a")
    cloud.settle()


def _check_load_balancer(machines: Machines) -> None:
    cloud, a1, a2, b1 = machines
    with ExitStack() as stack:
        for vm in (a2, b1):
            stack.enter_context(_serving(vm))
        cloud.northbound("lb-add", "lb0", "30.0.0.1:80", "10.0.0.2:80,10.0.1.1:80",
                         "--", "ls-lb-add", "a", "lb0")  # fmt: skip
        cloud.settle()
        heard: set[str] = set()

        def has_heard_both() -> bool:
            answer = a1.run(sys.executable, "-c", ASK.format(address="30.0.0.1"), check=False)
            heard.update(answer.stdout.split())
            return heard == {"a2", "b1"}

        assert wait_until(has_heard_both), heard


def _serving(vm: VirtualMachine) -> ExitStack:
    """A web server's like in the machine, which tells its name."""
    stack = ExitStack()
    argv = ("ip", "netns", "exec", vm.name, sys.executable, "-c", WEB.format(name=vm.label))
    server = stack.enter_context(subprocess.Popen(argv, stdout=subprocess.PIPE, text=True))
    stack.callback(server.kill)
    assert server.stdout is not None and server.stdout.readline() == "ready\n"
    return stack


def _check_dhcp(cloud: Cloud, a2: VirtualMachine) -> None:
    options = cloud.northbound(
        *("create", "dhcp_options", "cidr=10.0.0.0/24"),
        'options="server_id"="10.0.0.254" "server_mac"="02:00:00:00:ff:00" "lease_time"="3600" '
        '"router"="10.0.0.254"',
    )
    cloud.northbound("lsp-set-dhcpv4-options", "a2", options.strip())
    cloud.settle()
    offered = a2.run(sys.executable, "-c", DISCOVER).stdout.split()
    assert offered == ["10.0.0.2", "10.0.0.254"]
