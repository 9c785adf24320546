from __future__ import annotations

import itertools

from netloom.flow.fields import (
    BY_CODE,
    FIELD,
    FIELDS,
    KEY_BYTES,
    KEY_MASK,
    N_REGS,
    PREREQUISITES,
    SLOT,
    SLOTS,
    STAGE_MASKS,
    TUN_OPTIONS_MASK,
    VLAN_CFI,
)
from netloom.flow.match import Match


def test_slots_cover_the_key_without_overlap() -> None:
    assert sum(slot.mask for slot in SLOTS) == KEY_MASK
    assert KEY_BYTES % 8 == 0


def test_slots_do_not_straddle_words_unless_they_fill_them() -> None:
    for slot in SLOTS:
        first, last = slot.shift // 64, (slot.shift + slot.bits - 1) // 64
        assert first == last or slot.bits % 64 == 0, slot


def test_fields_lie_within_their_slots_or_registers() -> None:
    for field in FIELDS:
        wide = field.name.startswith("x")
        assert wide or field.mask & ~field.slot.mask == 0, field
        assert field.limit <= field.ones


def test_names_and_code_points_are_unique() -> None:
    assert len(FIELD) == len(FIELDS) + sum(bool(field.alias) for field in FIELDS)
    assert len(BY_CODE) == sum(len(field.codes) for field in FIELDS)


def test_wide_registers_overlay_narrow_ones_most_significant_first() -> None:
    assert len([name for name in SLOT if name.startswith("reg")]) == N_REGS
    key = FIELD["reg0"].put(FIELD["reg1"].put(0, 0x2222), 0x1111)
    assert FIELD["xreg0"].get(key) == 0x1111_0000_2222
    assert FIELD["xxreg7"].mask == sum(FIELD[f"reg{n}"].mask for n in range(28, 32))


def test_headers_of_code_points_are_those_of_the_specification() -> None:
    # OXM_OF_ETH_DST, OpenFlow 1.3.5, 7.2.3.7; NXM_NX_REG0 and ONF experimenter TLVs of
    # ovs-fields(7).
    headers = {code.name: code for field in FIELDS for code in field.codes}
    assert headers["OXM_OF_ETH_DST"].header() == 0x80000606
    assert headers["OXM_OF_ETH_DST"].header(hasmask=True) == 0x8000070C
    assert headers["NXM_NX_REG0"].header() == 0x00010004
    assert headers["ONFOXM_ET_TCP_FLAGS"].header() == 0xFFFF5406
    assert headers["OXM_OF_IN_PORT"].version == 0x03
    # The wide registers that came with 32 registers.
    assert headers["NXM_NX_XXREG3"].header() == 0x0001E410
    assert headers["NXOXM_ET_XXREG4"].header() == 0xFFFF4214


def test_every_prerequisite_is_known() -> None:
    assert {field.prerequisite for field in FIELDS} <= set(PREREQUISITES)


def test_a_vlan_id_match_demands_a_tag() -> None:
    match = Match().with_field(FIELD["dl_vlan"], 10)
    assert SLOT["vlan_tci"].get(match.value) == VLAN_CFI | 10
    assert SLOT["vlan_tci"].get(match.mask) == VLAN_CFI | 0xFFF


def test_a_match_is_replaced_per_field() -> None:
    match = Match().with_field(FIELD["nw_src"], 0x0A000000, 0xFF000000)
    again = match.with_field(FIELD["nw_src"], 0x0A000001)
    assert again.mask == FIELD["nw_src"].mask
    assert again.without_field(FIELD["nw_src"]) == Match()
    assert match.matches(FIELD["nw_src"].put(0, 0x0A010203))
    assert not match.matches(FIELD["nw_src"].put(0, 0x0B010203))


def test_stages_grow() -> None:
    for smaller, larger in itertools.pairwise(STAGE_MASKS):
        assert smaller & ~larger == 0
    assert STAGE_MASKS[3] == KEY_MASK | TUN_OPTIONS_MASK
