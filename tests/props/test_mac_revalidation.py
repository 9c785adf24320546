"""After a change of MAC tables only the flows that asked are made again, and all are right."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[1] / "trace"))
from small_switch import SmallSwitch

from netloom.flow.fields import SLOT
from netloom.flow.text import parse_flow
from netloom.ofproto import revalidate
from netloom.ofproto.translate import translate
from netloom.ofproto.translate.finish import datapath_mask
from netloom.ofproto.upcall import IN_PORT

MACS = [f"00:00:00:00:00:{n:02x}" for n in range(1, 9)]
CHANGES = st.lists(
    st.tuples(st.sampled_from(["p1", "p2", "p3"]), st.sampled_from(MACS), st.booleans()), max_size=6
)


def stand() -> SmallSwitch:
    switch = SmallSwitch()
    bridge = switch.add_bridge("br0")
    for number in (1, 2, 3):
        switch.add_port("br0", f"p{number}", number, {})
    switch.add_flow("br0", "priority=0 actions=NORMAL")
    for number, mac in enumerate(MACS):
        key = parse_flow(f"in_port={number % 3 + 1},dl_src={MACS[number - 1]},dl_dst={mac}")
        port = bridge.ports_by_number[number % 3 + 1]
        result = translate(bridge, key, 0, side_effects=False)
        key = IN_PORT.put(key, port.dp_port)
        switch.backer.revalidator.install(key, datapath_mask(result.mask), result, 0)
    switch.backer.settle(0)
    return switch


@settings(max_examples=40, deadline=None)
@given(CHANGES)
def test_flows_are_right_after_any_changes(changes: list[tuple[str, str, bool]]) -> None:
    switch = stand()
    bridge = switch.backer.bridges["br0"]
    for port, mac, add in changes:
        if add:
            switch.control("fdb/add", "br0", port, "0", mac)
        else:
            bridge.macs.remove(int(mac.replace(":", ""), 16), 0)
    switch.backer.settle(0)
    dumped = list(switch.dpif.flow_dump())
    assert len(dumped) == len(MACS)
    for flow in dumped:
        number = switch.backer.ports[IN_PORT.get(flow.key)].number
        key = SLOT["in_port"].put(flow.key, number)
        assert flow.actions == translate(bridge, key, 0, side_effects=False).flow_actions


def test_only_flows_that_asked_are_translated_again(monkeypatch: pytest.MonkeyPatch) -> None:
    switch = stand()
    asked: list[int] = []

    def counting(bridge: object, key: int, now_ms: int, **options: bool) -> object:
        asked.append(SLOT["dl_dst"].get(key))
        return translate(bridge, key, now_ms, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(revalidate, "translate", counting)
    switch.control("fdb/add", "br0", "p2", "0", MACS[3])
    switch.backer.settle(0)
    assert asked == [4]


def test_flow_that_learned_an_address_itself_is_not_translated_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    switch = stand()
    key = parse_flow(f"in_port=1,dl_src=00:00:00:00:00:77,dl_dst={MACS[3]}")
    port = switch.backer.bridges["br0"].ports_by_number[1]
    result = translate(port.bridge, key, 0)
    key = IN_PORT.put(key, port.dp_port)
    switch.backer.revalidator.install(key, datapath_mask(result.mask), result, 0)
    asked: list[int] = []
    monkeypatch.setattr(revalidate, "translate", lambda *args, **options: asked.append(args[1]))
    switch.backer.settle(0)
    assert asked == []


def test_flow_that_was_taken_out_of_the_data_path_is_forgotten_by_the_next_sweep() -> None:
    switch = stand()
    gone = next(switch.dpif.flow_dump())
    switch.dpif.flow_del(gone.key & gone.mask, gone.mask)
    assert switch.backer.revalidator.n_flows == len(MACS)
    switch.backer.revalidator.sweep(500)
    assert switch.backer.revalidator.n_flows == len(MACS) - 1
