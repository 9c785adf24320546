"""What is behind labels and service headers, and which of these a set field leaves alone."""

from __future__ import annotations

import pytest

from netloom.packet.encapsulated import find_behind_layers
from netloom.packet.nsh import build_header, set_nsh
from netloom.packet.parse import parse

ETH = bytes.fromhex("020000000002020000000001")
IPV4 = bytes.fromhex("4500001c000000004011000001020304050607080001000200080000")
FRAME = ETH + b"\x08\x00" + IPV4
LABEL = bytes.fromhex("00005140")


def nsh(protocol: int, context: bytes = bytes(16), md_type: int = 1) -> bytes:
    return build_header(0, 63, md_type, protocol, 0x5FF, context)


def behind(packet: bytes) -> list[tuple[bytes, int]]:
    """What is found, by its first four bytes, and its type."""
    found = find_behind_layers(packet, parse(packet))
    return [(packet[at : at + 4], kind) for at, kind in found]


def test_a_service_header_tells_what_follows() -> None:
    assert behind(ETH + b"\x89\x4f" + nsh(3) + FRAME) == [(FRAME[:4], 0)]
    assert behind(ETH + b"\x89\x4f" + nsh(1) + IPV4) == [(IPV4[:4], 0x10800)]
    assert behind(ETH + b"\x89\x4f" + nsh(9) + IPV4) == []


def test_what_is_behind_labels_is_guessed() -> None:
    assert behind(ETH + b"\x88\x47" + LABEL + IPV4) == [(IPV4[:4], 0), (IPV4[:4], 0x10800)]
    assert (FRAME[:4], 0) in behind(ETH + b"\x88\x47" + LABEL + FRAME)


def test_one_is_looked_for_behind_the_other() -> None:
    assert behind(ETH + b"\x89\x4f" + nsh(4) + nsh(3) + FRAME)[-1] == (FRAME[:4], 0)
    assert behind(ETH + b"\x88\x47" + LABEL + nsh(3) + FRAME)[-1] == (FRAME[:4], 0)


def test_the_search_ends() -> None:
    assert len(behind(ETH + b"\x89\x4f" + nsh(4, b"", 2) * 2_000)) <= 9
    assert behind(ETH + b"\x89\x4f" + nsh(3)[:5]) == []
    assert behind(ETH + b"\x88\x47" + LABEL) == []


@pytest.mark.parametrize(
    "header",
    [
        b"\x40" + nsh(3)[1:],
        nsh(3)[:1] + b"\xc5" + nsh(3)[2:],
        nsh(3)[:1] + b"\xff" + nsh(3)[2:],
        nsh(3, b"", 2)[:1] + b"\xc1" + nsh(3, b"", 2)[2:],
    ],
    ids=("a later version", "MD type 1 of another length", "cut off", "shorter than it may be"),
)
def test_a_header_that_no_key_has_is_not_written(header: bytes) -> None:
    packet = bytearray(ETH + b"\x89\x4f" + header)
    set_nsh(packet, parse(packet), ttl=1, path=7, c1=9)
    assert packet == ETH + b"\x89\x4f" + header


def test_context_is_written_where_it_is_fixed() -> None:
    for md_type in (1, 2):
        packet = bytearray(ETH + b"\x89\x4f" + nsh(3, bytes(16), md_type))
        set_nsh(packet, parse(packet), ttl=1, c4=9)
        assert packet[15] >> 6 == 1
        assert packet[-4:] == bytes([0, 0, 0, 9 if md_type == 1 else 0])
