"""After any change of rules every flow of the data path does what the tables say now, to each
packet that it matches, and credits the rules that these packets meet."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "trace"))
sys.path.insert(0, str(Path(__file__).parents[1] / "interop"))
sys.path.insert(0, str(Path(__file__).parent))
from random_flows import Generator
from small_switch import SmallSwitch
from test_shortcuts import data_path_key, misses, repeatable, switch_with

from netloom.base.errors import ConfigError
from netloom.flow.fields import SLOT
from netloom.ofproto.revalidate import InstalledFlow
from netloom.ofproto.settings import ControllerSettings
from netloom.ofproto.shared_credits import all_targets
from netloom.ofproto.translate import translate
from netloom.ofproto.translate.context import Credit
from netloom.ofproto.translate.finish import datapath_mask
from netloom.ofproto.upcall import origin
from netloom.openflow import messages as m
from netloom.openflow.connection import Connection
from netloom.openflow.errors import OpenFlowError
from netloom.openflow.flow_text import parse_flow_mod

CHANGES = 25
#: Actions behind which a packet is not what it was.
REWRITES = (
    "resubmit(,1)", "resubmit(,2)", "resubmit(,3)", "mod_nw_dst:10.0.0.9,resubmit(,1)",
    "move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],resubmit(,2)", "mod_vlan_vid:5,resubmit(,3)",
    "strip_vlan,resubmit(,1)", "dec_ttl,resubmit(,2)", "resubmit(3,2)", "NORMAL", "output:3",
    "mod_tp_dst:80,resubmit(,3)", "push:NXM_OF_ETH_DST[],pop:NXM_OF_ETH_SRC[],resubmit(,1)",
    "load:7->NXM_NX_REG1[],resubmit(,1)", "move:NXM_OF_IP_SRC[]->NXM_OF_IP_DST[],resubmit(,1)",
)  # fmt: skip


def rules_of(credits_: list[Credit]) -> list[int]:
    return sorted(getattr(target, "id", 0) for target in all_targets(credits_))


def fields_of(key: int) -> tuple[str, ...]:
    """Header fields that a packet of this key has."""
    dl_type, proto = SLOT["dl_type"].get(key), SLOT["nw_proto"].get(key)
    names: tuple[str, ...] = ("dl_src", "dl_dst")
    if dl_type == 0x0800:
        names += ("nw_src", "nw_dst", "nw_ttl", "nw_tos")
    elif dl_type == 0x86DD:
        names += ("ipv6_src", "ipv6_dst", "nw_ttl", "nw_tos")
    if dl_type in (0x0800, 0x86DD) and proto in (6, 17):
        names += ("tp_src", "tp_dst")
    return names


def packets_like(rng: random.Random, flow: InstalledFlow, others: list[int]) -> list[int]:
    """Keys that the flow matches: what it does not look at is another packet's."""
    keys = [flow.key]
    for _ in range(4):
        key, other = flow.key, rng.choice(others)
        for name in fields_of(key):
            mask = SLOT[name].mask & ~flow.mask
            key = key & ~mask | other & mask
        keys.append(key)
    return keys


def check(rng: random.Random, switch: SmallSwitch, others: list[int]) -> int:
    """How many flows there are; all must be right."""
    backer = switch.backer
    flows = list(backer.revalidator._flows.values())
    for flow in flows:
        for key in packets_like(rng, flow, others):
            found = origin(backer, key)
            assert found is not None
            result = translate(*found, switch.clock.now_ms(), side_effects=False)
            backer.recirculations.release(result.recirc_ids, switch.clock.now_ms())
            assert result.flow_actions == flow.actions
            assert rules_of(result.credits) == rules_of(flow.credits)
    return len(flows)


def change(rng: random.Random, switch: SmallSwitch, generator: Generator) -> None:
    """Add, change or delete a rule."""
    bridge = switch.backer.bridges["br0"]
    kind = rng.random()
    rules = [rule for rule in bridge.tables.rules() if rule.table_id < 5]
    if kind < 0.35 and rules:
        mod = m.FlowMod(m.OFPFC_DELETE_STRICT)
        rule = rng.choice(rules)
        mod.table_id, mod.match, mod.priority = rule.table_id, rule.match, rule.priority
        bridge.tables.apply(mod, switch.clock.now_ms())
        return
    for flow in rng.sample(generator.flows(), 3):
        if "conjunction" in flow or "conj_id" in flow or "ip_frag=later" in flow:
            continue
        match, _, _ = flow.partition(" actions=")
        rewritten = f"{match} actions={rng.choice(REWRITES)}"
        try:
            switch.add_flow("br0", rewritten if kind < 0.7 else repeatable(flow, rng))
        except (ConfigError, OpenFlowError):
            continue  # It lacks a prerequisite.
        return


