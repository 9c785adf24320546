"""IPv6 with extension headers through the tracker and translation: both data paths do the same, and
checksums are right by scapy's reckoning."""

from __future__ import annotations

import random

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    PadN,
    RouterAlert,
    fragment6,
)
from scapy.layers.ipsec import AH
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw
from tests.support.dummy_backend import UserspaceBackend
from tests.support.kernel_backend import KernelBackend

from netloom.flow.key import explain_key
from netloom.packet.offload import fill_checksums
from netloom.packet.parse import parse

pytestmark = pytest.mark.root
PORTS = (1, 2, 3)
Backend = UserspaceBackend | KernelBackend
ETHER = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
CLIENT, SERVER = "fd00::1", "fd00::2"
DATA = Raw(bytes(range(64)))
HOPS = IPv6ExtHdrHopByHop(options=[RouterAlert()])
OPTIONS = IPv6ExtHdrDestOpt(options=[PadN(optdata=bytes(20))])
VISITED = IPv6ExtHdrRouting(addresses=["fd00::33"], segleft=0)
TO_VISIT = IPv6ExtHdrRouting(addresses=["fd00::33"], segleft=1)
ATOMIC = IPv6ExtHdrFragment(id=77)
SIGNED = AH(spi=5, seq=1, icv=bytes(12), payloadlen=4)
CHAINS: dict[str, tuple[Packet, ...]] = {
    "none": (),
    "hops": (HOPS,),
    "options": (OPTIONS,),
    "visited": (VISITED,),
    "to visit": (TO_VISIT,),
    "atomic": (ATOMIC,),
    "signed": (SIGNED,),
    "three": (HOPS, OPTIONS, VISITED),
    "all": (HOPS, OPTIONS, VISITED, ATOMIC, OPTIONS),
    "many": (HOPS, *(OPTIONS,) * 8),
}
TRANSPORTS = {
    "tcp": (TCP(sport=1_000, dport=80, flags="S", seq=5), TCP(sport=80, flags="SA", seq=9, ack=6)),
    "udp": (UDP(sport=1_000, dport=80), UDP(sport=80)),
    "icmp": (ICMPv6EchoRequest(id=3), ICMPv6EchoReply(id=3)),
}
PROTOCOLS = {TCP: 6, UDP: 17, ICMPv6EchoRequest: 58, ICMPv6EchoReply: 58}
NATS = ("", ",nat(src=fd99::9)", ",nat(dst=[fd99::9]:99)", ",nat(src=[fd99::9]:4000-4005)")


def build(src: str, dst: str, chain: tuple[Packet, ...], transport: Packet) -> bytes:
    packet: Packet = ETHER / IPv6(src=src, dst=dst)
    for layer in (*chain, transport, DATA):
        packet = packet / layer
    if AH in packet:
        packet[AH].nh = next(nh for kind, nh in PROTOCOLS.items() if kind in packet)
    # What is behind AH scapy leaves without a checksum.
    return fill_checksums(bytes(packet)) if SIGNED in chain else bytes(packet)


def put(backend: Backend, nat: str) -> None:
    assert backend.dpif.conntrack is not None
    backend.dpif.conntrack.flush_zone(None)
    for port, text in ((1, f"ct(commit,zone=3{nat})"), (2, f"ct(zone=3{nat and ',nat'})")):
        flow = f"in_port({port}),eth(),eth_type(0x86dd)"
        backend.put(f"recirc_id(0),{flow}", f"{text},recirc({port:#x})")
        backend.put(f"recirc_id({port:#x}),ct_state(-inv),{flow}", str(3 - port))


def pass_on(backends: list[Backend], port: int, packet: bytes) -> bytes | None:
    """What both make of a packet, which must be the same; None if they send nothing."""
    found = []
    for backend in backends:
        before = len(backend.sent(3 - port))
        backend.inject(port, packet)
        backend.run()
        keys = [explain_key(upcall.key) for upcall in backend.dpif.recv_upcalls(9)]
        found.append(([data.hex() for data in backend.sent(3 - port)[before:]], keys))
    assert found[0] == found[1]
    return bytes.fromhex(found[0][0][0]) if found[0][0] else None


def is_right(data: bytes) -> bool:
    packet = Ether(data)
    if AH in packet:
        return fill_checksums(data) == data
    for layer, field in ((TCP, "chksum"), (UDP, "chksum"), (ICMPv6EchoRequest, "cksum"),
                         (ICMPv6EchoReply, "cksum")):  # fmt: skip
        if layer in packet:
            packet.getlayer(layer).delfieldval(field)
    return bytes(packet) == data


def backends_of(kernel: KernelBackend) -> list[Backend]:
    kernel.start()
    return [UserspaceBackend(PORTS), kernel]


