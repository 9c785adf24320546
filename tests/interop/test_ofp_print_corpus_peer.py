"""Thousands of messages of every class in every version, made by chance: Debian's `ovs-ofctl
ofp-parse` and ours print the same of their bytes, with little said and with much."""

from __future__ import annotations

import re
import subprocess

import pytest
from tests.support.field_corpus import LATE
from tests.support.message_corpus import PROTOCOLS, XID, Maker
from tests.support.peers import peer_environment

from netloom.openflow.codec import encode_message
from netloom.openflow.message_table import ROWS
from netloom.openflow.message_text import Style, format_message
from netloom.openflow.messages_nx import CtFlush

pytestmark = pytest.mark.interop

N_SEEDS = 12
MARK = bytes((1, 2, 0, 8, 0xDE, 0xAD, 0xBE, 0xEF))
MARK_TEXT = "OFPT_ECHO_REQUEST (xid=0xdeadbeef): 0 bytes of payload\n"


#: Values of which 3.1 thinks that they match everything.
ZERO = re.compile(r"\b(gtpu|erspan)_\w+=0\b")


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
                    text = format_message(data, Style(2))
                    if not LATE & set(text.split()) and not ZERO.search(text):
                        found.append(data)
    return found


MESSAGES = messages()


def test_there_are_thousands_of_messages():
    assert len(MESSAGES) > 6000


@pytest.mark.parametrize("options", [(), ("-m",), ("-mm",)])
def test_messages_are_printed_alike(tmp_path, options):
    file = tmp_path / "messages"
    file.write_bytes(b"".join(data + MARK for data in MESSAGES))
    done = subprocess.run(
        ["ovs-ofctl", "-vconsole:off", *options, "ofp-parse", str(file)], capture_output=True,
        check=True, env=peer_environment(tmp_path), text=True,
    )  # fmt: skip
    expected = done.stdout.split(MARK_TEXT)[:-1]
    style = Style(2 + len("".join(options).strip("-")))
    differences = [
        (data.hex(), theirs, ours)
        for data, theirs in zip(MESSAGES, expected, strict=True)
        if (ours := format_message(data, style)) != theirs
    ]
    assert differences == []
