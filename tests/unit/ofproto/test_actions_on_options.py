"""Actions of controllers on options of tunnels, made to fit the options."""

from __future__ import annotations

import pytest

from netloom.flow.fields import FIELD
from netloom.ofproto.tlv_table import TlvTable
from netloom.openflow import actions as a
from netloom.openflow import messages_nx as nx
from netloom.openflow.action_encode import encode_actions
from netloom.openflow.errors import OpenFlowError

OPTION = FIELD["tun_metadata0"]


@pytest.fixture
def table() -> TlvTable:
    found = TlvTable()
    found.apply(nx.TlvTableMod(nx.NXTTMC_ADD, (nx.TlvMap(0xFFFF, 0, 4, 0),)))
    return found


def adopted(table: TlvTable, value: int, mask: int = OPTION.ones) -> tuple[int, int]:
    (action,) = table.adopt_actions((a.SetField(OPTION, value, mask),))
    assert isinstance(action, a.SetField)
    return action.value, action.mask


def test_of_a_longer_value_the_first_bytes_count(table: TlvTable) -> None:
    assert adopted(table, 0x123456789A) == (0x12345678, OPTION.ones)


def test_a_mask_of_all_of_the_option_is_none(table: TlvTable) -> None:
    assert adopted(table, 5, 0xFFFFFFFF) == (5, OPTION.ones)


def test_a_longer_mask_is_cut_as_the_value_is(table: TlvTable) -> None:
    assert adopted(table, 5 << 32, 0x1FF << 32) == (0x50000, 0x1FF0000)


def test_actions_inside_of_others_fit_too(table: TlvTable) -> None:
    inner = a.SetField(OPTION, 0x123456789A, OPTION.ones)
    (clone,) = table.adopt_actions((a.Clone((inner,)),))
    assert clone == a.Clone((a.SetField(OPTION, 0x12345678, OPTION.ones),))


def test_other_actions_are_left_as_they_are(table: TlvTable) -> None:
    actions = (a.Output(1), a.SetField(FIELD["reg0"], 5, 0xFF))
    assert table.adopt_actions(actions) is actions


def test_actions_on_an_option_without_a_map_are_refused(table: TlvTable) -> None:
    with pytest.raises(OpenFlowError, match="NXFMFC_INVALID_TLV_FIELD"):
        table.adopt_actions((a.SetField(FIELD["tun_metadata1"], 5, OPTION.ones),))


def test_whole_options_are_named_without_their_bits(table: TlvTable) -> None:
    text = "NXM_NX_TUN_METADATA0[0..31] NXM_NX_TUN_METADATA0[0..15] NXM_NX_TUN_METADATA1[0..31]"
    assert table.shorten(text) == text.replace("A0[0..31]", "A0[]")


def test_options_that_are_moved_are_told_with_their_length(table: TlvTable) -> None:
    move = a.Move(a.Subfield(OPTION, 0, 32), a.Subfield(FIELD["reg0"], 0, 32))
    (adopted,) = table.adopt_actions((a.Clone((move,)),))
    assert isinstance(adopted, a.Clone)
    assert encode_actions(adopted.actions, 1)[16:20].hex() == "00015004"
    assert table.adopt_actions((a.Clone((move,)),)) == (adopted,)
