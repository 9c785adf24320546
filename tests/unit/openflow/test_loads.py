"""What `set_field:` becomes where there are only loads, and loads of less than a field."""

from __future__ import annotations

import pytest

from netloom.openflow.action_decode import decode_actions
from netloom.openflow.action_encode import encode_actions
from netloom.openflow.action_format import format_actions
from netloom.openflow.action_parse import parse_actions


@pytest.mark.parametrize(
    ("text", "again"),
    [
        ("set_field:2->arp_op", "load:0x2->NXM_OF_ARP_OP[]"),
        ("load:0x102->NXM_OF_ARP_OP[]", "load:0x102->NXM_OF_ARP_OP[]"),
        ("load:0x2->NXM_OF_ARP_OP[0..7]", "load:0x2->NXM_OF_ARP_OP[0..7]"),
        ("load:0xfffe->NXM_OF_IN_PORT[]", "load:0xfffe->NXM_OF_IN_PORT[]"),
        ("load:0->NXM_OF_IN_PORT[8..15]", "load:0->NXM_OF_IN_PORT[8..15]"),
        ("load:0xff->NXM_OF_IN_PORT[8..15]", "load:0xff->NXM_OF_IN_PORT[8..15]"),
    ],
)
def test_fields_are_written_whole_and_in_part(text: str, again: str) -> None:
    actions, _ = parse_actions(text)
    assert format_actions(decode_actions(encode_actions(actions, 1), 1)) == again
