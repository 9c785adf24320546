"""A decision on a packet-out that is kept must be what a new one would be."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "trace"))
from small_switch import SmallSwitch

from netloom.base.record import replace
from netloom.flow.fields import FIELD
from netloom.flow.match import Match
from netloom.flow.ports import CONTROLLER, FLOOD, IN_PORT, NORMAL, TABLE
from netloom.ofproto.bridge import Ofproto
from netloom.ofproto.settings import MirrorSettings
from netloom.openflow import actions as a
from netloom.openflow import messages as m

PORTS = ("p1", "p2", "p3")
FRAME = bytes.fromhex("000000000002 000000000001 1234") + bytes(46)
TO_2 = (a.Output(2),)


class Bench:
    def __init__(self) -> None:
        self.switch = SmallSwitch()
        self.bridge: Ofproto = self.switch.add_bridge("br0")
        for number, name in enumerate(PORTS, 1):
            self.switch.add_port("br0", name, number, {})

    def send(self, actions: a.Actions, in_port: int = CONTROLLER, frame: bytes = FRAME) -> str:
        """The ports that a packet leaves through."""
        match = Match().with_field(FIELD["in_port_oxm"], in_port)
        message = m.PacketOut(frame, match, actions)
        self.bridge.packet_out(message, self.switch.clock.now_ms())
        self.switch.backer.run()
        left = []
        for name in PORTS:
            sent = self.switch.devices.find(name).sent
            left += [name] * len(sent)
            sent.clear()
        return " ".join(left)


def port_mod(bridge: Ofproto, name: str, config: int) -> None:
    (port,) = [port for port in bridge.phy_ports() if port.name == name]
    bridge.port_mod(m.PortMod(port.port_no, port.hw_addr, config, 0xFF))


@pytest.mark.parametrize("actions", [TO_2, (a.Output(2), a.Output(3)), (a.Output(IN_PORT),)])
def test_the_same_actions_do_the_same_again_and_from_another_port_what_they_do_there(
    actions: a.Actions,
) -> None:
    bench = Bench()
    for in_port in (1, 2, 1, 3, 2, CONTROLLER):
        kept = bench.send(actions, in_port), bench.send(actions, in_port, FRAME + b"x")
        fresh = Bench().send(actions, in_port)
        assert kept == (fresh, fresh)


def test_a_port_that_does_not_forward_any_more_is_not_sent_to() -> None:
    bench = Bench()
    assert [bench.send(TO_2) for _ in range(3)] == ["p2"] * 3
    port_mod(bench.bridge, "p2", m.OFPPC_NO_FWD)
    assert [bench.send(TO_2) for _ in range(2)] == [""] * 2
    port_mod(bench.bridge, "p2", 0)
    assert bench.send(TO_2) == "p2"
    bench.bridge.port_del("p2")
    assert bench.send(TO_2) == ""


def test_a_new_mirror_gets_its_copy() -> None:
    bench = Bench()
    assert [bench.send(TO_2) for _ in range(2)] == ["p2"] * 2
    settings = bench.bridge.settings
    targets = frozenset({"p2"})
    mirror = MirrorSettings("m", "m", sources=frozenset(), targets=targets, output_port="p3")
    bench.bridge.configure(replace(settings, mirrors=(mirror,)))
    assert [bench.send(TO_2) for _ in range(2)] == ["p2 p3"] * 2
    assert bench.bridge.mirror_stats("m") == (2, 2 * len(FRAME))


def test_what_tables_and_addresses_decide_is_decided_each_time() -> None:
    bench = Bench()
    table, normal = (a.Output(TABLE),), (a.Output(NORMAL),)
    assert [bench.send(table, 1) for _ in range(2)] == [""] * 2
    bench.switch.add_flow("br0", "in_port=1,actions=output:3")
    assert [bench.send(table, 1) for _ in range(2)] == ["p3"] * 2
    (rule,) = bench.bridge.tables.rules()
    assert rule.n_packets == 2
    assert [bench.send(normal, 1) for _ in range(2)] == ["p2 p3"] * 2
    back = FRAME[6:12] + FRAME[:6] + FRAME[12:]
    assert bench.send(normal, 2, back) == "p1"
    assert bench.send(normal, 1) == "p2"


def test_flooding_follows_the_ports_that_there_are() -> None:
    bench = Bench()
    flood = (a.Output(FLOOD),)
    assert [bench.send(flood, 1) for _ in range(2)] == ["p2 p3"] * 2
    port_mod(bench.bridge, "p3", m.OFPPC_NO_FLOOD)
    assert bench.send(flood, 1) == "p2"
