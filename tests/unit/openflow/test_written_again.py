"""What was written once is written by a recipe, and must come out the same."""

from __future__ import annotations

import random

import pytest

from netloom.flow.fields import FIELD, FIELDS, PREREQUISITES, SLOT, Field
from netloom.flow.match import MATCH_ALL, Match
from netloom.openflow.oxm import OxmTable

VLAN_TCI, DL_TYPE = SLOT["vlan_tci"], SLOT["dl_type"]
MATCHES = {
    "a port": MATCH_ALL.with_field(FIELD["in_port_oxm"], 3),
    "no port": MATCH_ALL.with_field(FIELD["in_port_oxm"], 0xFFFFFFFF),
    "a VLAN": Match(VLAN_TCI.put(0, 0x1007), 0x1FFF << VLAN_TCI.shift),
    "any VLAN": Match(VLAN_TCI.put(0, 0x1000), 0x1000 << VLAN_TCI.shift),
    "a priority": Match(VLAN_TCI.put(0, 0xB007), VLAN_TCI.mask),
    "IPv4": Match(DL_TYPE.put(0, 0x0800), DL_TYPE.mask),
}


@pytest.mark.parametrize("version", range(1, 7))
@pytest.mark.parametrize("name", MATCHES)
def test_a_match_is_written_the_same_again(version: int, name: str) -> None:
    table, match = OxmTable(version), MATCHES[name]
    first = table.encode(match)
    assert [table.encode(match) for _ in range(3)] == [first] * 3
    assert OxmTable(version).encode(match) == first


def some_matches(rng: random.Random, field: Field) -> tuple[Match, Match]:
    """Two matches of a field, and of what it needs, with the same mask and other values."""
    needed = MATCH_ALL
    for slot_name, value, mask in next(iter(PREREQUISITES[field.prerequisite]), ()):
        slot = SLOT[slot_name]
        needed = Match(slot.put(needed.value, value), needed.mask | mask << slot.shift)
    mask = (
        rng.choice((field.ones, rng.getrandbits(field.bits), 1)) if field.maskable else field.ones
    )
    first, second = rng.getrandbits(field.bits) & mask, rng.getrandbits(field.bits) & mask
    return needed.with_field(field, first, mask), needed.with_field(field, second, mask)


@pytest.mark.parametrize("version", range(1, 7))
def test_another_match_with_the_same_mask_is_written_as_if_it_were_the_first(version: int) -> None:
    rng = random.Random(version)
    fields = [field for field in FIELDS if field.codes and not field.dynamic]
    table, slow = OxmTable(version), OxmTable(version)
    for field in fields * 4:
        first, second = some_matches(rng, field)
        for match in (first, second, first):
            slow._recipes.clear()
            slow._recent = None
            assert table.encode(match) == slow.encode(match), (field.name, match)
        recipe = table.recipe(second)
        if recipe is not None:
            entries = recipe.write(second.value)
            framed = (4 + len(entries)).to_bytes(2, "big") + entries
            assert recipe.framed.write(second.value).strip(b"\0") == b"\1" + framed.rstrip(b"\0")
            assert recipe.padded.write(second.value) == entries + bytes(-len(entries) % 8)
            assert recipe.framed.size % 8 == 0
