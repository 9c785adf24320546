"""Headers in front of packets and off again, by the data path in Python; their actions as text."""

from __future__ import annotations

import pytest

from netloom.base.clock import ManualClock
from netloom.base.counters import Counters
from netloom.base.errors import ConfigError
from netloom.datapath import actions as dp
from netloom.datapath.action_parse import parse_actions
from netloom.datapath.action_text import format_actions
from netloom.datapath.userspace.dpif import UserspaceDpif
from netloom.flow.extract import cut_tags
from netloom.flow.fields import SLOT
from netloom.flow.odp_parse import parse_odp_flow
from netloom.netdev.dummy import DummyFactory
from netloom.packet import build

VLAN, INNER, TYPE = SLOT["vlan_tci"], SLOT["vlan1_tci"], SLOT["dl_type"]
A, B = bytes.fromhex("02000000000a"), bytes.fromhex("02000000000b")
IP_A, IP_B = bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2))
DATAGRAM = build.ipv4(IP_A, IP_B, 17, build.udp(IP_A, IP_B, 1000, 53, b"data"))
FRAME = build.ethernet(B, A, 0x0800, DATAGRAM)
FIXED = (
    "push_nsh(flags=0,ttl=63,mdtype=1,np=3,spi=0x1234,si=255,c1=0x11223344,c2=0x0,c3=0x0,c4=0x5)"
)
VARIABLE = "push_nsh(flags=2,ttl=9,mdtype=2,np=3,spi=0x0,si=1,md2=0x10000a0412345678)"
NSH1 = bytes.fromhex("0fc60103 001234ff 11223344 00000000 00000000 00000005")
NSH2 = bytes.fromhex("22440203 00000001 10000a04 12345678")
TO_ETHERNET = "push_eth(src=02:00:00:00:00:01,dst=02:00:00:00:00:02)"
OUTER = bytes.fromhex("020000000002020000000001")


def sent(actions: str, frame: bytes = FRAME, again: str = "") -> list[bytes]:
    """What leaves at p2 of a frame that comes in at p1; `again`: the actions behind a
    recirculation, by whatever the packet is then."""
    factory = DummyFactory(None)
    dpif = UserspaceDpif("dummy", "ovs-dummy", ManualClock(1_000), Counters())
    for name in ("p1", "p2"):
        dpif.port_add(factory.open(name, "dummy", {}))
    mask = parse_odp_flow("recirc_id(0)")[1]
    dpif.flow_put(0, mask, parse_actions(actions))
    dpif.flow_put(parse_odp_flow("recirc_id(1)")[0] & mask, mask, parse_actions(again))
    factory.devices["p1"].inject(frame)
    while dpif.run(2_000):
        pass
    return [packet.data for packet in factory.devices["p2"].sent]


@pytest.mark.parametrize(
    "text", [f"{FIXED},2", f"{VARIABLE},2", "pop_nsh(),recirc(0x1)", f"pop_eth,{TO_ETHERNET},2",
             "add_mpls(label=2,tc=0,ttl=64,bos=1,eth_type=0x8847),2",
             "set(nsh(flags=2,ttl=63,spi=0x123456,si=254,c1=0x44332211,c3=0x7700/0x0000ff00)),2",
             "set(nsh(flags=0x01/0x01,ttl=2)),2"],
)  # fmt: skip
def test_text_is_read_as_it_is_printed(text: str) -> None:
    assert format_actions(parse_actions(text)) == text


def test_context_headers_that_are_all_zero_are_a_zero() -> None:
    assert format_actions((dp.PushNsh(0, 63, 2, 3, 255, b""),)).endswith(",md2=0)")


@pytest.mark.parametrize("text", ["push_nsh(ttl=64)", "push_nsh(spi=0x1000000)", "pop_nsh(1)"])
def test_numbers_that_do_not_fit_are_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_actions(text)


@pytest.mark.parametrize(("push", "header"), [(FIXED, NSH1), (VARIABLE, NSH2)])
def test_service_header_goes_in_front_and_off(push: str, header: bytes) -> None:
    (frame,) = sent(f"{push},{TO_ETHERNET},2")
    assert frame == OUTER + b"\x89\x4f" + header + FRAME
    assert sent("pop_eth,pop_nsh(),recirc(0x1)", frame, "2") == [FRAME]


