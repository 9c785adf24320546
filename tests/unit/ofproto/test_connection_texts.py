"""Requests to forget connections, in the text that trackers read."""

from __future__ import annotations

import pytest

from netloom.datapath.userspace.conntrack.filter import parse_filter
from netloom.ofproto.connection_texts import connection_texts
from netloom.openflow.messages_nx import NO_TUPLE, CtFlush, CtTuple


@pytest.mark.parametrize(
    ("flush", "words"),
    [
        (CtFlush(0, NO_TUPLE, NO_TUPLE), []),
        (CtFlush(6, NO_TUPLE, NO_TUPLE), ["ct_nw_proto=6", ""]),
        (CtFlush(6, NO_TUPLE, CtTuple(dst_port=9)), ["", "ct_nw_proto=6,ct_tp_dst=9"]),
        (CtFlush(mark=(1, 3), labels=(2, 6)), ["mark=0x1/0x3", "labels=0x2/0x6"]),
        (
            CtFlush(17, CtTuple(src=0xFFFF0A000001), CtTuple(src_port=9)),
            ["ct_nw_proto=17,ct_nw_src=10.0.0.1", "ct_nw_proto=17,ct_tp_src=9"],
        ),
    ],
)  # fmt: skip
def test_both_directions_name_the_protocol(flush: CtFlush, words: list[str]) -> None:
    assert connection_texts(flush) == words
    assert bool(parse_filter(words)) == bool(words)


def test_ports_without_a_protocol_cannot_be_read() -> None:
    words = connection_texts(CtFlush(0, CtTuple(src_port=8), NO_TUPLE))
    with pytest.raises(ValueError, match="port is set without protocol"):
        parse_filter(words)
