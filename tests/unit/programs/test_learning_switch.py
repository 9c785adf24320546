"""What a controller of learning switches says of packets, where it is not what Open vSwitch says.

What they have in common is in tests/interop/test_testcontroller_peer.py."""

from __future__ import annotations

from netloom.flow import ports
from netloom.flow.fields import FIELD
from netloom.flow.match import Match
from netloom.openflow import messages as m
from netloom.openflow.actions import Enqueue, Output
from netloom.openflow.codec import encode_message
from netloom.openflow.connection import Connection, Received
from netloom.openflow.protocol import INITIAL
from netloom.programs.learning_switch import LearningSwitch, MuteConnection, Policy

A, B = "0200000000aa", "0200000000bb"


class Pair:
    """A controller and a switch, connected."""

    def __init__(self, policy: Policy, version: int = 4, mute: bool = False) -> None:
        self._near = Connection("near", (version,))
        self._machine = MuteConnection(self._near) if mute else self._near
        self._far = Connection("far", (version,))
        self._switch = LearningSwitch(self._near, policy, lambda: 0)
        self._exchange()

    def _exchange(self) -> list[m.Message]:
        said: list[m.Message] = []
        self._machine.receive_data(self._far.data_to_send())
        while (event := self._machine.next_event()) is not None:
            self._switch.take(event)
        self._far.receive_data(self._machine.data_to_send())
        while (event := self._far.next_event()) is not None:
            if isinstance(event, Received):
                said.append(event.message)
        return said

    def say(self, message: m.Message) -> list[m.Message]:
        """What the controller answers to a message of the switch."""
        self._far.send(message)
        return self._exchange()

    def packet(self, port: int, target: str, source: str) -> list[m.Message]:
        data = bytes.fromhex(f"{target}{source}88b5") + bytes(46)
        match = Match().with_field(FIELD["in_port_oxm"], port)
        return self.say(m.PacketIn(data, match, 0, len(data)))


def last_actions(said: list[m.Message]) -> object:
    """The actions of the packet that is sent on."""
    (out,) = [message for message in said if isinstance(message, m.PacketOut)]
    return out.actions


def test_normal_is_for_what_is_known_and_the_rest_is_flooded() -> None:
    pair = Pair(Policy(normal=True))
    pair.say(m.FeaturesReply(1))
    assert last_actions(pair.packet(1, B, A)) == (Output(ports.FLOOD),)
    said = pair.packet(2, A, B)
    assert last_actions(said) == (Output(ports.NORMAL),)
    assert isinstance(said[0], m.FlowMod)
    assert said[0].actions == (Output(ports.NORMAL),)


def test_queues_of_ports_work_where_ports_are_asked_for_apart() -> None:
    pair = Pair(Policy(port_queues=(("p1", 5),), max_idle_s=None))
    assert pair.say(m.FeaturesReply(1)) == [m.PortDescRequest()]
    listed = tuple(m.PhyPort(n, n, f"p{n}") for n in (1, 2))
    assert pair.say(m.PortDescReply(listed)) == []
    pair.packet(1, B, A)
    assert last_actions(pair.packet(2, A, B)) == (Output(1),)
    assert Enqueue(2, 5) in _with_queue(last_actions(pair.packet(1, B, A)))


def _with_queue(actions: object) -> list[object]:
    """Actions with what OpenFlow 1.1 and later write in two as one."""
    words = list(actions) if isinstance(actions, tuple) else []
    queues = [word.queue for word in words if hasattr(word, "queue")]
    outputs = [word.port for word in words if isinstance(word, Output)]
    return [*words, *(Enqueue(port, queue) for port in outputs for queue in queues)]


def test_packets_before_the_features_are_left_alone() -> None:
    pair = Pair(Policy())
    assert pair.packet(1, B, A) == []


def test_a_mute_controller_answers_not_even_probes() -> None:
    pair = Pair(Policy(), mute=True)
    assert pair.say(m.FeaturesReply(1)) == []
    assert pair.say(m.EchoRequest(b"?")) == []
    assert pair.packet(1, B, A) == []


def test_addresses_are_known_in_every_vlan() -> None:
    pair = Pair(Policy())
    pair.say(m.FeaturesReply(1))
    pair.packet(1, B, A)
    tagged = bytes.fromhex(f"{A}{B}8100000a88b5") + bytes(46)
    match = Match().with_field(FIELD["in_port_oxm"], 2)
    assert last_actions(pair.say(m.PacketIn(tagged, match, 0, 64))) == (Output(1),)


def test_hello_of_a_mute_controller_is_whole() -> None:
    connection = Connection("near", (1, 4))
    machine = MuteConnection(connection)
    assert machine.data_to_send()[1] == 0
    machine.receive_data(encode_message(m.Hello((4,)), 1, INITIAL[4]))
    assert machine.next_event() is None
    assert connection.version == 4
