"""Who taps a connection gets a copy of every message, either way, once both are settled."""

from __future__ import annotations

from netloom.openflow import messages as m
from netloom.openflow.codec import encode_message
from netloom.openflow.connection import Connection, RawMessage
from netloom.openflow.protocol import P_OF10, P_OF13

HELLO = bytes.fromhex("0400000800000001")


def settled(name: str) -> Connection:
    connection = Connection(name, (1, 2, 3, 4))
    connection.receive_data(HELLO)
    connection.next_event()
    connection.data_to_send()
    return connection


def test_both_directions_are_copied_byte_for_byte() -> None:
    switch, tap = settled("switch"), settled("tap")
    switch.taps.append(tap)
    request = encode_message(m.BarrierRequest(), 5, P_OF13)
    switch.receive_data(request)
    switch.next_event()
    switch.send(m.BarrierReply(), 5)
    assert tap.data_to_send() == request + switch.data_to_send()


def test_nothing_is_copied_to_who_has_not_said_hello() -> None:
    switch, tap = settled("switch"), Connection("tap", (1,))
    tap.data_to_send()
    switch.taps.append(tap)
    switch.receive_data(encode_message(m.BarrierRequest(), 5, P_OF13))
    switch.next_event()
    assert tap.data_to_send() == b""


def test_a_snooper_reads_messages_of_any_version() -> None:
    snooper = Connection("snoop", (4,), raw=True, any_version=True)
    snooper.receive_data(HELLO)
    snooper.next_event()
    other = encode_message(m.BarrierRequest(), 5, P_OF10)
    snooper.receive_data(other)
    assert snooper.next_event() == RawMessage(5, other)
