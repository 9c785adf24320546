"""Packets and keys: nothing raises, and every road between them leads back."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from netloom.flow.compose import compose_packet
from netloom.flow.extract import extract_key, extract_slowly
from netloom.flow.fields import KEY_MASK, SLOT
from netloom.flow.key import PACKET_MASK, make_key
from netloom.flow.odp_parse import parse_odp_flow
from netloom.flow.odp_text import format_odp_flow
from netloom.flow.print import format_flow, mask_for_packet
from netloom.packet import edit
from netloom.packet.offload import fill_checksums, segment_gso
from netloom.packet.parse import parse

mac = st.integers(1, (1 << 48) - 1)
u32 = st.integers(0, (1 << 32) - 1)
u16 = st.integers(0, 0xFFFF)
u8 = st.integers(0, 0xFF)
ip6 = st.one_of(st.integers(0, (1 << 128) - 1), st.sampled_from([0, 1, 0xFE80 << 112]))


@st.composite
def keys(draw: st.DrawFn) -> int:
    """A key that some packet has: all fields that its headers have, nothing else."""
    fields = {"dl_src": draw(mac), "dl_dst": draw(mac)}
    for name in ("vlan", "vlan1")[: draw(st.integers(0, 2))]:
        fields[f"{name}_tpid"] = draw(st.sampled_from((0x8100, 0x88A8)))
        fields[f"{name}_tci"] = draw(u16) | 0x1000
    fields["dl_type"] = dl_type = draw(
        st.sampled_from((0x0800, 0x0800, 0x86DD, 0x86DD, 0x0806, 0x8847, 0x1234))
    )
    if dl_type == 0x0806:
        fields |= {"nw_proto": draw(st.sampled_from((1, 2))), "nw_src": draw(u32),
                   "nw_dst": draw(u32), "arp_sha": draw(mac), "arp_tha": draw(mac)}  # fmt: skip
    elif dl_type == 0x8847:
        fields["mpls_lse0"] = draw(u32) | 0x100
    elif dl_type in (0x0800, 0x86DD):
        fields |= draw(_network(dl_type))
    return make_key(**fields)


@st.composite
def _network(draw: st.DrawFn, dl_type: int) -> dict[str, int]:
    fields = {"nw_ttl": draw(u8), "nw_tos": draw(u8)}
    tos = fields.pop("nw_tos")
    fields |= {"ip_dscp": tos >> 2, "nw_ecn": tos & 3}
    if dl_type == 0x0800:
        fields |= {"nw_src": draw(u32), "nw_dst": draw(u32)}
        fields["nw_frag"] = draw(st.sampled_from((0, 0, 0, 1, 3)))
    else:
        fields |= {"ipv6_src": draw(ip6), "ipv6_dst": draw(ip6)}
        fields["ipv6_label"] = draw(st.integers(0, 0xFFFFF))
    fields["nw_proto"] = proto = draw(st.sampled_from((6, 17, 132, 1 if dl_type == 0x0800 else 58)))
    if fields.get("nw_frag") == 3:
        return fields
    wide = proto in (6, 17, 132)
    fields |= {"tp_src": draw(u16 if wide else u8), "tp_dst": draw(u16 if wide else u8)}
    if proto == 6:
        fields["tcp_flags"] = draw(st.integers(0, 0xFFF))
    if proto == 58 and fields["tp_src"] in (135, 136) and not fields["tp_dst"]:
        fields |= {"nd_target": draw(ip6), "igmp_group": draw(u32), "arp_sha": draw(mac),
                   "arp_tha": draw(mac), "tcp_flags": 1}  # fmt: skip
    return fields


@st.composite
def broken_packets(draw: st.DrawFn) -> bytes:
    """A packet with wrong bytes, a wrong end, or both."""
    data = bytearray(compose_packet(draw(keys())))
    for _ in range(draw(st.integers(0, 3))):
        data[draw(st.integers(0, len(data) - 1))] = draw(u8)
    return bytes(data[: draw(st.integers(0, len(data)))]) + bytes(draw(st.integers(0, 20)))


@given(st.one_of(st.binary(max_size=120), broken_packets()), st.integers(0, 2))
@settings(max_examples=1000, deadline=None)
def test_any_bytes_have_a_key_and_both_roads_find_it(packet: bytes, vlan_limit: int) -> None:
    key = extract_key(packet, 0, 0, vlan_limit)
    assert key == extract_slowly(packet, vlan_limit)
    assert not key & ~PACKET_MASK


@given(st.binary(max_size=80), st.sampled_from((0x10800, 0x186DD, 0x18847, 0x1894F)))
@settings(max_examples=300, deadline=None)
def test_any_bytes_have_a_key_at_layer_3(packet: bytes, packet_type: int) -> None:
    metadata = make_key(packet_type=packet_type)
    key = extract_key(packet, 1, metadata)
    assert key == extract_slowly(packet, 1, packet_type) | metadata | make_key(in_port=1)


@given(broken_packets())
@settings(max_examples=500, deadline=None)
def test_offsets_agree_with_the_key(packet: bytes) -> None:
    headers = parse(packet)
    key = extract_key(packet, 0, 0, 2)
    if headers.n_vlans <= 2:
        assert SLOT["dl_type"].get(key) == headers.dl_type
        if headers.l4 >= 0:
            assert SLOT["nw_proto"].get(key) == headers.proto
            assert SLOT["nw_frag"].get(key) == headers.frag
            assert headers.l3 < headers.l4 <= headers.end <= len(packet)


@given(keys())
@settings(max_examples=500, deadline=None)
def test_made_packet_has_its_key(key: int) -> None:
    packet = compose_packet(key)
    assert extract_key(packet, 0, 0, 2) == key
    if SLOT["nw_proto"].get(key) != 132:
        assert fill_checksums(packet) == packet


@given(keys(), keys())
@settings(max_examples=500, deadline=None)
def test_rewritten_packet_is_the_packet_of_the_rewritten_key(key: int, other: int) -> None:
    same = ("dl_type", "nw_proto", "nw_frag")
    other = make_key(**{name: SLOT[name].get(key) for name in same}) | other & ~sum(
        SLOT[name].mask for name in same
    )
    packet = bytearray(compose_packet(key, 150))
    headers = parse(packet)
    changed = key
    for names, apply in REWRITES:
        values = [SLOT[name].get(other) for name in names]
        if apply(packet, headers, key, values):
            for name, value in zip(names, values, strict=True):
                changed = SLOT[name].put(changed, value)
    if SLOT["nw_proto"].get(key) != 132:  # made SCTP packets have no checksum to keep right
        assert bytes(packet) == compose_packet(changed, 150)


def _rewrite_ipv4(packet: bytearray, headers: object, key: int, values: list[int]) -> bool:
    if SLOT["dl_type"].get(key) != 0x0800:
        return False
    src, dst, tos, ttl = values
    edit.set_ipv4(packet, parse(packet), src.to_bytes(4, "big"), dst.to_bytes(4, "big"), tos, ttl)
    return True


def _rewrite_ipv6(packet: bytearray, headers: object, key: int, values: list[int]) -> bool:
    if SLOT["dl_type"].get(key) != 0x86DD:
        return False
    src, dst, label = values
    edit.set_ipv6(
        packet, parse(packet), src.to_bytes(16, "big"), dst.to_bytes(16, "big"), None, label
    )
    return True


def _rewrite_ports(packet: bytearray, headers: object, key: int, values: list[int]) -> bool:
    if SLOT["nw_proto"].get(key) not in (6, 17) or SLOT["nw_frag"].get(key) == 3:
        return False
    if SLOT["dl_type"].get(key) not in (0x0800, 0x86DD):
        return False
    edit.set_ports(packet, parse(packet), *values)
    return True


REWRITES = [
    (("nw_src", "nw_dst", "nw_tos", "nw_ttl"), _rewrite_ipv4),
    (("ipv6_src", "ipv6_dst", "ipv6_label"), _rewrite_ipv6),
    (("tp_src", "tp_dst"), _rewrite_ports),
]


@given(keys(), st.integers(0, 0xFFFF))
@settings(max_examples=300, deadline=None)
def test_pushed_tag_is_in_the_key_and_popping_it_restores_the_packet(key: int, tci: int) -> None:
    packet = bytearray(compose_packet(key))
    headers = parse(packet)
    before = bytes(packet)
    edit.push_vlan(packet, headers, 0x8100, tci)
    assert SLOT["vlan_tci"].get(extract_key(bytes(packet))) == tci | 0x1000
    offsets = {name: getattr(parse(packet), name) for name in headers.__slots__}
    assert {name: getattr(headers, name) for name in headers.__slots__} == offsets
    edit.pop_vlan(packet, headers)
    assert bytes(packet) == before


@given(keys(), u32, u16)
@settings(max_examples=300, deadline=None)
def test_data_path_text_of_a_packets_flow_is_read_back(key: int, recirc_id: int, zone: int) -> None:
    key |= make_key(in_port=3, recirc_id=recirc_id, ct_zone=zone)
    # The data path's ct_state has eight bits.
    mask = mask_for_packet(key) & ~(SLOT["ct_state"].mask & ~(0xFF << SLOT["ct_state"].shift))
    text = format_odp_flow(key, mask)
    found, found_mask = parse_odp_flow(text)
    assert format_odp_flow(found, found_mask) == text
    shown = found_mask & mask
    assert found & shown == key & shown
    assert format_odp_flow(key, KEY_MASK)  # no mask is too wide to print


@given(keys())
@settings(max_examples=200, deadline=None)
def test_every_packets_flow_prints(key: int) -> None:
    assert "<error>" not in format_flow(key)


def test_segments_carry_all_bytes_in_order() -> None:
    rng = random.Random(5)
    for _ in range(50):
        key = make_key(dl_type=rng.choice((0x0800, 0x86DD)), nw_proto=6, tcp_flags=0x18)
        payload = rng.randbytes(rng.randrange(1, 9000))
        size = rng.randrange(100, 1500)
        packets = segment_gso(compose_packet(key, None, payload), size)
        start = parse(packets[0]).l4 + 20
        assert b"".join(packet[start:] for packet in packets) == payload
        assert all(fill_checksums(packet) == packet for packet in packets)
        assert all(len(packet) <= start + size for packet in packets)
