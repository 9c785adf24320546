"""Errors that ICMP tells of translated connections: who gets one reads in it what he sent, and both
data paths do the same.

The oracle is the packet that was sent, as it was before any translation."""

from __future__ import annotations

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6PacketTooBig,
    ICMPv6ParamProblem,
    ICMPv6TimeExceeded,
    IPv6,
)
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw
from tests.support.dummy_backend import UserspaceBackend
from tests.support.kernel_backend import KernelBackend

from netloom.flow.key import explain_key

pytestmark = pytest.mark.root
PORTS = (1, 2, 3)
Backend = UserspaceBackend | KernelBackend
CLIENT, SERVER, OTHER, ROUTER = 1, 2, 9, 77
#: What a translation makes of the client's or the server's address and port.
NATS = {"src": "nat(src={}:5000-5009)", "dst": "nat(dst={}:5000)", "address": "nat(src={})"}
DATA = Raw(bytes(range(64)))


def address(number: int, version: int) -> str:
    return f"10.0.0.{number}" if version == 4 else f"fd00::{number:x}"


def network(src: int, dst: int, version: int) -> Packet:
    kind = IP if version == 4 else IPv6
    return kind(src=address(src, version), dst=address(dst, version))


def question(proto: str, version: int) -> Packet:
    if proto == "udp":
        return UDP(sport=1_000, dport=2_000) / DATA
    if proto == "tcp":
        return TCP(sport=1_000, dport=2_000, flags="S", seq=9) / DATA
    return (ICMP(type=8, id=3) if version == 4 else ICMPv6EchoRequest(id=3)) / DATA


def answer(proto: str, version: int, sport: int, dport: int) -> Packet:
    if proto == "udp":
        return UDP(sport=sport, dport=dport) / DATA
    if proto == "tcp":
        return TCP(sport=sport, dport=dport, flags="SA", seq=70, ack=10) / DATA
    return (ICMP(type=0, id=3) if version == 4 else ICMPv6EchoReply(id=3)) / DATA


def errors(version: int) -> list[Packet]:
    if version == 4:
        kinds = ((3, 1), (3, 3), (3, 4), (4, 0), (5, 1), (11, 0), (12, 0))
        return [ICMP(type=kind, code=code) for kind, code in kinds]
    return [
        ICMPv6DestUnreach(code=4), ICMPv6PacketTooBig(mtu=1_280), ICMPv6TimeExceeded(),
        ICMPv6ParamProblem(),
    ]  # fmt: skip


class Firewall:
    """Port 1 opens connections, which are translated; port 2 has their other ends."""

    def __init__(self, backend: Backend, version: int, nat: str) -> None:
        self.backend = backend
        assert backend.dpif.conntrack is not None
        backend.dpif.conntrack.flush_zone(None)
        dl_type = "0x0800" if version == 4 else "0x86dd"
        other = address(OTHER, version)
        text = NATS[nat].format(other if version == 4 or nat == "address" else f"[{other}]")
        there, back = f"ct(commit,zone=3,{text}),recirc(0x1)", "ct(zone=3,nat),recirc(0x2)"
        for port, actions in ((1, there), (2, back)):
            backend.put(f"recirc_id(0),in_port({port}),eth(),eth_type({dl_type})", actions)
        for number, state in ((1, "-inv"), (2, "+rpl-inv"), (1, "+inv"), (2, "+inv"), (2, "-rpl")):
            flow = f"recirc_id({number:#x}),in_port({number}),ct_state({state}),eth(),"
            to = 3 - number if state.endswith("-inv") else 3
            backend.put(f"{flow}eth_type({dl_type})", str(to))

    def pass_on(self, port: int, packet: Packet) -> bytes:
        """What becomes of a packet at the other port."""
        to = 3 - port
        before = len(self.backend.sent(to))
        self.backend.inject(port, bytes(packet))
        self.backend.run()
        assert not self.backend.dpif.recv_upcalls(9) and not self.backend.sent(3)
        (found,) = self.backend.sent(to)[before:]
        return found


def frame(packet: Packet) -> Packet:
    return Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / packet


