"""Fragments that go through connection tracking: held, put together, judged, sent on."""

from __future__ import annotations

import pytest
from scapy.layers.inet import IP, UDP, fragment
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment, fragment6
from scapy.layers.l2 import Dot1Q, Ether

from netloom.base.clock import ManualClock
from netloom.base.counters import Counters
from netloom.base.errors import CommandError
from netloom.datapath.dpctl import Dpctl
from netloom.datapath.userspace.conntrack.fragments import (
    MAX_PACKET,
    NO_MAX_FRAME,
    Fragments,
    Whole,
)
from netloom.datapath.userspace.dpif import UserspaceDpif
from netloom.netdev.device import Packet
from netloom.netdev.dummy import DummyFactory
from netloom.packet.parse import parse

ETHER = Ether(src="50:00:00:00:00:01", dst="50:00:00:00:00:02")
IPV4_FLOW = "in_port(1),eth(),eth_type(0x0800),ipv4(frag={})"
FLOWS = (
    ("in_port(1),eth_type(0x0800),ipv4(frag=no)", "ct(commit,nat(src=10.9.9.9)),2"),
    ("in_port(1),eth_type(0x0800),ipv4(frag=first)", "ct(commit,nat(src=10.9.9.9)),2"),
    ("in_port(1),eth_type(0x0800),ipv4(frag=later)", "ct(commit,nat(src=10.9.9.9)),2"),
    ("in_port(1),eth_type(0x86dd),ipv6(frag=first)", "ct(commit),2"),
    ("in_port(1),eth_type(0x86dd),ipv6(frag=later)", "ct(commit),2"),
)


def ipv4(number: int = 7, size: int = 2_000, piece: int = 1_300) -> list[bytes]:
    packet = ETHER / IP(src="10.0.0.1", dst="10.0.0.2", id=number) / UDP(sport=5, dport=6)
    return [bytes(part) for part in fragment(packet / (b"x" * size), piece)]


def ipv6(number: int = 7, size: int = 2_000, piece: int = 1_400) -> list[bytes]:
    ip = IPv6(src="2001:db8::1", dst="2001:db8::2") / IPv6ExtHdrFragment(id=number)
    return [bytes(p) for p in fragment6(ETHER / ip / UDP(sport=5, dport=6) / (b"x" * size), piece)]


class Switch:
    def __init__(self) -> None:
        self.clock = ManualClock(5_000)
        factory = DummyFactory(None, "override")
        self.counters = Counters()
        self.dpif = UserspaceDpif("system", "ovs-system", self.clock, self.counters)
        for name in ("p1", "p2"):
            self.dpif.port_add(factory.open(name, "system", {}))
        self.p1, self.p2 = factory.devices["p1"], factory.devices["p2"]
        self.sent: list[bytes] = []
        self.p2.send = self._keep  # type: ignore[method-assign]
        dpctl = Dpctl(lambda: [self.dpif], self.clock.now_ms, lambda path: "")
        self.handlers = {command.name: command.handler for command in dpctl.commands()}
        for flow, actions in FLOWS:
            self("add-flow", flow, actions)

    def _keep(self, packets: list[Packet]) -> None:
        self.sent += [packet.data for packet in packets]

    def __call__(self, name: str, *args: str) -> str:
        return self.handlers[f"dpctl/{name}"](list(args))

    def receive(self, packets: list[bytes]) -> list[bytes]:
        """What leaves when these come in, one after the other."""
        self.sent = []
        for packet in packets:
            self.p1.inject(packet)
            self.dpif.run(self.clock.now_ms())
        return self.sent

    def status(self) -> dict[str, str]:
        lines = self("ipf-get-status").splitlines()[2:]
        return {name.strip(): value for name, _, value in (x.partition(": ") for x in lines)}


@pytest.fixture
def switch() -> Switch:
    return Switch()


