"""What a sender left to devices (checksums, segmentation) is right in the end, whatever is done to
the packet between, in the kernel, in the slow path, or behind a miss.

The oracle is the data path in Python on packets that were finished before."""

from __future__ import annotations

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Dot1Q, Ether
from scapy.layers.sctp import SCTP, SCTPChunkData
from scapy.packet import Packet, Raw
from tests.support.dummy_backend import UserspaceBackend
from tests.support.kernel_backend import KernelBackend

from netloom.datapath.action_parse import parse_actions
from netloom.flow.extract import extract_key
from netloom.flow.key import mask_of
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
MASK = mask_of("in_port") | mask_of("recirc_id") | mask_of("dl_type")
ETH = Ether(src="02:00:00:00:00:0a", dst="02:00:00:00:00:0b")
NETWORKS = {4: IP(src="10.0.0.1", dst="10.0.0.2", id=7), 6: IPv6(src="fd00::1", dst="fd00::2")}
#: Above and below what fits into a packet.
SHORT, LONG = bytes(range(97)), bytes(range(250)) * 16
SEGMENT = 1_000


def transport(proto: int) -> Packet:
    if proto == 6:
        return TCP(sport=1_000, dport=80, flags="PA", seq=5, ack=9)
    return UDP(sport=1_000, dport=53)


def unfinished(version: int, proto: int, is_tagged: bool, is_long: bool) -> tuple[bytes, Offload]:
    """A packet as a machine hands it to a device with all offloads."""
    tags = [Dot1Q(vlan=9, prio=2)] if is_tagged else []
    packet: Packet = ETH.copy()
    for layer in (*tags, NETWORKS[version], transport(proto), Raw(LONG if is_long else SHORT)):
        packet = packet / layer
    data = bytearray(bytes(packet))
    headers = parse(bytes(data))
    size, first = (4, 12) if version == 4 else (16, 8)
    at = headers.l3 + first
    ends = bytes(data[at : at + size]), bytes(data[at + size : at + 2 * size])
    offset = 16 if proto == 6 else 6
    length = headers.end - headers.l4
    where = headers.l4 + offset
    data[where : where + 2] = pseudo_sum(*ends, proto, length).to_bytes(2, "big")
    offload = Offload(NEEDS_CSUM, csum_start=headers.l4, csum_offset=offset)
    if is_long:
        kind = GSO_UDP_L4 if proto == 17 else GSO_TCPV4 if version == 4 else GSO_TCPV6
        hdr_len = headers.l4 + (20 if proto == 6 else 8)
        offload = offload._replace(gso_type=kind, gso_size=SEGMENT, hdr_len=hdr_len)
    return bytes(data), offload


#: By version of IP; `{}` is the protocol.
SETS = {
    4: "set(ipv4(src=1.2.3.4,dst=5.6.7.8,ttl=9)),set({}(src=7,dst=9))",
    6: "set(ipv6(src=fd01::9,dst=fd01::a,hlimit=9)),set({}(src=7,dst=9))",
}
ADDRESSES = {4: "10.9.9.9", 6: "fd99::9"}
#: {s} sets fields, {a} is an address, {p} the protocol. Behind set(nd()) user space does the rest.
ACTIONS = (
    "2",
    "{s},2",
    "{s},push_vlan(vid=5,pcp=1),2,pop_vlan,3",
    "clone({s},2),3",
    "check_pkt_len(size=600,gt({s},2),le(3))",
    "check_pkt_len(size=1100,gt(2),le({s},3))",
    "set({p}(src=4)),set(nd(sll=00:00:00:00:00:01)),{s},2",
    "{s},set(nd(sll=00:00:00:00:00:01)),push_vlan(vid=5,pcp=1),2",
    "set(nd(sll=00:00:00:00:00:01)),clone({s},2),3",
    "ct(commit,zone=1,nat(src={a})),2",
    "ct(commit,zone=1,nat(dst={a})),{s},2",
    "{s},ct(commit,zone=1,nat(src={a})),2",
    "ct(commit,zone=1,helper=ftp,nat(src={a})),2",
    "{s},ct(commit,zone=1,helper=ftp,nat(dst={a})),set({p}(dst=99)),2",
    "push_mpls(label=5,tc=0,ttl=64,bos=1,eth_type=0x8847),2",
    "{s},push_mpls(label=5,tc=0,ttl=64,bos=1,eth_type=0x8847),2",
    "trunc(90),2",
    "{s},trunc(90),2,3",
)
KINDS = [
    (version, proto, is_tagged, is_long)
    for version in (4, 6)
    for proto in (6, 17)
    for is_tagged in (False, True)
    for is_long in (False, True)
]


