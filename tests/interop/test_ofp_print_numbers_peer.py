"""Every number that a message can have, in every version, with bodies of many lengths: Debian's
`ovs-ofctl ofp-parse` and ours name the same messages, refuse the same and print the same.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.support.printed_messages import printed_by_peer

from netloom.openflow.message_table import ROWS
from netloom.openflow.message_text import Style, format_message

pytestmark = pytest.mark.interop

NX, ONF = 0x2320, 0x4F4E4600
SIZES = (0, 4, 8, 10, 16, 24, 32, 40, 48, 56, 64, 72, 80, 88, 96, 112, 1056)
FILLS = (b"\0", b"\1", b"\xff")
#: How many of the messages below Debian's prints otherwise:
#: - flow statistics that are wrong in themselves have the error "<invalid>" there;
#: - a removed flow of 1.0 whose Ethernet type is not IP shows addresses that do not count;
#: - statistics of 1.5 with wrong lists of numbers are refused there before they are read.
KNOWN = 8


def heads(version: int) -> Iterator[bytes]:
    """The headers of messages, known or not, up to the body."""
    lead = bytes((version,))
    multipart = (16, 17) if version == 1 else (18, 19)
    for kind in range(40):
        if kind != 4 and kind not in multipart:
            yield lead + bytes((kind,)) + bytes(6)
    for vendor, subtypes in (
        (NX, range(45)), (ONF, [*range(1865, 1875), 1911, 2350, *range(2295, 2305)]),
    ):  # fmt: skip
        for subtype in subtypes:
            ids = vendor.to_bytes(4, "big") + subtype.to_bytes(4, "big")
            yield lead + bytes((4,)) + bytes(6) + ids
    pad = b"" if version == 1 else bytes(4)
    for kind in multipart:
        start = lead + bytes((kind,)) + bytes(6)
        for number in range(22):
            yield start + number.to_bytes(2, "big") + bytes(2) + pad
        for vendor, subtypes in ((NX, range(14)), (ONF, range(1868, 1873))):
            for subtype in subtypes:
                ids = vendor.to_bytes(4, "big") + subtype.to_bytes(4, "big")
                yield start + b"\xff\xff\0\0" + pad + ids + (bytes(4) if version == 1 else b"")


def messages() -> list[bytes]:
    found = []
    for version in range(1, 7):
        for head in heads(version):
            for size in SIZES:
                for fill in FILLS if size else FILLS[:1]:
                    data = bytearray(head + fill * size)
                    data[2:4] = len(data).to_bytes(2, "big")
                    found.append(bytes(data))
    return found


def test_the_headers_cover_the_table_of_messages():
    numbers = {head[:2] + head[8:] for version in range(1, 7) for head in heads(version)}
    assert len(numbers) > 1000
    assert sum(number is not None for row in ROWS.values() for number in row.numbers) > 300


def test_every_number_with_any_body_is_printed_alike(tmp_path):
    sent = messages()
    expected = printed_by_peer(tmp_path, sent)
    style = Style(2)
    differences = [
        (data.hex(), text, found)
        for data, text in zip(sent, expected, strict=True)
        if "<invalid>" not in text and (found := format_message(data, style)) != text
    ]
    assert differences[KNOWN:] == []
    assert {bytes.fromhex(data)[:2] for data, _, _ in differences} <= {
        b"\x01\x0b", b"\x01\x11", *(bytes((n, 0x13)) for n in range(2, 7)),
    }  # fmt: skip
