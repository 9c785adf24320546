"""Connections that others announce: FTP in all its modes and TFTP, through translation, with real
servers and clients."""

from __future__ import annotations

import subprocess

import pytest
from tests.support.switches import TwoMachines, needs_root

from netloom.lab.lab import Lab
from netloom.lab.switch import Programs

pytestmark = [pytest.mark.root, needs_root]

HELPED = """\
table=0,arp,actions=normal
table=0,icmp6,actions=normal
table=0,priority=10,{ip},actions=ct(zone=1,nat,table=1)
table=1,priority=30,{ip},ct_state=+inv,actions=drop
table=1,priority=20,{ip},ct_state=+new+rel,actions=ct(commit,zone=1,nat),resubmit(,2)
table=1,priority=10,{ip},ct_state=+est,actions=resubmit(,2)
table=1,priority=10,in_port=vif1,{tcp},tp_dst=21,ct_state=+new-rel,\
actions=ct(commit,zone=1,nat(src={nat}),alg=ftp),vif2
table=1,priority=10,in_port=vif1,{udp},tp_dst=69,ct_state=+new-rel,\
actions=ct(commit,zone=1,nat(src={nat}),alg=tftp),vif2
table=2,in_port=vif1,actions=vif2
table=2,in_port=vif2,actions=vif1
"""
#: Serves one client one file, in whatever mode he asks for; says what he is and asked.
FTP_SERVER = """
import hashlib, random, socket, sys
data = random.Random(5).randbytes(2_000_000)
family = int(sys.argv[2])
listener = socket.create_server((sys.argv[1], 21), family=family)
print("listening", flush=True)
peer, who = listener.accept()
print("client", who[0])
lines = peer.makefile("r", newline="\\r\\n")
say = lambda text: peer.sendall(text.encode() + b"\\r\\n")
say("220 here")
target = waiting = None
for line in lines:
    word, _, rest = line.strip().partition(" ")
    if word in ("PORT", "EPRT", "PASV", "EPSV"):
        print(word, rest)
    if word == "PORT":
        n = rest.split(",")
        target = ".".join(n[:4]), int(n[4]) * 256 + int(n[5])
        say("200 ok")
    elif word == "EPRT":
        _, _, host, port, _ = rest.split(rest[0])
        target = host, int(port)
        say("200 ok")
    elif word in ("PASV", "EPSV"):
        waiting = socket.create_server((sys.argv[1], 0), family=family)
        port = waiting.getsockname()[1]
        host = sys.argv[1].replace(".", ",")
        if word == "PASV":
            say(f"227 Entering Passive Mode ({host},{port >> 8},{port & 255}).")
        else:
            say(f"229 Entering Extended Passive Mode (|||{port}|)")
    elif word == "RETR":
        say("150 opening")
        if waiting:
            road, _ = waiting.accept()
        else:
            road = socket.socket(family)
            road.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            road.bind((sys.argv[1], 20))
            road.connect(target)
        road.sendall(data)
        road.close()
        target = waiting = None
        say("226 done")
    elif word == "QUIT":
        say("221 bye")
        break
    else:
        say("200 ok")
print(hashlib.sha256(data).hexdigest())
"""
FTP_CLIENT = """
import ftplib, hashlib, sys
ftp = ftplib.FTP()
ftp.connect(sys.argv[1], 21, timeout=60)
ftp.login()
ftp.set_pasv(sys.argv[2] == "passive")
for _ in range(2):
    digest = hashlib.sha256()
    ftp.retrbinary("RETR it", digest.update)
ftp.quit()
print(digest.hexdigest())
"""
#: As of RFC 1350: the answer comes from another port.
TFTP_SERVER = """
import hashlib, random, socket, sys
data = random.Random(6).randbytes(20_000)
with socket.socket(int(sys.argv[2]), socket.SOCK_DGRAM) as here:
    here.bind((sys.argv[1], 69))
    print("listening", flush=True)
    asked, who = here.recvfrom(600)
    print("client", who[0])
with socket.socket(int(sys.argv[2]), socket.SOCK_DGRAM) as here:
    here.bind((sys.argv[1], 0))
    here.settimeout(40)
    for at in range(0, len(data) + 1, 512):
        block = (at // 512 + 1).to_bytes(2)
        here.sendto(bytes([0, 3]) + block + data[at : at + 512], who)
        assert here.recv(600) == bytes([0, 4]) + block
print(hashlib.sha256(data).hexdigest())
"""
TFTP_CLIENT = """
import hashlib, socket, sys
digest = hashlib.sha256()
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
with socket.socket(family, socket.SOCK_DGRAM) as here:
    here.settimeout(40)
    here.sendto(bytes([0, 1]) + b"it\\0octet\\0", (sys.argv[1], 69))
    while True:
        block, who = here.recvfrom(600)
        digest.update(block[4:])
        here.sendto(bytes([0, 4]) + block[2:4], who)
        if len(block) < 516:
            break
print(digest.hexdigest())
"""