def run_miss(backend: KernelBackend | UserspaceBackend, text: str) -> None:
    """Answer what came up as `ofproto` does."""
    for upcall in backend.dpif.recv_upcalls(100):
        actions = parse_actions(text)
        backend.dpif.flow_put(upcall.key, MASK, actions)
        backend.dpif.execute(upcall.packet, upcall.key, actions, upcall.offload, from_upcall=True)
    backend.dpif.flush()
    backend.run()


def shorn(data: str) -> str:
    """A packet (by digits), less what follows the ports."""
    return f"{data[: 2 * (parse(bytes.fromhex(data)).l4 + 4)]} {len(data)}"


@pytest.mark.parametrize("is_missed", [False, True], ids=["flow", "miss"])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "-".join(map(str, kind)))
def test_what_devices_finish_is_right(
    kernel: KernelBackend, kind: tuple[int, int, bool, bool], is_missed: bool
) -> None:
    version, proto, is_tagged, _ = kind
    packet, offload = unfinished(*kind)
    name = "tcp" if proto == 6 else "udp"
    words = {"s": SETS[version].format(name), "a": ADDRESSES[version], "p": name}
    for form in ACTIONS:
        if is_tagged and "mpls" in form:
            continue  # The key of what is behind both is another's.
        text = form.format(**words)
        kernel.start()
        userspace = UserspaceBackend(PORTS)
        assert kernel.dpif.conntrack is not None
        kernel.dpif.conntrack.flush_zone(None)
        if not is_missed:
            for backend in (kernel, userspace):
                backend.dpif.flow_put(extract_key(packet, 1), MASK, parse_actions(text))
        kernel.inject(1, packet, offload)
        kernel.run()
        for part in finish_offload(packet, offload):
            userspace.inject(1, part)
        userspace.run()
        if is_missed:
            run_miss(kernel, text)
            run_miss(userspace, text)
        for port in PORTS:
            sent = [data.hex() for data in kernel.sent(port)]
            expected = [data.hex() for data in userspace.sent(port)]
            if "trunc" in form:
                # The checksum of what is cut nobody can tell, and it has no use for segmentation:
                # in user space it is one piece.
                sent, expected = ([shorn(data) for data in found] for found in (sent, expected))
                expected = expected[:1] if len(sent) == 1 else expected
            assert sent == expected, (text, port)
            assert all(
                fill_checksums(data) == data
                for data in kernel.sent(port)
                if "trunc" not in form and "mpls" not in form
            ), text
        assert kernel.sent(2) or kernel.sent(3), text


def sctp(version: int) -> tuple[bytes, Offload]:
    """A packet whose checksum is left to the device, and finished."""
    packet = ETH / NETWORKS[version] / SCTP(sport=1_000, dport=80, tag=5)
    packet = packet / SCTPChunkData(data=b"some data", stream_id=1)
    data = bytearray(bytes(packet))
    at = len(data) - len(bytes(packet[SCTP]))
    data[at + 8 : at + 12] = bytes(4)
    return bytes(data), Offload(NEEDS_CSUM, csum_start=at, csum_offset=8)


@pytest.mark.parametrize("form", [
    "2", "ct(commit,zone=1),2", "ct(commit,zone=1,nat(src={a})),2",
    "ct(commit,zone=1,nat(dst={a}:9)),2",
    "set(nd(sll=00:00:00:00:00:01)),2", "set(sctp(src=7,dst=8)),2",
    "set({n}(src={a})),set(sctp(src=7)),2",
])  # fmt: skip
@pytest.mark.parametrize("version", [4, 6])
def test_checksums_of_sctp_are_right(kernel: KernelBackend, version: int, form: str) -> None:
    packet, offload = sctp(version)
    address = ADDRESSES[version] if version == 4 or ":9)" not in form else "[fd99::9]"
    text = form.format(a=address, n=f"ipv{version}")
    kernel.start()
    assert kernel.dpif.conntrack is not None
    for left in (True, False):
        kernel.dpif.conntrack.flush_zone(None)
        userspace = UserspaceBackend(PORTS)
        for backend in (kernel, userspace):
            backend.dpif.flow_put(extract_key(packet, 1), MASK, parse_actions(text))
        (whole,) = finish_offload(packet, offload)
        userspace.inject(1, whole)
        userspace.run()
        before = len(kernel.sent(2))
        if left:
            kernel.inject(1, packet, offload)
        else:
            kernel.inject(1, whole)
        kernel.run()
        (sent,) = kernel.sent(2)[before:]
        assert sent.hex() == userspace.sent(2)[0].hex()
        again = Ether(sent)
        del again[SCTP].chksum
        assert bytes(again) == sent
