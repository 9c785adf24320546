"""Every action in every version: bytes -> action -> bytes and bytes -> text -> bytes lose nothing;
bytes that chance changed are an action or an OpenFlowError."""

from __future__ import annotations

import random
from struct import error as struct_error

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.action_corpus import KEYWORDS, Maker

from netloom.openflow import actions as a
from netloom.openflow.action_decode import decode_actions, decode_instructions
from netloom.openflow.action_encode import encode_actions, encode_instructions
from netloom.openflow.action_format import format_actions
from netloom.openflow.action_parse import parse_actions
from netloom.openflow.action_table import NAMES
from netloom.openflow.errors import OpenFlowError

#: First version that has the action.
SINCE = {"encap": 4, "decap": 4, "write_actions": 2}
#: Text that says less than the bytes: a mask that is not one run of bits is several loads.
VERSIONS = range(1, 7)


def encode(actions: tuple[a.Action, ...], version: int) -> bytes:
    if version == 1:
        return encode_actions(actions, version)
    return encode_instructions(actions, version)


def decode(data: bytes, version: int) -> tuple[a.Action, ...]:
    if version == 1:
        return decode_actions(data, version)
    return decode_instructions(data, version)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("keyword", KEYWORDS)
@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_action_survives_bytes_and_text(keyword: str, version: int, seed: int) -> None:
    text = Maker(seed).make(keyword)
    if version < SINCE.get(keyword, 1) or ("encap" in text and version < SINCE["encap"]):
        return
    actions, _ = parse_actions(text)
    data = encode(actions, version)
    decoded = decode(data, version)
    assert encode(decoded, version) == data
    again, _ = parse_actions(format_actions(decoded))
    assert encode(again, version) == data


@pytest.mark.parametrize("version", VERSIONS)
def test_changed_bytes_are_actions_or_refused(version: int) -> None:
    chance = random.Random(version)
    maker = Maker(version)
    refused = 0
    for _ in range(1500):
        keyword = chance.choice(KEYWORDS)
        if version < SINCE.get(keyword, 1):
            continue
        data = bytearray(encode(parse_actions(maker.make(keyword))[0], version))
        if not data:
            continue
        for _ in range(chance.randint(1, 4)):
            data[chance.randrange(len(data))] = chance.choice([0, 1, 8, 16, 24, 255, 128, 32])
        try:
            format_actions(decode(bytes(data), version))
        except OpenFlowError:
            refused += 1
        except struct_error as error:  # pragma: no cover
            raise AssertionError(data.hex()) from error
    assert refused > 100


@pytest.mark.parametrize("version", VERSIONS)
def test_every_number_of_an_action_with_a_short_body_is_refused_or_read(version: int) -> None:
    for of_version, vendor, kind in NAMES:
        if of_version != version:
            continue
        for size in (8, 16, 24, 32, 40):
            head = kind.to_bytes(2, "big") + size.to_bytes(2, "big")
            if vendor:
                head = b"\xff\xff" + size.to_bytes(2, "big") + vendor.to_bytes(4, "big")
                head += kind.to_bytes(2, "big")
            try:
                format_actions(decode_actions(head.ljust(size, b"\0")[:size], version))
            except OpenFlowError:
                continue
