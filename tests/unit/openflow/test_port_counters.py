from __future__ import annotations

import pytest

from netloom.openflow import messages as m
from netloom.openflow.codec import decode_message, encode_message
from netloom.openflow.errors import OpenFlowError
from netloom.openflow.message_text import Style, format_message
from netloom.openflow.port_counters import RFC2819, decode_counters, encode_counters
from netloom.openflow.protocol import INITIAL

SIZED = tuple(range(100, 100 + len(RFC2819)))
NAMED = (("rx_q0_packets", 5), ("a", 2**64 - 1), ("b", 0), ("c", 7))
STATS = m.PortStats(1, *range(1, 13), 5, 6, SIZED, NAMED)
BASIC = m.PortStats(1, *range(1, 13), 5, 6)


@pytest.mark.parametrize("version", [5, 6])
@pytest.mark.parametrize("stats", [STATS, BASIC, m.PortStats(1, custom=NAMED)])
def test_counters_of_a_vendor_survive_the_wire_since_openflow_14(
    stats: m.PortStats, version: int
) -> None:
    data = encode_message(m.PortStatsReply((stats, stats)), 1, INITIAL[version])
    decoded = decode_message(data)[0]
    assert decoded == m.PortStatsReply((stats, stats))


def test_before_openflow_14_there_are_none() -> None:
    data = encode_message(m.PortStatsReply((STATS,)), 1, INITIAL[4])
    assert decode_message(data)[0] == m.PortStatsReply((BASIC,))


def test_they_are_printed_by_direction_and_three_a_line() -> None:
    data = encode_message(m.PortStatsReply((STATS,)), 1, INITIAL[5])
    lines = format_message(data, Style(1)).splitlines()[4:]
    assert lines[0].startswith("           rx rfc2819 1_to_64_packets=100, 65_to_127_packets=101,")
    assert lines[0].endswith("broadcast_packets=115, undersized_errors=117, oversize_errors=118, "
                             "rx_fragmented_errors=119, rx_jabber_errors=120, ")  # fmt: skip
    assert lines[1].endswith("multicast_packets=114, broadcast_packets=116, ")
    assert lines[2:] == [
        "           CUSTOM Statistics",
        "                      rx_q0_packets=5, a=18446744073709551615, b=0,",
        "                      c=7,",
    ]


def test_unknown_counters_are_not_printed() -> None:
    data = encode_message(m.PortStatsReply((BASIC,)), 1, INITIAL[5])
    assert len(format_message(data, Style(1)).splitlines()) == 4


@pytest.mark.parametrize(
    ("data", "error"),
    [
        ("ffff0008000aa001", "OFPBPC_BAD_LEN"),
        ("ffff00100000aa010000000100000000", "OFPBPC_BAD_LEN"),
        ("ffff001c0000aa010000000200000002036162630000000000000005", "OFPBPC_BAD_LEN"),
    ],
)
def test_what_is_no_such_property_is_refused(data: str, error: str) -> None:
    with pytest.raises(OpenFlowError) as raised:
        decode_counters(bytes.fromhex(data))
    assert raised.value.name == error


@pytest.mark.parametrize(
    "data", ["ffff0010000000110000000200000000", "ffff00100000aa010000000900000000"]
)
def test_properties_of_others_tell_nothing(data: str) -> None:
    assert decode_counters(bytes.fromhex(data)) == ((), ())


def test_the_length_counts_no_padding() -> None:
    data = encode_counters(m.PortStats(1, custom=(("a", 1),)))[184:]
    assert (int.from_bytes(data[2:4]), len(data)) == (26, 32)
