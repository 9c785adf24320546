"""What was written once is written by a recipe, and must come out the same."""

from __future__ import annotations

import pytest

from netloom.flow.fields import FIELD, SLOT
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
