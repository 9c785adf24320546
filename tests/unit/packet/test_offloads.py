from __future__ import annotations

from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Packet

from netloom.packet.offload import (
    GSO_TCPV4,
    GSO_UDP_L4,
    NEEDS_CSUM,
    NO_OFFLOAD,
    VIRTIO_NET_HDR_LEN,
    Offload,
    complete_checksum,
    decode_offload,
    finish_offload,
    segment_gso,
)

ETH = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
BODY = bytes(range(256)) * 20


def with_pseudo_sum_only(packet: Packet, start: int, offset: int) -> bytes:
    """`packet` as a sender with checksum offload leaves it."""
    from netloom.packet.checksum import pseudo_sum

    data = bytearray(bytes(packet))
    length = len(data) - start
    total = pseudo_sum(bytes(data[26:30]), bytes(data[30:34]), data[23], length)
    data[start + offset : start + offset + 2] = total.to_bytes(2, "big")
    return bytes(data)


def test_header_survives_encoding() -> None:
    offload = Offload(NEEDS_CSUM, GSO_TCPV4, 54, 1448, 34, 16)
    assert len(offload.encode()) == VIRTIO_NET_HDR_LEN == 10
    assert decode_offload(offload.encode()) == offload
    assert NO_OFFLOAD.is_none and not offload.is_none


def test_checksum_is_completed_from_the_pseudo_sum() -> None:
    packet = ETH / IP(src="10.0.0.1", dst="10.0.0.2") / TCP(sport=1, dport=2) / b"hello"
    partial = with_pseudo_sum_only(packet, 34, 16)
    assert partial != bytes(packet)
    assert complete_checksum(partial, 34, 16) == bytes(packet)
    assert finish_offload(partial, Offload(NEEDS_CSUM, 0, 0, 0, 34, 16)) == [bytes(packet)]


def test_checksum_field_outside_the_packet_is_left_alone() -> None:
    assert complete_checksum(b"x" * 40, 39, 6) == b"x" * 40


def test_packet_that_needs_nothing_passes() -> None:
    assert finish_offload(b"anything", NO_OFFLOAD) == [b"anything"]


def segments_by_hand(base: Packet, gso_size: int) -> list[bytes]:
    parts = [BODY[i : i + gso_size] for i in range(0, len(BODY), gso_size)]
    packets = []
    for n, part in enumerate(parts):
        packet = base.copy()
        if IP in packet:
            packet[IP].id = base[IP].id + n
        packet[TCP].seq = base[TCP].seq + n * gso_size
        # CWR goes with the first, FIN and PSH with the last.
        packet[TCP].flags = "AC" if n == 0 else "A" if n < len(parts) - 1 else "FPA"
        packets.append(bytes(packet / part))
    return packets


def test_tcp_over_ipv4_is_cut_into_right_segments() -> None:
    base = ETH / IP(src="10.0.0.1", dst="10.0.0.2", id=7) / TCP(seq=4000000000, flags="FPAC")
    base[TCP].options = [("Timestamp", (1, 2)), ("NOP", None), ("NOP", None)]
    assert segment_gso(bytes(base / BODY), 1448) == segments_by_hand(base, 1448)


def test_tcp_over_ipv6_behind_a_tag_is_cut() -> None:
    base = ETH / Dot1Q(vlan=5) / IPv6(src="fd00::1", dst="fd00::2") / TCP(seq=1, flags="A")
    got = segment_gso(bytes(base / BODY), 1400)
    assert b"".join(bytes(Ether(data)[TCP].payload) for data in got) == BODY
    for data in got:
        again = Ether(data)
        checksum, length = again[TCP].chksum, again[IPv6].plen
        del again[TCP].chksum, again[IPv6].plen
        again = Ether(bytes(again))
        assert (again[TCP].chksum, again[IPv6].plen) == (checksum, length)


def test_udp_datagrams_are_cut_on_request_only() -> None:
    packet = bytes(ETH / IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=1, dport=2) / BODY)
    assert segment_gso(packet, 1000) == [packet]
    got = finish_offload(packet, Offload(NEEDS_CSUM, GSO_UDP_L4, 42, 1000, 34, 6))
    assert [len(data) for data in got] == [1042] * 5 + [162]
    assert [Ether(data)[UDP].len for data in got] == [1008] * 5 + [128]


def test_payload_that_fits_is_only_given_its_checksum() -> None:
    packet = ETH / IP(src="10.0.0.1", dst="10.0.0.2") / TCP(sport=1, dport=2) / b"short"
    partial = with_pseudo_sum_only(packet, 34, 16)
    assert segment_gso(partial, 1448) == [bytes(packet)]
