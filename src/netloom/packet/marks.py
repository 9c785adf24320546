"""What is known of the checksums of a packet, and what of them is put off until it is sent.

Devices that look at checksums tell how they found them. `Offload.marks` keeps that with the packet:
two bits for the header of IPv4 and two for the transport header, each GOOD, BAD, both (partial:
what the sum is over is right, but the field is to be filled by whoever sends the packet) or neither
(nobody looked). What is good becomes partial when a header is written, and the field stays as it
was; what is bad or unknown is corrected by the difference, so that it stays what it is. The packet
inside of a tunnel has marks of its own, beside those of the headers in front (Open vSwitch's
`struct dp_packet`).

Devices say by `TX_OFFLOADS` which fields they fill themselves.
"""

from __future__ import annotations

from typing import Final

from netloom.packet.checksum import checksum, pseudo_sum, sctp_checksum
from netloom.packet.encapsulated import find_inside
from netloom.packet.headers import IPPROTO_SCTP, IPPROTO_TCP, IPPROTO_UDP
from netloom.packet.parse import Headers, parse

IP_GOOD: Final = 1
IP_BAD: Final = 2
IP_PARTIAL: Final = IP_GOOD | IP_BAD
L4_GOOD: Final = 4
L4_BAD: Final = 8
L4_PARTIAL: Final = L4_GOOD | L4_BAD
#: Of ICMP too, whose checksum no device looks at: the sender is on this machine.
ICMP_GOOD: Final = 16
#: What a sender says who leaves sums to devices.
VOUCHED: Final = IP_GOOD | L4_GOOD | ICMP_GOOD
#: The kind of tunnel whose headers are in front.
VXLAN: Final = 32
GENEVE: Final = 64
GRE: Final = VXLAN | GENEVE
TUNNELS: Final = {"vxlan": VXLAN, "geneve": GENEVE, "gre": GRE, "ip6gre": GRE}
_WORDS: Final = {0: "none", VXLAN: "vxlan", GENEVE: "geneve", GRE: "gre"}
_STATES: Final = ("unknown", "good", "bad", "partial")
#: How far the marks of the packet inside are from those of the one outside.
_INSIDE: Final = 8
_ALL: Final = (1 << _INSIDE) - 1

#: What a device does by itself when it sends, in the order and by the names that
#: `Interface:status` has between "tx_" and "_offload" (ovs-vswitchd.conf.db(5)).
TX_OFFLOADS: Final = (
    "ip_csum", "tcp_csum", "udp_csum", "sctp_csum", "tcp_seg", "vxlan_tso", "gre_tso", "geneve_tso",
    "out_ip_csum", "out_udp_csum",
)  # fmt: skip
TX_IP, TX_TCP, TX_UDP, TX_SCTP, TX_SEGMENTS = (1 << bit for bit in range(5))
TX_OUTER_IP: Final = 1 << 8
TX_OUTER_UDP: Final = 1 << 9

#: Protocol -> offset and length of its checksum, length of what stands in front of the data.
_FIELDS: Final = {IPPROTO_TCP: (16, 2, 20), IPPROTO_UDP: (6, 2, 8), IPPROTO_SCTP: (8, 4, 12)}
_TX_BY_PROTO: Final = {IPPROTO_TCP: TX_TCP, IPPROTO_UDP: TX_UDP, IPPROTO_SCTP: TX_SCTP}


def describe(marks: int) -> tuple[str, str, str, str, str]:
    """The words for marks: IP, transport, the tunnel, IP and transport inside."""
    inside = marks >> _INSIDE
    return (
        _STATES[marks & IP_PARTIAL], _STATES[(marks & L4_PARTIAL) >> 2], _WORDS[marks & GRE],
        _STATES[inside & IP_PARTIAL], _STATES[(inside & L4_PARTIAL) >> 2],
    )  # fmt: skip


def is_unfilled(marks: int) -> bool:
    """Is a field of the packet, or of the one inside, still to be filled?"""
    return _is_partial(marks) or _is_partial(marks >> _INSIDE)


def _is_partial(marks: int) -> bool:
    return marks & IP_PARTIAL == IP_PARTIAL or marks & L4_PARTIAL == L4_PARTIAL


def pushed_marks(marks: int, tunnel: str, is_ipv4: bool, has_sum: bool) -> int:
    """The marks of a packet with marks `marks` behind the headers of a tunnel whose sums are put
    off; `has_sum`: there is one of UDP among them."""
    outside = IP_PARTIAL if is_ipv4 else 0
    kind = TUNNELS[tunnel]
    if kind != GRE:
        outside |= L4_PARTIAL if has_sum else L4_GOOD
    return (marks & _ALL) << _INSIDE | outside | kind


def put_off(before: bytes, packet: bytearray, headers: Headers, marks: int) -> int:
    """After headers of `packet` were written, which was `before`: the sums that are good become
    partial if what they are over was changed, and get back what they had. Returns the marks."""
    l3, l4 = headers.l3, headers.l4
    if l4 < 0:
        return marks
    is_ipv4 = headers.dl_type == 0x0800
    if is_ipv4 and marks & IP_GOOD:
        if before[l3 : l3 + 10] != packet[l3 : l3 + 10] or (
            before[l3 + 12 : l4] != packet[l3 + 12 : l4]
        ):
            marks |= IP_PARTIAL
        packet[l3 + 10 : l3 + 12] = before[l3 + 10 : l3 + 12]
    field = _FIELDS.get(headers.proto)
    if not marks & L4_GOOD or field is None or headers.end - l4 < field[2]:
        return marks
    at, behind = l4 + field[0], l4 + field[0] + field[1]
    ends = slice(l3 + 12, l3 + 20) if is_ipv4 else slice(l3 + 8, l3 + 40)
    is_moved = headers.proto != IPPROTO_SCTP and before[ends] != packet[ends]
    if (
        is_moved
        or before[l4:at] != packet[l4:at]
        or (before[behind : l4 + field[2]] != packet[behind : l4 + field[2]])
    ):
        marks |= L4_PARTIAL
    packet[at:behind] = before[at:behind]
    return marks


