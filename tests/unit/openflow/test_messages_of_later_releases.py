"""What is read and refused since releases after 3.1, and what the log says of it."""

from __future__ import annotations

import struct

import pytest

from netloom.base.log import vlog
from netloom.flow.fields import FIELD, SLOT
from netloom.flow.match import Match
from netloom.openflow import actions as a
from netloom.openflow import messages as m
from netloom.openflow import messages_nx as nx
from netloom.openflow import protocol as p
from netloom.openflow.action_decode import decode_action_list, decode_actions
from netloom.openflow.action_encode import encode_actions
from netloom.openflow.codec import decode_message, encode_message
from netloom.openflow.errors import OpenFlowError
from netloom.openflow.message_text import format_message
from netloom.openflow.oxm import oxm_table
from netloom.openflow.text_nx import which_connections
from netloom.openflow.text_tables import tables_text

_WRITE_METADATA = bytes.fromhex("ffff0020 00002320 0016" + "00" * 6 + "11" * 8 + "ff" * 8)


@pytest.mark.parametrize(
    ("digits", "error"),
    [
        # ct with force and without commit.
        ("ffff0018 00002320 0023 0002 00000000 0000 ff 000000 0000", "OFPBAC_BAD_ARGUMENT"),
        # nat: a range that ends before it starts; one that starts at no address.
        ("ffff0018 00002320 0024 0000 0001 0003 02020202 01010101", "OFPBAC_BAD_ARGUMENT"),
        ("ffff0018 00002320 0024 0000 0001 0001 00000000 00000000", "OFPBAC_BAD_ARGUMENT"),
    ],
)
def test_actions_that_make_no_sense_are_refused(digits: str, error: str) -> None:
    data = bytes.fromhex(digits)
    if digits[20:24] == "0024":
        data = bytes.fromhex("ffff0030 00002320 0023 0001 00000000 0000 ff 000000 0000") + data
    with pytest.raises(OpenFlowError, match=error):
        decode_actions(data, 1)


def test_instructions_have_no_place_where_there_is_no_flow() -> None:
    assert decode_actions(_WRITE_METADATA, 1) == (a.WriteMetadata(0x1111111111111111),)
    with pytest.raises(OpenFlowError, match="OFPBIC_UNSUP_INST"):
        decode_action_list(_WRITE_METADATA, 1)


@pytest.mark.parametrize("action", [a.Resubmit(5, short=True), a.Resubmit(5), a.Learn(second=True)])
def test_what_came_as_one_action_goes_out_as_the_same(action: a.Action) -> None:
    data = encode_actions((action,), 1)
    assert decode_actions(data, 1) == (action,)


def test_complaints_about_actions_share_a_limit(capsys: pytest.CaptureFixture[str]) -> None:
    logger = vlog.logger("ofp_actions")
    logger.limit_together(per_minute=1, burst=5)
    for kind in range(0xFF00, 0xFF10):
        with pytest.raises(OpenFlowError):
            decode_actions(struct.pack(">HH4x", kind, 8), 1)
    logger.limit_together(per_minute=1, burst=5)
    lines = [line for line in capsys.readouterr().err.splitlines() if "|ofp_actions|" in line]
    assert len(lines) == 5


def test_a_packet_to_send_comes_with_what_is_not_in_it_only() -> None:
    match = Match().with_field(FIELD["in_port_oxm"], 1).with_field(FIELD["metadata"], 7)
    out = m.PacketOut(bytes(60), match, (a.Output(2),))
    assert decode_message(encode_message(out, 1, p.P_OF15), p.P_OF15)[0] == out
    inside = m.PacketOut(bytes(60), match.with_field(FIELD["dl_type"], 0x800), (a.Output(2),))
    with pytest.raises(OpenFlowError, match="OFPBRC_PIPELINE_FIELDS_ONLY"):
        decode_message(encode_message(inside, 1, p.P_OF15), p.P_OF15)


def test_to_ask_for_nothing_in_a_frame_asks_for_a_frame() -> None:
    table = oxm_table(3)
    # OXM_OF_VLAN_VID with a mask of nothing; NXM_NX_REG0 likewise.
    for digits, expected in (("80000d04 0000 0000", True), ("00010108" + "00" * 8, False)):
        data = bytes.fromhex(digits)
        value, mask, _, _ = table.decode(data, 0, len(data))
        assert (value, mask) == (0, SLOT["packet_type"].mask if expected else 0)


def test_flows_that_are_too_long_for_a_reply_are_left_out() -> None:
    long = m.FlowStats(Match(), 1, actions=(a.Output(1),) * 9_000)
    short = m.FlowStats(Match(), 2, actions=(a.Output(1),))
    for protocol in (p.P_OF10, p.P_NXM, p.P_OF11, p.P_OF13, p.P_OF15):
        nx_form = protocol == p.P_NXM
        message = m.FlowStatsReply((long, short), nx_form)
        reply, _ = decode_message(encode_message(message, 1, protocol), protocol)
        assert isinstance(reply, m.FlowStatsReply)
        assert [flow.priority for flow in reply.flows] == [2]


def test_a_mask_of_a_mark_counts_without_the_mark() -> None:
    head = bytes.fromhex("01040020 00000003 00002320 00000020 06" + "00" * 7)
    message, _ = decode_message(head + bytes.fromhex("0004 0008 000000cd"), p.P_OF10)
    assert message == nx.CtFlush(6, mark=(0, 0xCD))
    assert which_connections(message).startswith("zone=0 mark=0/0xcd 'ct_ipv6_src=::")
    with pytest.raises(OpenFlowError, match="OFPBPC_BAD_TYPE"):
        decode_message(head + bytes.fromhex("0007 0008 000000cd"), p.P_OF10)


@pytest.mark.parametrize(("zone", "text"), [(None, "<all>"), (6, "zone 6")])
def test_the_log_tells_a_flush_of_everything(zone: int | None, text: str) -> None:
    assert which_connections(nx.CtFlush(zone_id=zone)) == text


def test_tables_that_lead_on_to_the_next_are_alike() -> None:
    def table(number: int, limit: int) -> m.TableFeatures:
        does = m.InstructionFeatures(tuple(range(number + 1, 5)), 0x3E, 1, 1, ("reg0",), ("reg0",))
        return m.TableFeatures(
            number, "", 0, 0, max_entries=limit, nonmiss=does, miss=does, match=("reg0",),
            maskable=("reg0",), wildcards=("reg0",),
        )  # fmt: skip

    text = tables_text((table(0, 10), table(1, 20), table(2, 20), table(3, 20)), 4)
    assert "  table 1:\n    max_entries=20\n    (same instructions)\n    (same matching)\n" in text
    assert text.endswith("\n  tables 2...3: ditto\n")


def test_what_a_bundle_does_not_take_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    data = bytes.fromhex("05220020 00000000 00000001 00000001 05000010 00000000" + "00" * 8)
    assert "***decode error: OFPBFC_MSG_UNSUP***" in format_message(data)
    assert "OFPT_HELLO message not allowed inside OFPT14_BUNDLE" in capsys.readouterr().err
