"""Service headers (NSH, RFC 8300): what the programs leave to user space comes to the same."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from tests.support.dummy_backend import UserspaceBackend
from tests.support.kernel_backend import KernelBackend, private_namespace
from tests.support.kernel_programs import require_programs

from netloom.datapath.action_parse import parse_actions
from netloom.datapath.actions import TunnelPop
from netloom.flow.key import explain_key
from netloom.flow.odp_parse import parse_odp_flow
from netloom.netdev.tunnel import TunnelPort
from netloom.netdev.tunnel_config import parse_tunnel_config

pytestmark = pytest.mark.root
ETHER = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
INNER = bytes(ETHER / IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=5, dport=53) / Raw(bytes(40)))
#: Of MD type 1: hop limit 63, protocol Ethernet, path 5, index 255.
NSH = bytes.fromhex("0fc60103000005ff00000001000000020000000300000004")
#: Of MD type 2 with 4 bytes of context.
NSH_2 = bytes.fromhex("0fc30203000005ff12345678")
IN_NSH = "recirc_id(0),in_port(1),eth(),eth_type(0x894f)"
#: VXLAN with a protocol (GPE): NSH, number 77.
VXLAN_GPE = bytes.fromhex("0c00000400004d00")


@pytest.fixture(scope="module")
def kernel() -> Iterator[KernelBackend]:
    require_programs()
    with private_namespace():
        backend = KernelBackend((1, 2))
        yield backend
        backend.close()


def framed(header: bytes) -> bytes:
    ether = Ether(src="02:00:00:00:00:0a", dst="02:00:00:00:00:0b", type=0x894F)
    return bytes(ether) + header + INNER


CASES = {
    "on": ("recirc_id(0),in_port(1),eth(),eth_type(0x0800)",
           "push_nsh(flags=0,ttl=63,mdtype=1,np=3,spi=0x5,si=255,c1=0x1,c2=0x2,c3=0x3,c4=0x4),"
           "push_eth(src=02:00:00:00:00:0a,dst=02:00:00:00:00:0b),2", INNER),
    "off": (IN_NSH, "pop_eth,pop_nsh(),2", framed(NSH)),
    "off, MD type 2": (IN_NSH, "pop_eth,pop_nsh(),2", framed(NSH_2)),
    "off what is cut": (IN_NSH, "pop_eth,pop_nsh(),2", framed(NSH)[:30].ljust(60, b"\xff")),
    "passed": (IN_NSH, "2", framed(NSH)),
    "matched": (f"{IN_NSH},nsh(mdtype=1,np=3,spi=0x5,si=255,c1=0x1)", "2", framed(NSH)),
    "not matched": (f"{IN_NSH},nsh(mdtype=1,np=3,spi=0x6,si=255)", "2", framed(NSH)),
    "changed": (IN_NSH, "set(nsh(flags=0,ttl=20,spi=0x9,si=254)),2", framed(NSH)),
    "off and looked at": (IN_NSH, "pop_eth,pop_nsh(),recirc(0x1)", framed(NSH)),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_service_headers_are_treated_alike(kernel: KernelBackend, name: str) -> None:
    flow, actions, packet = CASES[name]
    kernel.start()
    results = []
    for backend in (UserspaceBackend((1, 2)), kernel):
        backend.put(flow, actions)
        backend.put("recirc_id(0x1),in_port(1),eth(),eth_type(0x0800)", "2")
        backend.inject(1, packet)
        backend.run()
        upcalls = [explain_key(upcall.key) for upcall in backend.dpif.recv_upcalls(10)]
        results.append(([data.hex() for data in backend.sent(2)], backend.drops(), upcalls))
    assert results[0] == results[1]
    sent, drops, upcalls = results[0]
    assert bool(sent) + bool(drops) + bool(upcalls) == 1


def test_what_comes_out_of_a_tunnel_with_a_service_header_is_found(kernel: KernelBackend) -> None:
    kernel.start()
    outer = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    outer = outer / IP(src="172.16.0.2", dst="172.16.0.1") / UDP(sport=9_999, dport=4_789)
    packet = bytes(outer / Raw(VXLAN_GPE + NSH + INNER))
    slow = kernel.dpif.slow_packets
    results = []
    for backend in (UserspaceBackend((1, 2)), kernel):
        options = {"remote_ip": "172.16.0.2", "exts": "gpe", "packet_type": "ptap"}
        device = TunnelPort(parse_tunnel_config("t", "vxlan", options))
        number = backend.dpif.port_add(device).number
        underlay = (
            "recirc_id(0),in_port(1),eth(),eth_type(0x0800),ipv4(proto=17,frag=no),udp(dst=4789)"
        )
        backend.dpif.flow_put(*parse_odp_flow(underlay), (TunnelPop(number),))
        backend.inject(1, packet)
        backend.run()
        (upcall,) = backend.dpif.recv_upcalls(10)
        fields = explain_key(upcall.key)
        assert fields.pop("in_port") == number
        results.append((fields, upcall.packet.hex()))
        # Then a flow for it, as the one who asked would put it.
        mask = parse_odp_flow(f"recirc_id(0),in_port({number}),packet_type(ns=1,id=0x894f)")[1]

        backend.dpif.flow_put(upcall.key, mask, parse_actions("pop_nsh(),2"))
        backend.inject(1, packet)
        backend.run()
        assert [data.hex() for data in backend.sent(2)] == [INNER.hex()]
    assert results[0] == results[1]
    assert results[0][0]["nsh_spi" if "nsh_spi" in results[0][0] else "nsh_path"]
    assert kernel.dpif.slow_packets - slow >= 2
