"""What is read of a packet, and what is not: the cases in which broken packets differ."""

from __future__ import annotations

import pytest

from netloom.flow.extract import extract_key, extract_slowly
from netloom.flow.key import explain_key, make_key
from netloom.packet import build

MAC_A, MAC_B = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
IP_A, IP_B = bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2))
IP6_A, IP6_B = bytes(15) + b"\1", bytes(15) + b"\2"
ETHER = {"dl_src": 0x020000000001, "dl_dst": 0x020000000002}
V4 = {**ETHER, "dl_type": 0x0800, "nw_src": 0x0A000001, "nw_dst": 0x0A000002, "nw_ttl": 64}
V6 = {**ETHER, "dl_type": 0x86DD, "ipv6_src": 1, "ipv6_dst": 2, "nw_ttl": 64}


def frame(eth_type: int, payload: bytes, *tags: tuple[int, int]) -> bytes:
    return build.ethernet(MAC_B, MAC_A, eth_type, payload, tags)


def ipv4(proto: int, payload: bytes, frag: int = 0) -> bytes:
    return frame(0x0800, build.ipv4(IP_A, IP_B, proto, payload, frag=frag))


def ipv6(proto: int, payload: bytes) -> bytes:
    return frame(0x86DD, build.ipv6(IP6_A, IP6_B, proto, payload))


def seen(packet: bytes, vlan_limit: int = 1) -> dict[str, int]:
    key = extract_key(packet, 0, 0, vlan_limit)
    assert key == extract_slowly(packet, vlan_limit)
    return explain_key(key)


def test_tcp_over_ipv4() -> None:
    packet = ipv4(6, build.tcp(IP_A, IP_B, 80, 1024, b"data", flags=0x112))
    assert seen(packet) == {**V4, "nw_proto": 6, "tp_src": 80, "tp_dst": 1024, "tcp_flags": 0x112}


def test_in_port_and_metadata_come_with_the_packet() -> None:
    packet = ipv4(17, build.udp(IP_A, IP_B, 53, 54))
    metadata = make_key(recirc_id=7, ct_state=0x21, reg0=9)
    assert extract_key(packet, 3, metadata) == extract_key(packet) | metadata | make_key(in_port=3)


@pytest.mark.parametrize("length", range(14))
def test_frame_shorter_than_its_header_has_no_fields(length: int) -> None:
    assert seen(bytes(range(1, length + 1))) == {}


def test_padding_is_not_read() -> None:
    packet = ipv4(17, build.udp(IP_A, IP_B, 53, 54)[:4])
    assert seen(packet + bytes.fromhex("aabbccdd") * 8) == {**V4, "nw_proto": 17}


def test_ip_length_beyond_the_packet_hides_layer_3() -> None:
    packet = ipv4(17, build.udp(IP_A, IP_B, 53, 54))
    assert seen(packet[:-1]) == {**ETHER, "dl_type": 0x0800}


@pytest.mark.parametrize(
    ("proto", "length"), [(6, 20), (17, 8), (132, 12), (1, 8), (2, 8), (58, 8)]
)
def test_transport_header_counts_if_its_fixed_part_is_complete(proto: int, length: int) -> None:
    header = bytes([1, 2, 3, 4, *range(5, 13), 0x50, *range(14, 21)])[:length]
    assert "tp_src" not in seen(ipv4(proto, header[:-1]))
    assert seen(ipv4(proto, header))["tp_src"] == (0x0102 if proto in (6, 17, 132) else 1)


@pytest.mark.parametrize("data_offset", [0x40, 0x60])
def test_tcp_header_of_impossible_length_has_no_ports(data_offset: int) -> None:
    segment = bytearray(build.tcp(IP_A, IP_B, 80, 1024))
    segment[12] = data_offset
    assert seen(ipv4(6, bytes(segment))) == {**V4, "nw_proto": 6}


def test_first_fragment_has_ports_and_later_ones_do_not() -> None:
    datagram = build.udp(IP_A, IP_B, 53, 54)
    first = seen(ipv4(17, datagram, frag=0x2000))
    assert first == {**V4, "nw_proto": 17, "nw_frag": 1, "tp_src": 53, "tp_dst": 54}
    assert seen(ipv4(17, datagram, frag=0x2001)) == {**V4, "nw_proto": 17, "nw_frag": 3}


def test_ipv6_fragments() -> None:
    datagram = build.udp(IP6_A, IP6_B, 53, 54)
    first = seen(ipv6(44, b"\x11\0\0\1\0\0\0\0" + datagram))
    assert first == {**V6, "nw_proto": 17, "nw_frag": 1, "tp_src": 53, "tp_dst": 54}
    later = seen(ipv6(44, b"\x11\0\0\x08\0\0\0\0" + datagram))
    assert later == {**V6, "nw_proto": 44, "nw_frag": 3}
    atomic = seen(ipv6(44, b"\x11\0\0\0\0\0\0\0" + datagram))
    assert atomic == {**V6, "nw_proto": 17, "tp_src": 53, "tp_dst": 54}


def test_extension_header_that_is_cut_off_leaves_only_the_addresses() -> None:
    del_ttl = {name: value for name, value in V6.items() if name != "nw_ttl"}
    assert seen(ipv6(0, b"\x11\x05" + bytes(6))) == del_ttl


