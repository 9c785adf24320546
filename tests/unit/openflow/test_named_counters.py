"""Counters with names of their own in port statistics of OpenFlow 1.4 and later; the bytes were
taken from Debian's switch."""

from __future__ import annotations

import pytest

from netloom.openflow import messages as m
from netloom.openflow.codec import decode_message, encode_message
from netloom.openflow.errors import OpenFlowError
from netloom.openflow.protocol import P_OF13, P_OF14, P_OF15

COUNTERS = (("rx_custom_packets_1", 1), ("rx_custom_packets_2", 1), ("rx_q0_bytes", 64),
            ("rx_q0_packets", 1), ("tx_q0_bytes", 0), ("tx_q0_packets", 0))  # fmt: skip
REPLY = bytes.fromhex(
    "051301e000000002000400000000000001d000000000000100000000005b8d80000000000000000100000000"
    "0000000000000000000000400000000000000000" + "ff" * 32 + "0000002800000000" + "ff" * 32
    + "ffff00b80000aa010000000100000000" + "ff" * 168
    + "ffff009c0000aa01000000020000000613" + b"rx_custom_packets_1".hex() + "0000000000000001"
    + "13" + b"rx_custom_packets_2".hex() + "0000000000000001"
    + "0b" + b"rx_q0_bytes".hex() + "0000000000000040"
    + "0d" + b"rx_q0_packets".hex() + "0000000000000001"
    + "0b" + b"tx_q0_bytes".hex() + "0000000000000000"
    + "0d" + b"tx_q0_packets".hex() + "000000000000000000000000"
)  # fmt: skip


def test_the_peers_bytes_are_read_and_written() -> None:
    reply, _ = decode_message(REPLY, P_OF14)
    assert isinstance(reply, m.PortStatsReply)
    assert reply.ports[0].custom == COUNTERS
    assert (reply.ports[0].rx_bytes, reply.ports[0].collisions) == (64, m.UNKNOWN)
    assert encode_message(reply, 2, P_OF14) == REPLY


def test_older_versions_have_no_names() -> None:
    reply = m.PortStatsReply((m.PortStats(1, custom=COUNTERS),))
    for protocol, kept in ((P_OF13, ()), (P_OF15, COUNTERS)):
        again, _ = decode_message(encode_message(reply, 1, protocol), protocol)
        assert isinstance(again, m.PortStatsReply)
        assert again.ports[0].custom == kept


@pytest.mark.parametrize("at", range(0x198, 0x1D8))
def test_names_and_counts_that_are_cut_are_refused_or_read(at: int) -> None:
    data = bytearray(REPLY)
    data[at] ^= 0x55
    try:
        reply, _ = decode_message(bytes(data), P_OF14)
    except OpenFlowError:
        return
    assert isinstance(reply, m.PortStatsReply)
