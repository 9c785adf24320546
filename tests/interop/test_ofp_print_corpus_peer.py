"""Thousands of messages of every class in every version, made by chance: Debian's `ovs-ofctl
ofp-parse` and ours print the same of their bytes, with little said and with much."""

from __future__ import annotations

import pytest
from tests.support.field_corpus import LATE
from tests.support.message_corpus import PROTOCOLS, XID, Maker
from tests.support.printed_messages import printed_by_peer

from netloom.openflow.codec import encode_message
from netloom.openflow.message_table import ROWS
from netloom.openflow.message_text import Style, format_message
from netloom.openflow.messages_nx import CtFlush

pytestmark = pytest.mark.interop

N_SEEDS = 12


def messages() -> list[bytes]:
    """What Debian's 3.1 knows too: no marks and labels to flush, half of the registers."""
    found = []
    for version, protocols in PROTOCOLS.items():
        rows = [row for row in ROWS.values() if row.numbers[version - 1]]
        for protocol in protocols:
            for seed in range(N_SEEDS):
                for name in (name for row in rows for name in (row.request, row.reply) if name):
                    message = Maker(seed, version, protocol).make(name)
                    if isinstance(message, CtFlush) and (message.mark[1] or message.labels[1]):
                        continue
                    data = encode_message(message, XID, protocol)
                    if not LATE & set(format_message(data, Style(2)).split()):
                        found.append(data)
    return found


MESSAGES = messages()


def test_there_are_thousands_of_messages():
    assert len(MESSAGES) > 6000


@pytest.mark.parametrize("options", [(), ("-m",), ("-mm",)])
def test_messages_are_printed_alike(tmp_path, options):
    expected = printed_by_peer(tmp_path, MESSAGES, *options)
    style = Style(2 + len("".join(options).strip("-")))
    differences = [
        (data.hex(), theirs, ours)
        for data, theirs in zip(MESSAGES, expected, strict=True)
        if (ours := format_message(data, style)) != theirs
    ]
    assert differences == []
