"""Pings of several hosts with one identifier, translated to one address: each gets an identifier
of its own, and its answers and errors with the one that it sent; on every data path."""

from __future__ import annotations

import pytest
from scapy.layers.inet import ICMP, IP
from scapy.layers.inet6 import ICMPv6EchoReply, ICMPv6EchoRequest, ICMPv6TimeExceeded, IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw
from tests.support.dummy_backend import UserspaceBackend
from tests.support.kernel_backend import KernelBackend

pytestmark = pytest.mark.root
PORTS = (1, 2, 3)
Backend = UserspaceBackend | KernelBackend
HOSTS = (1, 3, 4)
SERVER, OUTSIDE, ROUTER = 2, 201, 77
#: What is sent, the identifiers that it gets, and what the class of each allows.
IDENTIFIERS = {500: [500, 501, 502], 511: [511, 1, 2], 0xFFFF: [0xFFFF, 1024, 1025]}


def network(src: int, dst: int, version: int) -> Packet:
    kind, form = (IP, "10.0.0.{}") if version == 4 else (IPv6, "fd00::{:x}")
    return kind(src=form.format(src), dst=form.format(dst))


def question(number: int, version: int) -> Packet:
    return ICMP(type=8, id=number) if version == 4 else ICMPv6EchoRequest(id=number)


def answer(number: int, version: int) -> Packet:
    return ICMP(type=0, id=number) if version == 4 else ICMPv6EchoReply(id=number)


def frame(packet: Packet) -> bytes:
    return bytes(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / packet)


def set_up(backend: Backend, version: int, nat: str) -> None:
    assert backend.dpif.conntrack is not None
    backend.dpif.conntrack.flush_zone(None)
    dl_type = "0x0800" if version == 4 else "0x86dd"
    for port, actions in (
        (1, f"ct(commit,zone=3,{nat}),recirc(0x1)"),
        (2, "ct(zone=3,nat),recirc(0x2)"),
    ):
        backend.put(f"recirc_id(0),in_port({port}),eth(),eth_type({dl_type})", actions)
        backend.put(
            f"recirc_id({port:#x}),in_port({port}),ct_state(-inv),eth(),eth_type({dl_type})",
            str(3 - port),
        )


def pass_on(backend: Backend, port: int, packet: Packet) -> bytes:
    """What becomes of a packet at the other port."""
    before = len(backend.sent(3 - port))
    backend.inject(port, frame(packet))
    backend.run()
    (found,) = backend.sent(3 - port)[before:]
    return found


@pytest.mark.parametrize("number", IDENTIFIERS)
@pytest.mark.parametrize("version", [4, 6])
def test_each_host_has_an_identifier_of_its_own(
    backend: Backend, version: int, number: int
) -> None:
    outside = network(OUTSIDE, SERVER, version).src
    set_up(backend, version, f"nat(src={outside})")
    given = []
    for host in HOSTS * 2:
        asked = network(host, SERVER, version) / question(number, version) / Raw(b"what")
        out = pass_on(backend, 1, asked)
        own = int.from_bytes(Ether(out).payload.payload.build()[4:6], "big")
        given.append(own)
        assert out == frame(network(OUTSIDE, SERVER, version) / question(own, version) / b"what")
        told = network(SERVER, OUTSIDE, version) / answer(own, version) / Raw(b"that")
        back = network(SERVER, host, version) / answer(number, version) / b"that"
        assert pass_on(backend, 2, told) == frame(back)
        late = ICMP(type=11) if version == 4 else ICMPv6TimeExceeded()
        error = network(ROUTER, OUTSIDE, version) / late.copy() / Raw(out[14:])
        quoted = network(ROUTER, host, version) / late.copy() / Raw(bytes(asked))
        assert pass_on(backend, 2, error) == frame(quoted)
    assert given == IDENTIFIERS[number] * 2


def test_destinations_of_one_address_are_told_apart(backend: Backend) -> None:
    inside = network(9, SERVER, 4).src
    set_up(backend, 4, f"nat(dst={inside})")
    given = []
    for server in (SERVER, 5, SERVER, 5):
        out = pass_on(backend, 1, network(1, server, 4) / question(600, 4))
        packet = Ether(out)
        given.append(packet[ICMP].id)
        assert packet[IP].dst == inside
        back = pass_on(backend, 2, network(9, 1, 4) / answer(packet[ICMP].id, 4))
        assert back == frame(network(server, 1, 4) / answer(600, 4))
    assert given == [600, 601, 600, 601]


def test_a_range_of_addresses_is_used_up_first(backend: Backend) -> None:
    first, last = network(201, SERVER, 4).src, network(202, SERVER, 4).src
    set_up(backend, 4, f"nat(src={first}-{last})")
    sent = [
        Ether(pass_on(backend, 1, network(host, SERVER, 4) / question(2_000, 4))) for host in HOSTS
    ]
    assert sorted(packet[IP].src for packet in sent[:2]) == [first, last]
    assert [packet[ICMP].id for packet in sent] == [2_000, 2_000, 2_001]
