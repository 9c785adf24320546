"""Messages in which everything that can stand together does: group mods of all commands, types and
buckets, and properties of all owners in each kind of message. Debian's `ovs-ofctl ofp-parse` and
ours print the same of them, and name the same error."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from struct import pack

import pytest
from tests.support.printed_messages import printed_by_peer

from netloom.openflow.message_text import Style, format_message

pytestmark = pytest.mark.interop

ANY = 0xFFFFFFFF
#: Weight, port and group of buckets.
BUCKETS = (
    (), ((0, ANY, ANY),), ((1, ANY, ANY),), ((0, 1, ANY),), ((0, ANY, 3),), ((1, 1, ANY),),
    ((0, ANY, ANY), (0, ANY, ANY)),
)  # fmt: skip
COMMANDS = (0, 1, 2, 3, 4, 5, 7, 0x8000)
#: Nobody's, unknown ones', Netronome's, Nicira's, the ONF's, Intel's.
OWNERS = (0, 1, 0x1545, 0x154D, 0x2320, 0x4F4E4600, 0xAA01, ANY)
TYPES = (0, 1, 2, 3, 4, 9, 0x100, 0x8000, 0xFFFD)


def message(version: int, kind: int, body: bytes) -> bytes:
    return bytes((version, kind)) + pack(">HI", 8 + len(body), 9) + body


def multipart(kind: int, body: bytes) -> bytes:
    return message(6, 19, pack(">H6x", kind) + body)


def group_mods() -> Iterator[bytes]:
    for command, group_type, buckets in product(COMMANDS, range(5), BUCKETS):
        old = b"".join(pack(">HHII4x", 16, *bucket) for bucket in buckets)
        for version in (2, 3, 4, 5):
            yield message(version, 15, pack(">HBxI", command, group_type, 5) + old)
        new = b""
        for number, (weight, port, group) in enumerate(buckets):
            properties = pack(">HHH2xHHIHHI", 0, 8, weight, 1, 8, port, 2, 8, group)
            new += pack(">HHI", 8 + len(properties), 0, number) + properties
        for where in (1, 0xFFFFFFFE, ANY):
            head = pack(">HBxIH2xI", command, group_type, 5, len(new), where)
            yield message(6, 15, head + new)


def properties() -> Iterator[bytes]:
    for size in (4, 5, 8, 12, 16):
        yield from (pack(">HHI", kind, size, 0) + bytes(8) for kind in TYPES)
    for owner, kind, size in product(OWNERS, (1, 77), (4, 12, 16, 24)):
        yield pack(">HHII", 0xFFFF, size, owner, kind) + bytes(12)


def with_properties(rest: bytes) -> Iterator[bytes]:
    """Messages that end with the properties `rest`."""
    size = len(rest)
    yield multipart(13, pack(">IH8x2s16s8x", 7, 40 + size, b"", b"p") + rest)
    yield message(6, 12, pack(">B7xIH8x2s16s8x", 2, 7, 40 + size, b"", b"p") + rest)
    yield message(6, 16, pack(">I4x6s2xII", 7, bytes(6), 0, 0) + rest)
    yield multipart(14, pack(">HBxI", 8 + size, 1, 0) + rest)
    yield message(6, 17, pack(">B3xI", 1, 0) + rest)
    yield multipart(15, pack(">IIH6x", 7, 1, 16 + size) + rest)
    yield message(6, 28, rest)
    for group_type in (0, 1, 4):
        bucket = pack(">HHI", 8 + size, 0, 1) + rest
        yield multipart(7, pack(">HBxIH6x", 16 + size, group_type, 5, 0) + rest)
        yield multipart(7, pack(">HBxIH6x", 24 + size, group_type, 5, len(bucket)) + bucket)
        for command in (0, 2, 3, 9):
            where = 1 if command == 3 else ANY
            yield message(6, 15, pack(">HBxIH2xI", command, group_type, 5, 0, where) + rest)


def all_messages() -> Iterator[bytes]:
    yield from group_mods()
    for one in properties():
        yield from with_properties(one)
        # As long as it says, with its padding.
        size = int.from_bytes(one[2:4], "big")
        yield from with_properties(one[: size + 7 & ~7])


def test_all_that_stands_together_is_printed_alike(tmp_path: Path) -> None:
    sent = list(all_messages())
    theirs = printed_by_peer(tmp_path, sent)
    style = Style(2)
    differences = [
        (data.hex(), text, found)
        for data, text in zip(sent, theirs, strict=True)
        if (found := format_message(data, style)) != text
    ]
    assert differences == []
