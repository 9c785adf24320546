"""The kernel puts tunnels' headers on and takes them off as Python does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Raw
from tests.support.dummy_backend import UserspaceBackend
from tests.support.kernel_backend import KernelBackend, private_namespace
from tests.support.kernel_programs import require_programs

from netloom.datapath.actions import Clone, DpActions, Output, TunnelPop, TunnelPush
from netloom.datapath.dpif import Upcall
from netloom.datapath.ebpf.loader import load
from netloom.datapath.ebpf.maps import SharedArray
from netloom.datapath.ebpf.registry import Registry
from netloom.datapath.ebpf.spec import MAPS
from netloom.flow.key import explain_key
from netloom.flow.odp_parse import parse_odp_flow
from netloom.netdev.tunnel import TunnelPort
from netloom.netdev.tunnel_config import parse_tunnel_config
from netloom.packet import tunnel as t

pytestmark = pytest.mark.root
NUMBERS = {"gre": 3, "vxlan": 4, "geneve": 5}
Backend = UserspaceBackend | KernelBackend
ETH = Ether(src="02:00:00:00:00:0a", dst="02:00:00:00:00:0b")
INNER = {
    "tcp": ETH / IP(src="10.0.0.1", dst="10.0.0.2") / TCP(sport=1, dport=2) / Raw(bytes(100)),
    "udp6": ETH / IPv6(src="fd00::1", dst="fd00::2") / UDP(sport=1, dport=2) / Raw(b"hello"),
    "arp": ETH / ARP(psrc="10.0.0.1", pdst="10.0.0.2"),
    "tagged": ETH / Dot1Q(vlan=7) / IP(src="10.0.0.1", dst="10.0.0.2") / UDP() / Raw(bytes(30)),
    "other": Ether(src="02:00:00:00:00:0a", dst="02:00:00:00:00:0b", type=0x88B5) / Raw(bytes(60)),
}


def behind_ip(kind: str) -> tuple[int, bytes]:
    """The protocol and the headers behind IP."""
    if kind == "gre":
        return 47, t.build_gre(0x6558, key=0x12345)
    payload = t.build_vxlan(77) if kind == "vxlan" else t.build_geneve(77)
    return 17, t.build_udp({"vxlan": 4789, "geneve": 6081}[kind], False, payload)


def outer(kind: str, is_ipv6: bool) -> bytes:
    """The headers of a tunnel as a flow has them."""
    proto, rest = behind_ip(kind)
    addresses = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    if is_ipv6:
        return bytes(addresses / IPv6(src="fd01::1", dst="fd01::2", nh=proto, hlim=64)) + rest
    network = IP(src="172.16.0.1", dst="172.16.0.2", proto=proto, flags="DF", id=0)
    return bytes(addresses / network) + rest


@pytest.fixture(scope="module")
def kernel() -> Iterator[KernelBackend]:
    require_programs()
    with private_namespace():
        backend = KernelBackend((1, 2))
        yield backend
        backend.close()


def both(kernel: KernelBackend, kind: str) -> tuple[tuple[Backend, int], ...]:
    """Both data paths, each with the number of its port of such tunnels."""
    kernel.start()
    found: list[tuple[Backend, int]] = []
    for backend in (UserspaceBackend((1, 2)), kernel):
        device = TunnelPort(parse_tunnel_config("t", kind, {"remote_ip": "172.16.0.2"}))
        numbers = [p.number for p in backend.dpif.ports() if p.name == device.name]
        found.append((backend, numbers[0] if numbers else backend.dpif.port_add(device).number))
    return tuple(found)


def put(backend: Backend, flow: str, actions: DpActions) -> None:
    backend.dpif.flow_put(*parse_odp_flow(flow), actions)


@pytest.mark.parametrize("is_ipv6", [False, True], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize("kind", NUMBERS)
def test_headers_are_put_on_alike(kernel: KernelBackend, kind: str, is_ipv6: bool) -> None:
    for name, packet in INNER.items():
        sent = []
        for backend, port in both(kernel, kind):
            push = TunnelPush(port, 2, NUMBERS[kind], outer(kind, is_ipv6))
            ethertype = packet[Ether].type
            tag = ",vlan(vid=7),encap(eth_type(0x0800))" if name == "tagged" else ""
            put(
                backend,
                f"recirc_id(0),in_port(1),eth(),eth_type({ethertype:#06x}){tag}",
                (Clone((push, Output(2))),),
            )
            backend.inject(1, bytes(packet))
            backend.run()
            sent.append([data.hex() for data in backend.sent(2)])
        assert sent[0] == sent[1], name
        assert len(sent[0]) == 1
        assert not kernel.reasons()


@pytest.mark.parametrize("is_ipv6", [False, True], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize("kind", NUMBERS)
def test_headers_are_taken_off_alike(kernel: KernelBackend, kind: str, is_ipv6: bool) -> None:
    slow = kernel.dpif.slow_packets
    proto = behind_ip(kind)[0]
    network = "eth_type(0x86dd),ipv6" if is_ipv6 else "eth_type(0x0800),ipv4"
    for name, packet in INNER.items():
        seen: list[Upcall] = []
        pushed = UserspaceBackend((1, 2))
        pushed.dpif.flow_put(
            0, 0, (TunnelPush(9, 2, NUMBERS[kind], outer(kind, is_ipv6)), Output(2))
        )
        pushed.inject(1, bytes(packet))
        pushed.run()
        (outside,) = pushed.sent(2)
        for backend, port in both(kernel, kind):
            put(backend, f"recirc_id(0),in_port(2),eth(),{network}(proto={proto},frag=no)",
                (TunnelPop(port),))  # fmt: skip
            backend.inject(2, outside)
            backend.run()
            (upcall,) = backend.dpif.recv_upcalls(10)
            seen.append(upcall)
        ours, expected = seen[1], seen[0]
        assert ours.packet.hex() == bytes(packet).hex() == expected.packet.hex(), name
        shown, wanted = explain_key(ours.key), explain_key(expected.key)
        # Ports of tunnels have other numbers there.
        assert shown.pop("in_port") > 2 and wanted.pop("in_port") > 2
        assert shown == wanted, name
    assert kernel.dpif.slow_packets == slow


def with_checksum(kind: str, options: bytes = b"", oam: bool = False) -> bytes:
    """The headers behind IP of a tunnel that has a checksum."""
    if kind == "gre":
        return t.build_gre(0x6558, key=0x12345, csum=True)
    payload = t.build_vxlan(77) if kind == "vxlan" else t.build_geneve(77, options, oam=oam)
    return t.build_udp({"vxlan": 4789, "geneve": 6081}[kind], True, payload)


OPTIONS = {
    "one": t.build_option(0x102, 0x80, bytes(4)),
    "two": t.build_option(0x102, 0x80, b"abcd") + t.build_option(0xFFFF, 1, bytes(range(64))),
    "all": b"".join(t.build_option(0x103, n, bytes(range(60))) for n in range(3)),
}
FORMS = {
    **{kind: (kind, with_checksum(kind)) for kind in NUMBERS},
    **{f"options {n}": ("geneve", with_checksum("geneve", o, True)) for n, o in OPTIONS.items()},
    **{
        f"plain options {n}": ("geneve", t.build_udp(6081, False, t.build_geneve(5, o)))
        for n, o in OPTIONS.items()
    },
}


@pytest.mark.parametrize("is_ipv6", [False, True], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize("form", FORMS)
def test_checksums_and_options_are_the_same(
    kernel: KernelBackend, form: str, is_ipv6: bool
) -> None:
    kind, behind = FORMS[form]
    plain = outer(kind, is_ipv6)
    header = plain[: -len(behind_ip(kind)[1])] + behind
    proto = behind_ip(kind)[0]
    network = "eth_type(0x86dd),ipv6" if is_ipv6 else "eth_type(0x0800),ipv4"
    long = ETH / IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=1, dport=2) / Raw(bytes(1100))
    for name, packet in {**INNER, "long": long}.items():
        slow = kernel.dpif.slow_packets
        sent, seen = [], []
        for backend, port in both(kernel, kind):
            push = TunnelPush(port, 2, NUMBERS[kind], header)
            tag = ",vlan(vid=7),encap(eth_type(0x0800))" if name == "tagged" else ""
            put(
                backend,
                f"recirc_id(0),in_port(1),eth(),eth_type({packet[Ether].type:#06x}){tag}",
                (Clone((push, Output(2))),),
            )
            backend.inject(1, bytes(packet))
            backend.run()
            (outside,) = backend.sent(2)
            sent.append(outside.hex())
            put(backend, f"recirc_id(0),in_port(2),eth(),{network}(proto={proto},frag=no)",
                (TunnelPop(port),))  # fmt: skip
            backend.inject(2, outside)
            backend.run()
            (upcall,) = backend.dpif.recv_upcalls(10)
            seen.append(upcall)
        assert sent[0] == sent[1], name
        assert seen[0].packet.hex() == seen[1].packet.hex() == bytes(packet).hex()
        shown = [explain_key(upcall.key) for upcall in seen]
        for fields in shown:
            assert fields.pop("in_port") > 2
        assert shown[0] == shown[1], name
        assert kernel.dpif.slow_packets == slow
    assert not kernel.reasons()


def test_a_wrong_checksum_of_a_tunnel_drops(kernel: KernelBackend) -> None:
    header = outer("geneve", False)[: -len(behind_ip("geneve")[1])] + with_checksum("geneve")
    packet = bytearray(bytes(INNER["udp6"]))
    drops = []
    for backend, port in both(kernel, "geneve"):
        put(backend, "recirc_id(0),in_port(1),eth(),eth_type(0x86dd)",
            (TunnelPush(port, 2, 5, header), Output(2)))  # fmt: skip
        put(backend, "recirc_id(0),in_port(2),eth(),eth_type(0x0800),ipv4(proto=17,frag=no)",
            (TunnelPop(port),))  # fmt: skip
        backend.inject(1, bytes(packet))
        backend.run()
        outside = bytearray(backend.sent(2)[0])
        outside[-1] ^= 0x10
        backend.inject(2, bytes(outside))
        backend.run()
        assert not backend.dpif.recv_upcalls(10)
        drops.append(backend.drops())
    assert drops[0] == drops[1] == {"datapath_drop_tunnel_pop_error": 1}


def test_headers_of_an_earlier_daemon_keep_their_places() -> None:
    require_programs()
    loaded = load()
    spec = next(spec for spec in MAPS if spec.name == "templates")
    array = SharedArray(loaded.maps["templates"], spec)
    try:
        first = Registry(array, lambda name: 0)
        first.source_ports = (32768, 61000)
        headers = [outer(kind, is_ipv6) for kind in NUMBERS for is_ipv6 in (False, True)]
        places = [first.add_header(header) for header in headers]
        assert places == list(range(len(headers)))
        second = Registry(array, lambda name: 0)
        second.source_ports = (32768, 61000)
        assert [second.add_header(header) for header in reversed(headers)] == places[::-1]
        second.source_ports = (5, 10)
        assert second.add_header(headers[0]) == len(headers)
    finally:
        array.close()
        loaded.close()
