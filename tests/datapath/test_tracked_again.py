"""Packets that are tracked more than once: in other zones, behind translations, behind new tags."""

from __future__ import annotations

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Packet
from tests.support.dummy_backend import UserspaceBackend
from tests.support.kernel_backend import KernelBackend

from netloom.datapath.action_parse import parse_actions
from netloom.datapath.dpif import Upcall
from netloom.flow.extract import extract_key
from netloom.flow.fields import SLOT
from netloom.flow.key import mask_of
from netloom.flow.odp_parse import parse_odp_flow

PORTS = (1, 2)
Backend = UserspaceBackend | KernelBackend
ETH = Ether(src="02:00:00:00:00:0a", dst="02:00:00:00:00:0b")
ASKS = ETH / IP(src="10.1.1.1", dst="10.1.1.2") / UDP(sport=1, dport=2) / b"some data"
ANSWERS = ETH / IP(src="10.1.1.2", dst="10.1.1.9") / UDP(sport=2, dport=1) / b"some data"
NEW, EST, RPL, INV, TRK, SNAT, DNAT = 1, 2, 8, 0x10, 0x20, 0x40, 0x80
COOKIE = "reason=1,dont_send=0,continuation=0,recirc_id=1,rule_cookie=0,controller_id=0,max_len=9"
IPV4 = "eth(),eth_type(0x0800),ipv4(frag=no)"


def put(backend: Backend, flow: str, actions: str) -> None:
    backend.dpif.flow_put(*parse_odp_flow(flow), parse_actions(actions))


def passes(backend: Backend, second: str) -> None:
    """All is translated in zone 1 first."""
    assert backend.dpif.conntrack is not None
    backend.dpif.conntrack.flush_zone(None)
    first = ("ct(commit,zone=1,nat(src=10.1.1.9))", "ct(zone=1,nat)")
    for port, actions in zip(PORTS, first, strict=True):
        put(backend, f"recirc_id(0),in_port({port}),{IPV4}", f"{actions},recirc(0x1)")
        put(backend, f"recirc_id(0x1),in_port({port}),{IPV4}", f"{second},recirc(0x2)")


def state_of(backend: Backend, port: int, packet: Packet) -> int:
    """What the second `ct` says."""
    backend.inject(port, bytes(packet))
    backend.run()
    (upcall,) = backend.dpif.recv_upcalls(10)
    assert SLOT["recirc_id"].get(upcall.key) == 2
    return SLOT["ct_state"].get(upcall.key)


def connections(backend: Backend, zone: int) -> list[str]:
    conntrack = backend.dpif.conntrack
    assert conntrack is not None
    return sorted(conntrack.dump(backend.clock.now_ms(), zone, False, False))


def test_what_was_said_in_another_zone_means_nothing(backend: Backend) -> None:
    passes(backend, "ct(commit,zone=2)")
    assert state_of(backend, 1, ASKS) == NEW | TRK
    assert connections(backend, 2) == [
        "udp,orig=(src=10.1.1.9,dst=10.1.1.2,sport=1,dport=2),"
        "reply=(src=10.1.1.2,dst=10.1.1.9,sport=2,dport=1),zone=2"
    ]
    # Its own connection there: nobody has answered in that zone.
    assert state_of(backend, 1, ASKS) == NEW | TRK
    assert state_of(backend, 2, ANSWERS) == NEW | TRK
    assert len(connections(backend, 2)) == 2
    assert len(connections(backend, 1)) == 1


def test_what_is_not_kept_in_another_zone_stays_new_there(backend: Backend) -> None:
    passes(backend, "ct(zone=2)")
    for port, packet in ((1, ASKS), (2, ANSWERS), (1, ASKS)):
        assert state_of(backend, port, packet) == NEW | TRK
    assert not connections(backend, 2)