def test_fragments_leave_in_order_when_all_are_there(switch: Switch) -> None:
    parts = ipv4()
    assert switch.receive(parts[1:]) == []
    assert switch.status()["num frag"] == "1"
    sent = switch.receive(parts[:1])
    assert [len(packet) for packet in sent] == [len(part) for part in parts]
    assert switch.status()["num frag"] == "0"
    assert switch.status()["v4 frags completed"] == "2"


def test_translation_reaches_every_fragment(switch: Switch) -> None:
    sent = [Ether(packet) for packet in switch.receive(ipv4())]
    assert {packet[IP].src for packet in sent} == {"10.9.9.9"}
    for packet in sent:
        wanted = packet[IP].chksum
        del packet[IP].chksum
        assert Ether(bytes(packet))[IP].chksum == wanted
    whole = IP(bytes(sent[0][IP]))
    whole.flags = 0
    data = bytes(sent[0][IP].payload) + bytes(sent[1][IP].payload)
    built = IP(src="10.9.9.9", dst="10.0.0.2", proto=17) / data
    wanted = UDP(data).chksum
    again = IP(bytes(built))
    del again[UDP].chksum
    assert IP(bytes(again))[UDP].chksum == wanted


def test_ipv6_fragments_go_as_they_came(switch: Switch) -> None:
    parts = ipv6()
    assert switch.receive(parts[::-1]) == parts
    assert "udp,orig=(src=2001:db8::1" in switch("dump-conntrack")


def test_connection_is_that_of_the_whole_packet(switch: Switch) -> None:
    switch.receive(ipv4())
    assert "sport=5,dport=6" in switch("dump-conntrack")


def test_overlapping_fragment_is_invalid_and_counted(switch: Switch) -> None:
    parts = ipv4()
    assert switch.receive([parts[0], parts[0]]) == [parts[0]]
    assert switch.status()["v4 frags overlapped"] == "1"


