"""Headers that are made anew for packets of tunnels which the host put together."""

from __future__ import annotations

import socket

from netloom.datapath.ebpf.reassembled import Told, _frame, _told
from netloom.datapath.userspace.tunnels import pop_tunnel
from netloom.flow.fields import SLOT
from netloom.flow.mapped import map_ipv4
from netloom.packet import tunnel as t

INNER = bytes.fromhex("02000000000b02000000000a88b5") + bytes(2_000)
MAC = "02:00:00:00:00:01"


def test_what_came_by_udp_is_a_whole_packet_of_its_tunnel() -> None:
    end = (map_ipv4(0xAC100001), 17, 4789)
    payload = t.build_vxlan(7) + INNER
    frame = _frame(end, (bytes((172, 16, 0, 2)), 50_000), payload, Told(3, 61, 0x28), MAC)
    assert frame[:14].hex() == "02000000000100000000000008" + "00"
    found = pop_tunnel(frame, "vxlan")
    assert found is not None
    inner, key = found
    assert inner == INNER
    told = {name: SLOT[name].get(key) for name in ("tun_ttl", "tun_tos", "tun_tp_src", "tun_id")}
    assert told == {"tun_ttl": 61, "tun_tos": 0x28, "tun_tp_src": 50_000, "tun_id": 7}
    assert SLOT["tun_src"].get(key) == 0xAC100002


def test_over_ipv6_it_has_the_checksum_that_it_needs() -> None:
    address = int.from_bytes(socket.inet_pton(socket.AF_INET6, "fd00::1"), "big")
    source = socket.inet_pton(socket.AF_INET6, "fd00::2")
    payload = t.build_geneve(7) + INNER
    frame = _frame((address, 17, 6081), (source, 50_001), payload, Told(3, 9, 0), MAC)
    found = pop_tunnel(frame, "geneve")
    assert found is not None and found[0] == INNER
    spoilt = frame[:-1] + bytes((frame[-1] ^ 1,))
    assert pop_tunnel(spoilt, "geneve") is None


def test_what_came_by_gre_has_no_ports() -> None:
    payload = t.build_gre(0x6558, key=9) + INNER
    end = (map_ipv4(0xAC100001), 47, 0)
    frame = _frame(end, (bytes((172, 16, 0, 2)), 0), payload, Told(3, 9, 0), MAC)
    found = pop_tunnel(frame, "gre")
    assert found is not None and found[0] == INNER


def test_what_the_kernel_tells_is_read_of_both_families() -> None:
    ipv4 = [
        (socket.IPPROTO_IP, 8, (5).to_bytes(4, "little") + bytes(8)),
        (socket.IPPROTO_IP, socket.IP_TTL, (33).to_bytes(4, "little")),
        (socket.IPPROTO_IP, socket.IP_TOS, b"\x04"),
    ]
    assert _told(ipv4) == Told(5, 33, 4)
    ipv6 = [
        (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, bytes(16) + (6).to_bytes(4, "little")),
        (socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT, (34).to_bytes(4, "little")),
        (socket.IPPROTO_IPV6, socket.IPV6_TCLASS, (5).to_bytes(4, "little")),
    ]
    assert _told(ipv6) == Told(6, 34, 5)
