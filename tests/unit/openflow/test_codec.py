"""Literal bytes of OpenFlow messages, and the errors for wrong ones."""

from __future__ import annotations

import pytest

from netloom.base.errors import ProtocolError
from netloom.flow.fields import FIELD
from netloom.flow.match import MATCH_ALL, Match
from netloom.flow.text import parse_match
from netloom.openflow import actions as a
from netloom.openflow import messages as m
from netloom.openflow import protocol as p
from netloom.openflow.action_check import check_actions
from netloom.openflow.codec import decode_message, encode_message
from netloom.openflow.error_table import error_name, error_number
from netloom.openflow.errors import OpenFlowError


def test_flow_mod_of_1_0():
    message = m.FlowMod(
        m.OFPFC_ADD, parse_match("in_port=1,tcp,tp_dst=80"), 5, actions=(a.Output(2),),
        new_cookie=0x55,
    )  # fmt: skip
    assert encode_message(message, 7, p.P_OF10).hex(" ", 8) == bytes.fromhex(
        "010e005000000007 003820 4e0001 000000000000 000000000000 0000 00 00 0800 00 06 0000"
        "00000000 00000000 0000 0050 0000000000000055 0000 0000 0000 0005 ffffffff ffff 0000"
        "0000 0008 0002 0000"
    ).hex(" ", 8)


def test_flow_mod_of_1_3():
    message = m.FlowMod(
        m.OFPFC_ADD, parse_match("in_port=1,dl_vlan=5"), 5, 3,
        (a.Output(0xFFFFFFFD, 128), a.GotoTable(4)), new_cookie=1,
    )  # fmt: skip
    assert encode_message(message, 7, p.P_OF13) == bytes.fromhex(
        "040e006800000007 0000000000000001 0000000000000000 03 00 0000 0000 0005 ffffffff"
        "ffffffff ffffffff 0000 0000 0001 0012 80000004 00000001 80000c02 1005 000000000000"
        "0004 0018 00000000 0000 0010 fffffffd 0080 000000000000 0001 0008 04 000000"
    )


def test_one_reply_may_take_several_messages():
    flows = tuple(m.FlowStats(MATCH_ALL, 1, cookie=n) for n in range(2000))
    data = encode_message(m.FlowStatsReply(flows), 9, p.P_OF13)
    found: list[m.FlowStats] = []
    mores = []
    while data:
        size = int.from_bytes(data[2:4], "big")
        reply, xid = decode_message(data[:size])
        assert isinstance(reply, m.FlowStatsReply)
        assert xid == 9
        found += reply.flows
        mores.append(reply.more)
        data = data[size:]
    assert tuple(found) == flows
    assert mores == [True] * (len(mores) - 1) + [False]
    assert len(mores) > 1


@pytest.mark.parametrize(
    ("data", "error"),
    [
        ("0105000c0000000500000000", "OFPBRC_BAD_LEN"),
        ("0163000800000005", "OFPBRC_BAD_TYPE"),
        ("0905000800000005", "OFPBRC_BAD_TYPE"),
        ("0110000800000005", "OFPBRC_BAD_LEN"),
        ("0111001000000005 0055 0001 00000000", "OFPBRC_BAD_STAT"),
        ("0104001000000005 00002320 000003e7", "OFPBRC_BAD_SUBTYPE"),
        ("0104001000000005 00001234 00000001", "OFPBRC_BAD_VENDOR"),
        ("0109000c00000005 00ff 0000", "OFPSCFC_BAD_FLAGS"),
    ],
)
def test_a_wrong_message_names_its_error(data, error):
    with pytest.raises(OpenFlowError) as caught:
        decode_message(bytes.fromhex(data))
    assert caught.value.name == error


@pytest.mark.parametrize("data", ["0105", "0105000900000001", "010500070000"])
def test_broken_framing_is_no_message_at_all(data):
    with pytest.raises(ProtocolError):
        decode_message(bytes.fromhex(data))


def flow_mod13(match: str, instructions: str = "") -> bytes:
    """A flow mod around a match's entries and instructions, both in hexadecimal."""
    entries = bytes.fromhex(match)
    size = 4 + len(entries)
    body = bytes(16) + b"\0\0" + bytes(6) + b"\xff" * 12 + bytes(4)
    body += b"\0\1" + size.to_bytes(2, "big") + entries + bytes(-size % 8)
    body += bytes.fromhex(instructions)
    return b"\x04\x0e" + (8 + len(body)).to_bytes(2, "big") + b"\0\0\0\1" + body


