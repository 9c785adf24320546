"""Headers that are written whole, for a data path that writes none in part."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "trace"))
from small_switch import SmallSwitch

ETH = "eth_src=00:00:00:00:00:01,eth_dst=00:00:00:00:00:02"
IPV4 = f"{ETH},tcp,nw_src=10.0.0.1,nw_dst=10.0.0.2,nw_ttl=9,tp_src=1,tp_dst=2"
IPV6 = f"{ETH},udp6,ipv6_src=::1,ipv6_dst=::2,nw_ttl=9"


@pytest.fixture
def switch() -> SmallSwitch:
    switch = SmallSwitch()
    switch.add_bridge("br0")
    for number in (1, 2):
        switch.add_port("br0", f"p{number}", number, {})
    return switch


def trace(switch: SmallSwitch, actions: str, packet: str) -> tuple[str, str]:
    """The megaflow and its actions."""
    words = [word for word in packet.split(",") if "=" not in word]
    switch.replace_flows("br0", f"{','.join(['in_port=1', *words])} actions={actions},output:2")
    lines = switch.control("ofproto/trace", "br0", f"in_port=1,{packet}").splitlines()
    said = dict(line.split(": ", 1) for line in lines if line.startswith(("Megaflow", "Datapath")))
    return f",{said['Megaflow']}", said["Datapath actions"]


@pytest.mark.parametrize(
    ("actions", "packet", "in_part", "whole", "megaflow"),
    [
        ("mod_dl_dst:00:00:00:00:00:03", IPV4, "eth(dst=00:00:00:00:00:03)",
         "eth(src=00:00:00:00:00:01,dst=00:00:00:00:00:03)",
         "dl_src=00:00:00:00:00:01,dl_dst=00:00:00:00:00:02"),
        ("mod_nw_src:10.0.0.3", IPV4, "ipv4(src=10.0.0.3)",
         "ipv4(src=10.0.0.3,dst=10.0.0.2,proto=6,tos=0,ttl=9,frag=no)",
         "nw_src=10.0.0.1,nw_dst=10.0.0.2,nw_tos=0,nw_ecn=0,nw_ttl=9,nw_frag=no"),
        ("mod_tp_dst:3", IPV4, "tcp(dst=3)", "tcp(src=1,dst=3)", "tp_src=1,tp_dst=2"),
        ("dec_ttl", IPV6, "ipv6(hlimit=8)",
         "ipv6(src=::1,dst=::2,label=0,proto=17,tclass=0,hlimit=8,frag=no)",
         "ipv6_src=::1,ipv6_dst=::2,ipv6_label=0x00000,nw_tos=0,nw_ecn=0,nw_ttl=9,nw_frag=no"),
        ("load:5->NXM_NX_PKT_MARK[0..2]", IPV4, "skb_mark(0x5/0x7)", "skb_mark(0x5)",
         "pkt_mark=0"),
    ],
)  # fmt: skip
def test_all_that_a_header_has_is_matched_and_written(
    switch: SmallSwitch, actions: str, packet: str, in_part: str, whole: str, megaflow: str
) -> None:
    before, emitted = trace(switch, actions, packet)
    assert emitted == f"set({in_part}),2"
    assert f",{megaflow}," not in f"{before},"
    assert switch.control("dpif/set-dp-features", "br0", "masked_set_action", "false") == ""
    after, emitted = trace(switch, actions, packet)
    assert emitted == f"set({whole}),2"
    assert f",{megaflow}," in f"{after},"


def test_what_is_not_changed_is_not_written(switch: SmallSwitch) -> None:
    switch.control("dpif/set-dp-features", "br0", "masked_set_action", "false")
    megaflow, emitted = trace(switch, "mod_tp_dst:2", IPV4)
    assert emitted == "2"
    assert "tp_src" not in megaflow


def test_arp_is_written_in_part_all_the_same(switch: SmallSwitch) -> None:
    switch.control("dpif/set-dp-features", "br0", "masked_set_action", "false")
    _, emitted = trace(switch, "load:2->NXM_OF_ARP_OP[]", f"{ETH},arp,arp_op=1")
    assert emitted == "set(arp(op=2)),2"
