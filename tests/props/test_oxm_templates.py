"""Matches that look like one before are read and written as any other."""

from __future__ import annotations

import random

import pytest
from tests.support.random_matches import random_match

from netloom.base.errors import ConfigError
from netloom.flow.fields import FIELD
from netloom.flow.match import Match
from netloom.flow.text import parse_match
from netloom.openflow.errors import OpenFlowError
from netloom.openflow.oxm import OxmTable, decode_ofp12_match, oxm_table
from netloom.openflow.oxm_template import Templates

VERSIONS = (1, 3, 4, 5, 6)


def shapes(seed: int, count: int) -> list[Match]:
    """Random matches, each with two more of its shape: values change, masks stay."""
    rng = random.Random(seed)
    found: list[Match] = []
    while len(found) < count:
        try:
            match = parse_match(random_match(rng))
        except ConfigError:
            continue
        found.append(match)
        found += [Match(match.value ^ rng.getrandbits(600), match.mask) for _ in range(2)]
    return found


def slowly(version: int, data: bytes) -> tuple[int, int] | str:
    try:
        return OxmTable(version).decode(data, 0, len(data))[:2]
    except OpenFlowError as error:
        return error.name


def quickly(version: int, data: bytes) -> tuple[int, int] | str:
    framed = b"\0\1" + (4 + len(data)).to_bytes(2, "big") + data + bytes(-(4 + len(data)) % 8)
    try:
        match = decode_ofp12_match(framed, 0, version)[0]
    except OpenFlowError as error:
        return error.name
    return match.value, match.mask


@pytest.mark.parametrize("version", VERSIONS)
def test_a_known_shape_is_read_as_an_unknown_one(
    version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Other tests may have switched those of the table off.
    monkeypatch.setattr(oxm_table(version), "templates", Templates())
    rng = random.Random(version)
    fresh = OxmTable(version)
    n_quick = 0
    for match in shapes(version, 150):
        data = fresh.encode(match)
        for _ in range(3):
            n_quick += oxm_table(version).templates.decode(data) is not None
            assert quickly(version, data) == slowly(version, data)
        for _ in range(6):
            if data:
                broken = bytearray(data)
                broken[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
                assert quickly(version, bytes(broken)) == slowly(version, bytes(broken))
    assert n_quick > 50


@pytest.mark.parametrize("version", VERSIONS)
def test_a_known_shape_is_written_as_an_unknown_one(version: int) -> None:
    warm = OxmTable(version)
    for match in shapes(100 + version, 150):
        expected = OxmTable(version).encode(match)
        assert [warm.encode(match) for _ in range(2)] == [expected, expected]


def test_ever_new_shapes_switch_templates_off_for_a_while() -> None:
    table = OxmTable(4)
    rng = random.Random(1)
    for _ in range(5_000):
        match = Match(0, 0).with_field(FIELD["eth_src"], rng.getrandbits(48), rng.getrandbits(48))
        data = table.encode(match)
        value, mask = table.decode(data, 0, len(data))[:2]
        table.templates.learn(table, data, value, mask)
    assert table.templates.decode(data) is None


@pytest.mark.parametrize("version", VERSIONS)
def test_types_of_icmpv6_are_not_mixed_up(version: int) -> None:
    """The fields of neighbour discovery only exist in two types."""
    table = OxmTable(version)
    ip = Match().with_field(FIELD["eth_type"], 0x86DD).with_field(FIELD["nw_proto"], 58)
    kinds = (135, 1, 136, 135, 128)
    matches = [
        ip.with_field(FIELD["icmpv6_type"], kind)
        .with_field(FIELD["icmpv6_code"], code)
        .with_field(FIELD["ipv6_dst"], kind)
        for code in (0, 1, 0)
        for kind in kinds * 2
    ]
    for match in matches:
        assert table.encode(match) == OxmTable(version).encode(match)
