"""Flow mods that are like the one before are read as any other."""

from __future__ import annotations

import random

import pytest
from tests.props.test_oxm_templates import shapes

from netloom.flow.match import Match
from netloom.flow.text import parse_match
from netloom.openflow import actions as a
from netloom.openflow import messages as m
from netloom.openflow.codec import decode_message, encode_message
from netloom.openflow.errors import OpenFlowError
from netloom.openflow.flow_mod_shape import FlowModShape
from netloom.openflow.instruction_memo import InstructionMemo
from netloom.openflow.oxm import oxm_table
from netloom.openflow.oxm_template import Templates
from netloom.openflow.protocol import INITIAL

VERSIONS = (2, 3, 4, 5, 6)


def read(data: bytes, version: int, memo: InstructionMemo | None) -> object:
    try:
        return decode_message(data, INITIAL[version], memo)
    except OpenFlowError as error:
        return error.name


def in_a_row(version: int, seed: int) -> list[bytes]:
    """Flow mods of a few shapes, many of each after one another, with one that differs between."""
    rng = random.Random(seed)
    found = []
    for match in shapes(seed, 60):
        command = rng.choice([m.OFPFC_ADD] * 4 + [m.OFPFC_MODIFY, m.OFPFC_DELETE])
        mod = m.FlowMod(
            command, match, rng.randrange(3), rng.randrange(2), (a.Output(1),), idle_timeout=5,
            new_cookie=0,
        )  # fmt: skip
        for number in range(6):
            if number == 4:
                mod = with_another_part(mod, rng)
            bits = rng.getrandbits(600) & rng.getrandbits(600) if number else 0
            mod.match = Match(match.value ^ bits, match.mask)
            mod.new_cookie = rng.choice([0, 7, 1 << 63])
            try:
                data = encode_message(mod, rng.getrandbits(32), INITIAL[version])
            except OpenFlowError:
                continue
            if rng.random() < 0.1:
                # A cookie that means that there is none.
                data = data[:8] + b"\xff" * 8 + data[16:]
            found.append(data)
    return found


def with_another_part(mod: m.FlowMod, rng: random.Random) -> m.FlowMod:
    """The same with something else in what all flow mods have, or in the actions."""
    name, value = rng.choice([
        ("priority", 9), ("table_id", 3), ("actions", (a.Output(2),)), ("hard_timeout", 9),
        ("flags", m.OFPFF_SEND_FLOW_REM),
    ])  # fmt: skip
    values = {each: getattr(mod, each) for each in m.FlowMod._fields}
    return m.FlowMod(**{**values, name: value})


@pytest.fixture(autouse=True)
def fresh_templates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests may have switched templates off."""
    for version in VERSIONS:
        monkeypatch.setattr(oxm_table(version), "templates", Templates())


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("seed", range(3))
def test_they_are_read_as_any_other(version: int, seed: int) -> None:
    memo = InstructionMemo()
    rng = random.Random(seed)
    n_quick = 0
    for number, data in enumerate(in_a_row(version, seed)):
        shape: FlowModShape | None = memo.shape
        n_quick += shape is not None and shape.read(data) is not None
        assert read(data, version, memo) == read(data, version, None)
        if number % 7:
            continue
        broken = bytearray(data)
        broken[rng.randrange(4, len(data))] ^= 1 << rng.randrange(8)
        assert read(bytes(broken), version, memo) == read(bytes(broken), version, None)
    assert n_quick > 30 if version >= 3 else not n_quick


def test_values_that_vary_are_found_out_one_after_the_other() -> None:
    memo = InstructionMemo()
    texts = ["1,10.0.0.1,80", "1,10.0.0.1,80", "1,10.0.0.2,80", "1,10.0.0.3,81", "2,10.0.0.1,81"]
    for text in texts * 2:
        port, address, tp_dst = text.split(",")
        match = parse_match(f"in_port={port},tcp,nw_dst={address},tp_dst={tp_dst}")
        mod = m.FlowMod(m.OFPFC_ADD, match, 5, 0, (a.Output(3),), new_cookie=1)
        assert decode_message(encode_message(mod, 1, INITIAL[4]), INITIAL[4], memo) == (mod, 1)
    assert memo.shape is not None
