"""Two machines that send each other much, across two bridges, and compare what arrived."""

from __future__ import annotations

import subprocess

from tests.support.switches import TwoMachines

from netloom.lab.lab import Lab
from netloom.lab.namespace import Namespace
from netloom.lab.switch import Programs

TRANSFER_BYTES = 20_000_000
RECEIVER = """
import hashlib, socket, sys
listener = socket.create_server((sys.argv[1], 5001), family=int(sys.argv[2]))
print("listening", flush=True)
peer, _ = listener.accept()
digest = hashlib.sha256()
while chunk := peer.recv(1 << 20):
    digest.update(chunk)
print(digest.hexdigest(), flush=True)
"""
SENDER = """
import hashlib, random, socket, sys
data = random.Random(7).randbytes(int(sys.argv[2]))
with socket.create_connection((sys.argv[1], 5001), timeout=100) as peer:
    peer.sendall(data)
print(hashlib.sha256(data).hexdigest())
"""
ECHO = """
import socket, sys
with socket.socket(int(sys.argv[2]), socket.SOCK_DGRAM) as here:
    here.bind((sys.argv[1], 7))
    print("listening", flush=True)
    data, who = here.recvfrom(65536)
    here.sendto(data, who)
"""
ASK = """
import random, socket, sys
with socket.socket(int(sys.argv[2]), socket.SOCK_DGRAM) as here:
    here.settimeout(40)
    data = random.Random(3).randbytes(int(sys.argv[3]))
    here.sendto(data, (sys.argv[1], 7))
    print(here.recv(65536) == data)
"""


def talk(
    server_vm: Namespace, client_vm: Namespace, server: str, client: str, address: str, *words: str
) -> tuple[str, str]:
    """What `server` in one machine and `client` in another print after "listening"."""
    family = "10" if ":" in address else "2"
    inside = ("ip", "netns", "exec", server_vm.name, "python3", "-c", server, address, family)
    with subprocess.Popen(inside, stdout=subprocess.PIPE, text=True) as peer:
        try:
            assert peer.stdout is not None
            assert peer.stdout.readline() == "listening\n"
            said = client_vm.run("python3", "-c", client, address, *words).stdout
            return peer.communicate(timeout=60)[0], said
        finally:
            peer.kill()


class Stand(TwoMachines):
    """vif1 on br0 and vif2 on br1, both in VLAN 10, between them a trunk."""

    def __init__(self, lab: Lab, tools: Programs) -> None:
        super().__init__(lab, tools)
        for number, vm in ((1, self.vm1), (2, self.vm2)):
            vm.ip("addr", "add", f"fd00::{number}/64", "dev", "eth0", "nodad")
        vsctl = self.switch.vsctl
        vsctl("add-br", "br0", "--", "add-port", "br0", "vif1", "tag=10")
        vsctl("add-br", "br1", "--", "add-port", "br1", "vif2", "tag=10")
        for bridge, port, peer in (("br0", "pa", "pb"), ("br1", "pb", "pa")):
            vsctl("add-port", bridge, port, "trunks=10", "--", "set", "interface", port,
                  "type=patch", f"options:peer={peer}")  # fmt: skip

    def talk(self, server: str, client: str, address: str, *words: str) -> tuple[str, str]:
        """What `server` on vm2 and `client` on vm1 print after "listening"."""
        return talk(self.vm2, self.vm1, server, client, address, *words)
