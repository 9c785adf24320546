"""Which options of Geneve a switch can read (RFC 8926, 3.5)."""

from __future__ import annotations

import pytest

from netloom.ofproto.tlv_table import TlvTable, packed_options
from netloom.openflow.messages_nx import NXTTMC_ADD, TlvMap, TlvTableMod
from netloom.packet.tunnel import build_option

MAPPED = (0xFFFF, 0x81)


@pytest.mark.parametrize(
    ("options", "can_read"),
    [
        (b"", True),
        (build_option(*MAPPED, b"abcd"), True),
        (build_option(*MAPPED, b"abcdefgh"), False),
        (build_option(1, 0x01, b"abcd") + build_option(*MAPPED, b"abcd"), True),
        (build_option(1, 0x80, b"abcd"), False),
        (build_option(1, 0x01, b"abcd")[:4], False),
    ],
    ids=["none", "mapped", "longer", "unknown", "critical", "cut"],
)
def test_options_that_cannot_be_read_are_noticed(options: bytes, can_read: bool) -> None:
    table = TlvTable()
    table.apply(TlvTableMod(NXTTMC_ADD, (TlvMap(*MAPPED, 4, 0),)))
    assert table.can_read(packed_options(options)) is can_read
