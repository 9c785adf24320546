"""Packets that the kernel programs send up: from records of a ring to packets with keys.

The kernel tells how a packet is to be cut into segments, but not whether its checksum is complete.
A checksum field that holds exactly the pseudo header's sum is taken for one that the sender left to
the device: were it complete by chance, completing it again gives the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import Final

from netloom.datapath.ebpf.layout import decode_key
from netloom.datapath.ebpf.spec import UPCALL, UPCALL_RECORD, UPCALL_ROOMS
from netloom.flow.extract import extract_key
from netloom.flow.key import METADATA_ALL_MASK, PACKET_TYPE_MASK
from netloom.netdev.device import Packet
from netloom.packet.checksum import pseudo_sum
from netloom.packet.encapsulated import LAYERS, find_behind_layers, find_inside
from netloom.packet.headers import ETH_LEN, IPPROTO_SCTP, IPPROTO_TCP, IPPROTO_UDP, TCP_CWR
from netloom.packet.offload import (
    GSO_ECN,
    GSO_TCPV4,
    GSO_TCPV6,
    GSO_UDP_L4,
    NEEDS_CSUM,
    Offload,
    finish_offload,
    is_of_tunnel,
)
from netloom.packet.parse import Headers, parse

_KEY_AT: Final = UPCALL_RECORD.offsets["key"]
_HEAD_SIZE: Final = UPCALL_RECORD.size
_read_head: Final = Struct("<8I").unpack_from
assert UPCALL_RECORD.offsets["key"] == 32
_VLAN_PRESENT: Final = 1 << 31
_IS_SERVICE_TAG: Final = 1 << 16
_UNPARSED: Final = UPCALL["UNPARSED"]
#: Offset of the checksum and least length of the header.
_CHECKSUMS: Final = {IPPROTO_TCP: (16, 20), IPPROTO_UDP: (6, 8), IPPROTO_SCTP: (8, 12)}


class Received:
    """A packet from a ring. `kind` is a number of `spec.UPCALLS`; `cost` what the record took of
    its port's share."""

    __slots__ = ("argument", "cost", "key", "kind", "packet", "port")

    def __init__(
        self, kind: int, port: int, argument: int, key: int, packet: Packet, cost: int
    ) -> None:
        self.kind = kind
        self.port = port
        self.argument = argument
        self.key = key
        self.packet = packet
        self.cost = cost


def decode_record(record: bytes, vlan_limit: int) -> Received:
    """What is in one record, of whose packet no more tags are read."""
    kind, port, length, captured, argument, gso_size, vlan, room = _read_head(record)
    data = record[_HEAD_SIZE : _HEAD_SIZE + captured]
    if vlan & _VLAN_PRESENT:
        tpid = b"\x88\xa8" if vlan & _IS_SERVICE_TAG else b"\x81\x00"
        data = data[:12] + tpid + (vlan & 0xFFFF).to_bytes(2, "big") + data[12:]
    data = data[:length]
    key = decode_key(record[_KEY_AT:_HEAD_SIZE])
    if kind == _UNPARSED:
        start = ETH_LEN if key & PACKET_TYPE_MASK else 0
        key = extract_key(data[start:], 0, key & METADATA_ALL_MASK, vlan_limit)
    packet = Packet(data, find_offload(data, gso_size))
    return Received(kind, port, argument, key, packet, _HEAD_SIZE + UPCALL_ROOMS[room])


def pieces(received: Received) -> Sequence[Received]:
    """What is processed in its place: the segments of a packet that is to be cut by the headers of
    the one inside, which no data path could tell a device."""
    packet = received.packet
    offload = packet.offload
    if received.key & PACKET_TYPE_MASK:
        return _bare_pieces(received)
    if offload is None or not is_of_tunnel(packet.data, offload):
        return (received,)
    kind, port, argument, key = received.kind, received.port, received.argument, received.key
    return [
        Received(kind, port, argument, key, Packet(part), 0)
        for part in finish_offload(packet.data, offload)
    ]


def _bare_pieces(received: Received) -> Sequence[Received]:
    """Packets that start at layer 3, less what the programs keep in front of them. Whose headers
    they are by which a device finishes a packet is known with an Ethernet header only."""
    packet = received.packet
    parts = [packet.data]
    if packet.offload is not None:
        parts = finish_offload(packet.data, packet.offload)
    kind, port, argument, key = received.kind, received.port, received.argument, received.key
    return [Received(kind, port, argument, key, Packet(part[ETH_LEN:]), 0) for part in parts]


