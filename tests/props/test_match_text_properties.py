"""A match that was printed is read as the same match."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from netloom.base.errors import ConfigError
from netloom.flow.fields import FIELD, FIELDS, Field
from netloom.flow.match import Match
from netloom.flow.prerequisites import normalize_match, prerequisites_met
from netloom.flow.print import format_match
from netloom.flow.text import PROTOCOLS, parse_flow, parse_match, set_match_field
from netloom.flow.value_text import format_field_value, parse_field_value
from netloom.flow.words import split_words

PLAIN = [
    field
    for field in FIELDS
    if not field.dynamic
    # Said by others, or not at all: no text of a match has them under their own name.
    and field.name
    not in (
        "in_port",
        "in_port_oxm",
        "tun_ttl",
        "tun_tos",
        "packet_type",
        # Says of a frame that it is one.
        "recirc_id",
        # Printed without its mask.
        "tun_gbp_flags",
    )
    and not field.name.startswith(("tun_erspan", "tun_gtpu", "nsh_c", "nd_", "ct_nw", "ct_tp"))
]


def _value(draw: st.DrawFn, field: Field) -> tuple[int, int]:
    if field.name == "ip_frag":
        return draw(st.sampled_from([(0, 3), (1, 3), (3, 3), (1, 1), (0, 2)]))
    if field.name == "actset_output":
        return draw(st.integers(0, 0xFEFF)), field.ones
    mask = draw(st.integers(1, field.ones)) if field.maskable and draw(st.booleans()) else -1
    if field.form in ("ct_state", "tun_flags"):
        mask &= {"ct_state": 0xFF, "tun_flags": 1}[field.form]
    if field.form == "ipv6" and mask != -1:
        mask |= 0xF << 124  # a mask that starts with a decimal digit reads as a prefix length
    value = draw(st.integers(0, field.limit))
    return value & mask & field.ones, mask & field.ones


@st.composite
def matches(draw: st.DrawFn) -> Match:
    match = parse_match(draw(st.sampled_from(["", "dl_vlan=7", *PROTOCOLS, "dl_type=0x894f"])))
    for field in draw(st.lists(st.sampled_from(PLAIN), max_size=6)):
        changes_type = field.name == "eth_type" and match.mask & field.slot.mask
        if prerequisites_met(field, match) and not changes_type:
            value, mask = _value(draw, field)
            match = set_match_field(match, field, value, mask)
    return normalize_match(match)[0]


@given(matches())
@settings(max_examples=1000, deadline=None)
def test_printed_match_is_read_as_itself(match: Match) -> None:
    assert parse_match(format_match(match)) == match


@given(matches())
@settings(max_examples=300, deadline=None)
def test_normal_match_is_normal(match: Match) -> None:
    assert normalize_match(match) == (match, [])
    assert match.value & ~match.mask == 0


@given(st.data(), st.sampled_from([field for field in FIELDS if not field.dynamic]))
@settings(max_examples=1000, deadline=None)
def test_printed_value_is_read_as_itself(data: st.DataObject, field: Field) -> None:
    if field.form in ("port", "port10"):
        value, mask = data.draw(st.integers(0, 0xFEFF)), field.ones
    else:
        value, mask = _value(data.draw, field)
    text = format_field_value(field, value, mask)
    assert parse_field_value(field, text) == (value, mask)


@given(st.text("abnsx0123456789[].,:=()/+-| \tip_", max_size=40))
@settings(max_examples=1000, deadline=None)
def test_any_text_is_a_match_or_an_error(text: str) -> None:
    for parse in (parse_match, parse_flow):
        try:
            parse(text)
        except ConfigError as error:
            assert str(error)


@given(st.sampled_from(sorted(FIELD)), st.text("0123456789abcdefxX/.:+-|() ", max_size=24))
@settings(max_examples=1000, deadline=None)
def test_any_value_is_accepted_or_an_error(name: str, text: str) -> None:
    field = FIELD[name]
    if field.dynamic:
        return
    try:
        value, mask = parse_field_value(field, text)
    except ConfigError:
        return
    assert 0 <= value <= field.ones and 0 <= mask <= field.ones


@given(st.text("ab,=:() \t->", max_size=30))
@settings(max_examples=500, deadline=None)
def test_words_lose_no_letter(text: str) -> None:
    words = list(split_words(text))
    letters = "".join(name + value for name, value in words)
    assert [c for c in letters if c in "ab"] == [c for c in text if c in "ab"]
