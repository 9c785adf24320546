"""Work that a sender left to its network card, done in software.

Linux hands packets of virtual devices over with a `virtio_net_hdr` (TAP with IFF_VNET_HDR, packet
sockets with PACKET_VNET_HDR; VIRTIO 1.2, 5.1.6): the checksum may hold only the pseudo header's
sum, and a TCP "packet" may be up to 64 KiB that somebody has to cut into segments. Whoever takes
such a packet to a device that cannot do this must do it first, or TCP breaks.
"""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple

from netloom.packet.checksum import checksum, pseudo_sum, sctp_checksum
from netloom.packet.encapsulated import LEAST_INSIDE, encapsulate, find_inside
from netloom.packet.headers import IPPROTO_TCP, IPPROTO_UDP, TCP_CWR, TCP_FIN, TCP_PSH
from netloom.packet.marks import (
    VOUCHED,
    fill_ipv4_header,
    fill_transport,
    finish_marks,
    pushed_marks,
)
from netloom.packet.parse import Headers, parse

#: flags, gso_type, hdr_len, gso_size, csum_start, csum_offset: in the host's byte order.
VIRTIO_NET_HDR: Final = Struct("=BBHHHH")
VIRTIO_NET_HDR_LEN: Final = VIRTIO_NET_HDR.size

NEEDS_CSUM: Final = 1
DATA_VALID: Final = 2
GSO_NONE: Final = 0
GSO_TCPV4: Final = 1
GSO_UDP: Final = 3
GSO_TCPV6: Final = 4
GSO_UDP_L4: Final = 5
_SCTP_OFFSET: Final = 8
_TCP_OFFSET: Final = 16
#: With a GSO type: the sender set CWR, which only the first segment may carry (RFC 3168, 6.1.2).
GSO_ECN: Final = 0x80


class Offload(NamedTuple):
    """What a packet still needs; offsets are from the start of the Ethernet header."""

    flags: int = 0
    gso_type: int = GSO_NONE
    hdr_len: int = 0
    gso_size: int = 0
    csum_start: int = 0
    csum_offset: int = 0
    #: What else is known of checksums (`packet.marks`); no part of the virtio_net_hdr.
    marks: int = 0

    @property
    def is_none(self) -> bool:
        return not (self.flags & NEEDS_CSUM or self.gso_type & ~GSO_ECN or self.marks)

    def encode(self) -> bytes:
        return VIRTIO_NET_HDR.pack(*self[:6])

    def moved(self, by: int) -> Offload:
        """The same for a packet whose headers grew by `by` bytes, as when a tag was pushed."""
        return self._replace(
            hdr_len=self.hdr_len + by if self.hdr_len else 0,
            csum_start=self.csum_start + by if self.flags & NEEDS_CSUM else 0,
        )


NO_OFFLOAD: Final = Offload()
NO_OFFLOAD_HEADER: Final = NO_OFFLOAD.encode()


def with_header(data: bytes, offload: Offload) -> bytes:
    """`data` behind its virtio_net_hdr, as the kernel takes it from us. The header has no words for
    a checksum of SCTP, which the kernel would take for one of TCP's kind: that one is completed, as
    are those that are put off otherwise."""
    if offload.marks and not offload.gso_size:
        return NO_OFFLOAD_HEADER + finish_offload(data, offload)[0]
    if offload.csum_offset == _SCTP_OFFSET and offload.flags & NEEDS_CSUM:
        return NO_OFFLOAD_HEADER + complete_checksum(data, offload.csum_start, _SCTP_OFFSET)
    return offload.encode() + data


def decode_offload(data: bytes | bytearray | memoryview) -> Offload:
    """The header in the first 10 bytes of `data` (which must be there)."""
    return Offload(*VIRTIO_NET_HDR.unpack_from(data))


def known_sums(offload: Offload | None) -> int:
    """The marks (`packet.marks`) that say which checksums need not be looked at, and which are bad
    without a look."""
    return 0 if offload is None else offload.marks or VOUCHED


def pushed(offload: Offload, by: int, tunnel: str, is_ipv4: bool, has_sum: bool) -> Offload:
    """What is left to do with a packet behind the headers of a tunnel, `by` bytes, whose sums are
    put off as well (`packet.marks.pushed_marks`)."""
    marks = pushed_marks(offload.marks, tunnel, is_ipv4, has_sum)
    return offload.moved(by)._replace(marks=marks)


def finish_offload(packet: bytes, offload: Offload) -> list[bytes]:
    """`packet` as the packets that go on a wire: checksums complete, no longer than the sender's
    segment size allows."""
    if offload.gso_type & ~GSO_ECN and offload.gso_size:
        is_udp = offload.gso_type & 0x7F == GSO_UDP_L4
        if is_of_tunnel(packet, offload):
            return _segment_inside(packet, offload.gso_size, is_udp)
        return segment_gso(packet, offload.gso_size, is_udp)
    if offload.flags & NEEDS_CSUM:
        return [complete_checksum(packet, offload.csum_start, offload.csum_offset)]
    return [finish_marks(packet, offload.marks)[0]] if offload.marks else [packet]


def segmentation(packet: bytes, size: int) -> Offload | None:
    """What is left to do with TCP that its sender has not cut into segments of `size` bytes of
    payload; None if there is nothing to cut."""
    headers = parse(packet)
    length = _transport_length(packet, headers, IPPROTO_TCP)
    start = headers.l4 + length
    if not length or headers.end - start <= size:
        return None
    kind = GSO_TCPV4 if headers.dl_type == 0x0800 else GSO_TCPV6
    return Offload(NEEDS_CSUM, kind, start, size, headers.l4, _TCP_OFFSET)


