"""FTP and TFTP helpers with and without translation: both switches let the same packets through,
byte for byte, and keep the same connections."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet as ScapyPacket
from scapy.packet import Raw
from tests.support.peer_pair import PeerPair, peer_pair
from tests.support.peer_switch import PeerSwitch
from tests.support.peers import wait_until

pytestmark = pytest.mark.interop

MACS = {1: "50:54:00:00:00:01", 2: "50:54:00:00:00:02"}
V4 = ("10.0.0.1", "10.0.0.200", "10.0.0.240")
V6 = ("fc00::1", "fc00::200", "fc00::240")
FLOWS = """\
table=0,{ip},actions=ct(table=1,zone=9{nat})
table=1,priority=30,in_port=1,{proto},{proto}_dst={port},ct_state=+new,\
actions=ct(commit,zone=9,alg={alg}{translate}),2
table=1,priority=20,in_port=2,{ip},ct_state=+new+rel,actions=ct(commit,zone=9{nat}),1
table=1,priority=20,in_port=1,{ip},ct_state=+new+rel,actions=ct(commit,zone=9{nat}),2
table=1,priority=10,in_port=1,{ip},ct_state=+est,actions=2
table=1,priority=10,in_port=2,{ip},ct_state=+est,actions=1
table=1,priority=0,actions=drop
"""


def prepare(switch: PeerSwitch) -> None:
    words = ["add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy",
             "fail_mode=secure"]  # fmt: skip
    for n in (1, 2):
        words += [
            "--", "add-port", "br0", f"p{n}", "--", "set", "interface", f"p{n}", "type=dummy",
            f"ofport_request={n}", f"options:tx_pcap={switch.directory}/p{n}.pcap",
        ]  # fmt: skip
    switch.run("ovs-vsctl", *words)
    switch.control("time/stop")


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[PeerPair]:
    with peer_pair(tmp_path, prepare) as pair:
        yield pair


def recorded(path: Path) -> list[str]:
    data, at, frames = path.read_bytes() if path.exists() else b"", 24, []
    while at + 16 <= len(data):
        size = struct.unpack_from("<I", data, at + 8)[0]
        frames.append(data[at + 16 : at + 16 + size].hex())
        at += 16 + size
    return frames


def n_recorded(switch: PeerSwitch) -> int:
    return sum(len(recorded(switch.directory / f"p{n}.pcap")) for n in (1, 2))


class Talk:
    """Client on port 1, server on port 2, whose client may look like another from outside."""

    def __init__(self, pair: PeerPair, is_v6: bool, translates: bool) -> None:
        self.pair = pair
        self.network = IPv6 if is_v6 else IP
        self.client, self.server, self.outside = V6 if is_v6 else V4
        self.outside = self.outside if translates else self.client

    def send(self, port: int, layers: ScapyPacket) -> None:
        src, dst = (self.client, self.server) if port == 1 else (self.server, self.outside)
        packet = Ether(src=MACS[port], dst=MACS[3 - port]) / self.network(src=src, dst=dst) / layers
        before = [n_recorded(switch) for switch in self.pair]
        self.pair.control("netdev-dummy/receive", f"p{port}", bytes(packet).hex())
        # Packets of two ports may pass one another; one that is dropped is waited for in vain.
        wait_until(
            lambda: all(n_recorded(s) > n for s, n in zip(self.pair, before, strict=True)), 0.4
        )

    def tcp(
        self, port: int, sport: int, dport: int, flags: str, seq: int, ack: int, text: str = ""
    ) -> None:
        header = TCP(sport=sport, dport=dport, flags=flags, seq=seq, ack=ack, window=5000)
        self.send(port, header / Raw(text.encode()) if text else header)

    def open_control(self) -> None:
        self.tcp(1, 4000, 21, "S", 100, 0)
        self.tcp(2, 21, 4000, "SA", 500, 101)
        self.tcp(1, 4000, 21, "A", 101, 501)


def set_flows(pair: PeerPair, alg: str, is_v6: bool, outside: str) -> None:
    proto, port = ("tcp", 21) if alg == "ftp" else ("udp", 69)
    text = FLOWS.format(
        ip="ipv6" if is_v6 else "ip", proto=proto + "6" * is_v6, port=port, alg=alg,
        nat=",nat" if outside else "", translate=f",nat(src={outside})" if outside else "",
    ).replace("tcp6_dst", "tcp_dst").replace("udp6_dst", "udp_dst")  # fmt: skip
    for switch in pair:
        switch.run("ovs-ofctl", "del-flows", "br0")
        switch.run("ovs-ofctl", "add-flows", "br0", "-", stdin=text)


def _first_difference(theirs: tuple[list[str], ...], ours: tuple[list[str], ...]) -> str:
    return "\n".join(
        f"theirs {a}\nours   {b}"
        for one, two in zip(theirs, ours, strict=True)
        for a, b in itertools.zip_longest(one, two)
        if a != b
    )


def agree(pair: PeerPair, n_frames: int) -> list[str]:
    """Both have sent so many packets, the same ones, and keep the same connections."""

    def look(switch: PeerSwitch) -> tuple[list[str], list[str], list[str]]:
        table = sorted(switch.control("dpctl/dump-conntrack", "-m").splitlines())
        table += sorted(switch.control("dpctl/dump-conntrack").splitlines())
        one, two = (recorded(switch.directory / f"p{n}.pcap") for n in (1, 2))
        return one, two, table

    assert wait_until(lambda: sum(map(len, look(pair.ours)[:2])) == n_frames), look(pair.ours)
    return pair.agree_on(look, told=_first_difference)[2]


@pytest.mark.parametrize("is_v6", [False, True], ids=["ipv4", "ipv6"])
def test_active_ftp(pair: PeerPair, is_v6: bool) -> None:
    # Not translated: the peer has no room for a longer text in packets of dummies.
    talk = Talk(pair, is_v6, translates=False)
    set_flows(pair, "ftp", is_v6, outside="")
    command = "EPRT |2|fc00::1|5129|" if is_v6 else "PORT 10,0,0,1,20,9"
    talk.open_control()
    talk.tcp(1, 4000, 21, "PA", 101, 501, f"{command}\r\n")
    agree(pair, 4)
    talk.tcp(2, 21, 4000, "PA", 501, 101 + len(command) + 2, "200 ok\r\n")
    talk.tcp(2, 20, 5129, "S", 9000, 0)
    talk.tcp(1, 5129, 20, "SA", 7000, 9001)
    talk.tcp(2, 20, 5129, "A", 9001, 7001)
    talk.tcp(2, 20, 5130, "S", 9000, 0)
    table = agree(pair, 8)
    assert len(table) == 4 and "parent=(" in "".join(table)


@pytest.mark.parametrize("translates", [False, True], ids=["plain", "translated"])
@pytest.mark.parametrize("is_v6", [False, True], ids=["ipv4", "ipv6"])
def test_passive_ftp(pair: PeerPair, is_v6: bool, translates: bool) -> None:
    talk = Talk(pair, is_v6, translates)
    set_flows(pair, "ftp", is_v6, talk.outside if translates else "")
    talk.open_control()
    ask, answer = (
        ("EPSV\r\n", "229 Entering Extended Passive Mode (|||6001|)\r\n")
        if is_v6
        else ("PASV\r\n", "227 Entering Passive Mode (10,0,0,200,23,113).\r\n")
    )
    talk.tcp(1, 4000, 21, "PA", 101, 501, ask)
    talk.tcp(2, 21, 4000, "PA", 501, 101 + len(ask), answer)
    talk.tcp(1, 4001, 6001, "S", 900, 0)
    talk.tcp(2, 6001, 4001, "SA", 300, 901)
    talk.tcp(1, 4001, 6001, "A", 901, 301)
    talk.tcp(1, 4001, 6002, "S", 900, 0)
    table = agree(pair, 8)
    assert len(table) == 4


@pytest.mark.parametrize("translates", [False, True], ids=["plain", "translated"])
@pytest.mark.parametrize("is_v6", [False, True], ids=["ipv4", "ipv6"])
def test_tftp(pair: PeerPair, is_v6: bool, translates: bool) -> None:
    talk = Talk(pair, is_v6, translates)
    set_flows(pair, "tftp", is_v6, talk.outside if translates else "")
    talk.send(1, UDP(sport=5555, dport=69) / Raw(b"\0\1file\0octet\0"))
    talk.send(2, UDP(sport=6666, dport=5555) / Raw(b"\0\3\0\1data"))
    talk.send(1, UDP(sport=5555, dport=6666) / Raw(b"\0\4\0\1"))
    talk.send(2, UDP(sport=6667, dport=5556) / Raw(b"\0\3\0\1data"))
    table = agree(pair, 3)
    assert len(table) == 4


@pytest.mark.parametrize(
    "command",
    ["PORT 10,0,0,1,20", "PORT 10,0,0,1,999,9", "PORT 1.2.3.4", "PORT 10,0,0,7,20,9", "NOOP"],
)  # fmt: skip
def test_what_an_ftp_client_should_not_say(pair: PeerPair, command: str) -> None:
    talk = Talk(pair, is_v6=False, translates=True)
    set_flows(pair, "ftp", is_v6=False, outside=talk.outside)
    talk.open_control()
    talk.tcp(1, 4000, 21, "PA", 101, 501, f"{command}\r\n")
    talk.tcp(2, 21, 4000, "A", 501, 101 + len(command) + 2)
    talk.tcp(2, 20, 5129, "S", 9000, 0)

    def look(switch: PeerSwitch) -> tuple[list[str], ...]:
        table = sorted(switch.control("dpctl/dump-conntrack", "-m").splitlines())
        return *(recorded(switch.directory / f"p{n}.pcap") for n in (1, 2)), table

    pair.agree_on(look, told=_first_difference)
