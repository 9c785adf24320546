"""Random lists of actions do to packets in the kernel what they do in Python."""

from __future__ import annotations

import random

import pytest
from tests.support.dummy_backend import UserspaceBackend
from tests.support.kernel_backend import KernelBackend
from tests.support.odd_packets import odd_packet
from tests.support.packet_cases import CASES

from netloom.datapath.action_parse import parse_actions
from netloom.flow.extract import extract_key
from netloom.flow.fields import SLOT
from netloom.flow.key import mask_of

pytestmark = pytest.mark.root
PORTS = (1, 2, 3, 4)
TAGS = (0x8100, 0x88A8)
MASK = mask_of("in_port") | mask_of("recirc_id") | mask_of("dl_type")
PUSH_NSH = "push_nsh(flags=0,ttl=63,mdtype=1,np=3,spi=0x5,si=255,c1=0x1,c2=0x2,c3=0x3,c4=0x4)"
PUSH_ETH = "push_eth(src=02:00:00:00:00:0a,dst=02:00:00:00:00:0b)"
#: What leaves the packet where it was, and what ends a list.
CHANGES = (
    "set(eth(src=02:00:00:00:00:99))",
    "set(eth(dst=00:00:00:00:00:07/00:00:00:00:00:ff))",
    "set(ipv4(src=1.2.3.4,ttl=7))",
    "set(ipv4(dst=9.0.0.0/255.0.0.0,tos=0x20/0xfc))",
    "set(ipv6(dst=fd00::77,hlimit=3))",
    "set(arp(op=2,sip=10.0.0.9))",
    "push_vlan(vid=5,pcp=1)",
    "pop_vlan",
    "set(skb_mark(0x5/0xf))",
    "hash(l4(3))",
    "ct_clear",
    "push_mpls(label=5,tc=0,ttl=64,bos=1,eth_type=0x8847)",
    f"{PUSH_NSH},{PUSH_ETH}",
    f"{PUSH_NSH},{PUSH_ETH},set(nsh(ttl=3,si=7,c2=0x5)),2,pop_eth,pop_nsh()",
    f"pop_eth,{PUSH_ETH}",
    PUSH_ETH,
)
BRANCHES = (
    "clone({})", "check_pkt_len(size=80,gt({}),le({}))", "sample(sample=100.0%,actions({}))",
)  # fmt: skip


def random_actions(rng: random.Random, depth: int = 0) -> str:
    """Some changes and outputs, copies among them."""
    words = []
    for _ in range(rng.randrange(1, 5)):
        draw = rng.random()
        if draw < 0.4:
            words.append(rng.choice(CHANGES))
        elif draw < 0.8 or depth:
            words.append(str(rng.choice((2, 3, 4))))
        elif draw < 0.9:
            words += [f"trunc({rng.choice((20, 60, 100))})", "2"]
        else:
            form = rng.choice(BRANCHES)
            parts = [random_actions(rng, depth + 1) for _ in range(form.count("{}"))]
            words.append(form.format(*parts))
    return ",".join(words)


def packets(rng: random.Random) -> list[bytes]:
    known = [bytes(packet) for case in CASES for _, packet in case.sent]
    chosen = rng.sample([data for data in known if len(data) >= 60], 3)
    odd = [data for _ in range(3) if len(data := odd_packet(rng)) >= 60]
    # Nobody sets fields behind a tag that the key does not tell of.
    return chosen + [data for data in odd if SLOT["dl_type"].get(extract_key(data, 1)) not in TAGS]


@pytest.mark.parametrize("seed", range(60))
def test_random_actions_do_the_same(kernel: KernelBackend, seed: int) -> None:
    rng = random.Random(seed)
    text = random_actions(rng)
    kernel.start()
    userspace = UserspaceBackend(PORTS)
    for packet in packets(rng):
        for backend in (userspace, kernel):
            backend.dpif.flow_put(extract_key(packet, 1), MASK, parse_actions(text))
            backend.inject(1, packet)
            backend.run()
    for port in PORTS:
        sent, expected = kernel.sent(port), userspace.sent(port)
        # What goes through Python may be overtaken.
        assert sorted(data.hex() for data in sent) == sorted(data.hex() for data in expected), text
    assert kernel.drops() == userspace.drops(), text
    assert not kernel.dpif.recv_upcalls(10) and not userspace.dpif.recv_upcalls(10)


#: A copy that is looked up again, at every place where there may be one.
RECIRCULATIONS = (
    "recirc(0x1)", "recirc(0x1),2", "ct(zone=4),recirc(0x1),2,4", "hash(l4(0)),recirc(0x1),3,2",
    "recirc(0x1),set(eth(src=00:00:00:00:00:09)),2", "clone(recirc(0x1)),push_vlan(vid=5,pcp=0),2",
    "clone(ct(zone=4),recirc(0x1)),2", "check_pkt_len(size=100,gt(3),le(recirc(0x1))),2",
    "check_pkt_len(size=100,gt(3),le(recirc(0x1)))", "clone(push_vlan(vid=5,pcp=0),recirc(0x1)),2",
    "trunc(20),recirc(0x1),2", "trunc(20),2,recirc(0x1)", "trunc(20),clone(ct(zone=3),2),3,4",
    "sample(sample=100.0%,actions(recirc(0x1))),2",
    "ct(commit,zone=4,nat(src=1.2.3.4)),2,ct(zone=5),3", "recirc(0x1),trunc(30),2",
    ",".join(["2"] * 40), ",".join(["2", "3"] * 90), "1", "1,2,1", "recirc(0x1),recirc(0x1),2",
)  # fmt: skip


@pytest.mark.parametrize("text", RECIRCULATIONS)
def test_what_follows_a_recirculation_is_done(kernel: KernelBackend, text: str) -> None:
    kernel.start()
    userspace = UserspaceBackend(PORTS)
    for backend in (userspace, kernel):
        assert backend.dpif.conntrack is not None
        backend.dpif.conntrack.flush_zone(None)
        backend.put("recirc_id(0),in_port(1),eth(),eth_type(0x0800)", text)
        for dl_type in ("0x0800", "0x8100"):
            flow = f"recirc_id(0x1),in_port(1),eth(),eth_type({dl_type})"
            backend.put(flow, "push_vlan(vid=9,pcp=0),3")
        backend.inject(1, bytes(CASES[0].sent[0][1]))
        backend.run()
    for port in PORTS:
        sent, expected = kernel.sent(port), userspace.sent(port)
        assert sorted(data.hex() for data in sent) == sorted(data.hex() for data in expected)
    assert kernel.drops() == userspace.drops()


def test_a_packet_that_is_looked_up_for_ever_is_dropped(kernel: KernelBackend) -> None:
    kernel.start()
    userspace = UserspaceBackend(PORTS)
    for backend in (userspace, kernel):
        for number in (0, 1):
            backend.put(
                f"recirc_id({number:#x}),in_port(1),eth(),eth_type(0x0800)", "2,recirc(0x1)"
            )
        backend.inject(1, bytes(CASES[0].sent[0][1]))
        backend.run()
    assert len(kernel.sent(2)) == len(userspace.sent(2)) == 7
    assert kernel.drops() == userspace.drops() == {"datapath_drop_recirc_error": 1}
