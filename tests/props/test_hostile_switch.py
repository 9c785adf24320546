"""Hostile packets at a whole switch that speaks all protocols: nothing raises, and it goes on."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.odd_packets import odd_packet

from netloom.base.clock import ManualClock
from netloom.base.counters import Counters
from netloom.base.record import replace
from netloom.datapath.action_parse import parse_actions
from netloom.datapath.userspace.dpif import UserspaceDpif
from netloom.flow.compose import compose_packet
from netloom.flow.key import IN_PORT_MASK, IN_PORT_SHIFT
from netloom.flow.text import parse_flow
from netloom.netdev.dummy import DummyFactory
from netloom.ofproto.bridge import Ofproto
from netloom.ofproto.settings import McastSettings, StpSettings
from netloom.protocols import rstp_values
from netloom.protocols.bfd import BfdSettings
from netloom.protocols.bond import BondSettings
from netloom.protocols.cfm import CfmSettings
from netloom.protocols.lacp import LacpSettings

sys.path.insert(0, str(Path(__file__).parents[1] / "trace"))
from small_switch import SmallSwitch

PACKETS = 600
FLOWS = """\
table=0,priority=5,ip,actions=ct(table=1,zone=3,nat)
table=0,priority=5,ipv6,actions=ct(table=1,zone=3)
table=0,priority=4,mpls,actions=pop_mpls:0x0800,resubmit(,2)
table=0,priority=1,actions=learn(table=9,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],\
load:NXM_OF_IN_PORT[]->NXM_NX_REG0[0..15]),normal
table=1,ct_state=+new+trk,ip,actions=ct(commit,zone=3,nat(src=10.1.1.1-10.1.1.9)),normal
table=1,tcp,actions=ct(commit,zone=3),dec_ttl,mod_tp_dst:80,normal
table=1,priority=1,ipv6,actions=dec_ttl,normal
table=1,priority=0,actions=push_vlan:0x8100,set_field:4101->vlan_vid,normal
table=2,actions=normal
"""
#: Broken bodies of the protocols that the switch itself reads, behind their Ethernet header.
HEADERS = {
    "bpdu": bytes.fromhex("0180c2000000 020000000001 0026 424203 0000 02 02"),
    "tcn": bytes.fromhex("0180c2000000 020000000001 0007 424203 0000 00 80"),
    "lacp": bytes.fromhex("0180c2000002 020000000001 8809 01 01 01 14"),
    "marker": bytes.fromhex("0180c2000002 020000000001 8809 02 01"),
    "cfm": bytes.fromhex("0180c2000030 020000000001 8902 a0 01 04 46"),
    "igmp": bytes.fromhex("01005e000016 020000000001 0800 4600 0040 0000 0000 0102 0000"
                          "0a000001 e0000016 94040000 22"),
    "mld": bytes.fromhex("333300000016 020000000001 86dd 60000000 0040 0001"
                         "fe800000000000000000000000000001 ff020000000000000000000000000016"
                         "3a00050200000000 8f"),
    "bfd": bytes.fromhex("002320000001 020000000001 0800 4500 0034 0000 0000 ff11 0000"
                         "a9fe0100 a9fe0101 c000 0ec8 0020 0000 20"),
    "nd": bytes.fromhex("3333ff000002 020000000001 86dd 60000000 0020 3aff"
                        "fe800000000000000000000000000001 ff0200000000000000000001ff000002 87"),
    "arp": bytes.fromhex("ffffffffffff 020000000001 0806 0001 0800 06 04 0001"),
}  # fmt: skip


def spoiled(rng: random.Random) -> bytes:
    """A packet of a protocol that the switch reads, with anything behind its first bytes."""
    packet = rng.choice(list(HEADERS.values())) + rng.randbytes(rng.randrange(120))
    if rng.random() < 0.3:
        packet = packet[: rng.randrange(14, len(packet) + 1)]
    if rng.random() < 0.2:
        packet = packet[:12] + b"\x81\x00\x00\x05" + packet[12:]
    return packet


def speak_everything(switch: SmallSwitch, bridge: Ofproto, *, rapid: bool) -> None:
    """Have the ports of the bridge speak all protocols."""
    for number in range(1, 6):
        switch.add_port("br0", f"p{number}", number, {})
    bfd, cfm = (bridge.ports_by_name[name].settings for name in ("p1", "p2"))
    bridge.port_configure(replace(bfd, bfd=BfdSettings()))
    bridge.port_configure(replace(cfm, cfm=CfmSettings(mpid=7)))
    for name in ("p4", "p5"):
        bridge.bundle_del(name)
    bundle = replace(bridge.bundles["p3"].settings, name="bond", members=("p4", "p5"))
    bond = BondSettings(mode="balance-slb")
    bridge.bundle_set(replace(bundle, bond=bond, lacp=LacpSettings(system_id=5)))
    bridge.configure(replace(
        bridge.settings,
        mcast=McastSettings(),
        stp=None if rapid else StpSettings(system_id=1),
        rstp=rstp_values.RstpSettings(address=1) if rapid else None,
    ))  # fmt: skip


@pytest.mark.parametrize("rapid", [False, True], ids=["stp", "rstp"])
@pytest.mark.parametrize("make", [odd_packet, spoiled])
def test_a_switch_survives_what_it_hears(
    make: Callable[[random.Random], bytes], rapid: bool
) -> None:
    rng, switch = random.Random(7), SmallSwitch()
    bridge = switch.add_bridge("br0", "standalone")
    speak_everything(switch, bridge, rapid=rapid)
    for line in FLOWS.splitlines():
        switch.add_flow("br0", line)
    for _ in range(PACKETS):
        switch.devices.find(f"p{rng.randint(1, 5)}").inject(make(rng))
        switch.backer.run()
        switch.clock.advance(rng.choice([0, 10, 100, 1_000]))
    for command in ("stp/show", "rstp/show", "lacp/show", "bond/show", "bfd/show", "cfm/show"):
        switch.control(command)
    for command in ("mdb/show", "fdb/show"):
        switch.control(command, "br0")
    bridge.configure(replace(bridge.settings, stp=None, rstp=None, mcast=None))
    good = compose_packet(parse_flow("udp,dl_src=00:00:00:00:00:01,nw_src=10.0.0.1,nw_ttl=64"))
    before = len(switch.devices.find("p3").sent)
    switch.clock.advance(100_000)
    switch.devices.find("p1").inject(good)
    for _ in range(6):
        switch.backer.run()
    assert len(switch.devices.find("p3").sent) > before


def headers_in_a_row(count: int) -> bytes:
    """IPv6 with so many destination options before UDP."""
    body = b"".join(bytes((60 if n < count - 1 else 17, 0, 1, 4, 0, 0, 0, 0)) for n in range(count))
    body += bytes.fromhex("0001000200080000")
    fixed = b"\x60\0\0\0" + len(body).to_bytes(2, "big") + bytes((60 if count else 17, 64))
    return bytes.fromhex("020000000002 020000000001 86dd") + fixed + bytes(32) + body


def fragment(offset: int, more: bool, n: int) -> bytes:
    word = (0x2000 if more else 0) | offset // 8
    header = bytearray.fromhex("4500 0000 0007 0000 4011 0000 0a000001 0a000002")
    header[2:4] = (20 + n).to_bytes(2, "big")
    header[6:8] = word.to_bytes(2, "big")
    total = sum(int.from_bytes(header[i : i + 2], "big") for i in range(0, 20, 2))
    total = (total & 0xFFFF) + (total >> 16)
    header[10:12] = (~((total & 0xFFFF) + (total >> 16)) & 0xFFFF).to_bytes(2, "big")
    return bytes.fromhex("020000000002 020000000001 0800") + bytes(header) + bytes(n)


def with_options(length_words: int, options: bytes) -> bytes:
    header = bytes((0x40 | length_words, 0, 0, 28 + len(options), 0, 0, 0, 0, 64, 17, 0, 0))
    return (bytes.fromhex("020000000002 020000000001 0800") + header + bytes(8) + options
            + bytes(8))  # fmt: skip


CASES = {
    "255 extension headers": [headers_in_a_row(255)],
    "no extension header": [headers_in_a_row(0)],
    "an IP header of 60 bytes": [with_options(15, bytes(40))],
    "an IP header that is too long": [with_options(15, b"")],
    "an IP header of 8 bytes": [with_options(2, b"")],
    "fragments that overlap": [fragment(0, True, 800), fragment(400, True, 800),
                               fragment(1200, False, 100)],
    "a last fragment beyond 64 KiB": [fragment(65_528, False, 1_400)],
    "a fragment of nothing": [fragment(8, True, 0)],
    "a jumbo frame": [fragment(0, False, 9_000), fragment(0, False, 65_515)],
    "only an Ethernet header": [bytes(14)],
    "less than an Ethernet header": [bytes(13), b"", b"\0"],
    "a tag and nothing": [bytes(12) + b"\x81\x00", bytes(12) + b"\x81\x00\0\5"],
    "a length without LLC": [bytes(12) + b"\0\x20"],
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("actions", ["2", "ct(commit,zone=1),2", "set(ipv4(ttl=3)),2"])
def test_each_odd_packet_goes_on_is_held_or_counted(name: str, actions: str) -> None:
    counters, clock = Counters(), ManualClock(5_000)
    dpif = UserspaceDpif("system", "ovs-system", clock, counters)
    factory = DummyFactory(None, "override")
    for port in ("p1", "p2"):
        dpif.port_add(factory.open(port, "system", {}))
    program = parse_actions(actions)
    for in_port in (0, 1):
        dpif.flow_put(in_port << IN_PORT_SHIFT, IN_PORT_MASK, program)
    for packet in CASES[name]:
        factory.devices["p1"].inject(packet)
        dpif.run(clock.now_ms())
    first, second = factory.devices["p1"], factory.devices["p2"]
    drops = sum(c.total for c in counters.all() if "drop_" in c.name)
    held = dpif.conntrack.fragments.n_held
    # What is longer than the device takes is counted there, and in `tx_errors` of a Linux device.
    lost = first.rx_dropped + second.tx_dropped
    assert second.stats().tx_packets + drops + held + lost == len(CASES[name])