def empty_end(number: int = 7, at: int = 2_008) -> bytes:
    """A last fragment without data."""
    ip = IP(src="10.0.0.1", dst="10.0.0.2", id=number, frag=at // 8, proto=17)
    return bytes(ETHER / ip)


def test_a_fragment_without_data_waits_too_and_may_end_a_packet(switch: Switch) -> None:
    parts = ipv4(size=2_000)
    last = bytearray(parts[-1])
    last[20] |= 0x20
    end = Ether(bytes(last))
    del end[IP].chksum
    switch("ipf-set-min-frag", "v4", "400")
    assert switch.receive([empty_end(), parts[0]]) == []
    assert switch.status()["num frag"] == "2"
    sent = switch.receive([bytes(end)])
    assert [len(packet) for packet in sent] == [len(part) for part in (*parts, empty_end())]


def test_a_fragment_without_data_amid_another_overlaps(switch: Switch) -> None:
    switch.receive(ipv4()[:1])
    assert len(switch.receive([empty_end(at=800)])) == 1
    assert switch.status()["v4 frags overlapped"] == "1"


def test_the_kernel_takes_no_fragments_without_data(switch: Switch) -> None:
    switch.dpif.conntrack.fragments.takes_empty = False
    assert len(switch.receive([empty_end()])) == 1
    assert switch.status()["v4 frags accepted"] == "0"


def test_small_fragments_are_invalid_but_the_last(switch: Switch) -> None:
    parts = ipv4(piece=600)
    assert switch.receive(parts) == parts[:-1]
    assert switch.status()["v4 frags too small"] == str(len(parts) - 1)
    switch("ipf-set-min-frag", "v4", "500")
    assert len(switch.receive(ipv4(8, piece=600))) == len(parts)


def test_given_up_fragments_go_behind_the_next_packet(switch: Switch) -> None:
    held = ipv4()[0]
    assert switch.receive([held]) == []
    switch.clock.advance(15_001)
    other = bytes(ETHER / IP(src="10.0.0.5", dst="10.0.0.6") / UDP(sport=1, dport=2) / b"hello")
    sent = switch.receive([other])
    assert sent[1:] == [held]
    assert len(sent[0]) == len(other)
    assert switch.status()["v4 frags expired"] == "1"


def test_fragments_that_nobody_sends_are_thrown_away(switch: Switch) -> None:
    switch.receive(ipv4()[:1])
    switch.clock.advance(80_000)
    switch.dpif.run(switch.clock.now_ms())
    assert switch.status()["v4 frags purged"] == "1"
    assert switch.status()["num frag"] == "0"


def test_no_more_fragments_are_held_than_allowed(switch: Switch) -> None:
    switch("ipf-set-max-nfrags", "1")
    first, second = ipv4(1)[0], ipv4(2)[0]
    assert switch.receive([first, second]) == [second]


def test_disabled_family_is_not_put_together(switch: Switch) -> None:
    switch("ipf-set-disabled", "v4")
    parts = ipv4()
    assert switch.receive(parts) == parts
    assert switch.receive(ipv6()[:1]) == []


def test_lists_name_incomplete_packets(switch: Switch) -> None:
    switch.receive(ipv4()[:1])
    switch.receive(ipv6(size=4_000)[1:2])
    assert switch("ipf-get-status", "-m").split("Fragment Lists:\n\n")[1].splitlines() == [
        "(src=2001:db8::1,dst=2001:db8::2,recirc_id=0,ip_id=7,dl_type=0x86dd,zone=0,nw_proto=0,"
        "num_fragments=1,state=other frag)",
        "(src=10.0.0.1,dst=10.0.0.2,recirc_id=0,ip_id=7,dl_type=0x800,zone=0,nw_proto=17,"
        "num_fragments=1,state=first frag)",
    ]


@pytest.mark.parametrize(
    ("command", "args", "message"),
    [
        ("ipf-set-enabled", ["v5"], "parameter missing: 'v4' for IPv4 or 'v6' for IPv6 (Invalid"),
        ("ipf-set-min-frag", ["v4", "399"], "requested minimum fragment size too small; see docum"),
        ("ipf-set-min-frag", ["v4", "x"], "parameter missing for minimum fragment size (Invalid a"),
        ("ipf-set-max-nfrags", ["5001"], "setting maximum fragments failed (Operation not permi"),
        ("ipf-set-max-nfrags", ["x"], "parameter missing for maximum fragments (Invalid argumen"),
    ],
)
def test_settings_out_of_range_are_refused(
    switch: Switch, command: str, args: list[str], message: str
) -> None:
    with pytest.raises(CommandError, match="ovs-vswitchd: ") as raised:
        switch(command, *args)
    assert message in str(raised.value)


def test_datagram_longer_than_any_is_never_whole() -> None:
    fragments = Fragments()
    tagged = Ether() / Dot1Q(vlan=3) / IP(src="1.1.1.1", dst="2.2.2.2")
    taken = []
    for at in (0, 32_000, 64_000):
        packet = tagged.copy()
        packet[IP].frag, packet[IP].flags = at // 8, 0 if at == 64_000 else 1
        data = bytes(packet / (b"x" * (32_000 if at < 64_000 else 4_000)))
        taken.append(fragments.take(data, parse(data), 0, 0, 0, 0))
    assert taken == ["held", "held", "held"]
    assert "state=reassemble fail" in fragments.lists()[0]


@pytest.mark.parametrize(("max_frame", "is_whole"), [(MAX_PACKET, False), (NO_MAX_FRAME, True)])
def test_the_longest_packet_is_put_together_where_frames_may_be_longer(
    max_frame: int, is_whole: bool
) -> None:
    fragments = Fragments()
    fragments.max_frame = max_frame
    taken: object = None
    for at in (0, 32_000, 64_000):
        packet = Ether() / IP(src="1.1.1.1", dst="2.2.2.2")
        packet[IP].frag, packet[IP].flags = at // 8, 0 if at == 64_000 else 1
        data = bytes(packet / (b"x" * (32_000 if at < 64_000 else 1_515)))
        taken = fragments.take(data, parse(data), 0, 0, 0, 0)
    assert isinstance(taken, Whole) is is_whole
