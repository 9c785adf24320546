"""What a controller is promised: after a barrier's reply, and after a bundle's commit, the data
path's caches obey; no packet sees half a bundle."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from netloom.flow.compose import compose_packet
from netloom.flow.text import parse_flow
from netloom.openflow import messages as m
from netloom.openflow import messages_bundles as b
from netloom.openflow.codec import encode_message
from netloom.openflow.connection import Connection, Received
from netloom.openflow.flow_text import parse_flow_mod
from netloom.openflow.protocol import P_OF14

sys.path.insert(0, str(Path(__file__).parents[2] / "trace"))
from small_switch import SmallSwitch

PACKET = compose_packet(parse_flow("udp,dl_src=00:00:00:00:00:0a,dl_dst=00:00:00:00:00:0b"))
ATOMIC = b.OFPBF_ATOMIC | b.OFPBF_ORDERED
OPEN, COMMIT = 0, 4


class Controller:
    """Speaks OpenFlow 1.4 with a bridge of ports p1, p2 and p3; its requests are carried out as
    they are read or in the turn that follows."""

    def __init__(self, at_once: bool) -> None:
        self._at_once = at_once
        self.switch = SmallSwitch()
        self.bridge = self.switch.add_bridge("br0")
        for number in (1, 2, 3):
            self.switch.add_port("br0", f"p{number}", number, {})
        self._side = Connection("client", (5,))
        self._machine = Connection("unix", (1, 2, 3, 4, 5, 6))
        self.bridge.accept(self._machine, None)
        self.ask()

    def ask(self, *requests: m.Message) -> list[m.Message]:
        for request in requests:
            self._side.send(request)
        self._machine.receive_data(self._side.data_to_send())
        if self._at_once:
            self.bridge.serve(self._machine)
        else:
            self.bridge.connections.run(self.switch.clock.now_ms())
        self._side.receive_data(self._machine.data_to_send())
        replies = []
        while (event := self._side.next_event()) is not None:
            if isinstance(event, Received):
                replies.append(event.message)
        return replies

    def cached_outcome(self) -> list[str]:
        """Where the data path alone sends a packet: no upcall is answered."""
        self.switch.devices.find("p1").inject(PACKET)
        self.switch.dpif.run(self.switch.clock.now_ms())
        return self._sent()

    def outcome(self) -> list[str]:
        """Where a packet goes."""
        self.switch.devices.find("p1").inject(PACKET)
        for _ in range(3):
            self.switch.backer.run()
        return self._sent()

    def _sent(self) -> list[str]:
        names = [name for name in ("p1", "p2", "p3") if self.switch.devices.find(name).sent]
        for name in names:
            self.switch.devices.find(name).sent.clear()
        return names


def flow(text: str, command: int = m.OFPFC_ADD) -> m.FlowMod:
    return parse_flow_mod(text, command)[0]


@pytest.fixture(params=[False, True], ids=["in a turn", "at once"])
def controller(request: pytest.FixtureRequest) -> Controller:
    made = Controller(request.param)
    made.ask(flow("in_port=1 actions=2"))
    assert made.outcome() == ["p2"]
    # The second packet is of the cache.
    assert made.cached_outcome() == ["p2"]
    return made


@pytest.mark.parametrize(
    ("mod", "expected"),
    [
        (flow("in_port=1 actions=3"), ["p3"]),
        (flow("priority=40000,udp actions=3"), ["p3"]),
        (flow("actions=3", m.OFPFC_MODIFY), ["p3"]),
        (flow("in_port=1", m.OFPFC_DELETE), []),
    ],
)
def test_no_cached_flow_survives_a_barrier(
    controller: Controller, mod: m.FlowMod, expected: list[str]
) -> None:
    assert controller.ask(mod, m.BarrierRequest()) == [m.BarrierReply()]
    # What the cache does now is right, or it has nothing and asks.
    assert controller.cached_outcome() in (expected, [])
    assert controller.outcome() == expected or controller.outcome() == expected


def bundled(number: int, message: m.Message) -> b.BundleAdd:
    return b.BundleAdd(1, ATOMIC, encode_message(message, number, P_OF14))


def test_packets_see_all_of_a_bundle_or_nothing(controller: Controller) -> None:
    controller.ask(b.BundleControl(1, OPEN, ATOMIC))
    # Half of it would drop the packet, or send it to p2 and p3.
    for number, text in enumerate(("table=0,in_port=1 actions=resubmit(,1)", "table=1 actions=3")):
        # xids of what is inside must be those of the messages that carry it.
        controller._side._xids = type(controller._side._xids)(50 + number)
        assert controller.ask(bundled(50 + number, flow(text))) == []
        assert controller.outcome() == ["p2"]
    controller.ask(b.BundleControl(1, COMMIT, ATOMIC), m.BarrierRequest())
    assert controller.cached_outcome() in (["p3"], [])
    assert controller.outcome() == ["p3"]


def test_a_bundle_that_fails_leaves_packets_and_counters_alone(controller: Controller) -> None:
    before = [rule.id for rule in controller.bridge.tables.rules()]
    controller.ask(b.BundleControl(1, OPEN, ATOMIC))
    bad = flow("in_port=1,priority=5 actions=group:77")
    for number, mod in enumerate((flow("in_port=1 actions=3"), bad)):
        controller._side._xids = type(controller._side._xids)(50 + number)
        controller.ask(bundled(50 + number, mod))
    replies = controller.ask(b.BundleControl(1, COMMIT, ATOMIC))
    assert any(isinstance(reply, m.Error) for reply in replies)
    assert [rule.id for rule in controller.bridge.tables.rules()] == before
    assert controller.outcome() == ["p2"]
