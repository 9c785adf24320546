"""A megaflow is sound: packets that agree with the translated one on its mask get its actions.

Random tables and packets, as in the comparison with Debian's switch; then bits that the mask leaves
open are flipped.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

from netloom.base.errors import ConfigError
from netloom.datapath.actions import Clone, DpActions, Set
from netloom.flow.fields import SLOT
from netloom.flow.key import PACKET_MASK
from netloom.flow.text import parse_flow
from netloom.ofproto.translate import Translated, translate
from netloom.ofproto.upcall import datapath_mask
from netloom.openflow.errors import OpenFlowError

sys.path.insert(0, str(Path(__file__).parents[1] / "interop"))
sys.path.insert(0, str(Path(__file__).parents[1] / "trace"))
from random_flows import SETUP, Generator
from small_switch import SmallSwitch, small_switch_of
from trace_cases import TraceCase

ROUNDS = 25
PACKETS = 12
FLIPS = 12
#: What a data path reads of a packet: not the inner of two tags.
READ = PACKET_MASK & ~(SLOT["vlan1_tpid"].mask | SLOT["vlan1_tci"].mask)


def switch_with(flows: list[str]) -> SmallSwitch:
    switch = small_switch_of(TraceCase(f"=== setup\n{SETUP}"))
    switch.replace_flows("br1", "priority=0 actions=NORMAL")
    switch.replace_flows("br0", "")
    for flow in flows:
        try:
            switch.add_flow("br0", flow)
        except (ConfigError, OpenFlowError):
            continue
    return switch


def effects(actions: DpActions, key: int) -> list[object]:
    """What actions do to a packet of `key`. A `set` may name bits that the packet has already."""
    done: list[object] = []
    for action in actions:
        if isinstance(action, Set):
            key = key & ~action.mask | action.value & action.mask
            done.append(key)
        elif isinstance(action, Clone):
            done.append(effects(action.actions, key))
        else:
            done.append(action)
    return done


def left_open(result: Translated) -> int:
    """What of a packet may be flipped. Writing one part of a label writes all of it, which Open
    vSwitch's megaflows do not tell."""
    free = READ & ~datapath_mask(result.mask)
    if any(isinstance(action, Set) and action.header == "mpls" for action in result.actions):
        free &= ~SLOT["mpls_lse0"].mask
    return free


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_bits_outside_the_mask_do_not_matter(seed: int) -> None:
    rng = random.Random(seed)
    generator = Generator(rng)
    switch = switch_with(generator.flows())
    bridge = switch.backer.bridges["br0"]
    for _ in range(PACKETS):
        key = parse_flow(generator.packet())
        first = translate(bridge, key, 0, side_effects=False)
        free = left_open(first)
        for _ in range(FLIPS):
            other = key ^ (rng.getrandbits(PACKET_MASK.bit_length()) & free)
            if rng.random() < 0.5:
                other = key ^ (1 << rng.randrange(PACKET_MASK.bit_length()) & free)
            again = translate(bridge, other, 0, side_effects=False)
            assert effects(again.actions, other) == effects(first.actions, other), (
                f"{key:x} {other:x} {first.mask:x}"
            )
