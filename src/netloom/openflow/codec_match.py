"""Matches in messages, as each version writes them."""

from __future__ import annotations

from netloom.flow.fields import TUN_PRESENT_SHIFT
from netloom.flow.match import Match
from netloom.openflow import old_match, oxm
from netloom.openflow.errors import OpenFlowError

#: Type and length of a match.
_HEADER_BYTES = 4


def decode_match(
    data: bytes, pos: int, version: int, *, options: bool = False
) -> tuple[Match, int]:
    """The match at `pos` and where it ends. `options`: see `oxm.OxmTable.decode`."""
    if version == 1:
        return old_match.decode_ofp10_match(data, pos), pos + 40
    if data[pos : pos + 2] == b"\0\0":
        # The match of 1.1, which later versions read too.
        return old_match.decode_ofp11_match(data, pos)
    if len(data) - pos >= _HEADER_BYTES and data[pos : pos + 2] != b"\0\1":
        raise OpenFlowError("OFPBMC_BAD_TYPE")
    if version == 2:
        # Open vSwitch's way to say in 1.1 what its match cannot: NXM entries.
        return oxm.decode_ofp12_match(data, pos, 1, options=options)
    return oxm.decode_ofp12_match(data, pos, version, options=options)


def encode_match(match: Match, version: int) -> bytes:
    if version >= 3:
        return oxm.encode_ofp12_match(match, version)
    return (
        old_match.encode_ofp11_match(match) if version == 2 else old_match.encode_ofp10_match(match)
    )


def decode_nx_match(
    data: bytes,
    pos: int,
    size: int,
    *,
    strict: bool = True,
    cookie: bool = False,
    options: bool = False,
) -> tuple[Match, int, int, int]:
    """Match, cookie, cookie mask and where the padding of the NXM entries ends."""
    after = pos + (size + 7 & ~7)
    if after > len(data):
        raise OpenFlowError("OFPBMC_BAD_LEN")
    table = oxm.oxm_table(1)
    body = data[pos : pos + size]
    known = table.templates.decode(body)
    if known is not None:
        return known, 0, 0, after
    found = table.decode(data, pos, pos + size, strict=strict, cookie=cookie, options=options)
    if strict and not found[3] and not found[1] >> TUN_PRESENT_SHIFT:
        table.templates.learn(table, body, found[0], found[1])
    return Match(found[0], found[1]), found[2], found[3], after


def encode_nx_match(match: Match, cookie: int = 0, cookie_mask: int = 0) -> tuple[bytes, int]:
    """NXM entries with their padding, and their length without."""
    body = oxm.oxm_table(1).encode(match, cookie, cookie_mask)
    return body + bytes(-len(body) % 8), len(body)
