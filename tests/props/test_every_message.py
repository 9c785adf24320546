"""Every message of the table in every version that has it: bytes -> message -> bytes is the
identity, bytes -> text does not fail, and no row of the table is left out."""

from __future__ import annotations

import pytest
from tests.support.message_cases import CASES, READ_ONLY, Case, rewritten, written
from tests.support.message_corpus import PROTOCOLS, XID

from netloom.openflow.codec import decode_message, encode_message
from netloom.openflow.error_table import ERRORS, error_name, error_number
from netloom.openflow.message_sizes import SIZES
from netloom.openflow.message_table import ROWS
from netloom.openflow.message_text import Style, format_message
from netloom.openflow.messages import Error

INCONSISTENT = "***decode error: OFPBAC_MATCH_INCONSISTENT***"
N_SAMPLES = 25


@pytest.mark.parametrize("case", [case for case in CASES if case not in READ_ONLY], ids=str)
def test_message_survives_and_can_be_printed(case: Case) -> None:
    found = list(written(case, N_SAMPLES))
    assert found, "no message is written with this row"
    for message, data, protocol in found:
        decoded, xid = decode_message(data, protocol)
        assert encode_message(decoded, xid, protocol) == data, message
        for verbosity in range(4):
            text = format_message(data, Style(verbosity, protocol=protocol))
            # The actions of these flow mods do not always go with their matches.
            assert "decode error" not in text.replace(INCONSISTENT, ""), text
            assert text.startswith(case.name)


@pytest.mark.parametrize("case", READ_ONLY, ids=str)
def test_message_that_is_only_read_means_what_its_other_form_means(case: Case) -> None:
    assert not list(written(case, N_SAMPLES)), "this row is written"
    found = list(rewritten(case, N_SAMPLES))
    assert len(found) >= N_SAMPLES // 5
    for message, data, protocol in found:
        original = encode_message(message, XID, protocol)
        assert original[16:] == data[16:]
        assert decode_message(data, protocol) == decode_message(original, protocol)


def test_every_row_has_lengths_in_its_versions():
    for row in ROWS.values():
        for kind, sizes in zip(("request", "reply") if row.multipart else ("",), row.sizes):
            assert SIZES[row.name, kind] is sizes
            for number, size in zip(row.numbers, sizes):
                assert (number is None) == (size is None), row.name
    assert {name for name, _ in SIZES} == set(ROWS)


@pytest.mark.parametrize("version", range(1, 7))
def test_every_error_survives_with_its_vendor(version: int) -> None:
    n_known = 0
    for name, numbers in ERRORS.items():
        if numbers[version - 1] is None:
            assert error_name(version, *error_number(name, version)) == "NXBRC_UNENCODABLE_ERROR"
            continue
        n_known += 1
        data = encode_message(Error(name, b"12345678"), 1, PROTOCOLS[version][0])
        decoded, _ = decode_message(data)
        assert isinstance(decoded, Error)
        # Some names share a number in old versions; the first of them is meant.
        again = error_name(version, *error_number(name, version))
        assert decoded.name == again
        assert (decoded.vendor, decoded.type, decoded.code) == numbers[version - 1]
        assert encode_message(decoded, 1, PROTOCOLS[version][0]) == data
        assert format_message(data).split()[2 + (version > 1)] == again
    assert n_known > 60
