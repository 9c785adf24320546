"""What `trunc` cuts: the next packet that leaves, wherever that is; the same bytes on every data
path, and as in Open vSwitch's user space."""

from __future__ import annotations

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Dot1Q, Ether
from tests.support.dummy_backend import UserspaceBackend
from tests.support.kernel_backend import KernelBackend

from netloom.datapath.actions import (
    Clone,
    DpAction,
    DpActions,
    Output,
    Recirc,
    Trunc,
    TunnelPush,
)
from netloom.flow.odp_parse import parse_odp_flow
from netloom.packet import tunnel as t

PORTS = (1, 2, 3)
Backend = UserspaceBackend | KernelBackend
ETH = Ether(src="02:00:00:00:00:0a", dst="02:00:00:00:00:0b")
PACKET = bytes(ETH / IP(src="10.1.1.1", dst="10.1.1.2") / UDP(sport=1, dport=2) / (b"abcd" * 8))
TAGGED = bytes(ETH / Dot1Q(vlan=9) / IP() / UDP() / (b"abcd" * 7))
assert len(PACKET) == len(TAGGED) == 74
FLOW = "recirc_id({}),in_port(1),eth(),eth_type({})"

#: Actions; those of what is looked up again; lengths of what leaves by ports 2 and 3.
CASES = (
    ("trunc(20),recirc(1)", "2", [74], []),
    ("trunc(20),recirc(1)", "2,3", [74], [74]),
    ("trunc(20),recirc(1)", "trunc(30),2,3", [30], [74]),
    ("trunc(20),recirc(1),3", "2", [74], [20]),
    ("trunc(20),2,recirc(1)", "2,3", [20, 74], [74]),
    ("trunc(20),ct(zone=1),recirc(1)", "2,3", [74], [74]),
    ("trunc(20),clone(recirc(1)),3", "trunc(30),2,3", [30], [74, 74]),
    ("2,trunc(20),recirc(1)", "2,3", [74, 74], [74]),
    ("trunc(20),clone(2),3", "", [20], [74]),
    ("trunc(20),clone(push_vlan(vid=5,pcp=0),2),3", "", [24], [74]),
    ("trunc(20),push_vlan(vid=3,pcp=0),2,3", "", [24], [78]),
    ("trunc(200),push_vlan(vid=3,pcp=0),2,3", "", [78], [78]),
    ("trunc(20),push_vlan(vid=3,pcp=0),pop_vlan,2,3", "", [20], [74]),
    ("trunc(20),sample(sample=100.0%,actions(2)),3", "", [74], [20]),
    ("trunc(20),check_pkt_len(size=30,gt(2),le(3)),3", "", [], [20, 74]),
    ("trunc(40),check_pkt_len(size=30,gt(2),le(3)),3", "", [74], [40]),
    ("trunc(20),set(eth(src=00:00:00:00:00:01)),2,3", "", [20], [74]),
    ("trunc(20),ct_clear,2,3", "", [20], [74]),
    ("trunc(5),2,3", "", [14], [74]),
)  # fmt: skip


def lengths(backend: Backend, port: int) -> list[int]:
    return sorted(len(packet) for packet in backend.sent(port))


@pytest.mark.parametrize(("actions", "again", "to_2", "to_3"), CASES)
def test_a_cut_is_for_the_next_packet_that_leaves(
    backend: Backend, actions: str, again: str, to_2: list[int], to_3: list[int]
) -> None:
    backend.put(FLOW.format(0, "0x0800"), actions)
    backend.put(FLOW.format(1, "0x0800"), again)
    backend.inject(1, PACKET)
    backend.run()
    assert (lengths(backend, 2), lengths(backend, 3)) == (to_2, to_3)


def test_a_tag_that_is_taken_off_makes_the_piece_shorter(backend: Backend) -> None:
    backend.put(FLOW.format(0, "0x0800"), "trunc(40),pop_vlan,2,3")
    backend.inject(1, TAGGED)
    backend.run()
    assert (lengths(backend, 2), lengths(backend, 3)) == ([36], [70])


HEADER = bytes(
    Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    / IP(src="172.16.0.1", dst="172.16.0.2", proto=17, flags="DF", id=0)
) + t.build_udp(4789, False, t.build_vxlan(7))
PUSH = TunnelPush(4789, 100, 4, HEADER)


@pytest.mark.parametrize(
    ("actions", "to_2", "to_3"),
    [
        ((Trunc(60), PUSH, Output(2), Output(3)), [110], [110]),
        ((Trunc(60), Clone((PUSH, Output(2))), Output(3)), [110], [74]),
        ((Trunc(30), PUSH, Output(2)), [80], []),
        ((Clone((Trunc(60), PUSH, Output(2))), Output(3)), [110], [74]),
    ],
)
def test_what_goes_into_a_tunnel_is_cut_before(
    backend: Backend, actions: tuple[DpAction, ...], to_2: list[int], to_3: list[int]
) -> None:
    done: DpActions = actions
    backend.dpif.flow_put(*parse_odp_flow(FLOW.format(0, "0x0800")), done)
    backend.inject(1, PACKET)
    backend.run()
    assert (lengths(backend, 2), lengths(backend, 3)) == (to_2, to_3)
    for packet in backend.sent(2):
        length = int.from_bytes(packet[38:40], "big")
        assert length == len(packet) - 34


@pytest.mark.parametrize(
    "actions",
    [
        (Trunc(60), PUSH, Recirc(0)),
        (Trunc(60), Clone((PUSH, Recirc(0))), Output(3)),
    ],
)
def test_what_was_cut_can_come_in_again_where_its_tunnel_leaves(
    backend: Backend, actions: tuple[DpAction, ...]
) -> None:
    done: DpActions = actions
    backend.dpif.flow_put(*parse_odp_flow(FLOW.format(0, "0x0800")), done)
    below = parse_odp_flow("recirc_id(0),in_port(100),eth(),eth_type(0x0800),ipv4(proto=17)")
    backend.dpif.flow_put(*below, (Output(2),))
    backend.inject(1, PACKET)
    backend.run()
    assert lengths(backend, 2) == [110]
    assert lengths(backend, 3) == [len(PACKET)] * (Output(3) in actions)
    flow = backend.dpif.flow_get(*below)
    assert flow is not None and flow.stats.bytes == 110


def test_cuts_that_nothing_comes_of_stay_in_the_kernel(backend: Backend) -> None:
    backend.put(FLOW.format(0, "0x0800"), "trunc(20),ct(zone=1),recirc(1)")
    backend.put(FLOW.format(1, "0x0800"), "2")
    backend.inject(1, PACKET)
    backend.run()
    assert lengths(backend, 2) == [74]
    if isinstance(backend, KernelBackend):
        assert not backend.reasons()
