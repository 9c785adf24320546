"""Texts at the edges of what flows, groups and meters can say; what the log says of bad bytes."""

from __future__ import annotations

import pytest

from netloom.base.errors import ConfigError
from netloom.base.log import vlog
from netloom.openflow import action_faults
from netloom.openflow import messages_meters as mm
from netloom.openflow import protocol as p
from netloom.openflow.action_decode import decode_actions
from netloom.openflow.action_format import format_actions
from netloom.openflow.action_parse import parse_actions
from netloom.openflow.codec import decode_message, encode_message
from netloom.openflow.errors import OpenFlowError
from netloom.openflow.flow_text import parse_flow_mod
from netloom.openflow.group_text import parse_group_mod
from netloom.openflow.message_text import format_message
from netloom.openflow.meter_text import parse_meter_mod


def shown(text: str, protocol: int = p.P_NXM) -> str:
    """A flow as it is printed after it went over the wire."""
    flow, _ = parse_flow_mod(text + ",actions=drop", 0)
    printed = format_message(encode_message(flow, 1, protocol))
    return printed.partition(": ADD ")[2].removesuffix("actions=drop\n").strip()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tun_metadata0", "tun_metadata0"),
        ("tun_metadata0=0", "tun_metadata0=0"),
        ("tun_metadata0=0/0", "tun_metadata0"),
        ("tun_metadata0=0xff/0xff", "tun_metadata0=0xff"),
        ("tun_metadata0=1/0xfffff", "tun_metadata0=0x1/0xfffff"),
        ("tun_metadata2=65279", "tun_metadata2=0xfeff"),
        ("recirc_id=1,dl_vlan=3", "recirc_id=0x1,eth,dl_vlan=3"),
        ("tun_erspan_ver=1,tun_erspan_idx=5", "tun_erspan_ver=1,tun_erspan_idx=0x5"),
        ("icmp,tp_src=300", "icmp,icmp_type=44"),
    ],
)
def test_a_match_reads_as_this_after_the_wire(text: str, expected: str) -> None:
    assert shown(text) == expected


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("tun_metadata0=5,tun_metadata0=6", "field tun_metadata0 set multiple times"),
        (
            ",".join(f"tun_metadata{n}=0x{'1' * 248}" for n in range(3)),
            "field tun_metadata2 exceeds maximum size for tunnel metadata (used 372, max 256)",
        ),
    ],
)
def test_too_much_of_an_option_is_refused(text: str, fault: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_flow_mod(text + ",actions=drop", 0)
    assert str(caught.value) == fault


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("load:1e3->reg0", "load:0x1->NXM_NX_REG0[]"),
        ("note:01..02", "note:01.02"),
        ("dec_ttl(-1)", "dec_ttl(65535)"),
        ("conjunction(0x10,1/2)", "conjunction(16,1/2)"),
        ("mod_dl_src:00:01:02:03:04:05x", "mod_dl_src:00:01:02:03:04:05"),
        ("65533", "CONTROLLER:0"),
        ("set_field:5->dl_vlan", "set_field:4101->vlan_vid"),
        ("debug_slow", "debug_slow"),
    ],
)
def test_an_action_reads_as_this(text: str, expected: str) -> None:
    assert format_actions(parse_actions(text)[0]) == expected


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("load:256->nw_ttl", "256->nw_ttl: cannot parse integer value"),
        ("enqueue:1:2:3", "invalid numeric format 2:3"),
        ("output(port=all,max_len=100)", "output to unsupported truncate port: all"),
        ("set_mpls_label:x", "invalid numeric format x"),
        ("mod_nw_dst:256.1.1.1", "256.1.1.1: could not convert to IP address"),
        ("set_field:256->arp_op", "256 is not a valid value for field arp_op"),
        ("set_field:1->tun_ttl", "tun_ttl is read-only"),
        ("dec_ttl(,)", "dec_ttl_cnt_ids: expected at least one controller id."),
        ("reg_load:1->reg0", "unknown action reg_load"),
    ],
)
def test_a_bad_action_is_refused_with_this(text: str, fault: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_actions(text)
    assert str(caught.value) == fault


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("group_id=1,type=ff,bucket=foo",
         "fast failover bucket requires watch_port or watch_group"),
        ("group_id=1,type=all,selection_method_param=1,fields=ip_src",
         'fields may only be specified with "selection_method=hash"'),
        ("group_id=1,type=select,fields=ip_src,fields=ip_src", "ip_src: duplicate field"),
    ],
)  # fmt: skip
def test_a_bad_group_is_refused_with_this(text: str, fault: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_group_mod(text, 0)
    assert str(caught.value) == fault


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("meter:1,kbps,bands=type=drop,rate=1", "unknown keyword meter:1"),
        ("meter=1,kbps,bands=type:drop,rate=1", "band must start with the 'type' keyword"),
        ("meter=1,bands=type=drop", "meter must specify either 'kbps' or 'pktps'"),
        ("meter=1,kbps,bands=type=drop,rate:1", "field rate:1 missing value"),
    ],
)
def test_a_bad_meter_is_refused_with_this(text: str, fault: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_meter_mod(text, mm.OFPMC_ADD)
    assert str(caught.value) == fault


@pytest.mark.parametrize(
    ("version", "data", "lines"),
    [
        (1, "00990008000000ff", ["unknown OpenFlow10 action for vendor 0 and type 153",
         "bad action at offset 0 (OFPBAC_BAD_TYPE):\n00000000  00 99 00 08 00 00 00 ff-"]),
        (1, "0000000700010000", ["OpenFlow action OFPAT_OUTPUT length 7 not in valid range [8,8]",
         "bad action at offset 0 (OFPBAC_BAD_LEN):\n00000000  00 00 00 07 00 01 00 00-"]),
        (4, "ffff001012345678ffff000000000000", ["OpenFlow action has unknown vendor 0x12345678",
         "bad action at offset 0 (OFPBAC_BAD_VENDOR):\n"
         "00000000  ff ff 00 10 12 34 56 78-ff ff 00 00 00 00 00 00"]),
    ],
)  # fmt: skip
def test_the_log_says_what_is_wrong_with_an_action(
    version: int, data: str, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    logged: list[str] = []
    monkeypatch.setattr(action_faults.log, "honor_rate_limits", False)
    monkeypatch.setattr(vlog, "emit", lambda logger, level, message: logged.append(message))
    with pytest.raises(OpenFlowError):
        decode_actions(bytes.fromhex(data), version)
    assert logged == lines


def test_a_flow_listed_in_openflow_10_goes_on_in_another_table() -> None:
    flow, _ = parse_flow_mod("actions=write_metadata:5/7,goto_table:3", 0)
    again, _ = decode_message(encode_message(flow, 1, p.P_NXM), p.P_NXM)[:2]
    assert format_actions(again.actions) == "write_metadata:0x5/0x7,resubmit(,3)"
