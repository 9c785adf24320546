"""Flows written from the rules have the bytes that they have one by one."""

from __future__ import annotations

import random

import pytest

from netloom.flow.text import parse_match
from netloom.ofproto.connmgr_stats import flow_rows
from netloom.ofproto.flow_entries import flow_parts, has_form
from netloom.ofproto.rules import Rule
from netloom.openflow import messages as m
from netloom.openflow.codec import decode_message, encode_message
from netloom.openflow.flow_text import parse_flow_mod
from netloom.openflow.protocol import P_NXM, P_OF11, P_OF12, P_OF13, P_OF14, VERSION

MATCHES = (
    "tcp,in_port=1,nw_dst=10.0.0.{n},tp_dst=80", "udp,nw_src=10.0.0.{n}/31", "in_port={n}", "",
    "dl_vlan={n}", "ip,reg0={n},ct_state=+trk", "udp6,ipv6_dst=fe80::{n}", "dl_src=0:0:0:0:0:{n}",
    "tun_id={n},arp", "in_port=LOCAL,metadata={n}",
    "metadata={n}/0x7f", "tun_id={n}/0x7f,ip,nw_tos=4",
    "dl_vlan_pcp=3,dl_dst=01:00:00:00:00:{n}/01:00:00:00:00:ff",
)  # fmt: skip
ACTIONS = ("drop", "output:2", "dec_ttl,output:2", "resubmit(,3)", "mod_nw_dst:1.2.3.4,normal")
NOW_MS = 100_000_000
PROTOCOLS = (P_NXM, P_OF11, P_OF12, P_OF13, P_OF14)


def some_rules(rng: random.Random, count: int) -> list[Rule]:
    """Rules of which each is much like the one before."""
    actions = [parse_flow_mod(f"ip,actions={text}")[0].actions for text in ACTIONS]
    rules: list[Rule] = []
    facts = [0, 0, NOW_MS, 0, 0, 0, 0]
    for number in range(count):
        if rng.random() < 0.3:
            changed = rng.randrange(len(facts))
            facts[changed] = rng.choice(
                ((0, 3), (5, 0x8000), (NOW_MS, NOW_MS - 1_234, NOW_MS - 77_000_000, NOW_MS + 5),
                 (0, 60), (0, 9), (0, m.OFPFF_SEND_FLOW_REM, 16), (0, 7))[changed]
            )  # fmt: skip
        table_id, priority, created_ms, idle, hard, flags, importance = facts
        match = parse_match(
            rng.choice(MATCHES[:2] if number & 8 else MATCHES).format(n=number % 90)
        )
        rule = Rule(
            number, table_id, match, priority, rng.choice(actions[:2] if number & 4 else actions),
            created_ms, rng.choice((0, 0, 0xFFFFFFFFFFFFFFFF)), idle, hard, flags, importance,
        )  # fmt: skip
        if rng.random() < 0.1:
            rule.credit(5, 300, created_ms + 2_500)
        if rng.random() < 0.1:
            rule.modified_ms = created_ms + 1_500
        rules.append(rule)
    return rules


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("count", [0, 1, 40, 2_500])
def test_flows_have_the_bytes_that_they_have_one_by_one(protocol: int, count: int) -> None:
    nx, version = protocol == P_NXM, VERSION[protocol]
    assert has_form(version, nx)
    rules = some_rules(random.Random(count), count)
    parts = flow_parts(rules, version, nx, NOW_MS)
    written = encode_message(m.FlowPartsReply(parts, nx), 7, protocol)
    assert written == encode_message(m.FlowRowsReply(flow_rows(rules, NOW_MS), nx), 7, protocol)
    assert len(parts) == (0 if not count else 1 if count < 100 else len(parts))
    assert max(map(len, parts), default=0) <= 60_000


def test_a_reply_of_several_messages_says_so_in_all_but_the_last() -> None:
    rules = some_rules(random.Random(1), 2_500)
    data = encode_message(m.FlowPartsReply(flow_parts(rules, 4, False, NOW_MS)), 7, P_OF13)
    more, seen = [], 0
    while data:
        size = int.from_bytes(data[2:4], "big")
        reply, xid = decode_message(data[:size], P_OF13)
        assert isinstance(reply, m.FlowStatsReply)
        assert xid == 7
        more.append(reply.more)
        seen += len(reply.flows)
        data = data[size:]
    assert len(more) > 2
    assert more == [True] * (len(more) - 1) + [False]
    assert seen == len(rules)


def test_openflow_10_and_15_have_forms_of_their_own() -> None:
    assert not has_form(1, False)
    assert not has_form(6, False)