def finish_marks(packet: bytes, marks: int, able: int = 0) -> tuple[bytes, int]:
    """`packet` with the fields filled that are put off, but for those that the device fills, which
    is `able` (TX_ bits) to; and the marks that it has then."""
    if not is_unfilled(marks):
        return packet, marks
    if not _is_partial(marks >> _INSIDE):
        # What is inside is nobody's business any more.
        marks &= ~GRE
    data = bytearray(packet)
    outside = parse(packet)
    if not marks & GRE:
        marks = _fill(data, 0, outside, marks, able, able & TX_IP)
        return bytes(data), marks
    start, kind = find_inside(packet, outside)
    inside = parse(packet[start:], kind)
    within = marks >> _INSIDE
    if marks & GRE != GRE and marks & L4_PARTIAL == L4_PARTIAL and not able & TX_OUTER_UDP:
        # What is filled inside later must not make the sum outside wrong: either that one takes
        # into account what will be there, or it has to be there now.
        able &= ~TX_SCTP
        if _foresee_sum(data, outside, start, inside, within):
            marks &= ~L4_BAD
        else:
            able &= ~(TX_TCP | TX_UDP | TX_IP)
    within = _fill(data, start, inside, within, able, able & TX_IP)
    udp = TX_UDP if able & TX_OUTER_UDP else 0
    marks = _fill(data, 0, outside, marks & _ALL, udp, able & TX_OUTER_IP)
    return bytes(data), marks | within << _INSIDE


def _fill(data: bytearray, start: int, headers: Headers, marks: int, able: int, ip: int) -> int:
    """Fill what is partial of the packet that starts at `start` in `data`; returns the marks. `ip`:
    the device fills that of IP."""
    if marks & IP_PARTIAL == IP_PARTIAL and not ip:
        if headers.dl_type == 0x0800 and headers.l4 >= 0:
            fill_ipv4_header(data, headers, start)
        marks &= ~IP_BAD
    if marks & L4_PARTIAL == L4_PARTIAL and not able & _TX_BY_PROTO.get(headers.proto, 0):
        fill_transport(data, headers, start)
        marks &= ~L4_BAD
    return marks


def _foresee_sum(
    data: bytearray, outside: Headers, start: int, inside: Headers, within: int
) -> bool:
    """Fill the sum of the UDP header in front of TCP or UDP for what will be inside when the sums
    there are filled; False if nobody can know that."""
    field = _FIELDS.get(inside.proto)
    if inside.proto == IPPROTO_SCTP or field is None or not within & L4_GOOD:
        return False
    at = start + inside.l4 + field[0]
    if (
        inside.l4 < 0
        or inside.end - inside.l4 < field[2]
        or (inside.proto == IPPROTO_UDP and not data[at] | data[at + 1])
    ):
        return False
    future = bytearray(data)
    if within & IP_GOOD and inside.dl_type == 0x0800:
        fill_ipv4_header(future, inside, start)
    fill_transport(future, inside, start)
    fill_transport(future, outside, 0)
    at = outside.l4 + _FIELDS[IPPROTO_UDP][0]
    data[at : at + 2] = future[at : at + 2]
    return True


def fill_ipv4_header(data: bytearray, headers: Headers, start: int = 0) -> None:
    """Fill the sum of the IPv4 header of the packet at `start`, whose headers are given."""
    l3, l4 = start + headers.l3, start + headers.l4
    at = l3 + 10
    data[at : at + 2] = b"\0\0"
    data[at : at + 2] = checksum(data[l3:l4]).to_bytes(2, "big")


def fill_transport(
    data: bytearray, headers: Headers, start: int = 0, *, also_none: bool = False
) -> None:
    """The same for the sum of TCP, UDP (also one that has none: `also_none`) or SCTP, unless the
    packet is a fragment or cut off."""
    field = _FIELDS.get(headers.proto)
    if field is None or headers.l4 < 0 or headers.frag or headers.end - headers.l4 < sum(field[:2]):
        return
    l3, l4, end = start + headers.l3, start + headers.l4, start + headers.end
    at, behind = l4 + field[0], l4 + field[0] + field[1]
    is_udp = headers.proto == IPPROTO_UDP
    if is_udp and not also_none and not data[at] | data[at + 1]:
        return
    data[at:behind] = bytes(field[1])
    if headers.proto == IPPROTO_SCTP:
        data[at:behind] = sctp_checksum(data[l4:end])
        return
    size, first = (4, l3 + 12) if headers.dl_type == 0x0800 else (16, l3 + 8)
    source, destination = data[first : first + size], data[first + size : first + 2 * size]
    pseudo = pseudo_sum(bytes(source), bytes(destination), headers.proto, end - l4)
    value = checksum(data[l4:end], pseudo)
    data[at:behind] = (0xFFFF if is_udp and not value else value).to_bytes(2, "big")
