"""Requests are carried out as they are read; a turn follows at once where more may come of them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from netloom.flow import ports
from netloom.flow.compose import compose_packet
from netloom.flow.fields import FIELD
from netloom.flow.match import MATCH_ALL, Match
from netloom.flow.text import parse_flow
from netloom.ofproto.settings import ControllerSettings
from netloom.openflow import actions as a
from netloom.openflow import messages as m
from netloom.openflow.connection import Connection, Received
from netloom.openflow.flow_text import parse_flow_mod

sys.path.insert(0, str(Path(__file__).parents[2] / "trace"))
from small_switch import SmallSwitch

FRAME = compose_packet(parse_flow("udp,dl_src=00:00:00:00:00:0a,dl_dst=00:00:00:00:00:0b"))
FROM_CONTROLLER = Match().with_field(FIELD["in_port_oxm"], ports.CONTROLLER)
TO_CONTROLLER = (a.Output(ports.CONTROLLER, 0xFFFF),)


class Peer:
    """A controller of OpenFlow 1.4 that is past the greeting."""

    def __init__(self, world: World, target: str) -> None:
        self.world = world
        self.side = Connection("client", (5,))
        self.machine = Connection(target, (5,))
        world.bridge.accept(self.machine, ControllerSettings(target=target))
        self.ask(m.EchoRequest(b""), m.RoleRequest(m.OFPCR_ROLE_EQUAL))

    def ask(self, *requests: m.Message) -> bool:
        """Does the switch want a turn after these?"""
        for request in requests:
            self.side.send(request)
        self.machine.receive_data(self.side.data_to_send())
        return self.world.bridge.serve(self.machine)

    def heard(self) -> list[m.Message]:
        self.side.receive_data(self.machine.data_to_send())
        found = []
        while (event := self.side.next_event()) is not None:
            if isinstance(event, Received):
                found.append(event.message)
        return found


class World:
    """A bridge of three ports, its caches empty, and a controller."""

    def __init__(self) -> None:
        self.switch = SmallSwitch()
        self.bridge = self.switch.add_bridge("br0")
        for number in (1, 2, 3):
            self.switch.add_port("br0", f"p{number}", number, {})
        self.peer = Peer(self, "tcp:1")
        self.run()
        # Of ports, too.
        self.peer.heard()

    def run(self) -> None:
        for _ in range(3):
            self.switch.backer.run()

    def fill_cache(self) -> None:
        self.switch.devices.find("p1").inject(FRAME)
        self.run()
        assert self.switch.backer.revalidator.n_flows == 1


@pytest.fixture
def world() -> World:
    return World()


def flow(text: str) -> m.FlowMod:
    return parse_flow_mod(text, m.OFPFC_ADD)[0]


def packet_out(*actions: a.Action) -> m.PacketOut:
    return m.PacketOut(FRAME, FROM_CONTROLLER, actions)


def test_a_flow_mod_and_its_barrier_are_answered_and_done(world: World) -> None:
    assert not world.peer.ask(flow("in_port=1 actions=2"), m.BarrierRequest())
    assert world.peer.heard() == [m.BarrierReply()]


def test_a_flow_mod_alone_is_done_where_no_flow_is_cached(world: World) -> None:
    assert not world.peer.ask(flow("in_port=1 actions=2"))
    assert world.switch.backer.deadline() != world.switch.clock.now_ms()


def test_a_flow_mod_alone_has_cached_flows_looked_at_in_a_turn(world: World) -> None:
    world.fill_cache()
    assert world.peer.ask(flow("in_port=1 actions=2"))
    world.run()
    assert not world.peer.ask(flow("in_port=1 actions=3"), m.BarrierRequest())


def test_a_dump_is_answered_and_done(world: World) -> None:
    assert not world.peer.ask(m.FlowStatsRequest())
    assert isinstance(world.peer.heard()[0], m.FlowStatsReply)


def test_a_packet_out_to_the_controller_comes_back_at_once(world: World) -> None:
    assert not world.peer.ask(packet_out(*TO_CONTROLLER))
    (heard,) = world.peer.heard()
    assert isinstance(heard, m.PacketIn)
    assert heard.packet == FRAME


def test_a_turn_follows_a_packet_to_a_port(world: World) -> None:
    assert world.peer.ask(packet_out(a.Output(2)))
    assert world.switch.devices.find("p2").sent


def test_a_turn_brings_what_others_have_to_hear(world: World) -> None:
    other = Peer(world, "tcp:2")
    other.heard()
    assert not world.peer.ask(m.BarrierRequest())
    assert world.peer.ask(packet_out(*TO_CONTROLLER))
    assert isinstance(other.heard()[0], m.PacketIn)
    assert world.peer.ask(flow("in_port=1 send_flow_rem actions=2"), m.BarrierRequest()) is False
    world.peer.heard()
    assert world.peer.ask(m.FlowMod(m.OFPFC_DELETE, MATCH_ALL), m.BarrierRequest())
    assert isinstance(other.heard()[0], m.FlowRemoved)


def test_a_turn_follows_a_packet_for_a_controller_of_the_next_bridge(world: World) -> None:
    second = world.switch.add_bridge("br1")
    world.switch.add_port("br0", "a", 10, {}, peer="b")
    world.switch.add_port("br1", "b", 10, {}, peer="a")
    far = Connection("far", (5,))
    second.accept(far, ControllerSettings(target="tcp:3"))
    side = Connection("client", (5,))
    far.receive_data(side.data_to_send())
    assert second.serve(far)
    side.receive_data(far.data_to_send())
    side.send(flow("actions=controller"))
    far.receive_data(side.data_to_send())
    second.serve(far)
    world.run()
    assert world.peer.ask(packet_out(a.Output(10)))
    assert far.backlog()


@pytest.mark.parametrize(
    "request_", [m.SetConfig(miss_send_len=100), m.RoleRequest(m.OFPCR_ROLE_PRIMARY, 1)]
)
def test_a_turn_follows_what_changes_more_than_flows(world: World, request_: m.Message) -> None:
    assert world.peer.ask(request_)


def test_a_turn_follows_what_somebody_who_snoops_has_to_see(world: World) -> None:
    tap = Connection("snoop", (5,))
    world.peer.machine.taps.append(tap)
    assert world.peer.ask(m.BarrierRequest())


def test_a_turn_follows_the_first_request_that_shows_a_controller_at_work(world: World) -> None:
    late = Peer(world, "tcp:4")
    late.heard()
    world.bridge.connections.session_of(late.machine).admitted = False
    assert late.ask(m.BarrierRequest())
    assert not late.ask(m.BarrierRequest())


def test_a_turn_follows_for_somebody_who_is_unknown(world: World) -> None:
    assert world.bridge.serve(Connection("stranger", (5,)))
