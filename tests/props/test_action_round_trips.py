"""Every action in every version: bytes -> action -> bytes and bytes -> text -> bytes lose nothing;
bytes that chance changed are an action or an OpenFlowError."""

from __future__ import annotations

import random
from struct import error as struct_error
from struct import unpack_from

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.action_corpus import KEYWORDS, Maker

from netloom.base.record import replace
from netloom.openflow import actions as a
from netloom.openflow.action_decode import decode_actions, decode_instructions
from netloom.openflow.action_encode import Unencodable, encode_actions, encode_instructions
from netloom.openflow.action_format import format_actions
from netloom.openflow.action_parse import parse_actions
from netloom.openflow.action_table import NAMES, NUMBERS
from netloom.openflow.errors import OpenFlowError

#: First version that has the action.
SINCE = {"encap": 4, "decap": 4, "dec_nsh_ttl": 4, "meter:7": 4, "write_actions": 2}
#: Text that says less than the bytes: a mask that is not one run of bits is several loads.
VERSIONS = range(1, 7)
#: Actions without choices, or with a number only.
SIMPLE = (
    "exit", "strip_vlan", "push_vlan:0x8100", "mod_vlan_vid:5", "mod_vlan_pcp:3",
    "mod_dl_src:00:00:00:00:00:01", "mod_dl_dst:00:00:00:00:00:02", "mod_nw_src:10.0.0.1",
    "mod_nw_dst:10.0.0.2", "mod_nw_tos:32", "mod_nw_ecn:2", "mod_nw_ttl:9", "mod_tp_src:80",
    "mod_tp_dst:81", "dec_ttl", "dec_ttl(1,2)", "dec_mpls_ttl", "dec_nsh_ttl", "set_mpls_label:7",
    "set_mpls_tc:3", "set_mpls_ttl:8", "push_mpls:0x8847", "pop_mpls:0x0800", "set_tunnel:9",
    "set_tunnel64:0x100000009", "set_queue:4", "pop_queue", "enqueue:1:2", "group:6", "meter:7",
    "resubmit:3", "controller:99",
    "controller(id=1,max_len=5)", "write_metadata:0x1234/0xffff", "goto_table:9",
    "sample(probability=9,collector_set_id=1,obs_domain_id=2,obs_point_id=3,sampling_port=4,ingress)",
    "sample(probability=9,collector_set_id=1,obs_domain_id=NXM_NX_REG0[],obs_point_id=3,egress)",
    "ct(commit,nat(src=10.0.0.1-10.0.0.9:1-9,random))", "debug_recirc", "debug_slow",
)  # fmt: skip


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
def test_a_switch_can_list_any_action_to_anybody(version: int) -> None:
    maker = Maker(version)
    for text in (*SIMPLE, *(maker.make(keyword) for keyword in KEYWORDS for _ in range(20))):
        data = encode(parse_actions(text)[0], version)
        assert len(data) % 8 == 0


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


def wire_names(data: bytes, version: int) -> set[str]:
    """What the actions in a list are called, by their numbers."""
    found = set()
    pos = 0
    while pos < len(data):
        kind, size, vendor, subtype = unpack_from("!HHIH", data + bytes(4), pos)
        number = (version, vendor, subtype) if kind == 0xFFFF else (version, 0, kind)
        found.add(NAMES.get(number, ""))
        pos += size
    return found


def names_of(text: str, version: int) -> set[str]:
    """The actions that `text` becomes; none if the version cannot say it."""
    try:
        data = encode_actions(parse_actions(text)[0], version)
    except (OpenFlowError, Unencodable):
        return set()
    return wire_names(data, version)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("text", SIMPLE)
def test_simple_action_survives_bytes_and_text(text: str, version: int) -> None:
    if version < SINCE.get(text, 1):
        return
    actions, _ = parse_actions(text)
    data = encode(actions, version)
    decoded = decode(data, version)
    assert encode(decoded, version) == data
    again, _ = parse_actions(format_actions(decoded))
    # After 1.0 an enqueue is an output between two others, with a max_len that outputs lack.
    if version == 1 or not text.startswith("enqueue"):
        assert encode(again, version) == data


def test_forms_that_are_only_read_mean_what_is_written() -> None:
    resubmit = bytes.fromhex("ffff0010 00002320 0001 0003 00000000")
    for version in VERSIONS:
        (decoded,) = decode_actions(resubmit, version)
        assert (replace(decoded, short=False),) == parse_actions("resubmit:3")[0]
        assert encode_actions((decoded,), version) == resubmit
        for text in ("set_tunnel:9", "set_tunnel64:0x100000009"):
            actions = parse_actions(text)[0]
            assert decode_actions(encode_actions(actions, 1), version) == actions


#: Inside ct, which the names of its own level do not show; and forms that are only read.
NOT_MADE = {"NAT", "RESUBMIT"}
#: What later versions say as fields that are set, or copied.
READ_LATER = {"SET_TUNNEL", "SET_TUNNEL64"}


@pytest.mark.parametrize(
    ("version", "not_made"),
    [
        (1, NOT_MADE), (2, NOT_MADE), (3, NOT_MADE | READ_LATER),
        (4, NOT_MADE | READ_LATER | {"COPY_FIELD"}), (5, NOT_MADE | READ_LATER | {"COPY_FIELD"}),
        (6, NOT_MADE | READ_LATER),
    ],
)  # fmt: skip
def test_no_action_of_a_version_is_left_out(version: int, not_made: set[str]) -> None:
    """The corpus and the simple ones have every action that the version writes."""
    texts = [Maker(seed).make(keyword) for keyword in KEYWORDS for seed in range(40)]
    made = {name for text in (*texts, *SIMPLE) for name in names_of(text, version)}
    numbers = {name: row[version - 1] for name, row in NUMBERS.items()}
    readable = {name for (of, *number), name in NAMES.items()
                if of == version and numbers[name] == tuple(number)}  # fmt: skip
    assert readable - made == not_made


def test_bits_are_copied_again_as_they_were_said_to_be() -> None:
    """ONF's action is for OpenFlow 1.3; 1.4 reads it and says it in Nicira's way, as 1.3 says a
    `move` that a text asked for."""
    data = bytes.fromhex("ffff00204f4e46000c8000000020000000000000800016048000180400000000")
    (copied,) = actions = decode_actions(data, 4)
    assert actions == decode_actions(data, 5)
    assert encode_actions(actions, 4) == data
    plain, _ = parse_actions("move:NXM_OF_IP_SRC[]->NXM_OF_IP_DST[]")
    assert isinstance(copied, a.Move) and copied != plain[0]
    assert encode_actions(actions, 5) == encode_actions(plain, 5) == encode_actions(plain, 4)
    assert encode_actions(actions, 6) == encode_actions(plain, 6)
