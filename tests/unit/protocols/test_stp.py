"""Bridges that speak STP over wires in memory: the tree that they find."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.trees import assert_tree, draw_links

from netloom.protocols import stp

Wire = tuple[tuple[int, int], tuple[int, int]]


class Network:
    """Bridges by number; wires join (bridge, port) with (bridge, port)."""

    def __init__(self, links: list[tuple[int, int]], n_bridges: int) -> None:
        self.now_ms = 0
        self.bridges = [stp.Stp(f"br{n}", 0x8000 << 48 | n, 0) for n in range(n_bridges)]
        self.wires: dict[tuple[int, int], tuple[int, int]] = {}
        used = [itertools.count(1) for _ in range(n_bridges)]
        for one, other in links:
            ends = (one, next(used[one])), (other, next(used[other]))
            self.wires[ends[0]], self.wires[ends[1]] = ends[1], ends[0]
            for bridge, port in ends:
                self.bridges[bridge].add_port(port, 128, 19, 0)

    def run(self, ms: int) -> None:
        for _ in range(ms // 100):
            self.now_ms += 100
            for bridge in self.bridges:
                bridge.run(self.now_ms)
            while any(bridge.packets for bridge in self.bridges):
                for number, bridge in enumerate(self.bridges):
                    packets, bridge.packets = bridge.packets, []
                    for port, payload in packets:
                        if (number, port) in self.wires:
                            peer, peer_port = self.wires[number, port]
                            self.bridges[peer].receive(peer_port, payload, self.now_ms)

    def forwarding(self) -> list[tuple[int, int]]:
        """Wires both of whose ends forward, by bridges."""
        return [
            (one[0], other[0])
            for one, other in self.wires.items()
            if one < other
            and all(self.bridges[b].ports[p].state == stp.FORWARDING for b, p in (one, other))
        ]


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_what_forwards_is_a_tree_that_reaches_everybody(data: st.DataObject) -> None:
    n_bridges, links = draw_links(data)
    network = Network(links, n_bridges)
    network.run(60_000)
    assert_tree(n_bridges, links, network.forwarding())


def test_a_port_listens_and_learns_before_it_forwards() -> None:
    network = Network([(0, 1)], 2)
    port = network.bridges[0].ports[1]
    states = []
    for _ in range(4):
        states.append(port.state)
        network.run(10_000)
    assert states == [stp.LISTENING, stp.LISTENING, stp.LEARNING, stp.FORWARDING]


def test_the_lowest_bridge_id_becomes_root_and_its_loss_is_noticed() -> None:
    network = Network([(0, 1), (1, 2), (2, 0)], 3)
    network.run(60_000)
    assert [bridge.designated_root & 0xFF for bridge in network.bridges] == [0, 0, 0]
    # Nothing more comes from bridge 0.
    network.wires = {a: b for a, b in network.wires.items() if 0 not in (a[0], b[0])}
    network.run(90_000)
    assert [bridge.designated_root & 0xFF for bridge in network.bridges[1:]] == [1, 1]
    assert network.forwarding() == [(1, 2)]


def test_a_change_has_learned_addresses_flushed_everywhere() -> None:
    network = Network([(0, 1), (1, 2), (2, 3)], 4)
    network.run(60_000)
    for bridge in network.bridges:
        bridge.flush = False
    network.bridges[3].announce_change(network.now_ms)
    network.run(5_000)
    assert all(bridge.flush for bridge in network.bridges)
    network.run(60_000)
    assert not any(bridge.topology_change for bridge in network.bridges)


@pytest.mark.parametrize("payload", [b"", b"\0\0\0", b"\0\0\0\1", b"\0\0\0\0short", b"\1\0\0\x80"])
def test_what_is_no_bpdu_is_counted(payload: bytes) -> None:
    bridge = stp.Stp("br", 1, 0)
    port = bridge.add_port(1, 128, 19, 0)
    bridge.receive(1, payload, 0)
    assert (port.n_errors, port.n_received) == (1, 0)


@given(st.binary(max_size=60))
def test_no_payload_is_too_odd(payload: bytes) -> None:
    bridge = stp.Stp("br", 1, 0)
    bridge.add_port(1, 128, 19, 0)
    bridge.receive(1, payload, 0)
    bridge.run(100_000)
    assert bridge.ports[1].state in (stp.FORWARDING, stp.BLOCKING, stp.LISTENING, stp.LEARNING)


def test_settings_keep_within_their_limits() -> None:
    bridge = stp.Stp("br", 1, 0)
    bridge.configure(1, (100_000, 50_000, 1_000), 0)
    assert bridge.own_times_ms == (40_000, 10_000, 21_000)


def test_ports_that_wait_follow_a_new_forward_delay() -> None:
    bridge = stp.Stp("br", 1, 0)
    port = bridge.add_port(1, 128, 19, 0)
    assert port.state == stp.LISTENING
    bridge.configure(1, (6_000, 1_000, 4_000), 1_000)
    bridge.run(3_900)
    assert port.state == stp.LISTENING
    bridge.run(4_100)
    assert port.state == stp.LEARNING