@pytest.mark.parametrize(
    ("match", "error"),
    [
        ("80001604 01020304", "OFPBMC_BAD_PREREQ"),
        ("80000a02 0800 80000a02 0800", "OFPBMC_DUP_FIELD"),
        ("80000d04 1005 0fff", "OFPBMC_BAD_WILDCARDS"),
        ("80000c02 2005", "OFPBMC_BAD_VALUE"),
        ("80000008 00000001 00000001", "OFPBMC_BAD_FIELD"),
        ("80000108 00000001 00000001", "OFPBMC_BAD_MASK"),
        ("80000b04 0800 0f00", "OFPBMC_BAD_MASK"),
        ("80000a01 08", "OFPBMC_BAD_FIELD"),
        ("8000fe01 08", "OFPBMC_BAD_FIELD"),
        ("80000004 0000ffff", "OFPBMC_BAD_VALUE"),
        ("80000a08 0800", "OFPBMC_BAD_LEN"),
    ],
)
def test_a_wrong_match_names_its_error(match, error):
    with pytest.raises(OpenFlowError) as caught:
        decode_message(flow_mod13(match))
    assert caught.value.name == error


@pytest.mark.parametrize(
    ("instructions", "error"),
    [
        ("0001 0008 04 000000 0001 0008 04 000000", "OFPBIC_DUP_INST"),
        ("0001 0010 04 000000 0000000000000000", "OFPBIC_BAD_LEN"),
        ("0009 0008 00000000", "OFPBIC_UNKNOWN_INST"),
        ("ffff 0008 00000000", "OFPBIC_BAD_EXPERIMENTER"),
        ("0004 0010 00000000 0099 0008 00000000", "OFPBAC_BAD_TYPE"),
        ("0004 0010 00000000 0000 0008 00000001", "OFPBAC_BAD_LEN"),
        ("0004 0018 00000000 0000 0010 0000ffff 0000 000000000000", "OFPBAC_BAD_OUT_PORT"),
        ("0004 0018 00000000 ffff 0010 00002320 03e7 000000000000", "OFPBAC_BAD_VENDOR_TYPE"),
        ("0004 0018 00000000 ffff 0010 00001234 0001 000000000000", "OFPBAC_BAD_VENDOR"),
        ("0004 0018 00000000 0019 0010 80000a02 0800 000000000000", "OFPBAC_BAD_SET_ARGUMENT"),
        ("0004 0018 00000000 0019 0010 8000fe02 0800 000000000000", "OFPBAC_BAD_SET_TYPE"),
        ("0004 0018 00000000 0019 0010 80000c04 0800 000000000000", "OFPBAC_BAD_SET_LEN"),
    ],
)  # fmt: skip
def test_wrong_instructions_name_their_error(instructions, error):
    with pytest.raises(OpenFlowError) as caught:
        decode_message(flow_mod13("", instructions))
    assert caught.value.name == error


def test_a_1_0_command_holds_the_table_only_if_that_was_agreed():
    message = m.FlowMod(m.OFPFC_ADD, table_id=7, new_cookie=0)
    data = encode_message(message, 1, p.P_OF10_TID)
    assert decode_message(data, p.P_OF10_TID)[0] == message
    with pytest.raises(OpenFlowError) as caught:
        decode_message(data, p.P_OF10)
    assert caught.value.name == "OFPFMFC_BAD_COMMAND"


def test_exact_flows_of_1_0_have_the_highest_priority():
    text = ("in_port=1,dl_src=0:0:0:0:0:1,dl_dst=0:0:0:0:0:2,dl_vlan=3,dl_vlan_pcp=4,tcp,"
            "nw_src=1.1.1.1,nw_dst=2.2.2.2,nw_tos=4,tp_src=1,tp_dst=2")  # fmt: skip
    data = encode_message(m.FlowMod(0, parse_match(text), 5), 1, p.P_OF10)
    message, _ = decode_message(data)
    assert isinstance(message, m.FlowMod)
    assert message.priority == 0xFFFF


@pytest.mark.parametrize("version", range(1, 7))
def test_errors_are_found_again_by_their_numbers(version):
    for name in ("OFPBRC_BAD_TYPE", "OFPBMC_BAD_PREREQ", "OFPFMFC_OVERLAP", "NXBRC_NXM_INVALID"):
        number = error_number(name, version)
        if not (name.startswith("OFPBMC") and version == 1):
            assert error_name(version, *number) == name