def test_each_zone_translates_for_itself(backend: Backend) -> None:
    passes(backend, "ct(commit,zone=2,nat(src=10.1.1.8))")
    for _ in range(3):
        assert state_of(backend, 1, ASKS) == NEW | TRK | SNAT
    assert connections(backend, 2) == [
        "udp,orig=(src=10.1.1.9,dst=10.1.1.2,sport=1,dport=2),"
        "reply=(src=10.1.1.2,dst=10.1.1.8,sport=2,dport=1),zone=2"
    ]


@pytest.mark.parametrize("second", ["ct(zone=1)", "ct(commit,zone=1)", "ct(zone=1,nat)"])
def test_in_its_zone_a_translated_packet_keeps_its_connection(
    backend: Backend, second: str
) -> None:
    passes(backend, second)
    assert state_of(backend, 1, ASKS) == NEW | TRK | SNAT
    assert state_of(backend, 2, ANSWERS) == EST | RPL | TRK | DNAT
    assert state_of(backend, 1, ASKS) == EST | TRK | SNAT
    assert len(connections(backend, 1)) == 1


@pytest.mark.parametrize("proto", [UDP(sport=1, dport=2), ICMP(id=7)])
def test_with_other_addresses_a_packet_is_of_another_connection(
    backend: Backend, proto: Packet
) -> None:
    assert backend.dpif.conntrack is not None
    backend.dpif.conntrack.flush_zone(None)
    set_there = "set(ipv4(src=10.1.1.8,dst=10.1.1.9))"
    set_back = "set(ipv4(src=10.1.1.2,dst=10.1.1.1))"
    for port, set_ in zip(PORTS, (set_there, set_back), strict=True):
        put(backend, f"recirc_id(0),in_port({port}),{IPV4}",
            "ct(commit,zone=1,mark=0x5/0xffffffff),recirc(0x1)")  # fmt: skip
        put(backend, f"recirc_id(0x1),in_port({port}),{IPV4}",
            f"{set_},ct(commit,zone=1),recirc(0x2)")  # fmt: skip
    answer = proto.copy()
    if UDP in answer:
        answer.sport, answer.dport = answer.dport, answer.sport
    else:
        answer.type = 0
    there = ETH / IP(src="10.1.1.1", dst="10.1.1.2") / proto / b"some data"
    back = ETH / IP(src="10.1.1.9", dst="10.1.1.8") / answer / b"some data"
    assert state_of(backend, 1, there) == NEW | TRK
    ends = [line.split("reply")[0].split("dst=")[1][:8] for line in connections(backend, 1)]
    assert sorted(ends) == ["10.1.1.2", "10.1.1.9"]
    assert state_of(backend, 2, back) == EST | RPL | TRK
    assert state_of(backend, 1, there) == EST | TRK
    assert len(connections(backend, 1)) == 2
    # Only the first of the connections was marked by the first action, the second by the answer.
    assert all("mark=5" in line for line in connections(backend, 1))


def test_force_on_translated_packets_finds_them_by_their_answers(backend: Backend) -> None:
    passes(backend, "ct(force_commit,zone=1)")
    missed = backend.counters.counter("conntrack_lookup_natted_miss").total
    kept = connections(backend, 1)
    assert state_of(backend, 1, ASKS) & (NEW | INV) == NEW
    assert connections(backend, 1) != kept
    # Who answers begins anew.
    assert state_of(backend, 2, ANSWERS) & (NEW | INV) == NEW
    assert connections(backend, 1) == [
        "udp,orig=(src=10.1.1.2,dst=10.1.1.9,sport=2,dport=1),"
        "reply=(src=10.1.1.9,dst=10.1.1.2,sport=1,dport=2),zone=1"
    ]
    assert backend.counters.counter("conntrack_lookup_natted_miss").total == missed


def tracked_behind_tags(backend: Backend, packet: Packet, actions: str) -> Upcall:
    conntrack = backend.dpif.conntrack
    assert conntrack is not None
    conntrack.flush_zone(None)
    mask = mask_of("in_port") | mask_of("recirc_id") | mask_of("dl_type")
    backend.dpif.flow_put(extract_key(bytes(packet), 1), mask, parse_actions(actions))
    backend.inject(1, bytes(packet))
    backend.run()
    (upcall,) = backend.dpif.recv_upcalls(10)
    return upcall


