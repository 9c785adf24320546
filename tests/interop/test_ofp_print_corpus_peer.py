"""Thousands of messages of every class in every version, made by chance: Debian's `ovs-ofctl
ofp-parse` and ours print the same of their bytes, with little said and with much."""

from __future__ import annotations

import re

import pytest
from tests.support.field_corpus import LATE
from tests.support.message_cases import CASES, Sample, samples
from tests.support.printed_messages import printed_by_peer

from netloom.openflow.message_text import Style, format_message
from netloom.openflow.messages_nx import CtFlush

pytestmark = pytest.mark.interop

N_SEEDS = 12


#: Values of which 3.1 thinks that they match everything.
ZERO = re.compile(r"\b(gtpu|erspan)_\w+=0\b")


def is_known(sample: Sample) -> bool:
    """Does Debian's 3.1 know it too? It has no marks and labels to flush, half of the registers."""
    message = sample.message
    if isinstance(message, CtFlush) and (message.mark[1] or message.labels[1]):
        return False
    text = format_message(sample.data, Style(3))
    if LATE & set(re.split(r"\W+", text)) or ZERO.search(format_message(sample.data, Style(2))):
        return False
    # It cuts fields off in the middle where those before them share more words.
    return not re.search(r"\w_\{\w+_\{", text)


MESSAGES = {
    case: [sample.data for sample in samples(case, N_SEEDS) if is_known(sample)] for case in CASES
}


def test_there_are_messages_of_every_row_in_every_version():
    assert [str(case) for case, found in MESSAGES.items() if not found] == []
    assert sum(map(len, MESSAGES.values())) > 5000


@pytest.mark.parametrize("options", [(), ("-m",), ("-mm",)])
def test_messages_are_printed_alike(tmp_path, options):
    sent = [data for found in MESSAGES.values() for data in found]
    expected = printed_by_peer(tmp_path, sent, *options)
    style = Style(2 + len("".join(options).strip("-")))
    differences = [
        (data.hex(), theirs, ours)
        for data, theirs in zip(sent, expected, strict=True)
        if (ours := format_message(data, style)) != theirs
    ]
    assert differences == []
