"""Packets that a device is to cut into segments go into tunnels, and come out of them, in the
kernel.

The oracle is the data path in Python on the segments."""

from __future__ import annotations

import select
import subprocess
from collections.abc import Iterator
from itertools import product

import pytest
from pyroute2 import IPRoute
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Packet as ScapyPacket
from scapy.packet import Raw
from tests.support.dummy_backend import UserspaceBackend
from tests.support.kernel_backend import KernelBackend, kernel_backend

from netloom.datapath.action_parse import parse_actions
from netloom.datapath.actions import Clone, DpActions, Output, TunnelPop, TunnelPush
from netloom.datapath.dpif import DpPortNo, Upcall
from netloom.datapath.userspace.tunnels import pop_tunnel
from netloom.flow.extract import extract_key
from netloom.flow.key import mask_of
from netloom.netdev.linux.packet_socket import PacketSocketDevice
from netloom.netdev.linux.rtnl import Rtnl
from netloom.netdev.tunnel import TunnelPort
from netloom.netdev.tunnel_config import parse_tunnel_config
from netloom.packet import tunnel as t
from netloom.packet.checksum import pseudo_sum
from netloom.packet.offload import (
    GSO_TCPV4,
    GSO_TCPV6,
    GSO_UDP_L4,
    NEEDS_CSUM,
    Offload,
    fill_checksums,
    finish_offload,
)
from netloom.packet.parse import parse

pytestmark = pytest.mark.root
PORTS = (1, 2, 3)
#: A wire of which both ends are ports.
NEAR, FAR = 8, 9
NUMBERS = {"gre": 3, "vxlan": 4, "geneve": 5}
MASK = mask_of("in_port") | mask_of("recirc_id") | mask_of("dl_type")
ETH = Ether(src="02:00:00:00:00:0a", dst="02:00:00:00:00:0b")
NETWORKS = {4: IP(src="10.0.0.1", dst="10.0.0.2", id=7), 6: IPv6(src="fd00::1", dst="fd00::2")}
SEGMENT = 1_000
#: Of equal segments, and with a shorter one at the end.
EVEN, UNEVEN = bytes(range(250)) * 16, bytes(range(250)) * 16 + bytes(251)
Backend = UserspaceBackend | KernelBackend


@pytest.fixture(scope="module")
def kernel() -> Iterator[KernelBackend]:
    """What leaves by port 2 leaves in the form that it has on a wire."""
    with kernel_backend(PORTS) as backend:
        subprocess.run(["ethtool", "-K", "p2", "tx", "off"], check=True, capture_output=True)
        rtnl = Rtnl()
        with IPRoute() as ip:
            ip.link("add", ifname="pn", kind="veth", peer="pf")
            for name, number in (("pn", NEAR), ("pf", FAR)):
                ip.link("set", index=ip.link_lookup(ifname=name)[0], state="up")
                device = backend.devices[name] = PacketSocketDevice(name, rtnl)
                assert backend.dpif.port_add(device, DpPortNo(number)).number == number
        yield backend
        rtnl.close()


def behind_ip(kind: str, has_csum: bool) -> tuple[int, bytes]:
    if kind == "gre":
        return 47, t.build_gre(0x6558, key=0x12345, csum=has_csum)
    payload = t.build_vxlan(77)
    if kind == "geneve":
        payload = t.build_geneve(77, t.build_option(0x102, 1, bytes(range(8))))
    return 17, t.build_udp({"vxlan": 4789, "geneve": 6081}[kind], has_csum, payload)


def outer(kind: str, version: int, has_csum: bool) -> bytes:
    proto, behind = behind_ip(kind, has_csum)
    addresses = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    if version == 6:
        return bytes(addresses / IPv6(src="fd01::1", dst="fd01::2", nh=proto, hlim=64)) + behind
    network = IP(src="172.16.0.1", dst="172.16.0.2", proto=proto, flags="DF", id=0)
    return bytes(addresses / network) + behind


