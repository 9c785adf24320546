"""Every field of the table, by every code point: its matches survive the wire, its headers name
it."""

from __future__ import annotations

import random

import pytest
from tests.support.field_corpus import BEFORE

from netloom.flow.fields import FIELD, FIELDS, VLAN_CFI, Field
from netloom.flow.match import Match
from netloom.flow.text import parse_match
from netloom.openflow.oxm import (
    code_of,
    decode_field_header,
    encode_field_header,
    encode_field_value,
    oxm_table,
)

VERSIONS = (1, 2, 3, 4, 5, 6)
TRIES = 6
#: Fields that have fewer bits than their place.
NARROW = {"nsh_ttl": 0x3F, "nsh_mdtype": 1}
#: Forms of which not every number is a value: what is done to one.
LIMITS = {
    "frag": lambda value: value & 3,
    "port": lambda value: value & 0xFEFF,
    "port10": lambda value: value & 0xFEFF,
}
#: Options of tunnels have a place only where a TLV table maps them.
PLACED = [field for field in FIELDS if field.codes and not field.dynamic]


def matches_of(field: Field, seed: int) -> list[Match]:
    """What can be said of the field alone, with what it needs: exact values and masked ones."""
    chance = random.Random(seed)
    needed = parse_match(BEFORE[field.prerequisite].rstrip(","))
    if field.name in ("ct_tp_src", "ct_tp_dst"):
        needed = needed.with_field(FIELD["ct_nw_proto"], 6)
    found = []
    for _ in range(TRIES):
        value, mask = (chance.getrandbits(field.bits) & field.ones for _ in range(2))
        value = LIMITS.get(field.form, lambda any_value: any_value)(min(value, field.limit))
        if field.name == "vlan_tci":
            # OXM can say that there is a tag, its whole priority, and any bits of its VID.
            value, mask = value | VLAN_CFI, mask | VLAN_CFI | 7 << 13
        value &= NARROW.get(field.name, value)
        # MD types are 1 and 2.
        value += field.name == "nsh_mdtype"
        # A connection of no protocol is any.
        value |= field.name == "ct_nw_proto"
        found.append(needed.with_field(field, value))
        if field.maskable and field.form != "frag" and mask:
            found.append(needed.with_field(field, value & mask, mask))
    return found


@pytest.mark.parametrize("field", PLACED, ids=lambda field: str(field.name))
def test_matches_of_a_field_survive_the_wire_in_every_version(field: Field) -> None:
    matches = matches_of(field, field.id)
    for version in VERSIONS:
        table = oxm_table(version)
        for match in matches:
            data = table.encode(match)
            value, mask, _, _ = table.decode(data, 0, len(data))
            assert Match(value, mask) == match
            assert table.encode(Match(value, mask)) == data


@pytest.mark.parametrize("field", [field for field in FIELDS if field.codes], ids=lambda f: f.name)
@pytest.mark.parametrize("version", VERSIONS)
def test_the_header_of_a_field_names_it(field: Field, version: int) -> None:
    assert code_of(field, version) is not None
    for masked in {False, field.maskable}:
        data = encode_field_header(field, version, masked)
        assert decode_field_header(data, 0) == (field, masked, len(data))
        entry = encode_field_value(field, version, 1, 1 if masked else field.ones)
        assert decode_field_header(entry, 0)[0] is field


def test_code_points_are_of_one_field_each() -> None:
    codes = [(code.number, code.name) for field in FIELDS for code in field.codes]
    assert len(set(codes)) == len(codes)
