"""Random packets, many of them broken: every protocol that a flow key knows, wrong lengths, wrong
bytes, missing ends, padding. By scapy, so that no code of ours decides what a packet looks like."""

from __future__ import annotations

import random
import struct
from ipaddress import IPv4Address, IPv6Address

from scapy.contrib.mpls import MPLS
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption
from scapy.layers.inet6 import (
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptSrcLLAddr,
    ICMPv6NDOptUnknown,
    ICMPv6Unknown,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    PadN,
)
from scapy.layers.l2 import ARP
from scapy.layers.sctp import SCTP
from scapy.packet import Packet, Raw


def odd_packet(rng: random.Random) -> bytes:
    """A frame of at least 14 bytes."""
    eth_type, payload = _network(rng)
    header = rng.randbytes(12)
    for _ in range(rng.choice((0, 0, 0, 1, 1, 2, 3))):
        header += struct.pack(">HH", rng.choice((0x8100, 0x88A8)), rng.randrange(65536))
    if rng.random() < 0.1:
        llc = rng.choice((b"\xaa\xaa\x03\0\0\0", b"\xaa\xaa\x03\0\0\1", b"\x42\x42\x03\0\0\0"))
        header += struct.pack(">H", len(payload) + 8) + llc
    return _spoil(rng, header + struct.pack(">H", eth_type) + payload)


def _spoil(rng: random.Random, packet: bytes) -> bytes:
    kind = rng.random()
    if kind < 0.15:
        return packet[: rng.randrange(14, len(packet) + 1)]
    if kind < 0.3:
        return packet + bytes(rng.randrange(40))
    if kind < 0.45:
        data = bytearray(packet)
        for _ in range(rng.randrange(1, 4)):
            data[rng.randrange(12, len(data))] = rng.randrange(256)
        return bytes(data)
    return packet


def _mac(rng: random.Random) -> str:
    return rng.randbytes(6).hex(":")


def _ip4(rng: random.Random) -> str:
    return str(IPv4Address(rng.getrandbits(32)))


def _ip6(rng: random.Random) -> str:
    return str(IPv6Address(rng.getrandbits(128)))


def _network(rng: random.Random) -> tuple[int, bytes]:
    kind = rng.randrange(13)
    if kind < 5:
        return 0x0800, _ipv4(rng)
    if kind < 9:
        return 0x86DD, _ipv6(rng)
    if kind == 9:
        packet = ARP(
            op=rng.choice((1, 2, 3, 255, 256, 300)), hwsrc=_mac(rng), hwdst=_mac(rng),
            psrc=_ip4(rng), pdst=_ip4(rng), hwlen=rng.choice((6,) * 8 + (5,)),
        )  # fmt: skip
        return rng.choice((0x0806, 0x8035)), bytes(packet)
    if kind == 10:
        return rng.choice((0x8847, 0x8848)), _labels(rng)
    if kind == 11:
        return 0x894F, _nsh(rng)
    return rng.choice((0x88CC, 0x8809, 0x1234, 0x22)), rng.randbytes(rng.randrange(60))


def _ipv4(rng: random.Random) -> bytes:
    packet = IP(
        src=_ip4(rng), dst=_ip4(rng), tos=rng.randrange(256), ttl=rng.randrange(256),
        flags=rng.choice((0, 0, 2, 1, 3)), frag=rng.choice((0,) * 6 + (5, 185)),
        options=[IPOption(b"\x94\x04\0\0")] if rng.random() < 0.2 else [],
    ) / _transport(rng, False)  # fmt: skip
    if rng.random() < 0.15:
        packet.proto = rng.choice((2, rng.randrange(256)))
    return bytes(packet)


def _ipv6(rng: random.Random) -> bytes:
    packet = IPv6(
        src=_ip6(rng), dst=_ip6(rng), tc=rng.randrange(256), fl=rng.randrange(1 << 20),
        hlim=rng.randrange(256),
    )  # fmt: skip
    for _ in range(rng.choice((0, 0, 0, 1, 2, 3))):
        packet = packet / _extension(rng)
    return bytes(packet / _transport(rng, True))


def _extension(rng: random.Random) -> Packet:
    kind = rng.randrange(4)
    if kind == 0:
        return IPv6ExtHdrHopByHop(options=[PadN(optdata=bytes(rng.randrange(20)))])
    if kind == 1:
        return IPv6ExtHdrDestOpt()
    if kind == 2:
        return IPv6ExtHdrRouting(addresses=[_ip6(rng)])
    return IPv6ExtHdrFragment(offset=rng.choice((0, 0, 5)), m=rng.randrange(2))


def _transport(rng: random.Random, over_ipv6: bool) -> Packet:
    kind = rng.randrange(9)
    payload = Raw(rng.randbytes(rng.randrange(40)))
    ports = {"sport": rng.randrange(65536), "dport": rng.randrange(65536)}
    if kind < 3:
        offset = rng.choice((5, 5, 5, 4, 6, 15))
        flags, reserved = rng.randrange(512), rng.randrange(8)
        return TCP(**ports, flags=flags, reserved=reserved, dataofs=offset) / payload
    if kind == 3:
        return UDP(**ports) / payload
    if kind == 4:
        return SCTP(**ports) / payload
    if kind == 5:
        return payload
    if over_ipv6 and kind == 6:
        return ICMPv6Unknown(type=rng.randrange(256), code=rng.randrange(3)) / payload
    if over_ipv6:
        return _neighbour(rng)
    return ICMP(type=rng.randrange(256), code=rng.randrange(256)) / payload


def _neighbour(rng: random.Random) -> Packet:
    packet = rng.choice((ICMPv6ND_NS, ICMPv6ND_NA))(tgt=_ip6(rng))
    for _ in range(rng.randrange(4)):
        kind = rng.randrange(4)
        if kind == 0:
            option = ICMPv6NDOptSrcLLAddr(lladdr=_mac(rng))
        elif kind == 1:
            option = ICMPv6NDOptDstLLAddr(lladdr=_mac(rng))
        elif kind == 2:
            option = ICMPv6NDOptSrcLLAddr(lladdr="00:00:00:00:00:00")
        else:
            option = ICMPv6NDOptUnknown(type=rng.randrange(5), len=rng.randrange(3), data=bytes(6))
        packet = packet / option
    return packet


def _labels(rng: random.Random) -> bytes:
    count = rng.randrange(1, 6)
    return b"".join(
        bytes(MPLS(
            label=rng.randrange(1 << 20), cos=rng.randrange(8), ttl=rng.randrange(256),
            s=int(n == count - 1 or rng.random() < 0.1),
        ))
        for n in range(count)
    )  # fmt: skip


def _nsh(rng: random.Random) -> bytes:
    md_type = rng.choice((1, 1, 2, 3)) | (rng.randrange(16) << 4 if rng.random() < 0.2 else 0)
    words = rng.choice((6, 6, 2, 3, 0))
    version = 0x4000 if rng.random() < 0.1 else 0
    first = version | rng.randrange(4) << 12 | rng.randrange(64) << 6 | words
    base = struct.pack(">HBBI", first, md_type, rng.randrange(5), rng.getrandbits(32))
    return base + rng.randbytes(rng.choice((0, 4, 16, 20)))