def is_right(data: bytes) -> bool:
    """By scapy's reckoning."""
    packet = Ether(data)
    for layer in (IP, ICMP, ICMPv6DestUnreach, ICMPv6PacketTooBig, ICMPv6TimeExceeded,
                  ICMPv6ParamProblem):  # fmt: skip
        if layer in packet:
            field = "cksum" if layer.__name__.startswith("ICMPv6") else "chksum"
            # What is quoted has layers of these names as well.
            packet.getlayer(layer).delfieldval(field)
    return bytes(packet) == data


def quotation(data: bytes, length: int) -> Raw:
    return Raw(data[14:][:length])


def check_error(walls: list[Firewall], port: int, error: Packet, quoted: bytes, ends: str) -> None:
    """The error arrives at the other port, from or to `ends`, and quotes what was sent."""
    found = [wall.pass_on(port, frame(error)) for wall in walls]
    assert found[0].hex() == found[1].hex()
    packet = Ether(found[0])
    assert (packet.payload.dst if port == 2 else packet.payload.src) == ends
    assert found[0].endswith(quoted), (found[0].hex(), quoted.hex())
    assert is_right(found[0])


@pytest.mark.parametrize("nat", NATS)
@pytest.mark.parametrize("proto", ["udp", "tcp", "icmp"])
@pytest.mark.parametrize("version", [4, 6])
def test_errors_quote_what_their_receiver_sent(
    kernel: KernelBackend, version: int, proto: str, nat: str
) -> None:
    kernel.start()
    walls = [Firewall(backend, version, nat) for backend in (UserspaceBackend(PORTS), kernel)]
    asked = frame(network(CLIENT, SERVER, version) / question(proto, version))
    (out, again) = (wall.pass_on(1, asked) for wall in walls)
    assert out == again
    sent = Ether(out).payload
    client, server = sent.src, sent.dst
    sport, dport = (0, 0) if proto == "icmp" else (sent.payload.sport, sent.payload.dport)
    kind = type(sent)
    replied = frame(kind(src=server, dst=client) / answer(proto, version, dport, sport))
    for wall in walls:
        back = wall.pass_on(2, replied)
    header = 20 if version == 4 else 40
    for length in (header + 8, header + 20, 1_000):
        for error in errors(version):
            router = address(ROUTER, version)
            if version == 6 and length == header + 20:
                continue
            # From a router behind the switch to the client.
            told = kind(src=router, dst=client) / error / quotation(out, length)
            quoted = bytes(quotation(bytes(asked), length))
            check_error(walls, 2, told, quoted, address(CLIENT, version))
            # From the client to the server, about the answer.
            told = kind(src=address(CLIENT, version), dst=Ether(back).payload.src)
            told = told / error / quotation(back, length)
            quoted = bytes(quotation(bytes(replied), length))
            check_error(walls, 1, told, quoted, client)
    drops = [wall.backend.drops() for wall in walls]
    assert drops[0] == drops[1] == {}


@pytest.mark.parametrize("version", [4, 6])
def test_errors_about_nothing_known_are_invalid(kernel: KernelBackend, version: int) -> None:
    kernel.start()
    found = []
    for backend in (UserspaceBackend(PORTS), kernel):
        assert backend.dpif.conntrack is not None
        backend.dpif.conntrack.flush_zone(None)
        dl_type = "0x0800" if version == 4 else "0x86dd"
        backend.put(f"recirc_id(0),in_port(1),eth(),eth_type({dl_type})",
                    "ct(zone=3,nat),recirc(0x1)")  # fmt: skip
        quoted = network(SERVER, CLIENT, version) / question("udp", version)
        for receiver in (SERVER, OTHER):
            for error in errors(version):
                told = network(ROUTER, receiver, version) / error / Raw(bytes(quoted))
                backend.inject(1, bytes(frame(told)))
        backend.run()
        states = [explain_key(u.key)["ct_state"] for u in backend.dpif.recv_upcalls(99)]
        found.append((states, backend.drops()))
    assert found[0] == found[1]
    assert set(found[0][0]) == {0x30}