def unfinished(version: int, proto: int, tags: int, payload: bytes) -> tuple[bytes, Offload]:
    """A packet as a machine hands it to a device with all offloads."""
    transport: ScapyPacket = UDP(sport=1_000, dport=53)
    if proto == 6:
        transport = TCP(sport=1_000, dport=80, flags="PA", seq=5, ack=9)
    packet: ScapyPacket = ETH
    for layer in (*[Dot1Q(vlan=9, prio=2)] * tags, NETWORKS[version], transport, Raw(payload)):
        packet = packet / layer
    data = bytearray(bytes(packet))
    headers = parse(bytes(data))
    size, first = (4, 12) if version == 4 else (16, 8)
    at = headers.l3 + first
    ends = bytes(data[at : at + size]), bytes(data[at + size : at + 2 * size])
    offset = 16 if proto == 6 else 6
    where = headers.l4 + offset
    total = pseudo_sum(*ends, proto, headers.end - headers.l4)
    data[where : where + 2] = total.to_bytes(2, "big")
    kind = GSO_UDP_L4 if proto == 17 else GSO_TCPV4 if version == 4 else GSO_TCPV6
    length = headers.l4 + (20 if proto == 6 else 8)
    return bytes(data), Offload(NEEDS_CSUM, kind, length, SEGMENT, headers.l4, offset)


def put(backend: Backend, packet: bytes, port: int, actions: DpActions) -> None:
    backend.dpif.flow_put(extract_key(packet, port), MASK, actions)


def start(kernel: KernelBackend) -> UserspaceBackend:
    kernel.start()
    for port in PORTS:
        kernel.sent(port).clear()
    return UserspaceBackend((*PORTS, NEAR, FAR))


def without_id(packets: list[bytes]) -> list[str]:
    """The outer IPv4 identification, and the checksum over it, are the sender's to choose."""
    shown = []
    for data in packets:
        headers = parse(data)
        l3 = headers.l3
        is_ipv4 = headers.dl_type == 0x0800
        shown.append(
            (data[: l3 + 4] + data[l3 + 6 : l3 + 10] + data[l3 + 12 :] if is_ipv4 else data).hex()
        )
    return shown


KINDS = list(product((4, 6), (6, 17), (0, 1), (EVEN, UNEVEN)))
FORMS = list(product(NUMBERS, (4, 6), (False, True)))


@pytest.mark.parametrize(("kind", "version", "has_csum"), FORMS)
def test_long_packets_leave_in_tunnels(
    kernel: KernelBackend, kind: str, version: int, has_csum: bool
) -> None:
    for form in KINDS:
        packet, offload = unfinished(*form)
        is_even = form[-1] is EVEN
        userspace = start(kernel)
        slow = kernel.dpif.slow_packets
        header = outer(kind, version, has_csum)
        put(kernel, packet, 1, (Clone((TunnelPush(4, 2, NUMBERS[kind], header), Output(2))),))
        if has_csum and not is_even and version == 4 and kind != "gre":
            header = outer(kind, version, False)  # Checksums that nobody can fill in are left out.
        put(userspace, packet, 1, (TunnelPush(4, 2, NUMBERS[kind], header), Output(2)))
        kernel.inject(1, packet, offload)
        kernel.run()
        for part in finish_offload(packet, offload):
            userspace.inject(1, part)
        userspace.run()
        assert without_id(kernel.sent(2)) == without_id(userspace.sent(2)), form
        assert len(kernel.sent(2)) == 5 - is_even
        is_slow = has_csum and not is_even and (version == 6 or kind == "gre")
        assert kernel.dpif.slow_packets - slow == is_slow, form
        (flow,) = kernel.dpif.flow_dump()
        assert (flow.stats.packets, flow.stats.bytes) == (1, len(packet))
        assert not kernel.reasons()


