"""Flows that packets add: how long they live, and what keeps them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from netloom.flow.compose import compose_packet
from netloom.flow.fields import FIELD
from netloom.flow.match import Match
from netloom.flow.text import parse_flow
from netloom.ofproto import learning
from netloom.ofproto.rules import Rule
from netloom.ofproto.tables import Tables
from netloom.openflow import actions as a
from netloom.openflow import messages as m
from netloom.openflow.flow_text import parse_flow_mod

sys.path.insert(0, str(Path(__file__).parents[2] / "trace"))
from small_switch import SmallSwitch

PACKET = "tcp,dl_src=00:00:00:00:00:0a,dl_dst=00:00:00:00:00:0b,nw_ttl=9"
LEARN = "learn(table=1,{}NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[])"


@pytest.fixture
def switch() -> SmallSwitch:
    switch = SmallSwitch()
    switch.add_bridge("br0")
    for number in (1, 2):
        switch.add_port("br0", f"p{number}", number, {})
    return switch


def send(switch: SmallSwitch, flow: str = PACKET, port: str = "p1") -> None:
    switch.devices.find(port).inject(compose_packet(parse_flow(flow)))
    for _ in range(3):
        switch.backer.run()


def learned(switch: SmallSwitch) -> list[Rule]:
    return [rule for rule in switch.backer.bridges["br0"].tables.rules() if rule.table_id == 1]


def pass_time(switch: SmallSwitch, seconds: int) -> None:
    for _ in range(2 * seconds):
        switch.clock.advance(500)
        switch.backer.run()


def test_a_packet_adds_a_flow_which_serves_the_answer(switch: SmallSwitch) -> None:
    switch.replace_flows("br0", f"actions={LEARN.format('')},resubmit(,1)")
    send(switch)
    assert [rule.table_id for rule in learned(switch)] == [1]
    answer = "tcp,dl_src=00:00:00:00:00:0b,dl_dst=00:00:00:00:00:0a"
    send(switch, answer, "p2")
    assert len(switch.devices.find("p1").sent) == 1


def test_packets_keep_a_learned_flow_from_its_hard_timeout(switch: SmallSwitch) -> None:
    switch.replace_flows("br0", f"actions={LEARN.format('hard_timeout=3,')}")
    for _ in range(4):
        send(switch)
        pass_time(switch, 2)
    assert len(learned(switch)) == 1
    pass_time(switch, 4)
    assert learned(switch) == []


def test_limit_stops_learning(switch: SmallSwitch) -> None:
    switch.replace_flows("br0", f"actions={LEARN.format('limit=2,cookie=5,')}")
    for number in range(1, 5):
        send(switch, f"dl_src=00:00:00:00:00:0{number},dl_dst=00:00:00:00:00:0b")
    assert len(learned(switch)) == 2


def test_room_under_the_limit_is_for_the_next_packet(switch: SmallSwitch) -> None:
    switch.replace_flows("br0", f"actions={LEARN.format('limit=1,cookie=5,')}")
    flows = [f"dl_src=00:00:00:00:00:0{number},dl_dst=00:00:00:00:00:0f" for number in (1, 2)]
    for flow in flows:
        send(switch, flow)
    mod, _ = parse_flow_mod("table=1", m.OFPFC_DELETE)
    tables = switch.backer.bridges["br0"].tables
    tables.apply(mod, switch.clock.now_ms())
    # The flows of the data path know of what is gone, and make room for the packets.
    pass_time(switch, 1)
    assert not learned(switch)
    send(switch, flows[1])
    send(switch, flows[0])
    assert [FIELD["dl_dst"].get(rule.match.value) for rule in learned(switch)] == [2]


def test_what_was_learned_later_stays_when_older_packets_are_counted() -> None:
    tables = Tables()

    def learn(port: int, used_ms: int, again: bool) -> tuple[a.Action, ...]:
        mod = m.FlowMod(m.OFPFC_ADD, Match(), 5, 1, (a.Output(port),), new_cookie=0)
        learning.learn(tables, mod, 0, 1_000, used_ms, again, lambda changes, now_ms: None)
        (rule,) = tables.rules()
        return rule.actions

    assert learn(1, 100, again=False) == (a.Output(1),)
    assert learn(2, 200, again=False) == (a.Output(2),)
    assert learn(1, 150, again=True) == (a.Output(2),)
    assert learn(1, 250, again=True) == (a.Output(1),)


def test_learned_flows_go_with_the_last_that_answers_for_them(switch: SmallSwitch) -> None:
    learn = LEARN.format("delete_learned,cookie=5,")
    switch.replace_flows("br0", f"in_port=1,actions={learn}\nin_port=2,actions={learn}")
    send(switch)
    tables = switch.backer.bridges["br0"].tables
    for port, left in ((1, 1), (2, 0)):
        mod, _ = parse_flow_mod(f"in_port={port}", m.OFPFC_DELETE)
        tables.apply(mod, switch.clock.now_ms())
        assert len(learned(switch)) == left


def test_other_actions_let_learned_flows_go_too(switch: SmallSwitch) -> None:
    learn = LEARN.format("delete_learned,cookie=5,")
    switch.replace_flows("br0", f"in_port=1,actions={learn}")
    send(switch)
    switch.add_flow("br0", "in_port=1,actions=output:2")
    assert learned(switch) == []


def test_the_end_of_a_connection_shortens_timeouts(switch: SmallSwitch) -> None:
    switch.replace_flows("br0", "idle_timeout=60,tcp,actions=fin_timeout(idle_timeout=2),output:2")
    send(switch)
    pass_time(switch, 5)
    (rule,) = switch.backer.bridges["br0"].tables.rules()
    assert rule.idle_timeout_s == 60
    send(switch, PACKET + ",tcp_flags=fin")
    pass_time(switch, 1)
    assert rule.idle_timeout_s == 2
    pass_time(switch, 3)
    assert switch.backer.bridges["br0"].tables.rules() == []


def test_a_learned_flow_that_was_deleted_comes_back_with_the_next_packet(
    switch: SmallSwitch,
) -> None:
    switch.replace_flows("br0", f"actions={LEARN.format('')}")
    send(switch)
    bridge = switch.backer.bridges["br0"]
    bridge.refresh_statistics()
    mod, _ = parse_flow_mod("table=1", m.OFPFC_DELETE)
    bridge.tables.apply(mod, switch.clock.now_ms())
    pass_time(switch, 2)
    assert learned(switch) == []
    send(switch)
    pass_time(switch, 1)
    assert len(learned(switch)) == 1