@pytest.mark.parametrize("nat", NATS)
@pytest.mark.parametrize("proto", TRANSPORTS)
@pytest.mark.parametrize("chain", CHAINS)
def test_connections_behind_extension_headers(
    kernel: KernelBackend, chain: str, proto: str, nat: str
) -> None:
    backends = backends_of(kernel)
    for backend in backends:
        put(backend, nat)
    layers = CHAINS[chain]
    asks, answers = TRANSPORTS[proto]
    out = pass_on(backends, 1, build(CLIENT, SERVER, layers, asks.copy()))
    # The checksum covers where it goes in the end, which is not looked for.
    assert (out is None) == (chain == "to visit")
    if out is not None:
        assert is_right(out)
        sent = Ether(out)
        reply = answers.copy()
        if proto != "icmp":
            at = parse(out).l4
            reply.dport, reply.sport = (int.from_bytes(out[n : n + 2]) for n in (at, at + 2))
        back = pass_on(backends, 2, build(sent[IPv6].dst, sent[IPv6].src, layers, reply))
        assert back is not None and is_right(back)
        assert (Ether(back)[IPv6].src, Ether(back)[IPv6].dst) == (SERVER, CLIENT)
    assert backends[0].drops() == backends[1].drops()


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("nat", NATS)
def test_fragments_behind_extension_headers(kernel: KernelBackend, nat: str, seed: int) -> None:
    rng = random.Random(seed)
    backends = backends_of(kernel)
    for backend in backends:
        put(backend, nat)
    layers = rng.choice(((), (HOPS,), (HOPS, VISITED), (OPTIONS,)))
    packet: Packet = IPv6(src=CLIENT, dst=SERVER)
    for layer in (*layers, IPv6ExtHdrFragment(id=seed + 1), UDP(sport=7, dport=8)):
        packet = packet / layer
    pieces = [ETHER / piece for piece in fragment6(packet / Raw(rng.randbytes(3_000)), 1_280)]
    rng.shuffle(pieces)
    sent = []
    for backend in backends:
        for piece in pieces:
            backend.inject(1, bytes(piece))
            backend.run()
        assert not backend.dpif.recv_upcalls(9)
        sent.append([data.hex() for data in backend.sent(2)])
        assert backend.dpif.conntrack is not None
    assert sent[0] == sent[1] and len(sent[0]) == len(pieces)
    assert kernel.drops() == backends[0].drops()


FIELDS = (
    "set(ipv6(src=fd01::1,dst=fd01::2))", "set(ipv6(dst=fd01::2,hlimit=3,tclass=0x20/0xfc))",
    "set({}(src=7,dst=8))", "set(ipv6(label=0x12345)),set({}(dst=9))",
)  # fmt: skip


@pytest.mark.parametrize("proto", TRANSPORTS)
@pytest.mark.parametrize("chain", CHAINS)
def test_fields_behind_extension_headers_are_set(
    kernel: KernelBackend, chain: str, proto: str
) -> None:
    packet = build(CLIENT, SERVER, CHAINS[chain], TRANSPORTS[proto][0].copy())
    forms = FIELDS[:2] if proto == "icmp" else FIELDS
    for text in (form.format(proto) for form in forms):
        backends = backends_of(kernel)
        for backend in backends:
            backend.put("recirc_id(0),in_port(1),eth(),eth_type(0x86dd)", f"{text},2")
        out = pass_on(backends, 1, packet)
        assert out is not None and is_right(out), text


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("text", [
    "set(ipv4(src=1.2.3.4)),2", "set(ipv6(src=fd01::9)),2", "set(udp(src=5)),2",
    "ct(commit,zone=3,nat(src={})),2", "ct(commit,zone=3),2",
])  # fmt: skip
def test_datagrams_without_checksum_stay_so(kernel: KernelBackend, version: int, text: str) -> None:
    """Over IPv6, where every datagram has one (RFC 8200, 8.1), the tracker takes them for
    invalid."""
    network = IP(src="10.0.0.1", dst="10.0.0.2") if version == 4 else IPv6(src=CLIENT, dst=SERVER)
    packet = bytes(ETHER / network / UDP(sport=1_000, dport=80, chksum=0) / DATA)
    backends = backends_of(kernel)
    text = text.format("9.9.9.9" if version == 4 else "fd99::9")
    dl_type = "0x0800" if version == 4 else "0x86dd"
    for backend in backends:
        assert backend.dpif.conntrack is not None
        backend.dpif.conntrack.flush_zone(None)
        backend.put(f"recirc_id(0),in_port(1),eth(),eth_type({dl_type})", text)
    out = pass_on(backends, 1, packet)
    assert out is not None and Ether(out)[UDP].chksum == 0
    assert backends[0].drops() == backends[1].drops()
    assert ("conntrack_l4csum_err" in kernel.drops()) == (version == 6 and text.startswith("ct"))