class Stand(TwoMachines):
    """A client whose address is another outside, and a server."""

    def __init__(self, lab: Lab, tools: Programs) -> None:
        super().__init__(lab, tools)
        for number, vm in ((1, self.vm1), (2, self.vm2)):
            vm.ip("addr", "add", f"fd00::{number}/64", "dev", "eth0", "nodad")
        for address in ("10.0.0.177", "fd00::177"):
            self.vm2.ip("neigh", "replace", address, "lladdr", "02:00:00:00:00:01", "dev", "eth0")
        self.switch.vsctl(
            "add-br", "br0", "--", "add-port", "br0", "vif1", "--", "add-port", "br0", "vif2"
        )

    def install(self, is_ipv6: bool) -> None:
        names = {"ip": "ipv6", "tcp": "tcp6", "udp": "udp6", "nat": "fd00::177"}
        if not is_ipv6:
            names = {"ip": "ip", "tcp": "tcp", "udp": "udp", "nat": "10.0.0.177"}
        self.switch.run("ovs-ofctl", "del-flows", "br0")
        self.switch.run("ovs-ofctl", "add-flows", "br0", "-", stdin=HELPED.format(**names))

    def serve(self, server: str, client: str, address: str, *words: str) -> tuple[list[str], str]:
        """What both print, the server a list of lines."""
        family = "10" if ":" in address else "2"
        inside = ("ip", "netns", "exec", self.vm2.name, "python3", "-c", server, address, family)
        with subprocess.Popen(inside, stdout=subprocess.PIPE, text=True) as peer:
            try:
                assert peer.stdout is not None and peer.stdout.readline() == "listening\n"
                said = self.vm1.run("python3", "-c", client, address, *words).stdout
                return peer.communicate(timeout=60)[0].splitlines(), said.strip()
            finally:
                peer.kill()


@pytest.fixture
def stand(lab: Lab, tools: Programs) -> Stand:
    return Stand(lab, tools)


@pytest.mark.parametrize("mode", ["active", "passive"])
@pytest.mark.parametrize("address", ["10.0.0.2", "fd00::2"])
def test_files_come_over_ftp(stand: Stand, address: str, mode: str) -> None:
    stand.install(":" in address)
    told, received = stand.serve(FTP_SERVER, FTP_CLIENT, address, mode)
    assert told[-1] == received
    other = "fd00::177" if ":" in address else "10.0.0.177"
    assert told[0] == f"client {other}"
    if mode == "active":
        # The server is told the address that he can reach.
        assert len(told) == 4 and all(other.replace(".", ",") in line for line in told[1:3])
    assert "Traceback" not in stand.switch.log()


@pytest.mark.parametrize("address", ["10.0.0.2", "fd00::2"])
def test_files_come_over_tftp(stand: Stand, address: str) -> None:
    stand.install(":" in address)
    told, received = stand.serve(TFTP_SERVER, TFTP_CLIENT, address)
    assert told[-1] == received
    assert "Traceback" not in stand.switch.log()
