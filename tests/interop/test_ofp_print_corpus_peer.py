"""Thousands of messages of every class in every version, made by chance: Debian's `ovs-ofctl
ofp-parse` and ours print the same of their bytes, with little said and with much."""

from __future__ import annotations

import re
import subprocess

import pytest
from tests.support.field_corpus import LATE
from tests.support.message_cases import CASES, Sample, samples
from tests.support.peers import peer_environment

from netloom.openflow.message_text import Style, format_message
from netloom.openflow.messages_nx import CtFlush

pytestmark = pytest.mark.interop

N_SEEDS = 12
MARK = bytes((1, 2, 0, 8, 0xDE, 0xAD, 0xBE, 0xEF))
MARK_TEXT = "OFPT_ECHO_REQUEST (xid=0xdeadbeef): 0 bytes of payload\n"


def is_known(sample: Sample) -> bool:
    """Does Debian's 3.1 know it too? It has no marks and labels to flush, half of the registers."""
    message = sample.message
    if isinstance(message, CtFlush) and (message.mark[1] or message.labels[1]):
        return False
    text = format_message(sample.data, Style(3))
    # It cuts fields off in the middle where those before them share more words.
    return not (LATE & set(re.split(r"\W+", text)) or re.search(r"\w_\{\w+_\{", text))


MESSAGES = {
    case: [sample.data for sample in samples(case, N_SEEDS) if is_known(sample)] for case in CASES
}


def test_there_are_messages_of_every_row_in_every_version():
    assert [str(case) for case, found in MESSAGES.items() if not found] == []
    assert sum(map(len, MESSAGES.values())) > 5000


@pytest.mark.parametrize("options", [(), ("-m",), ("-mm",)])
def test_messages_are_printed_alike(tmp_path, options):
    file = tmp_path / "messages"
    sent = [data for found in MESSAGES.values() for data in found]
    file.write_bytes(b"".join(data + MARK for data in sent))
    done = subprocess.run(
        ["ovs-ofctl", "-vconsole:off", *options, "ofp-parse", str(file)], capture_output=True,
        check=True, env=peer_environment(tmp_path), text=True,
    )  # fmt: skip
    expected = done.stdout.split(MARK_TEXT)[:-1]
    style = Style(2 + len("".join(options).strip("-")))
    differences = [
        (data.hex(), theirs, ours)
        for data, theirs in zip(sent, expected, strict=True)
        if (ours := format_message(data, style)) != theirs
    ]
    assert differences == []
