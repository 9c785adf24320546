from __future__ import annotations

import pytest

from netloom.flow.compose import DEFAULT_PAYLOAD, compose_packet
from netloom.flow.extract import extract_key
from netloom.flow.fields import SLOT
from netloom.flow.text import parse_flow
from netloom.packet.offload import fill_checksums

IN_PORT = SLOT["in_port"].mask


def made(text: str, length: int | None = None) -> bytes:
    return compose_packet(parse_flow(text), length)


def test_tcp_packet_is_the_one_that_open_vswitch_makes() -> None:
    assert made("tcp,nw_src=1.2.3.4").hex() == (
        "000000000000000000000000080045000068000000000006b68b0102030400000000"
        "00000000000000000000000050000000c79b0000" + DEFAULT_PAYLOAD.hex()
    )


@pytest.mark.parametrize(
    "text",
    [
        "tcp,nw_src=1.2.3.4,nw_dst=5.6.7.8,tcp_src=80,tcp_dst=81,tcp_flags=syn|ack,nw_ttl=9",
        "udp,nw_src=1.2.3.4,nw_dst=5.6.7.8,udp_src=80,udp_dst=81,nw_tos=16,nw_ecn=1",
        "udp6,ipv6_src=::1,ipv6_dst=::2,ipv6_label=0x12345,udp_src=80,nw_ttl=9",
        "tcp6,ipv6_src=::1,ipv6_dst=::2,tcp_src=80,tcp_flags=fin,nw_tos=32",
        "sctp,nw_src=1.2.3.4,sctp_src=80,sctp_dst=90",
        "icmp,nw_src=1.2.3.4,icmp_type=8,icmp_code=0",
        "icmp,nw_src=1.2.3.4,icmp_type=3,icmp_code=1",
        "icmp6,ipv6_src=::1,icmpv6_type=128",
        "icmp6,ipv6_src=::1,icmpv6_type=135,icmpv6_code=0,nd_target=::5,nd_sll=1:2:3:4:5:6",
        "ip,nw_proto=99,nw_src=1.2.3.4,dl_src=1:2:3:4:5:6,dl_dst=7:8:9:a:b:c",
        "udp,nw_src=1.2.3.4,nw_frag=later",
        "udp,nw_src=1.2.3.4,nw_frag=first,udp_src=7",
        "arp,arp_op=1,arp_spa=1.2.3.4,arp_tpa=5.6.7.8,arp_sha=1:2:3:4:5:6",
        "mpls,mpls_label=5,mpls_tc=3,mpls_ttl=64,mpls_bos=1",
        "dl_type=0x1234,dl_vlan=5,dl_vlan_pcp=6",
        "tcp,dl_vlan=5,nw_src=1.2.3.4",
        "dl_type=0x894f,nsh_mdtype=1,nsh_np=3,nsh_spi=0x123,nsh_si=4,nsh_c1=5,nsh_ttl=63",
    ],
)
def test_made_packet_has_the_flow_that_was_asked_for(text: str) -> None:
    key = parse_flow(text) & ~IN_PORT
    if "nd_sll" in text:
        key |= 1 << SLOT["tcp_flags"].shift  # the type of the option that carries the address
    if "dl_vlan" in text:
        key |= 0x8100 << SLOT["vlan_tpid"].shift
    packet = made(text)
    assert extract_key(packet) == key
    if "sctp" not in text:
        assert fill_checksums(packet) == packet


def test_length_replaces_the_payload_with_zeros() -> None:
    packet = made("udp,nw_src=1.2.3.4", 200)
    assert len(packet) == 200
    assert packet[42:] == bytes(158)
    assert packet[16:18] == (186).to_bytes(2, "big")
    assert fill_checksums(packet) == packet


def test_length_cannot_cut_headers() -> None:
    assert len(made("tcp,nw_src=1.2.3.4", 20)) == 54


def test_frame_without_a_type_carries_its_length() -> None:
    assert made("dl_type=0x05ff")[12:] == b"\0\x0e"
    assert made("dl_type=0x05ff", 60)[12:14] == b"\0\x3c"


def test_packet_that_starts_at_layer_3_has_no_ethernet_header() -> None:
    assert made("packet_type=(1,0x800),nw_proto=99")[:1] == b"\x45"