@pytest.mark.parametrize(("protocol", "size"), [(p.P_OF10, 20), (p.P_OF13, 16)])
def test_errors_of_the_experimenter_keep_their_name(protocol, size):
    data = encode_message(m.Error("NXBRC_NXM_INVALID", b"abcd"), 1, protocol)
    assert len(data) == size + 4
    error, _ = decode_message(data)
    assert isinstance(error, m.Error)
    assert (error.name, error.data) == ("NXBRC_NXM_INVALID", b"abcd")


def test_actions_that_the_match_rules_out_are_refused():
    set_port = a.SetField(FIELD["tcp_dst"], 80, 0xFFFF)
    with pytest.raises(OpenFlowError) as caught:
        check_actions((set_port,), MATCH_ALL)
    assert caught.value.name == "OFPBAC_MATCH_INCONSISTENT"
    assert check_actions((set_port,), parse_match("tcp")) == p.P_ANY


def test_old_actions_that_the_match_rules_out_pass_in_1_0_only():
    set_port = a.SetField(FIELD["tcp_dst"], 80, 0xFFFF, legacy=True)
    assert check_actions((set_port,), MATCH_ALL) == p.P_OF10_ANY


@pytest.mark.parametrize(
    ("actions", "error"),
    [
        ((a.GotoTable(3),), "OFPBIC_BAD_TABLE_ID"),
        ((a.GotoTable(9),), "OFPBIC_BAD_TABLE_ID"),
        ((a.Output(70000),), "OFPBAC_BAD_OUT_PORT"),
        ((a.GotoTable(5), a.Output(1)), "OFPBAC_UNSUPPORTED_ORDER"),
        ((a.Meter(0),), "OFPMMFC_INVALID_METER"),
    ],
)
def test_limits_of_the_switch_are_checked(actions, error):
    with pytest.raises(OpenFlowError) as caught:
        check_actions(actions, MATCH_ALL, table_id=3, n_tables=8, max_port=65280)
    assert caught.value.name == error


def test_a_pushed_tag_may_be_set():
    actions = (a.PushVlan(), a.SetField(FIELD["vlan_vid"], 0x1005, 0x1FFF))
    assert check_actions(actions, Match()) == p.P_ANY


@pytest.mark.parametrize(
    "state, met",
    [
        ("+trk", False), ("+new", True), ("+est", True), ("+rel", True), ("+rpl", True),
        ("+snat", True), ("+dnat", True), ("+trk-inv", True), ("-inv", False),
        ("+trk+inv", False), ("-new", False),
    ],
)  # fmt: skip
def test_addresses_of_a_connection_need_a_state_that_has_one(state: str, met: bool):
    match = parse_match(f"ct_state={state},ip,ct_nw_src=1.2.3.4")
    for protocol in (p.P_NXM_TID, p.P_OF13):
        data = encode_message(m.FlowMod(m.OFPFC_ADD, match, new_cookie=0), 1, protocol)
        if met:
            assert decode_message(data, protocol)[0].match == match
        else:
            with pytest.raises(OpenFlowError, match="OFPBMC_BAD_PREREQ"):
                decode_message(data, protocol)


@pytest.mark.parametrize("packet", ["", "ipv6,", "arp,"])
def test_flow_mods_ask_for_addresses_of_a_connection_of_their_kind(packet: str):
    match = parse_match(f"ct_state=+est,{packet}ct_nw_src=1.2.3.4")
    data = encode_message(m.FlowMod(m.OFPFC_DELETE, match), 1, p.P_OF13)
    with pytest.raises(OpenFlowError, match="OFPBAC_MATCH_INCONSISTENT"):
        decode_message(data, p.P_OF13)
    listed = encode_message(m.FlowStatsRequest(match), 1, p.P_OF13)
    assert decode_message(listed, p.P_OF13)[0].match == match


def test_learned_parts_beyond_their_field_are_listed_but_not_taken():
    part = a.Subfield(FIELD["reg1"], 30, 6)
    action = a.Learn(1, (a.LearnSpec(1, 6, 2, part),))
    flow = m.FlowStats(MATCH_ALL, 1, actions=(a.Clone((action,)),))
    data = encode_message(m.FlowStatsReply((flow,)), 1, p.P_OF13)
    assert decode_message(data, p.P_OF13)[0].flows[0].actions == flow.actions
    with pytest.raises(OpenFlowError, match="OFPBAC_BAD_SET_LEN"):
        check_actions(flow.actions, MATCH_ALL)
