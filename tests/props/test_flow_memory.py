"""Flows that are read with a memory of the words before them are those that are read one by one."""

from __future__ import annotations

import importlib.util
import random
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from netloom.base.errors import ConfigError
from netloom.openflow import protocol as p
from netloom.openflow.action_encode import Unencodable
from netloom.openflow.codec import encode_message
from netloom.openflow.errors import OpenFlowError
from netloom.openflow.flow_encoder import FlowEncoder
from netloom.openflow.flow_memory import split_parts
from netloom.openflow.flow_text import COMMANDS, Names, parse_flow_lines, parse_flow_mod

NAMES = Names({"p1": 1, "eth-2": 2}, {"acl": 5})
WORDS = [
    "tcp", "ip", "ipv6", "arp", "eth", "icmp6", "mpls", "in_port=p1", 'in_port="eth-2"',
    "in_port=65534", "in_port=LOCAL", "dl_vlan=0xffff", "dl_vlan=5", "dl_vlan_pcp=3",
    "vlan_tci=0x1005/0x1fff", "dl_src=0:1:2:3:4:5", "nw_src=10.0.0.0/8", "nw_src=1.2.3.4",
    "nw_dst=10.1.0.1", "tp_dst=80", "tp_src=0x10/0xf0", "udp_src=5", "nw_tos=16", "ip_dscp=3",
    "nw_proto=6", "reg0=5", "reg0=1/3", "reg0[3..5]=2", "xreg0=7", "metadata=3/7", "tun_id:5",
    "ct_state=+trk-new", "conj_id=4", "priority=5", "priority=0x10", "table=3", "table=acl",
    "idle_timeout=9", "hard_timeout=8", "cookie=5", "cookie=1/3", "importance=2",
    "send_flow_rem", "check_overlap", "reset_counts", "no_packet_counts", "out_port=3",
    "n_packets=5", "duration=3s", "foo=1", "tcp_flags=+syn", "nd_target=fe80::1",
]  # fmt: skip
ACTIONS = [
    "drop", "1", "output:p1", "LOCAL", "65534", "resubmit(,5)", "resubmit(p1,acl)",
    "load:5->NXM_NX_REG0[]", "set_field:3->tcp_dst", "ct(commit,zone=5,exec(load:1->ct_mark))",
    "learn(table=1,in_port=1,output:reg0[])", "controller(max_len=5, id=7)", "note:01.02",
    "write_actions(output:1,2)", "goto_table:9", "meter:1", "conjunction(1,1/2)", "bogus",
    "clone(output:1)2", "mod_vlan_vid:5", "strip_vlan", "push_vlan:0x8100", "mod_tp_src:5",
    "check_pkt_larger(100)->reg0[0]", "apply_actions(1)", "output:1)", "clone(output:1",
]  # fmt: skip


@st.composite
def flow_lines(draw: st.DrawFn) -> list[str]:
    lines = []
    words = draw(st.lists(st.sampled_from(WORDS), min_size=1, max_size=6))
    actions = draw(st.lists(st.sampled_from(ACTIONS), min_size=1, max_size=5))
    for _ in range(draw(st.integers(2, 8))):
        command = draw(st.sampled_from(["", "", "add ", "modify ", "delete_strict "]))
        chosen = draw(st.lists(st.sampled_from(words), max_size=5))
        separator = draw(st.sampled_from([",", ", ", " ", ",\t"]))
        did = draw(st.lists(st.sampled_from(actions), max_size=3))
        line = command + separator.join(chosen)
        if "delete" not in command:
            line += f" actions={separator.join(did)}"
        lines.append(line)
    return lines


def one_by_one(line: str):
    try:
        return parse_flow_mod(line, None, NAMES)
    except ConfigError as error:
        return str(error)


@given(flow_lines())
def test_a_file_of_flows_means_what_its_lines_mean(lines):
    expected = [one_by_one(line) for line in lines]
    good = [line for line, read in zip(lines, expected) if not isinstance(read, str)]
    flows, usable = parse_flow_lines(good * 3, None, NAMES, "file")
    wanted = [read for read in expected if not isinstance(read, str)]
    assert flows == [read[0] for read in wanted] * 3
    together = p.P_ANY
    for read in wanted:
        together &= read[1]
    assert usable == together
    bad = [(line, read) for line, read in zip(lines, expected) if isinstance(read, str)]
    for line, message in bad:
        try:
            parse_flow_lines([*good, *good, line], None, NAMES, "file")
        except ConfigError as error:
            found = str(error)
        assert found == f"file:{2 * len(good) + 1}: {message}"


@given(flow_lines(), st.sampled_from([p.P_OF10, p.P_NXM_TID, p.P_OF11, p.P_OF13, p.P_OF15]))
def test_flows_encoded_together_have_the_bytes_that_they_have_alone(lines, protocol):
    encoder = FlowEncoder(protocol)
    good = [line for line in lines if not isinstance(one_by_one(line), str)]
    for flow in parse_flow_lines(good * 2, None, NAMES, "file")[0]:
        try:
            expected = encode_message(flow, 7, protocol)
        except (OpenFlowError, Unencodable):
            continue
        assert encoder.encode(flow, 7) == expected


CORPUS = Path(__file__).parents[1] / "support/action_corpus.py"


def test_every_action_is_remembered_as_it_was_read():
    spec = importlib.util.spec_from_file_location("action_corpus_again", CORPUS)
    corpus = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(corpus)
    maker = corpus.Maker(7)
    chooser = random.Random(7)
    lines = []
    for keyword in corpus.KEYWORDS:
        texts = [maker.make(keyword) for _ in range(6)]
        lines += [f"tcp,actions={text}" for text in texts]
        lines += [f"tcp,actions=1,{chooser.choice(texts)},2" for _ in range(3)]
    good = [line for line in lines if not isinstance(one_by_one(line), str)]
    assert len(good) > len(lines) // 2
    flows, _ = parse_flow_lines(good * 2, None, NAMES, "file")
    assert flows == [parse_flow_mod(line, None, NAMES)[0] for line in good] * 2


def test_actions_are_split_outside_of_parentheses():
    assert split_parts("a,b(c,d(e)),f") == ["a", "b(c,d(e))", "f"]
    assert split_parts("a, b") == ["a", "b"]
    assert split_parts("a b,c") is None
    assert split_parts("a(b,c") == ["a(b,c"]
    assert set(COMMANDS) == {"add", "delete", "delete_strict", "modify", "modify_strict"}