@pytest.mark.parametrize("behind", [
    "push_vlan(vid=5,pcp=1),2", "set(eth(dst=02:00:00:00:00:99)),2",
    "push_vlan(vid=5,pcp=1),2,pop_vlan,3", "set(ipv4(tos=0x8/0xfc,ttl=3)),2",
    "push_vlan(vid=5,pcp=0),push_vlan(vid=6,pcp=0),2", "trunc(100),2",
])  # fmt: skip
@pytest.mark.parametrize("tags", [0, 1])
def test_actions_behind_headers_are_done_in_the_kernel(
    kernel: KernelBackend, behind: str, tags: int
) -> None:
    """As for the end of a tunnel that is in a VLAN of its underlay."""
    for kind, payload in product(NUMBERS, (bytes(100), EVEN)):
        packet, offload = unfinished(4, 6, tags, payload)
        if payload is not EVEN:
            offload = offload._replace(gso_type=0, gso_size=0, hdr_len=0)
        userspace = start(kernel)
        slow = kernel.dpif.slow_packets
        push = TunnelPush(4, 2, NUMBERS[kind], outer(kind, 4, False))
        for backend in (kernel, userspace):
            put(backend, packet, 1, (Clone((push, *parse_actions(behind))),))
        kernel.inject(1, packet, offload)
        kernel.run()
        for part in finish_offload(packet, offload):
            userspace.inject(1, part)
        userspace.run()
        if "trunc" in behind:
            assert {len(data) for data in kernel.sent(2)} == {100}
            continue
        for port in (2, 3):
            assert without_id(kernel.sent(port)) == without_id(userspace.sent(port))
        assert kernel.sent(2)
        assert kernel.dpif.slow_packets == slow
        assert not kernel.reasons()


def test_what_is_pushed_is_looked_up_again_as_of_its_port(kernel: KernelBackend) -> None:
    packet, offload = unfinished(4, 6, 0, EVEN)
    userspace = start(kernel)
    push = TunnelPush(4, 3, NUMBERS["vxlan"], outer("vxlan", 4, False))
    behind = parse_actions("hash(l4(0)),recirc(0x7)")
    for backend in (kernel, userspace):
        put(backend, packet, 1, (*parse_actions("set(skb_mark(7))"), push, *behind))
    kernel.inject(1, packet, offload)
    for part in finish_offload(packet, offload):
        userspace.inject(1, part)
    userspace.run()
    expected = userspace.dpif.recv_upcalls(10)
    seen = []
    for upcall in come_up(kernel):
        seen.append(upcall)
        kernel.dpif.execute(upcall.packet, upcall.key, (), None, from_upcall=True)
    assert {upcall.key for upcall in seen} == {expected[0].key}
    assert (
        without_id([upcall.packet for upcall in seen])[0]
        == without_id([upcall.packet for upcall in expected])[0]
    )
    assert len(seen) == 4


def far_end(
    kernel: KernelBackend, kind: str, header: bytes, form: tuple[int, int, int, bytes]
) -> list[bytes]:
    """A long packet in a tunnel is on its way to the far end; what is that, in pieces."""
    packet, offload = unfinished(*form)
    put(kernel, packet, 1, (TunnelPush(4, 2, NUMBERS[kind], header), Output(NEAR)))
    kernel.inject(1, packet, offload)
    oracle = UserspaceBackend((1, 2))
    put(oracle, packet, 1, (TunnelPush(4, 2, NUMBERS[kind], header), Output(2)))
    for part in finish_offload(packet, offload):
        oracle.inject(1, part)
    oracle.run()
    return oracle.sent(2)


def come_up(kernel: KernelBackend) -> Iterator[Upcall]:
    """What comes up, each behind the answer to the one before."""
    quiet = 0
    while quiet < 5:
        quiet += 1
        sleep_until_readable(kernel)
        kernel.dpif.run(kernel.clock.now_ms())
        for upcall in kernel.dpif.recv_upcalls(10):
            quiet = 0
            yield upcall


def sleep_until_readable(kernel: KernelBackend) -> None:
    select.select(kernel.dpif.poll_fds(), (), (), 0.01)


@pytest.mark.parametrize(("kind", "version", "has_csum"), FORMS)
def test_what_is_in_a_tunnel_is_cut_in_user_space(
    kernel: KernelBackend, kind: str, version: int, has_csum: bool
) -> None:
    """By the headers inside, whether it only passes, or leaves the tunnel there."""
    for form in product((4, 6), (6, 17), (0, 1), (EVEN,)):
        start(kernel)
        expected = far_end(kernel, kind, outer(kind, version, has_csum), form)
        for upcall in come_up(kernel):
            put(kernel, upcall.packet, FAR, parse_actions("2"))
            kernel.dpif.execute(
                upcall.packet, upcall.key, parse_actions("2"), upcall.offload, from_upcall=True
            )
        kernel.run()
        assert without_id(kernel.sent(2)) == without_id(expected)


