"""Random lists of headers put on and taken off, in copies too, on odd packets: the kernel's packets
and keys are Python's."""

from __future__ import annotations

import random

import pytest
from tests.support.dummy_backend import UserspaceBackend
from tests.support.kernel_backend import KernelBackend
from tests.support.odd_packets import odd_packet

from netloom.datapath.action_parse import parse_actions
from netloom.flow.extract import extract_key
from netloom.flow.fields import SLOT
from netloom.flow.key import explain_key, mask_of

pytestmark = pytest.mark.root
PORTS = (1, 2, 3)
MASK = mask_of("in_port") | mask_of("recirc_id") | mask_of("dl_type")
PUSH_NSH = "push_nsh(flags=0,ttl=63,mdtype=1,np=3,spi=0x5,si=255,c1=0x1,c2=0x2,c3=0x3,c4=0x4)"
#: What a packet starts with -> actions that may follow, and what it starts with then.
STEPS = {
    "frame": (
        (PUSH_NSH, "nsh"),
        ("push_nsh(flags=2,ttl=1,mdtype=2,np=3,spi=0x7,si=1,md2=0x10000104aabbccdd)", "nsh"),
        ("add_mpls(label=5,tc=0,ttl=64,bos=1,eth_type=0x8847)", "label"),
        ("pop_eth", "bare"),
        ("push_vlan(vid=5,pcp=1)", "tagged"),
        ("push_eth(src=02:00:00:00:00:0e,dst=02:00:00:00:00:0f)", "frame"),
        ("set(eth(src=02:00:00:00:00:99))", "frame"),
        ("set(ipv4(ttl=7))", "frame"),
        ("2", "frame"),
    ),
    "tagged": (
        ("pop_vlan", "frame"),
        (PUSH_NSH, "nsh"),
        ("3", "tagged"),
    ),
    "nsh": (
        ("push_nsh(flags=0,ttl=3,mdtype=1,np=4,spi=0x5,si=255,c1=0x1,c2=0x2,c3=0x3,c4=0x4)", "nsh"),
        ("set(nsh(ttl=9,spi=0x77,c3=0x5/0xff))", "nsh"),
        ("pop_nsh()", "unknown"),
        ("push_eth(src=02:00:00:00:00:0a,dst=02:00:00:00:00:0b)", "in nsh"),
        ("hash(l4(0))", "nsh"),
    ),
    "in nsh": (
        ("2", "in nsh"),
        ("set(eth(dst=02:00:00:00:00:88))", "in nsh"),
        ("set(nsh(si=4,c2=0x1))", "in nsh"),
        ("pop_eth", "nsh"),
        ("push_vlan(vid=6,pcp=0),3,pop_vlan", "in nsh"),
    ),
    "label": (
        ("push_mpls(label=6,tc=1,ttl=9,bos=0,eth_type=0x8847),pop_mpls(eth_type=0x8847)", "label"),
        ("pop_mpls(eth_type=0x6558)", "frame"),
        ("push_eth(src=02:00:00:00:00:0a,dst=02:00:00:00:00:0b),2,pop_eth", "label"),
        ("set(mpls(label=9,tc=1,ttl=3,bos=1))", "label"),
    ),
    "bare": (
        ("push_eth(src=02:00:00:00:00:0c,dst=02:00:00:00:00:0d)", "frame"),
        ("set(ipv4(src=1.2.3.4))", "bare"),
        ("set(ipv6(hlimit=3))", "bare"),
        ("check_pkt_len(size=60,gt(2),le(3))", "bare"),
    ),
    "unknown": (),
}  # fmt: skip
#: Copies of frames, which others follow.
COPIES = ("clone({})", "sample(sample=100.0%,actions({}))")


def random_steps(rng: random.Random, n_steps: int, depth: int = 0) -> tuple[list[str], str]:
    """Actions, and what the packet starts with in the end."""
    words: list[str] = []
    shape = "frame"
    for _ in range(n_steps):
        if shape == "frame" and not depth and rng.random() < 0.3:
            inside = ",".join(random_steps(rng, rng.randrange(1, 6), 1)[0])
            words.append(rng.choice(COPIES).format(inside))
        elif STEPS[shape]:
            action, shape = rng.choice(STEPS[shape])
            words.append(action)
    if shape in ("frame", "tagged", "in nsh"):
        words.append("3")
    return words, shape


def packets(rng: random.Random) -> list[bytes]:
    odd = [data for _ in range(8) if len(data := odd_packet(rng)) >= 60]
    tags = (0x8100, 0x88A8)
    return [data for data in odd if SLOT["dl_type"].get(extract_key(data, 1)) not in tags]


def play(kernel: KernelBackend, seed: int) -> None:
    rng = random.Random(seed)
    words, _ = random_steps(rng, rng.randrange(1, 9))
    text = ",".join([*words, "recirc(0x9)"])
    kernel.start()
    userspace = UserspaceBackend(PORTS)
    results = []
    sent = packets(rng)
    for backend in (userspace, kernel):
        came_up = []
        for packet in sent:
            backend.dpif.flow_put(extract_key(packet, 1), MASK, parse_actions(text))
            backend.inject(1, packet)
            backend.run()
            for upcall in backend.dpif.recv_upcalls(100):
                came_up.append((sorted(explain_key(upcall.key).items()), upcall.packet.hex()))
            # Whoever asked has it: the next of its kind is another's.
            backend.run()
        out = [sorted(data.hex() for data in backend.sent(port)) for port in PORTS]
        results.append((sorted(came_up), out, backend.drops()))
    assert results[1] == results[0], text


@pytest.mark.parametrize("seed", range(40))
def test_headers_go_on_and_off_alike(kernel: KernelBackend, seed: int) -> None:
    play(kernel, seed)


@pytest.mark.long
@pytest.mark.timeout(1_200)
def test_headers_go_on_and_off_alike_at_length(kernel: KernelBackend) -> None:
    for seed in range(1_000, 2_500):
        play(kernel, seed)
