"""Hostile packets through tracking, translation and rewriting: nothing raises, and each packet is
sent, held, or dropped with a counted reason."""

from __future__ import annotations

import random

import pytest
from tests.support.odd_packets import odd_packet

from netloom.base.clock import ManualClock
from netloom.base.counters import Counters
from netloom.datapath.action_parse import parse_actions
from netloom.datapath.userspace.dpif import UserspaceDpif
from netloom.flow.key import IN_PORT_MASK, IN_PORT_SHIFT, RECIRC_ID_MASK, RECIRC_ID_SHIFT
from netloom.netdev.dummy import DummyFactory

PACKETS = 1_500
MASK = IN_PORT_MASK | RECIRC_ID_MASK
#: What happens to packets, and then to those that come back.
PROGRAMS = (
    ("ct(zone=1),recirc(1)", "ct(commit,zone=1,nat(src=10.9.9.9)),2"),
    ("ct(commit,zone=1,helper=ftp),recirc(1)", "push_vlan(vid=5,pcp=0),2"),
    ("ct(nat),recirc(1)", "set(ipv4(ttl=3)),set(tcp(src=5,dst=6)),set(ipv6(hlimit=3)),2"),
    ("pop_vlan,recirc(1)", "push_mpls(label=5,tc=0,ttl=64,bos=1,eth_type=0x8847),2"),
    ("pop_mpls(eth_type=0x800),recirc(1)", "hash(sym_l4(0)),recirc(1)"),
    (
        "ct(force_commit,zone=2),recirc(1)",
        "check_pkt_len(size=60,gt(2),le(drop))",
    ),
)


@pytest.mark.parametrize("program", PROGRAMS)
def test_each_packet_is_sent_held_or_counted(program: tuple[str, str]) -> None:
    rng, clock, counters = random.Random(str(program)), ManualClock(5_000), Counters()
    dpif = UserspaceDpif("system", "ovs-system", clock, counters)
    factory = DummyFactory(None, "override")
    for name in ("p1", "p2"):
        dpif.port_add(factory.open(name, "system", {}))
    try:
        first, second = (parse_actions(text) for text in program)
    except ValueError as error:
        pytest.fail(str(error))
    for in_port in (0, 1):
        for recirc_id, actions in ((0, first), (1, second)):
            dpif.flow_put(in_port << IN_PORT_SHIFT | recirc_id << RECIRC_ID_SHIFT, MASK, actions)
    for _ in range(PACKETS):
        factory.devices["p1"].inject(odd_packet(rng))
        clock.advance(rng.choice([0, 10, 1_000]))
        dpif.run(clock.now_ms())
    sent = factory.devices["p2"].stats().tx_packets
    drops = {c.name: c.total for c in counters.all() if c.name.startswith(("datapath_", "drop_"))}
    fragments = dpif.conntrack.fragments
    held = fragments.n_held + sum(counts["purged"] for counts in fragments.counts.values())
    assert sent + held + sum(drops.values()) + len(dpif.recv_upcalls(PACKETS)) == PACKETS