@pytest.mark.parametrize("seed", range(12))
def test_flows_obey_each_change_of_rules(seed: int) -> None:
    rng = random.Random(seed)
    generator = Generator(rng)
    switch = switch_with(generator)
    for _ in range(12):
        change(rng, switch, generator)
    backer = switch.backer
    packets = [data_path_key(switch, generator.packet()) for _ in range(60)]
    most = n_kept = 0
    for _ in range(CHANGES):
        now_ms = switch.clock.now_ms()
        backer.settle(now_ms)
        for key in rng.sample(packets, 25):
            found = origin(backer, key)
            if found is not None:
                backer.follow_tables(now_ms)
                result = backer.shortcuts.find_again(key, now_ms)
                if result is None:
                    result = translate(*found, now_ms, side_effects=False)
                    result.mask = datapath_mask(result.mask)
                backer.revalidator.install(key, result.mask, result, now_ms)
        before = {id(flow): flow.stamp for flow in backer.revalidator._flows.values()}
        change(rng, switch, generator)
        switch.clock.advance(1)
        backer.settle(switch.clock.now_ms())
        n_kept += sum(
            before.get(id(flow)) == flow.stamp for flow in backer.revalidator._flows.values()
        )
        most = max(most, check(rng, switch, packets))
    assert most > 5
    assert n_kept > CHANGES


@pytest.mark.parametrize("seed", range(8))
def test_the_short_road_follows_changes_of_rules(seed: int) -> None:
    rng = random.Random(seed)
    generator = Generator(rng)
    switch = switch_with(generator)
    packets = [data_path_key(switch, generator.packet()) for _ in range(40)]
    n_short = 0
    for _ in range(250):
        if rng.random() < 0.1:
            change(rng, switch, generator)
        key, other = rng.choice(packets), rng.choice(packets)
        for name in fields_of(key):
            if rng.random() < 0.3:
                key = SLOT[name].put(key, SLOT[name].get(other))
        result, short = misses(switch, key)
        assert short is None or short == result
        n_short += short is not None
    assert n_short > 20


def test_a_change_elsewhere_leaves_flows_alone() -> None:
    switch = switch_with(Generator(random.Random(1)))
    switch.replace_flows("br0", "in_port=2,ip actions=output:1\nin_port=3,ip actions=output:1")
    backer = switch.backer
    key = data_path_key(switch, "in_port=2,tcp,nw_dst=10.0.0.1")
    found = origin(backer, key)
    assert found is not None
    backer.settle(0)
    result = translate(*found, 0)
    backer.revalidator.install(key, datapath_mask(result.mask), result, 0)
    (flow,) = backer.revalidator._flows.values()
    stamp = flow.stamp
    switch.add_flow("br0", "in_port=4,ip actions=output:3")
    switch.add_flow("br0", "table=4,in_port=2,ip actions=output:3")
    backer.settle(0)
    assert flow.stamp == stamp
    mod, _ = parse_flow_mod("in_port=2,ip actions=output:3", m.OFPFC_ADD)
    backer.bridges["br0"].tables.apply(mod, 0)
    backer.settle(0)
    assert flow.stamp != stamp and flow.actions != result.actions


def test_a_controller_that_wants_misses_gets_those_of_flows_that_there_are() -> None:
    switch = switch_with(Generator(random.Random(1)))
    bridge, backer = switch.backer.bridges["br0"], switch.backer
    switch.replace_flows("br0", "table=9 actions=drop")
    key = data_path_key(switch, "in_port=2,tcp,nw_dst=10.0.0.1")
    found = origin(backer, key)
    assert found is not None
    backer.settle(0)
    result = translate(*found, 0)
    backer.revalidator.install(key, datapath_mask(result.mask), result, 0)
    (flow,) = backer.revalidator._flows.values()
    assert flow.actions == ()
    machine, controller = Connection("switch", (1,)), Connection("controller", (1,))
    bridge.accept(machine, ControllerSettings("tcp:127.0.0.1:6653"))
    machine.receive_data(controller.data_to_send())
    backer.run()
    assert bridge.wants_packet_in_on_miss
    backer.settle(0)
    assert flow.actions