def test_unread_tags_are_an_ethernet_type() -> None:
    packet = frame(0x0800, b"", (0x88A8, 5), (0x8100, 0x2007))
    one = {**ETHER, "vlan_tpid": 0x88A8, "vlan_tci": 0x1005}
    assert seen(packet, 0) == {**ETHER, "dl_type": 0x88A8}
    assert seen(packet, 1) == {**one, "dl_type": 0x8100}
    assert seen(packet, 2) == {
        **one, "vlan1_tpid": 0x8100, "vlan1_tci": 0x3007, "dl_type": 0x0800,
    }  # fmt: skip


def test_8023_frames() -> None:
    snap = build.ethernet_8023(MAC_B, MAC_A, b"\xaa\xaa\x03\0\0\0\x12\x34")
    assert seen(snap) == {**ETHER, "dl_type": 0x1234}
    stp = build.ethernet_8023(MAC_B, MAC_A, b"\x42\x42\x03" + bytes(35))
    assert seen(stp) == {**ETHER, "dl_type": 0x05FF}


def test_arp_opcode_above_255_reads_as_zero() -> None:
    fields = {**ETHER, "dl_type": 0x0806, "nw_src": 0x0A000001, "nw_dst": 0x0A000002,
              "arp_sha": 0x020000000001, "arp_tha": 0x020000000002}  # fmt: skip
    for op, read in ((1, 1), (255, 255), (256, 0)):
        packet = frame(0x0806, build.arp(op, MAC_A, IP_A, MAC_B, IP_B))
        assert seen(packet) == ({**fields, "nw_proto": read} if read else fields)


def test_arp_for_something_else_than_ethernet_and_ipv4_has_no_fields() -> None:
    packet = bytearray(frame(0x0806, build.arp(1, MAC_A, IP_A, MAC_B, IP_B)))
    packet[18] = 8
    assert seen(bytes(packet)) == {**ETHER, "dl_type": 0x0806}


def test_at_most_three_labels_are_read() -> None:
    labels = b"".join(n.to_bytes(4, "big") for n in (0x1000, 0x2000, 0x3000, 0x4100))
    read = {**ETHER, "dl_type": 0x8847, "mpls_lse0": 0x1000, "mpls_lse1": 0x2000,
            "mpls_lse2": 0x3000}  # fmt: skip
    assert seen(frame(0x8847, labels)) == read
    assert seen(frame(0x8847, b"\0\0\x11\0" + labels)) == {
        **ETHER, "dl_type": 0x8847, "mpls_lse0": 0x1100,
    }  # fmt: skip


def neighbour(options: bytes, target: bytes = bytes(15) + b"\5") -> dict[str, int]:
    return seen(ipv6(58, build.icmpv6(IP6_A, IP6_B, 135, 0, b"\0\0\0\7" + target + options)))


def test_neighbour_solicitation() -> None:
    fields = {**V6, "nw_proto": 58, "tp_src": 135, "igmp_group": 7}
    assert neighbour(b"") == {**fields, "nd_target": 5}
    one = neighbour(b"\1\1\2\0\0\0\0\1")
    assert one == {**fields, "nd_target": 5, "arp_sha": 0x020000000001, "tcp_flags": 1}
    both = neighbour(b"\2\1\2\0\0\0\0\2" + b"\1\1\2\0\0\0\0\1")
    assert both == {**fields, "nd_target": 5, "arp_sha": 0x020000000001,
                    "arp_tha": 0x020000000002, "tcp_flags": 2}  # fmt: skip


def test_repeated_link_layer_option_voids_target_and_addresses() -> None:
    found = neighbour(b"\1\1\2\0\0\0\0\1" * 2)
    assert found == {**V6, "nw_proto": 58, "tp_src": 135, "igmp_group": 7, "tcp_flags": 1}


def test_option_of_length_zero_ends_the_options() -> None:
    found = neighbour(b"\1\0\2\0\0\0\0\1" + b"\1\1\2\0\0\0\0\1")
    assert "arp_sha" not in found and found["nd_target"] == 5


def test_nsh_with_md_type_1() -> None:
    packet = frame(0x894F, bytes.fromhex("0fc60103 00000105 00000001 00000002 00000003 00000004"))
    assert seen(packet) == {
        **ETHER, "dl_type": 0x894F, "nsh_ttl": 63, "nsh_mdtype": 1, "nsh_np": 3,
        "nsh_path": 0x105, "nsh_c1": 1, "nsh_c2": 2, "nsh_c3": 3, "nsh_c4": 4,
    }  # fmt: skip
    assert seen(packet[:-1]) == {**ETHER, "dl_type": 0x894F}


def test_packet_that_starts_at_layer_3() -> None:
    packet = build.ipv4(IP_A, IP_B, 17, build.udp(IP_A, IP_B, 53, 54))
    metadata = make_key(packet_type=0x10800)
    key = extract_key(packet, 1, metadata)
    ethernet = make_key(dl_src=(1 << 48) - 1, dl_dst=(1 << 48) - 1)
    assert not key & ethernet
    with_header = extract_key(frame(0x0800, packet), 1)
    assert key == metadata | with_header & ~ethernet