@pytest.mark.parametrize(("kind", "version", "has_csum"), FORMS)
def test_what_leaves_a_tunnel_in_user_space_is_whole(
    kernel: KernelBackend, kind: str, version: int, has_csum: bool
) -> None:
    device = TunnelPort(parse_tunnel_config("t", kind, {"remote_ip": "172.16.0.2"}))
    numbers = [p.number for p in kernel.dpif.ports() if p.name == device.name]
    port = numbers[0] if numbers else kernel.dpif.port_add(device).number
    for form in product((4, 6), (6, 17), (0, 1), (EVEN, UNEVEN)):
        packet, offload = unfinished(*form)
        start(kernel)
        far_end(kernel, kind, outer(kind, version, has_csum), form)
        seen: list[bytes] = []
        for upcall in come_up(kernel):
            if upcall.key & mask_of("in_port") == port:
                assert upcall.offload is None
                seen.append(upcall.packet)
                # So that the next one may come up.
                kernel.dpif.execute(upcall.packet, upcall.key, (), None, from_upcall=True)
            else:
                kernel.dpif.execute(
                    upcall.packet, upcall.key, (TunnelPop(port),), upcall.offload, from_upcall=True
                )
        assert [data.hex() for data in seen] == [
            data.hex() for data in finish_offload(packet, offload)
        ]


def test_a_checksum_inside_that_was_left_undone_is_right_behind_the_tunnel(
    kernel: KernelBackend,
) -> None:
    """A packet in one piece, that comes up."""
    for kind in NUMBERS:
        device = TunnelPort(parse_tunnel_config("t", kind, {"remote_ip": "172.16.0.2"}))
        numbers = [p.number for p in kernel.dpif.ports() if p.name == device.name]
        port = numbers[0] if numbers else kernel.dpif.port_add(device).number
        start(kernel)
        packet, offload = unfinished(4, 6, 0, bytes(100))
        offload = offload._replace(gso_type=0, gso_size=0, hdr_len=0)
        push = TunnelPush(4, 2, NUMBERS[kind], outer(kind, 4, False))
        put(kernel, packet, 1, (push, Output(NEAR)))
        kernel.inject(1, packet, offload)
        kernel.run()
        (upcall,) = kernel.dpif.recv_upcalls(10)
        kernel.dpif.execute(
            upcall.packet, upcall.key, (TunnelPop(port),), upcall.offload, from_upcall=True
        )
        kernel.run()
        (upcall,) = kernel.dpif.recv_upcalls(10)
        (finished,) = finish_offload(upcall.packet, upcall.offload or Offload())
        assert finished == fill_checksums(packet)


@pytest.mark.parametrize("n_bytes", [4_002, 1_999, 1_002, 4_250])
@pytest.mark.parametrize("tags", [0, 1])
@pytest.mark.parametrize(("kind", "version"), [("vxlan", 6), ("geneve", 6), ("gre", 4), ("gre", 6)])
@pytest.mark.parametrize("inside", [4, 6])
def test_a_stream_is_cut_evenly_where_checksums_need_it(
    kernel: KernelBackend, kind: str, version: int, inside: int, tags: int, n_bytes: int
) -> None:
    """Into a few pieces more than its sender wanted, if these have one length."""
    payload = bytes(n % 251 for n in range(n_bytes))
    packet, offload = unfinished(inside, 6, tags, payload)
    start(kernel)
    slow = kernel.dpif.slow_packets
    header = outer(kind, version, True)
    put(kernel, packet, 1, (TunnelPush(4, 2, NUMBERS[kind], header), Output(2)))
    kernel.inject(1, packet, offload)
    kernel.run()
    least = -(-n_bytes // SEGMENT)
    even = [n for n in range(least, 2 * least + 1) if not n_bytes % n]
    assert kernel.dpif.slow_packets - slow == (not even)
    sent = kernel.sent(2)
    assert len(sent) == (even[0] if even else least)
    stream = b""
    for data in sent:
        found = pop_tunnel(data, kind)
        assert found is not None, "a wrong checksum"
        tcp = Ether(found[0])[TCP]
        assert tcp.seq == 5 + len(stream)
        stream += bytes(tcp.payload)
        assert fill_checksums(found[0]) == found[0]
    assert stream == payload
