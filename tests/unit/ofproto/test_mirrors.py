"""What 3.1, which the recorded traces come from, does not have; and what mirrors count."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "trace"))
from small_switch import SmallSwitch

from netloom.base.record import replace
from netloom.flow.text import parse_flow, parse_match
from netloom.ofproto.settings import MirrorSettings
from netloom.ofproto.translate import translate

EVERY = frozenset({"p1", "p2", "p3"})
MIRROR = MirrorSettings("id", "m", sources=EVERY, targets=EVERY, output_port="p3")


def stand(mirror: MirrorSettings) -> SmallSwitch:
    switch = SmallSwitch()
    bridge = switch.add_bridge("br0")
    for number in (1, 2, 3):
        switch.add_port("br0", f"p{number}", number, {})
    switch.add_flow("br0", "priority=0 actions=output:2")
    bridge.configure(replace(bridge.settings, mirrors=(mirror,)))
    return switch


def last_lines(switch: SmallSwitch, flow: str) -> list[str]:
    return switch.control("ofproto/trace", "br0", flow, "--names").splitlines()[-2:]


def test_filter_selects_and_is_part_of_the_megaflow() -> None:
    switch = stand(replace(MIRROR, filter=parse_match("tcp,tcp_dst=80")))
    assert last_lines(switch, "in_port=1,tcp,tcp_dst=80") == [
        "Megaflow: recirc_id=0,eth,tcp,in_port=p1,nw_frag=no,tp_dst=80",
        "Datapath actions: p3,p2",
    ]
    assert last_lines(switch, "in_port=1,tcp,tcp_dst=81") == [
        "Megaflow: recirc_id=0,eth,tcp,in_port=p1,nw_frag=no,tp_dst=81",
        "Datapath actions: p2",
    ]


def test_mirror_counts_each_packet_once_and_goes_on_when_changed() -> None:
    bridge = stand(MIRROR).backer.bridges["br0"]
    for target in translate(bridge, parse_flow("in_port=1"), 0).credits:
        target.credit(2, 120, 0)
    assert bridge.mirror_stats("id") == (2, 120)
    bridge.configure(replace(bridge.settings, mirrors=(replace(MIRROR, snaplen=64),)))
    assert bridge.mirror_stats("id") == (2, 120)
    bridge.configure(replace(bridge.settings, mirrors=()))
    assert bridge.mirror_stats("id") is None


def test_a_paused_packet_tells_which_mirrors_have_it() -> None:
    bridge = stand(MIRROR).backer.bridges["br0"]
    other = replace(MIRROR, id="other", output_port="p2")
    bridge.configure(replace(bridge.settings, mirrors=(MIRROR, other)))
    mirrored = frozenset({("br0", "p2", 0), ("br1", "p3", 0)})
    assert bridge.mirrors.bits_of("br0", mirrored) == 0b10
    assert bridge.mirrors.of_bits("br0", 0b10) == {("br0", "p2", 0)}