def is_of_tunnel(packet: bytes, offload: Offload) -> bool:
    """Is `packet` to be segmented, but not by its own headers: by those of a packet inside? No
    virtio_net_hdr can say that to whoever is to do it."""
    start = offload.csum_start
    return bool(start >= LEAST_INSIDE and offload.gso_size and parse(packet).l4 != start)


def _segment_inside(packet: bytes, gso_size: int, is_udp: bool) -> list[bytes]:
    headers = parse(packet)
    start, kind = find_inside(packet, headers)
    if not start:
        return [packet]
    # What has no Ethernet header gets one meanwhile.
    frame = bytes(12) + (kind & 0xFFFF).to_bytes(2, "big") if kind else b""
    segments = segment_gso(frame + packet[start : headers.end], gso_size, is_udp)
    return [
        encapsulate(packet[:start], headers, segment[len(frame) :], number)
        for number, segment in enumerate(segments)
    ]


def complete_checksum(packet: bytes, csum_start: int, csum_offset: int) -> bytes:
    """`packet` with the checksum field at `csum_start + csum_offset`, which holds the pseudo
    header's sum, completed over all from `csum_start`. Unchanged if the field lies outside. No
    checksum but SCTP's, a CRC32c of 4 bytes, is at offset 8."""
    at = csum_start + csum_offset
    if at + 2 > len(packet):
        return packet
    if csum_offset == _SCTP_OFFSET and at + 4 <= len(packet):
        segment = packet[csum_start:at] + bytes(4) + packet[at + 4 :]
        return packet[:at] + sctp_checksum(segment) + packet[at + 4 :]
    # Zero means "no checksum" to UDP; in the others 0xffff and 0 are the same number.
    value = checksum(packet[csum_start:]) or 0xFFFF
    return packet[:at] + value.to_bytes(2, "big") + packet[at + 2 :]


def fill_checksums(packet: bytes) -> bytes:
    """`packet` with right IPv4, TCP and UDP checksums, whatever it had. Fragments have only their
    IPv4 header's filled."""
    headers = parse(packet)
    data = bytearray(packet)
    if headers.l4 < 0:
        return packet
    if headers.dl_type == 0x0800:
        fill_ipv4_header(data, headers)
    if headers.proto in (IPPROTO_TCP, IPPROTO_UDP):
        fill_transport(data, headers, also_none=True)
    return bytes(data)


def reset_partial_checksum(packet: bytearray, headers: Headers, offload: Offload) -> None:
    """After a change of a packet that still NEEDS_CSUM: what its checksum field has to hold is
    the sum of the pseudo header as it is now, nothing of the rest."""
    at = offload.csum_start + offload.csum_offset
    if headers.l3 < 0 or headers.l4 != offload.csum_start or at + 2 > len(packet):
        return
    size, first = (4, headers.l3 + 12) if headers.dl_type == 0x0800 else (16, headers.l3 + 8)
    source = bytes(packet[first : first + size])
    destination = bytes(packet[first + size : first + 2 * size])
    _put(packet, at, pseudo_sum(source, destination, headers.proto, headers.end - headers.l4))


def segment_gso(packet: bytes, gso_size: int, is_udp: bool = False) -> list[bytes]:
    """Cuts a TCP packet (or one of UDP datagrams of equal length, `is_udp`) over IPv4 or IPv6 into
    packets of at most `gso_size` payload bytes each, with right lengths, sequence numbers,
    identifications, flags and checksums. A packet that is neither is returned whole."""
    headers = parse(packet)
    proto = IPPROTO_UDP if is_udp else IPPROTO_TCP
    header_len = _transport_length(packet, headers, proto)
    if gso_size <= 0 or not header_len:
        return [packet]
    start = headers.l4 + header_len
    payload = packet[start : headers.end]
    if len(payload) <= gso_size:
        return [fill_checksums(packet)]
    return [
        _build_segment(packet, headers, start, payload, at, gso_size)
        for at in range(0, len(payload), gso_size)
    ]


def _transport_length(packet: bytes, headers: Headers, proto: int) -> int:
    """Length of the TCP or UDP header, or 0 if the packet is not a whole one of `proto`."""
    size = headers.end - headers.l4
    if headers.l4 < 0 or headers.frag or headers.proto != proto:
        return 0
    if proto == IPPROTO_UDP:
        return 8 if size >= 8 else 0
    length = (packet[headers.l4 + 12] >> 4) * 4 if size >= 20 else 0
    return length if 20 <= length <= size else 0


def _build_segment(
    packet: bytes, headers: Headers, start: int, payload: bytes, at: int, gso_size: int
) -> bytes:
    part = payload[at : at + gso_size]
    data = bytearray(packet[:start])
    data += part
    l3, l4 = headers.l3, headers.l4
    if headers.dl_type == 0x0800:
        _put(data, l3 + 2, len(data) - l3)
        _put(data, l3 + 4, (packet[l3 + 4] << 8 | packet[l3 + 5]) + at // gso_size & 0xFFFF)
    else:
        _put(data, l3 + 4, len(data) - l3 - 40)
    if headers.proto == IPPROTO_TCP:
        sequence = int.from_bytes(packet[l4 + 4 : l4 + 8], "big") + at
        data[l4 + 4 : l4 + 8] = (sequence & 0xFFFFFFFF).to_bytes(4, "big")
        flags = data[l4 + 13]
        if at + gso_size < len(payload):
            flags &= ~(TCP_FIN | TCP_PSH)
        if at:
            flags &= ~TCP_CWR
        data[l4 + 13] = flags
    else:
        _put(data, l4 + 4, 8 + len(part))
    return fill_checksums(bytes(data))


def _put(data: bytearray, offset: int, value: int) -> None:
    data[offset : offset + 2] = value.to_bytes(2, "big")
