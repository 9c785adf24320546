"""A miss that is translated by what was done to others comes out as if it were translated anew."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "trace"))
sys.path.insert(0, str(Path(__file__).parents[1] / "interop"))
from random_flows import GROUPS, SETUP, Generator
from small_switch import SmallSwitch, small_switch_of
from trace_cases import TraceCase

from netloom.base.errors import ConfigError
from netloom.flow.fields import SLOT
from netloom.flow.text import parse_flow
from netloom.ofproto.shared_credits import all_targets
from netloom.ofproto.translate import translate
from netloom.ofproto.translate.context import Translated
from netloom.ofproto.translate.finish import datapath_mask
from netloom.ofproto.upcall import origin
from netloom.openflow.errors import OpenFlowError

PACKETS = 300
_IN_PORT = SLOT["in_port"]
VARIED = ("dl_src", "dl_dst", "nw_src", "nw_dst", "tp_src", "tp_dst", "ipv6_src", "nw_ttl")


#: What can be repeated, mostly; table 4 is empty.
ACTIONS = (
    "output:1", "output:3,output:4", "NORMAL", "drop", "FLOOD", "output:9", "IN_PORT", "ALL",
    "resubmit(,1)", "resubmit(,2)", "resubmit(,3),output:5", "resubmit(,4)", "resubmit(2,1)",
    "load:5->NXM_NX_REG0[],resubmit(,2)", "move:NXM_NX_REG0[]->NXM_NX_REG1[],NORMAL",
    "strip_vlan,NORMAL", "mod_vlan_vid:20,NORMAL,output:1", "ct_clear,resubmit(,3)",
    "set_field:10->metadata,NORMAL,NORMAL", "load:3->NXM_NX_REG1[],output:NXM_NX_REG1[]",
    "ct(table=2,zone=1)", "ct(commit,zone=NXM_NX_REG0[0..15]),NORMAL",
    "ct(commit,exec(set_field:1->ct_mark)),output:2", "mod_dl_src:00:00:00:00:00:09,output:1",
    "move:NXM_OF_ETH_SRC[0..15]->NXM_NX_REG1[0..15],resubmit(,2)", "CONTROLLER", "group:1",
)  # fmt: skip


def repeatable(flow: str, rng: random.Random) -> str:
    """`flow` with other actions."""
    match, _, _ = flow.partition(" actions=")
    return f"{match} actions={rng.choice(ACTIONS)}"


def switch_with(generator: Generator) -> SmallSwitch:
    switch = small_switch_of(TraceCase(f"=== setup\n{SETUP}"))
    switch.replace_groups("br0", GROUPS)
    switch.replace_flows("br1", "priority=0 actions=NORMAL")
    for flow in [*generator.flows(), *generator.flows()]:
        if "conjunction" not in flow and "conj_id" not in flow:
            flow = repeatable(flow, generator.rng)
        if "ip_frag=later" not in flow:
            try:
                switch.add_flow("br0", flow)
            except (ConfigError, OpenFlowError):
                continue  # It lacks a prerequisite.
    return switch


def data_path_key(switch: SmallSwitch, packet: str) -> int:
    """The key of a packet of the data path; its ports are those of OpenFlow until here."""
    key = parse_flow(packet)
    port = switch.backer.bridges["br0"].ports_by_number.get(_IN_PORT.get(key))
    number = port.dp_port if port is not None and port.dp_port >= 0 else 1
    return _IN_PORT.put(key, number)


def told(result: Translated, mask: int) -> object:
    """What is compared: of credits, whose they are."""
    credited = sorted(
        (type(target).__name__, getattr(target, "id", 0)) for target in all_targets(result.credits)
    )
    return result.actions, mask, result.mac_lookups, result.recirc_ids, credited


def misses(switch: SmallSwitch, key: int) -> tuple[object, object | None]:
    """What the long road and the short one make of a miss; the latter may not be known."""
    backer = switch.backer
    now_ms = switch.clock.now_ms()
    found = origin(backer, key)
    assert found is not None
    backer.follow_tables(now_ms)
    short = backer.shortcuts.find(key, now_ms, 60)
    is_wanted = backer.shortcuts.wants
    result = translate(*found, now_ms)
    mask = datapath_mask(result.mask)
    if short is None and is_wanted:
        backer.shortcuts.keep(*found, key, result, now_ms, mask)
    return told(result, mask), None if short is None else told(short, short.mask)


@pytest.mark.parametrize("seed", range(12))
def test_the_short_road_leads_to_the_same_result(seed: int) -> None:
    rng = random.Random(seed)
    generator = Generator(rng)
    switch = switch_with(generator)
    n_short = 0
    packets = [data_path_key(switch, generator.packet()) for _ in range(PACKETS // 4)]
    for _ in range(PACKETS):
        key = rng.choice(packets)
        other = rng.choice(packets)
        for name in VARIED:
            if rng.random() < 0.3:
                slot = SLOT[name]
                key = slot.put(key, slot.get(other))
        result, short = misses(switch, key)
        assert short is None or short == result
        n_short += short is not None
    assert n_short


def test_what_was_met_twice_takes_the_short_road() -> None:
    switch = small_switch_of(TraceCase(f"=== setup\n{SETUP}=== flows br0\nactions=NORMAL\n"))
    key = data_path_key(switch, "in_port=1,tcp,dl_src=00:00:00:00:00:51,tcp_dst=80")
    found = [misses(switch, key)[1] is not None for _ in range(4)]
    assert found == [False, False, True, True]


def test_a_changed_table_is_obeyed_by_the_next_miss() -> None:
    switch = small_switch_of(TraceCase(f"=== setup\n{SETUP}=== flows br0\nactions=output:1\n"))
    key = data_path_key(switch, "in_port=2,tcp,tcp_dst=80")
    for _ in range(4):
        before, short = misses(switch, key)
    assert short == before
    switch.add_flow("br0", "actions=output:3")
    after, short = misses(switch, key)
    assert short is None and after != before