def test_fields_of_a_service_header_are_set_in_a_frame_and_in_front() -> None:
    wanted = bytes.fromhex("2fc60103 12345607 11223344 00000000 00007700 00000005")
    change = "set(nsh(flags=2,spi=0x123456,si=7,c3=0x7700/0x0000ff00))"
    (frame,) = sent(f"{FIXED},{change},{TO_ETHERNET},2")
    assert frame == OUTER + b"\x89\x4f" + wanted + FRAME
    (again,) = sent(f"{change},2", OUTER + b"\x89\x4f" + NSH1 + FRAME)
    assert again == frame


def test_context_words_of_variable_headers_are_left_alone() -> None:
    frame = OUTER + b"\x89\x4f" + NSH2 + FRAME
    assert sent("set(nsh(c1=0xffffffff)),2", frame) == [frame]


@pytest.mark.parametrize(
    "broken", ["00", "0fc60109001234ff", "3fff0203001234ff", "00010203001234ff"]
)
def test_a_service_header_that_is_none_is_dropped(broken: str) -> None:
    frame = OUTER + b"\x89\x4f" + bytes.fromhex(broken)
    assert sent("pop_eth,pop_nsh(),recirc(0x1)", frame, "2") == []


def test_labels_go_in_front_of_a_frame_and_off() -> None:
    (frame,) = sent(f"add_mpls(label=5,tc=0,ttl=64,bos=1,eth_type=0x8847),{TO_ETHERNET},2")
    assert frame == OUTER + b"\x88\x47" + bytes.fromhex("00005140") + FRAME
    assert sent("pop_eth,pop_mpls(eth_type=0x6558),recirc(0x1)", frame, "2") == [FRAME]


def test_what_is_behind_a_label_starts_with_what_its_type_says() -> None:
    frame = OUTER + b"\x88\x47" + bytes.fromhex("00005140") + DATAGRAM
    (again,) = sent("pop_eth,pop_mpls(eth_type=0x800),recirc(0x1)", frame, f"{TO_ETHERNET},2")
    assert again == OUTER + b"\x08\x00" + DATAGRAM


def test_a_packet_without_ethernet_is_rewritten_like_others() -> None:
    (frame,) = sent(f"pop_eth,set(ipv4(ttl=9)),set(udp(dst=54)),{TO_ETHERNET},2")
    (wanted,) = sent("set(ipv4(ttl=9)),set(udp(dst=54)),2")
    assert frame[14:] == wanted[14:]


def test_too_short_a_packet_does_not_come_back() -> None:
    frame = OUTER + b"\x89\x4f" + NSH1 + FRAME[:13]
    assert sent("pop_eth,pop_nsh(),recirc(0x1)", frame, "2") == []


def test_as_many_tags_are_keyed_as_the_limit_says() -> None:
    tagged = build.ethernet(B, A, 0x8100, bytes.fromhex("0064 8100 00c8 0800") + DATAGRAM)
    keys = []
    for limit in (1, 2):
        dpif = UserspaceDpif("dummy", "ovs-dummy", ManualClock(1_000), Counters())
        dpif.vlan_limit = limit
        factory = DummyFactory(None)
        dpif.port_add(factory.open("p1", "dummy", {}))
        factory.devices["p1"].inject(tagged)
        while dpif.run(2_000):
            pass
        (upcall,) = dpif.recv_upcalls(10)
        keys.append((VLAN.get(upcall.key), INNER.get(upcall.key), TYPE.get(upcall.key)))
    assert keys == [(0x1064, 0, 0x8100), (0x1064, 0x10C8, 0x0800)]


@pytest.mark.parametrize(
    ("limit", "tags"), [(1, (0x1064, 0, 0x8100)), (2, (0x1064, 0x10C8, 0x800))]
)
def test_a_key_in_words_is_cut_behind_the_last_tag_that_is_read(
    limit: int, tags: tuple[int, int, int]
) -> None:
    key, _ = parse_odp_flow(
        "in_port(1),eth(),eth_type(0x8100),vlan(vid=100,pcp=0),encap(eth_type(0x8100),"
        "vlan(vid=200,pcp=0),encap(eth_type(0x0800),ipv4(src=1.2.3.4,frag=no)))"
    )
    cut = cut_tags(key, limit)
    assert (VLAN.get(cut), INNER.get(cut), TYPE.get(cut)) == tags
    assert bool(SLOT["nw_src"].get(cut)) == (limit == 2)