@pytest.mark.parametrize("network", [
    IP(src="10.1.1.1", dst="10.1.1.2"), IPv6(src="fd00::1", dst="fd00::2"),
], ids=["ipv4", "ipv6"])  # fmt: skip
@pytest.mark.parametrize("tags", [0, 1])
def test_new_tags_hide_nothing_from_the_tracker(
    backend: Backend, tags: int, network: Packet
) -> None:
    """The key has one tag only, the packet two or three."""
    packet = ETH
    for layer in (*[Dot1Q(vlan=9)] * tags, network, UDP(sport=1, dport=2), b"some data"):
        packet = packet / layer
    pushes = "push_vlan(vid=5,pcp=0),push_vlan(vid=6,pcp=0)"
    for again in range(2):
        upcall = tracked_behind_tags(backend, packet, f"{pushes},ct(commit,zone=1),recirc(0x1)")
        assert SLOT["ct_state"].get(upcall.key) == NEW | TRK, again
        assert SLOT["dl_type"].get(upcall.key) == 0x8100
        assert not SLOT["vlan1_tci"].get(upcall.key)
        assert len(connections(backend, 1)) == 1


def test_a_packet_that_came_with_more_tags_than_are_read_is_invalid(backend: Backend) -> None:
    packet = ETH / Dot1Q(vlan=9) / Dot1Q(vlan=8) / IP() / UDP() / b"some data"
    upcall = tracked_behind_tags(backend, packet, "ct(zone=1),recirc(0x1)")
    assert SLOT["ct_state"].get(upcall.key) == INV | TRK
    upcall = tracked_behind_tags(backend, packet, "push_vlan(vid=5,pcp=0),ct(zone=1),recirc(0x1)")
    assert SLOT["ct_state"].get(upcall.key) == INV | TRK


@pytest.mark.parametrize("looks", ["hash(l4(0))", f"userspace(pid=0,controller({COOKIE}))"])
@pytest.mark.parametrize("tpid", [0x8100, 0x88A8])
def test_what_looks_at_a_packet_hides_nothing_of_it(
    backend: Backend, looks: str, tpid: int
) -> None:
    """A second tag, which the key has no room for, hides the headers from the key alone."""
    assert backend.dpif.conntrack is not None
    backend.dpif.conntrack.flush_zone(None)
    actions = f"push_vlan(tpid={tpid:#x},vid=5,pcp=0),{looks},set(ipv4(ttl=7)),2,ct(zone=4)"
    put(backend, f"recirc_id(0),in_port(1),{IPV4}", f"{actions},recirc(0x1)")
    asks = Ether(bytes(ETH / Dot1Q(vlan=9) / ASKS[IP]))
    backend.inject(1, bytes(asks))
    backend.run()
    (upcall,) = [up for up in backend.dpif.recv_upcalls(10) if SLOT["recirc_id"].get(up.key) == 1]
    assert SLOT["ct_state"].get(upcall.key) == NEW | TRK
    assert SLOT["dl_type"].get(upcall.key) == 0x8100
    (sent,) = backend.sent(2)
    assert sent[22 + 8] == 7


def test_a_label_goes_behind_tags_that_the_key_has_no_room_for(backend: Backend) -> None:
    label = "push_mpls(label=5,tc=0,ttl=64,bos=1,eth_type=0x8847)"
    put(backend, f"recirc_id(0),in_port(1),{IPV4}", f"push_vlan(vid=5,pcp=0),{label},2")
    backend.inject(1, bytes(ETH / Dot1Q(vlan=9) / ASKS[IP]))
    backend.run()
    (sent,) = backend.sent(2)
    assert sent[12:26].hex() == "810000058100000988470000" + "5140"
