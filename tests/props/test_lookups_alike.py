"""What a lookup says of others like it is what these find themselves."""

from __future__ import annotations

import random

import pytest

from netloom.flow.fields import SLOT
from netloom.flow.text import parse_match
from netloom.ofproto.classifier import Absent, Classifier
from netloom.ofproto.rules import Rule
from netloom.ofproto.translate.walk_log import FREE_MASK

PARTS = {
    "in_port={}": (1, 2),
    "reg5={}": (1, 2),
    "dl_src=02:00:00:00:00:0{}": range(4),
    "dl_dst=02:00:00:00:00:0{}": range(4),
    "dl_dst=0{}:00:00:00:00:00/01:00:00:00:00:00": (0, 1),
    "udp,tp_src={}": (67, 68),
    "udp,tp_dst={}": (0, 67, 80),
    "udp,tp_dst={}/0xfff0": (0x40, 0x50),
    "ip,nw_src=10.0.0.{}": (1, 2),
}


def random_rule(rng: random.Random, number: int, with_prefixes: bool) -> Rule:
    shapes = [part for part in PARTS if with_prefixes or "nw_src" not in part]
    parts = [
        part.format(rng.choice(list(PARTS[part]))) for part in rng.sample(shapes, rng.randrange(4))
    ]
    # Of two parts of the same field the last counts.
    wanted = {part.split(",")[-1].partition("=")[0]: part for part in parts}
    match = parse_match(",".join(wanted.values()))
    return Rule(number, 0, match, rng.randrange(4), (), 0)


def random_key(rng: random.Random) -> int:
    key = 0
    for name, values in (
        ("in_port", (1, 2)), ("reg5", (1, 2)), ("dl_type", (0x800,)), ("nw_proto", (17,)),
        ("dl_src", [0x020000000000 + n for n in range(5)]),
        ("dl_dst", [0x020000000000 + n for n in range(5)] + [1 << 40]),
        ("tp_src", (67, 68, 9)), ("tp_dst", (0, 67, 0x48, 0x5F, 1_000)),
        ("nw_src", (0x0A000001, 0x0A000002, 5)),
    ):  # fmt: skip
        key = SLOT[name].put(key, rng.choice(list(values)))
    return key


@pytest.mark.parametrize("seed", range(20))
def test_who_lacks_the_same_and_has_the_same_values_finds_the_same(seed: int) -> None:
    rng = random.Random(seed)
    table: Classifier[Rule] = Classifier(("nw_src",))
    for number in range(rng.randrange(1, 25)):
        table.insert(random_rule(rng, number, with_prefixes=seed % 4 == 0))
    n_alike = 0
    for _ in range(40):
        key = random_key(rng)
        absent: list[Absent] = []
        found = table.lookup_alike(key, FREE_MASK, absent)
        if found is None:
            assert table.plain_mask() < 0
            continue
        rule, mask, values = found
        assert (rule, mask) == table.lookup(key)
        for _ in range(60):
            other = key & ~FREE_MASK | random_key(rng) & FREE_MASK
            if not (other ^ key) & values and all(
                other & upto not in keys for keys, upto in absent
            ):
                assert (rule, mask) == table.lookup(other)
                n_alike += 1
    assert n_alike or table.plain_mask() < 0


def test_an_address_that_a_table_lacks_need_not_be_the_same() -> None:
    table: Classifier[Rule] = Classifier(())
    for number, (match, priority) in enumerate((("dl_dst=02:00:00:00:00:01", 9), ("reg5=1", 1))):
        table.insert(Rule(number, 0, parse_match(match), priority, (), 0))
    address = SLOT["dl_dst"]
    key = SLOT["reg5"].put(address.put(0, 0x020000000002), 1)
    absent: list[Absent] = []
    found = table.lookup_alike(key, FREE_MASK, absent)
    assert found is not None
    rule, mask, values = found
    assert rule is not None and rule.priority == 1
    assert mask & address.mask and not values & address.mask
    ((keys, upto),) = absent
    assert upto == address.mask and address.put(0, 0x020000000001) in keys
