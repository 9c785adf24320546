"""A megaflow is sound: packets that agree with the translated one on its mask get its actions.

Random tables and packets, as in the comparison with Debian's switch; then bits that the mask leaves
open are flipped.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from netloom.base.errors import ConfigError
from netloom.datapath import actions as dp
from netloom.flow.fields import SLOT
from netloom.flow.key import PACKET_MASK
from netloom.flow.text import parse_flow
from netloom.ofproto.translate import translate
from netloom.ofproto.translate.finish import datapath_mask
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


def effects(actions: Iterable[Any], key: int) -> list[Any]:
    """What is done to a packet, without writes of what it has already: a translation may have
    looked at more bits of one packet than of another, and writes those as they are."""
    done: list[Any] = []
    changed = 0
    for action in actions:
        if isinstance(action, dp.Set):
            changed = changed & ~action.mask | (key ^ action.value) & action.mask
        else:
            done.append((changed, with_effects(action, key ^ changed)))
    return done


def with_effects(action: dp.DpAction, key: int) -> Any:
    """An action, with those inside it told by their effects."""
    match action:
        case dp.Clone(actions=inside) | dp.Sample(actions=inside):
            return type(action), effects(inside, key)
        case dp.CheckPktLen(max_len=length, if_greater=greater, if_less=fits):
            return length, effects(greater, key), effects(fits, key)
    return action


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_bits_outside_the_mask_do_not_matter(seed: int) -> None:
    rng = random.Random(seed)
    generator = Generator(rng)
    switch = switch_with(generator.flows())
    bridge = switch.backer.bridges["br0"]
    for _ in range(PACKETS):
        key = parse_flow(generator.packet())
        first = translate(bridge, key, 0, side_effects=False)
        free = READ & ~datapath_mask(first.mask)
        for _ in range(FLIPS):
            other = key ^ (rng.getrandbits(PACKET_MASK.bit_length()) & free)
            if rng.random() < 0.5:
                other = key ^ (1 << rng.randrange(PACKET_MASK.bit_length()) & free)
            again = translate(bridge, other, 0, side_effects=False)
            done = effects(again.actions, other)
            assert done == effects(first.actions, key), f"{key:x} {other:x} {first.mask:x}"
