"""The OpenFlow connection machine: framing, hello, echo, probes."""

from __future__ import annotations

import pytest

from netloom.base.errors import ProtocolError
from netloom.openflow import messages as m
from netloom.openflow import protocol as p
from netloom.openflow.codec import decode_message, encode_message
from netloom.openflow.connection import (
    Connection,
    Negotiated,
    RawMessage,
    Received,
    Refused,
)


def hello(versions: tuple[int, ...], xid: int = 9) -> bytes:
    return encode_message(m.Hello(versions), xid, p.INITIAL[versions[-1]])


def ready(versions: tuple[int, ...] = (1, 4), peer: tuple[int, ...] = (1, 2, 3, 4), **options):
    """A connection whose hellos are done."""
    connection = Connection("peer", versions, **options)
    connection.data_to_send()
    connection.receive_data(hello(peer))
    assert connection.next_event() == Negotiated(max(set(versions) & set(peer)))
    return connection


def test_first_bytes_are_a_hello_of_the_highest_version():
    data = Connection("peer", (1, 4)).data_to_send()
    assert data == bytes.fromhex("0400001000000001 00010008 00000012")


def test_versions_without_a_gap_need_no_bitmap():
    assert Connection("peer", (1, 2, 3)).data_to_send() == bytes.fromhex("0300000800000001")


@pytest.mark.parametrize(
    ("ours", "peer", "version"),
    [((1, 4), (1, 2, 3, 4, 5, 6), 4), ((1, 4), (1,), 1), ((1, 4), (1, 2, 3), 1), ((4,), (4, 6), 4)],
)
def test_the_highest_common_version_wins(ours, peer, version):
    assert ready(ours, peer).version == version


def test_a_hello_without_bitmap_means_all_versions_up_to_its_own():
    connection = Connection("peer", (1, 3))
    connection.receive_data(bytes.fromhex("0400000800000001"))
    assert connection.next_event() == Negotiated(3)


def test_no_common_version_is_told_to_the_peer():
    connection = Connection("peer", (4,))
    connection.data_to_send()
    connection.receive_data(hello((1,)))
    with pytest.raises(ProtocolError):
        connection.next_event()
    error, _ = decode_message(connection.data_to_send())
    assert isinstance(error, m.Error)
    assert error.name == "OFPHFC_INCOMPATIBLE"
    assert error.data == (b"We support version 0x04, you support version 0x01, no common versions.")


def test_anything_before_the_hello_ends_the_connection():
    connection = Connection("peer")
    connection.receive_data(encode_message(m.FeaturesRequest(), 1, p.P_OF10))
    for _ in range(2):
        with pytest.raises(ProtocolError):
            connection.next_event()


def test_bytes_one_by_one_give_the_same_events():
    stream = hello((1, 2, 3, 4)) + b"".join(
        encode_message(message, xid, p.P_OF13)
        for xid, message in enumerate((m.BarrierRequest(), m.EchoReply(b"x"), m.DescRequest()), 2)
    )

    def events(pieces: list[bytes]) -> list[object]:
        connection = Connection("peer", (1, 4))
        found = []
        for piece in pieces:
            connection.receive_data(piece)
            while (event := connection.next_event()) is not None:
                found.append(event)
        return found

    at_once = events([stream])
    assert len(at_once) == 4
    assert events([bytes([byte]) for byte in stream]) == at_once


def test_echo_requests_are_answered():
    connection = ready()
    connection.receive_data(encode_message(m.EchoRequest(b"abc"), 77, p.P_OF13))
    assert connection.next_event() is None
    assert decode_message(connection.data_to_send()) == (m.EchoReply(b"abc"), 77)


def test_a_wrong_message_is_refused_with_its_error_and_the_connection_goes_on():
    connection = ready()
    bad = bytes.fromhex("04630008 00000005")
    connection.receive_data(bad + encode_message(m.BarrierRequest(), 6, p.P_OF13))
    event = connection.next_event()
    assert event == Refused("OFPBRC_BAD_TYPE", 5, bad)
    connection.reply_error(event.error, event.data)
    assert decode_message(connection.data_to_send()) == (
        m.Error("OFPBRC_BAD_TYPE", bad, 1, 1), 5,
    )  # fmt: skip
    received = connection.next_event()
    assert isinstance(received, Received)
    assert received.message == m.BarrierRequest()


def test_a_message_is_read_with_what_those_before_it_have_changed():
    connection = ready(versions=(1,))
    first = encode_message(m.FlowModTableId(True), 5, p.P_OF10)
    flow = encode_message(m.FlowMod(m.OFPFC_ADD, table_id=7), 6, p.P_OF10_TID)
    connection.receive_data(first + flow)
    connection.next_event()
    connection.protocol = p.set_table_id(connection.protocol, True)
    event = connection.next_event()
    assert isinstance(event, Received)
    assert event.message.table_id == 7


def test_impossible_length_ends_the_connection():
    connection = ready()
    connection.receive_data(bytes.fromhex("0406000700000001"))
    with pytest.raises(ProtocolError):
        connection.next_event()


def test_end_in_the_middle_of_a_message_breaks_the_protocol():
    connection = ready()
    connection.receive_data(bytes.fromhex("04060010"))
    connection.receive_data(b"")
    assert connection.has_failed


def test_another_version_is_an_error_in_that_version_and_the_connection_goes_on():
    connection = ready()
    connection.receive_data(bytes.fromhex("0305000800000001"))
    assert connection.next_event() is None
    assert connection.data_to_send()[:12].hex() == "030100140000000100010000"


def test_echo_of_another_version_is_answered_in_that_version():
    connection = ready()
    connection.receive_data(bytes.fromhex("0102000800000007"))
    assert connection.next_event() is None
    assert connection.data_to_send().hex() == "0103000800000007"


def test_silence_is_probed_and_then_declared_dead():
    connection = ready(now_ms=0, probe_interval_ms=5000)
    assert connection.deadline() == 5000
    connection.advance(4999)
    connection.advance(5000)
    # The hello was activity.
    assert connection.data_to_send() == b""
    assert connection.deadline() == 10000
    connection.advance(10000)
    assert decode_message(connection.data_to_send()) == (m.EchoRequest(), 0)
    assert connection.deadline() == 15000
    connection.advance(15000)
    with pytest.raises(ProtocolError):
        connection.next_event()


def test_the_answer_to_a_probe_keeps_the_connection():
    connection = ready(now_ms=0, probe_interval_ms=5000)
    connection.advance(5000)
    connection.advance(10000)
    connection.receive_data(encode_message(m.EchoReply(), 0, p.P_OF13))
    assert connection.next_event() is None
    connection.advance(15000)
    assert connection.next_event() is None
    assert connection.deadline() == 20000


def test_raw_connections_hand_out_bytes():
    connection = ready(raw=True)
    data = encode_message(m.EchoRequest(b"abc"), 77, p.P_OF13)
    connection.receive_data(data)
    assert connection.next_event() == RawMessage(77, data)
    assert connection.data_to_send() == b""


def test_flow_mods_follow_the_protocol_that_was_set():
    connection = ready((1,), (1,))
    connection.protocol = p.P_NXM_TID
    sent = m.FlowMod(m.OFPFC_ADD, table_id=7, new_cookie=0)
    connection.send(sent)
    data = connection.data_to_send()
    assert data[:2] == b"\x01\x04"
    assert decode_message(data, p.P_NXM_TID)[0] == sent
