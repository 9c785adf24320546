"""Every message of the table in every version that has it: bytes -> message -> bytes is the
identity, bytes -> text does not fail, and no row of the table is left out."""

from __future__ import annotations

import pytest
from tests.support.message_corpus import PROTOCOLS, XID, Maker

from netloom.openflow.codec import decode_message, encode_message
from netloom.openflow.error_table import ERRORS, error_name, error_number
from netloom.openflow.message_sizes import SIZES
from netloom.openflow.message_table import ROWS, Row, head, read_frame
from netloom.openflow.message_text import Style, format_message
from netloom.openflow.messages import Error, Message

INCONSISTENT = "***decode error: OFPBAC_MATCH_INCONSISTENT***"
N_SAMPLES = 25
#: (row, version, is a reply)
Case = tuple[str, int, bool]


def cases() -> list[Case]:
    return [
        (row.name, version, reply)
        for row in ROWS.values()
        for version, number in enumerate(row.numbers, 1)
        if number is not None
        for reply in ((False, True) if row.multipart else (False,))
    ]


def class_name(row: Row, reply: bool) -> str:
    return row.reply if reply else row.request


def samples(case: Case) -> list[tuple[Message, bytes, int]]:
    """Messages whose encoder chooses the row of `case`, their bytes and protocol."""
    name, version, reply = case
    found = []
    for protocol in PROTOCOLS[version]:
        for seed in range(N_SAMPLES):
            maker = Maker(seed, version, protocol)
            message = maker.make(class_name(ROWS[name], reply))
            data = encode_message(message, XID, protocol)
            frame = read_frame(data)
            if frame.row.name == name and frame.reply == reply:
                found.append((message, data, protocol))
    return found


#: Rows that other rows of the same version say better: they are read, and never written.
READ_ONLY = {
    *[("NXT_ROLE_REQUEST", version) for version in range(3, 7)],
    *[("NXT_ROLE_REPLY", version) for version in range(3, 7)],
    *[("NXT_FLOW_MOD", version) for version in range(2, 7)],
    *[("NXT_FLOW_REMOVED", version) for version in range(2, 7)],
    *[("NXT_SET_ASYNC_CONFIG", version) for version in range(4, 7)],
    *[("NXT_SET_ASYNC_CONFIG2", version) for version in range(1, 5)],
    ("NXST_GROUP_FEATURES", 1), ("NXST_GROUP_FEATURES", 2),
}  # fmt: skip


@pytest.mark.parametrize("case", cases(), ids=lambda case: "-".join(map(str, case)))
def test_message_survives_and_can_be_printed(case: Case) -> None:
    found = samples(case)
    assert found or case[:2] in READ_ONLY, "no message is written with this row"
    for message, data, protocol in found:
        decoded, xid = decode_message(data, protocol)
        assert encode_message(decoded, xid, protocol) == data, message
        for verbosity in range(4):
            text = format_message(data, Style(verbosity, protocol=protocol))
            # The actions of these flow mods do not always go with their matches.
            assert "decode error" not in text.replace(INCONSISTENT, ""), text
            assert text.startswith(case[0])


@pytest.mark.parametrize("case", sorted(READ_ONLY), ids=lambda case: "-".join(map(str, case)))
def test_message_that_is_only_read_means_what_its_other_form_means(case: tuple[str, int]) -> None:
    """The body of another version in which the row is written."""
    name, version = case
    written = next(
        (n for n in range(1, 7) if ROWS[name].numbers[n - 1] and (name, n) not in READ_ONLY), 0
    )
    if not written:
        return
    for message, data, protocol in samples((name, written, False)):
        body = data[read_frame(data).body :]
        if name == "NXT_FLOW_MOD" and message.actions:
            # The actions are instructions there.
            continue
        other = head(name, version) + body
        other[2:4] = len(other).to_bytes(2, "big")
        decoded, _ = decode_message(bytes(other), protocol)
        assert decoded == decode_message(data, protocol)[0]


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
