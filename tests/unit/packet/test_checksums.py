from __future__ import annotations

import random

from netloom.packet.checksum import (
    checksum,
    crc32c,
    pseudo_sum,
    sctp_checksum,
    sum_words,
    transport_checksum,
    update_checksum,
    update_checksum_word,
)


def reference(data: bytes) -> int:
    """RFC 1071, word by word."""
    total = 0
    for i in range(0, len(data), 2):
        total += int.from_bytes(data[i : i + 2].ljust(2, b"\0"), "big")
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def test_example_of_rfc_1071() -> None:
    assert sum_words(bytes.fromhex("0001f203f4f5f6f7")) == 0xDDF2


def test_equals_the_word_by_word_sum_for_any_length() -> None:
    rng = random.Random(1071)
    for length in (0, 1, 2, 3, 20, 21, 1499, 1500):
        data = rng.randbytes(length)
        assert checksum(data) == reference(data)


def test_words_that_sum_to_all_ones_do_not_become_zero() -> None:
    assert checksum(b"\xff\xff\xff\xff") == 0
    assert checksum(b"\0\0\0\0") == 0xFFFF
    assert checksum(b"\xff\xfe\x00\x01") == reference(b"\xff\xfe\x00\x01") == 0


def test_update_equals_a_new_sum() -> None:
    rng = random.Random(1624)
    for _ in range(500):
        data = bytearray(rng.randbytes(20))
        before = checksum(data)
        at = rng.randrange(0, 8) * 2
        new = rng.randbytes(4)
        old = bytes(data[at : at + 4])
        data[at : at + 4] = new
        assert update_checksum(before, old, new) == checksum(data)


def test_update_of_one_word_is_the_update_of_two_bytes() -> None:
    assert update_checksum_word(0xDD2F, 0x5555, 0x3285) == 0x0000
    assert update_checksum(0xDD2F, b"\x55\x55", b"\x32\x85") == 0x0000


def test_pseudo_header_of_ipv4() -> None:
    source, destination = bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2))
    written = source + destination + b"\0\x11\0\x08"
    assert pseudo_sum(source, destination, 17, 8) == reference(written) ^ 0xFFFF


def test_pseudo_header_of_ipv6_counts_lengths_above_64_kib() -> None:
    source, destination = bytes(15) + b"\1", bytes(15) + b"\2"
    written = source + destination + (70000).to_bytes(4, "big") + b"\0\0\0\x3a"
    assert pseudo_sum(source, destination, 58, 70000) == reference(written) ^ 0xFFFF


def test_udp_checksum_is_never_sent_as_zero() -> None:
    source = destination = bytes(4)
    segment = (0xFFFF - 17 - 8).to_bytes(2, "big") + bytes(6)
    assert checksum(segment, pseudo_sum(source, destination, 17, len(segment))) == 0
    assert transport_checksum(source, destination, 17, segment) == 0xFFFF


def test_crc32c_of_the_standard_text() -> None:
    assert crc32c(b"123456789") == 0xE3069283
    assert sctp_checksum(b"123456789") == bytes.fromhex("839206e3")
