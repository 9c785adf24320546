"""Random actions on random packets: nothing raises, and checksums that were right stay right."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Raw

from netloom.base.clock import ManualClock
from netloom.base.counters import Counters
from netloom.datapath import actions as dp
from netloom.datapath.action_parse import parse_actions
from netloom.datapath.action_text import format_actions
from netloom.datapath.userspace.dpif import UserspaceDpif
from netloom.datapath.userspace.rewrite import compile_set
from netloom.flow.key import make_key
from netloom.flow.odp_table import ATTRIBUTE_MASKS
from netloom.netdev.dummy import DummyFactory
from netloom.packet.offload import GSO_TCPV4, GSO_UDP_L4, NEEDS_CSUM, Offload

HEADERS = (
    "eth", "vlan", "mpls", "ipv4", "ipv6", "arp", "tcp", "udp", "sctp", "icmp", "icmpv6", "nd",
    "tcp_flags", "skb_mark", "skb_priority",
)  # fmt: skip


@st.composite
def sets(draw: st.DrawFn, headers: tuple[str, ...] = HEADERS) -> dp.Set:
    header = draw(st.sampled_from(headers))
    whole = ATTRIBUTE_MASKS[header]
    # A set of nothing is never made: its text says nothing of its mask.
    mask = whole & draw(st.integers(0, (1 << 2000) - 1)) or whole
    return dp.Set(header, draw(st.integers(0, (1 << 2000) - 1)) & mask, mask)


LEAVES = st.one_of(
    sets(),
    st.builds(dp.Output, st.integers(0, 4)),
    st.builds(dp.PushVlan, st.sampled_from([0x8100, 0x88A8]), st.integers(0, 0xFFFF)),
    st.just(dp.PopVlan()),
    st.builds(dp.PushMpls, st.sampled_from([0x8847, 0x8848]), st.integers(0, 0xFFFFFFFF)),
    st.builds(dp.PopMpls, st.sampled_from([0x0800, 0x86DD, 0x8847, 0])),
    st.builds(dp.Trunc, st.integers(0, 200)),
    st.builds(dp.Recirc, st.integers(0, 2)),
    st.builds(dp.Hash, st.sampled_from(["l4", "sym_l4"]), st.integers(0, 0xFFFFFFFF)),
    st.just(dp.CtClear()),
    st.builds(dp.Meter, st.integers(0, 9)),
    st.builds(dp.Userspace, st.just("slow_path"), st.just(("action",))),
)
ACTIONS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(dp.Clone, st.lists(inner, max_size=3).map(tuple)),
        st.builds(
            dp.Sample,
            st.integers(0, 0xFFFFFFFF),
            st.lists(inner, min_size=1, max_size=3).map(tuple),
        ),
        st.builds(
            dp.CheckPktLen,
            st.integers(0, 300),
            st.lists(inner, max_size=2).map(tuple),
            st.lists(inner, max_size=2).map(tuple),
        ),
    ),
    max_leaves=8,
)


def bench() -> tuple[UserspaceDpif, DummyFactory]:
    factory = DummyFactory(None)
    dpif = UserspaceDpif("dummy", "ovs-dummy", ManualClock(1), Counters())
    for name in ("p1", "p2"):
        dpif.port_add(factory.open(name, "dummy", {}))
    return dpif, factory


OFFLOADS = st.one_of(
    st.none(),
    st.builds(
        Offload,
        st.integers(0, 3),
        st.sampled_from([0, GSO_TCPV4, 4, GSO_UDP_L4, 0x81]),
        st.integers(0, 100),
        st.integers(0, 100),
        st.integers(0, 200),
        st.integers(0, 20),
    ),
)
STARTS = st.sampled_from(
    [
        b"",
        bytes.fromhex("020000000001020000000002 0800 45000028000040004006"),
        bytes.fromhex("020000000001020000000002 8100 000a 86dd 6000000000143a40"),
        bytes.fromhex("020000000001020000000002 0806 0001080006040001"),
        bytes.fromhex("020000000001020000000002 8847 00005140"),
    ]
)


@settings(max_examples=300, deadline=None)
@given(STARTS, st.binary(max_size=120), st.lists(ACTIONS, max_size=5).map(tuple), OFFLOADS)
def test_nothing_raises_because_of_a_packet(
    start: bytes, rest: bytes, actions: dp.DpActions, offload: Offload | None
) -> None:
    dpif, _ = bench()
    dpif.flow_put(make_key(recirc_id=1, in_port=1), make_key(recirc_id=0xFFFFFFFF), actions)
    dpif.execute(start + rest, make_key(in_port=1), actions, offload)
    assert all(upcall.kind in ("miss", "slow_path") for upcall in dpif.recv_upcalls(1000))


@settings(max_examples=200, deadline=None)
@given(st.lists(ACTIONS, max_size=4).map(tuple))
def test_text_of_actions_is_read_back_as_the_same_text(actions: dp.DpActions) -> None:
    text = format_actions(actions)
    if not _has_drop_inside(text) and "error" not in text:
        assert format_actions(parse_actions(text)) == text


def _has_drop_inside(text: str) -> bool:
    """Branches of clone and sample may not be spelled "drop", though that is how they print."""
    return "drop" in text and text != "drop"


@st.composite
def frames(draw: st.DrawFn) -> Any:
    tag = draw(st.sampled_from([None, Dot1Q(vlan=10)]))
    ip = draw(st.sampled_from([IP(src="10.0.0.1", dst="10.0.0.2"), IPv6(src="fd::1", dst="fd::2")]))
    transport = draw(st.sampled_from([TCP(sport=1, dport=2), UDP(sport=1, dport=2)]))
    payload = Raw(draw(st.binary(max_size=60)))
    frame = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    return (frame / tag if tag is not None else frame) / ip / transport / payload


IP_SETS = ("eth", "vlan", "ipv4", "ipv6", "tcp", "udp", "tcp_flags")
EDITS = st.one_of(
    sets(IP_SETS),
    st.builds(dp.PushVlan, st.just(0x8100), st.integers(0, 0xFFFF)),
    st.just(dp.PopVlan()),
)


def checksums(data: bytes) -> list[tuple[int, int]]:
    """(in the packet, as scapy computes it) of each checksum."""
    found = []
    packet = Ether(data)
    again = Ether(data)
    for layer in (IP, TCP, UDP):
        if again.haslayer(layer):
            del again[layer].chksum
    again = Ether(bytes(again))
    for layer in (IP, TCP, UDP):
        if packet.haslayer(layer):
            found.append((packet[layer].chksum, again[layer].chksum))
    return found


@settings(max_examples=300, deadline=None)
@given(frames(), st.lists(EDITS, max_size=6))
def test_right_checksums_stay_right(frame: Any, edits: list[dp.DpAction]) -> None:
    dpif, factory = bench()
    dpif.execute(bytes(frame), make_key(in_port=1), (*edits, dp.Output(2)))
    (sent,) = factory.devices["p2"].sent
    assert all(there == right for there, right in checksums(sent.data))


@settings(max_examples=300, deadline=None)
@given(frames(), st.lists(EDITS, max_size=6))
def test_partial_checksums_end_up_right(frame: Any, edits: list[dp.DpAction]) -> None:
    """A sender that leaves its checksum to us, and one that does not, come out the same."""
    dpif, factory = bench()
    layer = TCP if frame.haslayer(TCP) else UDP
    start = len(bytes(frame)) - len(bytes(frame[layer]))
    offset = 16 if layer is TCP else 6
    data = bytearray(bytes(frame))
    data[start + offset : start + offset + 2] = pseudo_sum(frame, layer).to_bytes(2, "big")
    offload = Offload(NEEDS_CSUM, 0, 0, 0, start, offset)
    actions = (*edits, dp.Output(2))
    dpif.execute(bytes(frame), make_key(in_port=1), actions)
    dpif.execute(bytes(data), make_key(in_port=1), actions, offload)
    one, two = factory.devices["p2"].sent
    assert one == two


def pseudo_sum(frame: Any, layer: type) -> int:
    ip = frame[IP] if frame.haslayer(IP) else frame[IPv6]
    raw = bytes(ip)
    addresses = raw[12:20] if isinstance(ip, IP) else raw[8:40]
    words = [int.from_bytes(addresses[i : i + 2], "big") for i in range(0, len(addresses), 2)]
    total = sum(words) + (6 if layer is TCP else 17) + len(bytes(frame[layer]))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def test_every_header_has_an_editor_or_is_metadata() -> None:
    metadata = [
        name for name in HEADERS if compile_set(dp.Set(name, 0, ATTRIBUTE_MASKS[name])) is None
    ]
    assert metadata == ["skb_mark", "skb_priority"]
