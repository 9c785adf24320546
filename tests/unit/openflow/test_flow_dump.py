"""A dump of many flows reads as its messages do one by one, however alike the flows are."""

from __future__ import annotations

import random

import pytest

from netloom.base.record import replace
from netloom.flow.text import parse_match
from netloom.openflow import messages as m
from netloom.openflow.codec import encode_message
from netloom.openflow.constants import OFP13_VERSION
from netloom.openflow.flow_dump import FlowDump
from netloom.openflow.flow_text import parse_flow_mod
from netloom.openflow.message_text import Style, format_message
from netloom.openflow.oxm import oxm_table
from netloom.openflow.oxm_template import Templates
from netloom.openflow.protocol import P_NXM, P_OF12, P_OF13, P_OF14, P_OF15

MATCHES = (
    "tcp,in_port=1,nw_dst={ip},tp_dst=80",
    "tcp,nw_src={ip},nw_dst={ip},tp_src={port},tp_dst={port}",
    "udp,nw_src={ip}/24,tp_dst={port}/0xfff0",
    "dl_vlan=7,dl_src={mac},dl_dst={mac}",
    "arp,arp_spa={ip},arp_tpa={ip},dl_src={mac}",
    "icmp,nw_src={ip},icmp_type={byte}",
    "udp6,ipv6_dst=fe80::{byte},tp_dst={port}",
    "in_port={byte},metadata={byte},ip,nw_dst={ip}",
    "ct_state=+trk+est,ip,nw_src={ip},tun_id={byte}",
    "tcp,nw_src=198.51.100.213,tp_dst={port}",
    "",
)
ACTIONS = (
    "drop", "output:2", "set_field:198.51.100.214->ip_dst,normal", "resubmit(,1)",
    "mod_tp_dst:54312,output:1", "controller(max_len=54321)",
)  # fmt: skip


def messages(flows: list[m.FlowStats], protocol: int) -> list[bytes]:
    """The replies that carry these flows."""
    data = encode_message(m.FlowStatsReply(tuple(flows), protocol == P_NXM), 3, protocol)
    found = []
    while data:
        size = int.from_bytes(data[2:4], "big") or len(data)
        found.append(data[:size])
        data = data[size:]
    return found


def some_flows(rng: random.Random, count: int, nicira: bool) -> list[m.FlowStats]:
    flows = []
    for _ in range(count):
        ip = ".".join(str(rng.choice((0, 10, 77, 213, 255))) for _ in range(4))
        mac = ":".join(f"{rng.getrandbits(8):02x}" for _ in range(6))
        form = rng.choice(MATCHES)
        port = rng.choice((54_321, 34_567, 80, rng.getrandbits(16) & 0xFFF0))
        words = form.format(ip=ip, mac=mac, port=port, byte=rng.getrandbits(7))
        actions = parse_flow_mod("ip,actions=" + rng.choice(ACTIONS))[0].actions
        flows.append(
            m.FlowStats(
                parse_match(words), rng.choice((0, 5, 0x8000)), rng.choice((0, 3)), actions,
                rng.choice((0, 0, rng.getrandbits(64))), rng.choice((0, 77)),
                rng.choice((0, 5_000_000, 123_456_789)), rng.choice((0, 60)), rng.choice((0, 9)),
                rng.choice((-1, 0, 77)) if nicira else -1,
                rng.choice((-1, 5, 77)) if nicira else -1,
                0 if nicira else rng.choice((0, 0, 1, 4)),
                0, rng.getrandbits(20), rng.choice((0, m.UNKNOWN)),
            )
        )  # fmt: skip
    return flows


@pytest.mark.parametrize("protocol", [P_NXM, P_OF12, P_OF13, P_OF14, P_OF15])
@pytest.mark.parametrize("verbosity", [1, 3])
def test_a_dump_reads_as_its_messages(protocol: int, verbosity: int) -> None:
    rng = random.Random(protocol)
    style = Style(verbosity)
    dump = FlowDump(style)
    nicira = protocol == P_NXM
    for _ in range(3):
        flows = some_flows(rng, 400, nicira)
        for data in messages(flows, protocol):
            assert dump.text(data) == format_message(data, style)


def test_alike_flows_are_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    # What other tests read does not count: after too many odd messages nobody looks for shapes.
    monkeypatch.setattr(oxm_table(OFP13_VERSION), "templates", Templates())
    flow = parse_flow_mod("tcp,nw_dst=10.0.0.1,tp_dst=80,actions=2")[0]
    row = m.FlowStats(flow.match, 5, 0, flow.actions, 0, 1, 0, 0, 0, -1, -1, 0, 0, 1, 2)
    rows = [
        replace(row, cookie=n, match=parse_match(f"tcp,nw_dst=10.0.0.{n},tp_dst=80"))
        for n in range(100)
    ]
    dump = FlowDump(Style())
    (data,) = messages(rows, P_OF13)
    assert dump.text(data) == format_message(data)
    assert dump._hits > 95


@pytest.mark.parametrize("cut", [1, 8, 30, 100])
def test_a_damaged_dump_reads_as_its_message(cut: int) -> None:
    flows = some_flows(random.Random(cut), 20, False)
    (data,) = messages(flows, P_OF13)
    size = len(data) - cut
    short = data[:2] + size.to_bytes(2, "big") + data[4:size]
    assert FlowDump(Style()).text(short) == format_message(short)
    rng = random.Random(cut)
    for _ in range(200):
        at = rng.randrange(8, len(data))
        changed = data[:at] + bytes([rng.getrandbits(8)]) + data[at + 1 :]
        assert FlowDump(Style()).text(changed) == format_message(changed)