def find_offload(data: bytes, gso_size: int) -> Offload | None:
    """What the sender of the packet left undone."""
    if not gso_size and (
        len(data) < 34
        or data[12:14] not in _NETWORKS
        or (_is_complete_by_far(data) and not _may_be_of_tunnel(data))
    ):
        return None
    headers = parse(data)
    start, kind = find_inside(data, headers)
    if headers.dl_type in LAYERS and not gso_size:
        return _find_behind_layers(data, headers)
    if start:
        inside = data[start : headers.end]
        offload = _find_in(inside, parse(inside, kind), gso_size, is_sure=False)
        if offload is not None:
            return offload.moved(start)
    return _find_in(data, headers, gso_size, is_sure=not start)


def _find_in(data: bytes, headers: Headers, gso_size: int, is_sure: bool) -> Offload | None:
    """The same by these headers. `is_sure`: a packet to be cut is cut by them."""
    offset, least = _CHECKSUMS.get(headers.proto, (0, 0))
    if not offset or headers.l4 < 0 or headers.frag or headers.end - headers.l4 < least:
        return None
    if headers.proto == IPPROTO_SCTP:
        # What the kernel leaves to a device it leaves zero.
        if gso_size or any(data[headers.l4 + 8 : headers.l4 + 12]):
            return None
        return Offload(flags=NEEDS_CSUM, csum_start=headers.l4, csum_offset=8)
    if gso_size and is_sure:
        return _segmentation(data, headers, gso_size, offset)
    found = int.from_bytes(data[headers.l4 + offset : headers.l4 + offset + 2], "big")
    if found != _pseudo_sum(data, headers):
        return None
    if gso_size:
        return _segmentation(data, headers, gso_size, offset)
    return Offload(flags=NEEDS_CSUM, csum_start=headers.l4, csum_offset=offset)


def _find_behind_layers(data: bytes, headers: Headers) -> Offload | None:
    """The same of a packet behind labels or service headers."""
    for start, kind in find_behind_layers(data, headers):
        offload = _find_in(data[start:], parse(data[start:], kind), 0, is_sure=False)
        if offload is not None:
            return offload.moved(start)
    return None


def _may_be_of_tunnel(data: bytes) -> bool:
    """Whether this, of which that can be said quickly, looks like VXLAN or Geneve."""
    return data[23] == IPPROTO_UDP and (data[42:44] in _VXLAN or data[44:46] == _GENEVE)


def _is_complete_by_far(data: bytes) -> bool:
    """Whether this is TCP or UDP, on IPv4 without options, with a checksum that is not left to a
    device: quickly found out, of most packets."""
    at = _PLAIN_CHECKSUMS.get(data[23])
    if at is None or data[12:15] != _PLAIN_IPV4 or len(data) < at + 2:
        return False
    total, found = data[16] << 8 | data[17], data[at] << 8 | data[at + 1]
    # One's complement sums are the same modulo 0xffff; what is zero there, others look at.
    pseudo = int.from_bytes(data[26:34], "big") + data[23] + total - 20
    return (pseudo - found) % 0xFFFF != 0


#: By protocol: where a packet of the kind has its checksum.
_PLAIN_CHECKSUMS: Final = {IPPROTO_TCP: 50, IPPROTO_UDP: 40}
_PLAIN_IPV4: Final = b"\x08\x00\x45"
_VXLAN: Final = (b"\x08\0", b"\x88\0", b"\x88\x08")
_GENEVE: Final = b"\x65\x58"
_NETWORKS: Final = (
    b"\x08\x00", b"\x86\xdd", b"\x81\x00", b"\x88\xa8",
    *(kind.to_bytes(2, "big") for kind in LAYERS),
)  # fmt: skip


def _pseudo_sum(data: bytes, headers: Headers) -> int:
    l3 = headers.l3
    size, first = (4, l3 + 12) if headers.dl_type == 0x0800 else (16, l3 + 8)
    source, destination = data[first : first + size], data[first + size : first + 2 * size]
    return pseudo_sum(source, destination, headers.proto, headers.end - headers.l4)


def _segmentation(data: bytes, headers: Headers, gso_size: int, offset: int) -> Offload:
    if headers.proto == IPPROTO_UDP:
        gso_type, length = GSO_UDP_L4, 8
    else:
        gso_type = GSO_TCPV4 if headers.dl_type == 0x0800 else GSO_TCPV6
        length = (data[headers.l4 + 12] >> 4) * 4
        if data[headers.l4 + 13] & TCP_CWR:
            gso_type |= GSO_ECN
    return Offload(NEEDS_CSUM, gso_type, headers.l4 + length, gso_size, headers.l4, offset)
