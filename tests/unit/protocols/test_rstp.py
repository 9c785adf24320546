"""Bridges that speak RSTP over wires in memory: the tree that they find, and how soon."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.trees import assert_tree, draw_links

from netloom.protocols import rstp_values as v
from netloom.protocols.rstp import Rstp, RstpPort, times_fit

End = tuple[int, int]


class Network:
    """Bridges by number; wires join (bridge, port) with (bridge, port)."""

    def __init__(self, links: list[tuple[int, int]], n_bridges: int, **config: int) -> None:
        self.bridges = [Rstp(f"br{n}", v.RstpSettings(address=n, **config))
                        for n in range(n_bridges)]  # fmt: skip
        self.ports: dict[End, RstpPort] = {}
        self.wires: dict[End, End] = {}
        self.flushed: list[str] = []
        used = [itertools.count(1) for _ in range(n_bridges)]
        for one, other in links:
            ends = (one, next(used[one])), (other, next(used[other]))
            self.wires[ends[0]], self.wires[ends[1]] = ends[1], ends[0]
            for bridge, number in ends:
                self.add_port(bridge, number)
        self.deliver()

    def add_port(self, bridge: int, number: int, **config: bool) -> RstpPort:
        port = self.ports[bridge, number] = self.bridges[bridge].add_port(f"p{bridge}{number}")
        wish = v.RstpPortSettings(number=number, **config)  # type: ignore[arg-type]
        self.bridges[bridge].change_port(port, wish, 2_000)
        self.bridges[bridge].set_link(port, True)
        return port

    def deliver(self) -> None:
        while any(bridge.packets for bridge in self.bridges):
            for number, bridge in enumerate(self.bridges):
                packets, bridge.packets = bridge.packets, []
                for port, payload in packets:
                    end = self.wires.get((number, port.number))
                    if end is not None:
                        self.bridges[end[0]].receive(self.ports[end], payload)
        for bridge in self.bridges:
            self.flushed += [port.name for port in bridge.take_flushes()]

    def run(self, seconds: int) -> None:
        for _ in range(seconds):
            for bridge in self.bridges:
                bridge.tick()
            self.deliver()

    def cut(self, end: End) -> None:
        """A wire is cut, and both ends notice."""
        for bridge, number in (end, self.wires[end]):
            self.bridges[bridge].set_link(self.ports[bridge, number], False)
        other = self.wires.pop(end)
        del self.wires[other]
        self.deliver()

    def forwarding(self) -> list[tuple[int, int]]:
        """Wires both of whose ends forward, by bridges."""
        return [
            (one[0], other[0])
            for one, other in self.wires.items()
            if one < other and all(self.ports[end].state == v.FORWARDING for end in (one, other))
        ]

    def states(self, bridge: int) -> list[str]:
        return [f"{port.role} {port.state}" for (owner, _), port in sorted(self.ports.items())
                if owner == bridge]  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_what_forwards_is_a_tree_that_reaches_everybody(data: st.DataObject) -> None:
    n_bridges, links = draw_links(data)
    network = Network(links, n_bridges)
    for cut in data.draw(st.lists(st.sampled_from(sorted(network.wires) or [(0, 0)]), max_size=2)):
        network.run(3)
        if cut in network.wires:
            network.cut(cut)
    network.run(40)
    left = [(one[0], other[0]) for one, other in network.wires.items() if one < other]
    assert_tree(n_bridges, left, network.forwarding())


def test_neighbours_agree_and_forward_before_a_second_has_passed() -> None:
    network = Network([(0, 1)], 2)
    assert network.states(0) == ["Designated Forwarding"]
    assert network.states(1) == ["Root Forwarding"]


def test_an_alternate_port_takes_over_at_once_and_addresses_move_with_it() -> None:
    network = Network([(0, 1), (0, 2), (1, 2)], 3)
    network.run(10)
    assert network.states(2) == ["Root Forwarding", "Alternate Discarding"]
    network.bridges[2].root_move = None
    network.cut((0, 2))
    assert network.states(2) == ["Disabled Discarding", "Root Forwarding"]
    move = network.bridges[2].root_move
    assert move is not None
    assert [port.name for port in move] == ["p21", "p22"]


def test_a_root_that_falls_silent_is_forgotten_after_three_hellos() -> None:
    network = Network([(0, 1), (1, 2)], 3)
    network.run(5)
    network.wires.clear()
    network.run(5)
    assert not network.bridges[1].is_root
    network.run(2)
    assert network.bridges[1].is_root
    assert network.bridges[2].is_root


def test_a_port_where_nobody_answers_forwards_after_three_seconds() -> None:
    network = Network([], 1)
    port = network.add_port(0, 1)
    states = []
    for _ in range(4):
        states.append((port.state, port.oper_edge))
        network.run(1)
    assert states == [(v.DISCARDING, False)] * 3 + [(v.FORWARDING, True)]


def test_without_auto_edge_it_takes_two_delays() -> None:
    network = Network([], 1)
    port = network.add_port(0, 1, auto_edge=False)
    seconds = {}
    for second in range(40):
        seconds.setdefault(port.state, second)
        network.run(1)
    assert seconds == {v.DISCARDING: 0, v.LEARNING: 20, v.FORWARDING: 22}


def test_a_neighbour_with_stp_gets_stp() -> None:
    network = Network([(0, 1)], 2)
    network.run(4)
    stp = v.Bpdu(v.CONFIG_KIND, 0, v.Vector(9 << 60, 0, 9 << 60, 0x8001), v.Times(15, 2, 20, 0))
    port = network.ports[0, 1]
    network.bridges[0].receive(port, stp.encode())
    network.bridges[0].packets.clear()
    for _ in range(3):
        network.bridges[0].tick()
    kinds = {payload[3] for _, payload in network.bridges[0].packets}
    assert kinds == {v.CONFIG_KIND}
    assert not port.sends_rstp


def test_a_bridge_that_is_to_speak_stp_sends_no_other_bpdus() -> None:
    bridge = Rstp("br0", v.RstpSettings(address=1, force_version=0))
    port = bridge.add_port("p1")
    bridge.change_port(port, v.RstpPortSettings(), 2_000)
    bridge.set_link(port, True)
    for _ in range(10):
        bridge.tick()
    assert {payload[2:4] for _, payload in bridge.packets} == {b"\0\0"}


def test_no_more_bpdus_than_the_hold_count_are_sent_in_a_second() -> None:
    bridge = Rstp("br0", v.RstpSettings(address=1, hold_count=2))
    port = bridge.add_port("p1")
    bridge.change_port(port, v.RstpPortSettings(), 2_000)
    bridge.set_link(port, True)
    for cost in range(5):
        heard = v.Vector(5, cost, 5, 0x8001)
        bpdu = v.Bpdu(v.RST_KIND, v.PROPOSAL | 3 << 2, heard, v.Times(15, 2, 20, 0))
        bridge.receive(port, bpdu.encode())
    assert len(bridge.packets) == 2


def test_a_change_of_topology_flushes_the_other_ports() -> None:
    network = Network([(0, 1), (1, 2), (0, 2), (2, 3)], 4)
    network.run(10)
    network.flushed.clear()
    network.cut((0, 2))
    network.run(3)
    assert {"p11", "p23"} <= set(network.flushed)


def test_the_first_free_number_is_given() -> None:
    bridge = Rstp("br0", v.RstpSettings())
    ports = [bridge.add_port(f"p{n}") for n in range(4)]
    assert [port.number for port in ports] == [1, 2, 3, 4]
    bridge.change_port(ports[0], v.RstpPortSettings(number=9), 10)
    bridge.change_port(ports[1], v.RstpPortSettings(number=9), 10)
    assert [port.number for port in ports] == [9, 1, 3, 4]
    bridge.remove_port(ports[1])
    bridge.change_port(ports[3], v.RstpPortSettings(), 10)
    assert [port.number for port in ports] == [9, 1, 3, 1]


@pytest.mark.parametrize(("delay", "age", "fits"), [
    (15, 20, True), (4, 6, True), (4, 7, False), (30, 40, True), (31, 40, False), (15, 41, False),
])  # fmt: skip
def test_times_that_contradict_are_refused(delay: int, age: int, fits: bool) -> None:
    assert times_fit(delay, age) is fits
    bridge = Rstp("br0", v.RstpSettings())
    bridge.configure(v.RstpSettings(forward_delay_s=delay, max_age_s=age))
    if fits:
        assert bridge.own_times[:3] == (delay, v.HELLO_S, age)
    else:
        assert (bridge.own_times.forward_delay, bridge.own_times.max_age) != (delay, age)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_bpdu_or_none(data: bytes) -> None:
    found = v.decode_bpdu(data)
    bridge = Rstp("br0", v.RstpSettings())
    port = bridge.add_port("p1")
    bridge.set_link(port, True)
    bridge.receive(port, data)
    assert port.n_received + port.n_errors == 1
    if found is None:
        assert port.n_errors == 1


octet, word = st.integers(0, 255), st.integers(0, 2**64 - 1)


@given(word, st.integers(0, 2**32 - 1), word, st.integers(0, 0xFFFF), octet)
def test_a_bpdu_comes_back_from_its_bytes(
    root: int, cost: int, bridge: int, port: int, flags: int
) -> None:
    flags |= 4
    bpdu = v.Bpdu(v.RST_KIND, flags, v.Vector(root, cost, bridge, port), v.Times(15, 2, 20, 3))
    assert v.decode_bpdu(bpdu.encode()) == bpdu


def test_path_costs_of_table_17_3() -> None:
    assert [v.path_cost(mbps) for mbps in (10, 100, 1_000, 10_000, 100_000, 0)] == [
        2_000_000, 200_000, 20_000, 2_000, 200, 200_000,
    ]  # fmt: skip
    assert v.format_bridge_id(0x8005AA66AA660000) == "8.005.aa66aa660000"
