from __future__ import annotations

from netloom.packet import build
from netloom.packet.parse import Headers, parse

MAC_A, MAC_B = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
IP_A, IP_B = bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2))
IP6_A, IP6_B = bytes(15) + b"\1", bytes(15) + b"\2"


def udp4(payload: bytes = b"data", frag: int = 0) -> bytes:
    return build.ipv4(IP_A, IP_B, 17, build.udp(IP_A, IP_B, 1, 2, payload), frag=frag)


def test_offsets_of_udp_over_ipv4_leave_padding_out() -> None:
    found = parse(build.ethernet(MAC_B, MAC_A, 0x0800, udp4()) + bytes(14))
    assert (found.l3, found.l4, found.end) == (14, 34, 46)
    assert (found.dl_type, found.proto, found.frag, found.n_vlans) == (0x0800, 17, 0, 0)


def test_every_tag_is_walked() -> None:
    tags = [(0x88A8, 1), (0x8100, 2), (0x8100, 3)]
    found = parse(build.ethernet(MAC_B, MAC_A, 0x0800, udp4(), tags))
    assert (found.n_vlans, found.type_offset, found.l3, found.l4) == (3, 24, 26, 46)


def test_snap_type_counts_as_ethernet_type() -> None:
    frame = build.ethernet_8023(MAC_B, MAC_A, b"\xaa\xaa\x03\0\0\0\x08\0" + udp4())
    found = parse(frame)
    assert (found.dl_type, found.type_offset, found.l3) == (0x0800, 20, 22)


def test_other_8023_frames_have_no_type() -> None:
    found = parse(build.ethernet_8023(MAC_B, MAC_A, b"\x42\x42\x03" + bytes(35)))
    assert (found.dl_type, found.l3, found.l4) == (0x05FF, 14, -1)


def test_layer_3_is_behind_the_label_stack() -> None:
    labels = bytes.fromhex("00001040 00002140")
    found = parse(build.ethernet(MAC_B, MAC_A, 0x8847, labels + udp4()))
    assert (found.l2_5, found.l3, found.l4) == (14, 22, -1)


def test_later_fragment_has_data_but_no_transport_protocol_in_ipv6() -> None:
    fragment = b"\x11\0\0\x08\0\0\0\1" + b"data"
    found = parse(build.ethernet(MAC_B, MAC_A, 0x86DD, build.ipv6(IP6_A, IP6_B, 44, fragment)))
    assert (found.l4, found.proto, found.frag) == (62, 44, 3)


def test_extension_headers_are_walked() -> None:
    options = b"\x3c\0" + bytes(6) + b"\x11\0" + bytes(6)
    payload = options + build.udp(IP6_A, IP6_B, 1, 2)
    found = parse(build.ethernet(MAC_B, MAC_A, 0x86DD, build.ipv6(IP6_A, IP6_B, 0, payload)))
    assert (found.l4, found.proto, found.frag) == (14 + 40 + 16, 17, 0)


def test_ip_length_that_exceeds_the_packet_hides_the_transport_header() -> None:
    packet = bytearray(build.ethernet(MAC_B, MAC_A, 0x0800, udp4()))
    packet[17] += 1
    assert parse(packet).l4 == -1


def test_packet_that_starts_at_layer_3() -> None:
    found = parse(udp4(), 0x10800)
    assert (found.l3, found.l4, found.type_offset) == (0, 20, -1)


def test_every_prefix_of_a_packet_is_accepted() -> None:
    packet = build.ethernet(MAC_B, MAC_A, 0x0800, udp4(), [(0x8100, 5)])
    for length in range(len(packet)):
        found = parse(packet[:length])
        assert isinstance(found, Headers)
        assert found.l4 == -1 and found.end == length
