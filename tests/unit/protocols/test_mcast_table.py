"""What a bridge that snoops remembers of groups and routers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netloom.packet import build
from netloom.packet.checksum import checksum
from netloom.protocols.mcast_messages import read_igmp, read_mld
from netloom.protocols.mcast_snooping import ROUTER_AGING_MS, Change, McastTable, mapped

GROUP = mapped(0xE1010101)


def members(table: McastTable[str], address: int = GROUP, vlan: int = 0) -> list[str]:
    group = table.lookup(address, vlan)
    return [] if group is None else list(group.used_ms)


def test_members_age_unless_heard_of_again() -> None:
    table: McastTable[str] = McastTable()
    table.join(GROUP, 0, "p1", 0, "IGMPv2")
    table.join(GROUP, 0, "p2", 1_000, "IGMPv2")
    table.join(GROUP, 0, "p1", 2_000, "IGMPv3")
    assert table.deadline() == 301_000
    table.run(301_000)
    assert members(table) == ["p1"]
    table.run(302_000)
    assert table.lookup(GROUP, 0) is None and table.deadline() is None


def test_only_changes_of_forwarding_grow_the_generation() -> None:
    table: McastTable[str] = McastTable()
    table.join(GROUP, 0, "p1", 0, "IGMPv2")
    before = table.generation
    table.join(GROUP, 0, "p1", 500, "IGMPv2")
    table.leave(GROUP, 0, "p2")
    assert table.generation == before
    table.leave(GROUP, 0, "p1")
    assert table.generation > before


def test_groups_of_other_vlans_are_others() -> None:
    table: McastTable[str] = McastTable()
    table.join(GROUP, 5, "p1", 0, "IGMPv2")
    assert members(table, vlan=5) == ["p1"] and members(table, vlan=0) == []


def test_a_full_table_forgets_what_was_heard_of_longest_ago() -> None:
    table: McastTable[str] = McastTable()
    table.configure(300, 10, floods_unregistered=True)
    for number in range(11):
        table.join(GROUP + number, 0, "p1", number, "IGMPv2")
    assert table.lookup(GROUP, 0) is None
    assert len(list(table.groups())) == 10


def test_routers_and_flooded_bundles_are_members_of_nothing() -> None:
    table: McastTable[str] = McastTable()
    table.flag(["p3"], [])
    table.add_router(0, "p2", 0)
    table.join(GROUP, 0, "p2", 0, "IGMPv2")
    table.join(GROUP, 0, "p3", 0, "IGMPv2")
    assert not table.add_router(0, "p3", 0)
    assert members(table) == []
    table.run(ROUTER_AGING_MS)
    assert list(table.routers()) == []


def test_a_leave_behind_a_bundle_that_gets_reports_may_not_be_the_last() -> None:
    table: McastTable[str] = McastTable()
    table.flag([], ["p1"])
    table.join(GROUP, 0, "p1", 0, "IGMPv2")
    assert not table.leave(GROUP, 0, "p1")
    assert members(table) == ["p1"]


def test_a_bundle_that_goes_leaves_everything() -> None:
    table: McastTable[str] = McastTable()
    table.flag(["p2"], ["p1"])
    table.join(GROUP, 0, "p1", 0, "IGMPv2")
    table.add_router(7, "p1", 0)
    table.forget_bundle("p1")
    table.forget_bundle("p2")
    assert not list(table.groups()) and not list(table.routers())
    assert table.floods == table.floods_reports == []


def frame(message: bytes) -> bytes:
    message = message[:2] + checksum(message).to_bytes(2, "big") + message[4:]
    ip = build.ipv4(bytes(4), b"\xe1\1\1\1", 2, message)
    return build.ethernet(b"\1\0\x5e\1\1\1", bytes(6), 0x0800, ip)


@pytest.mark.parametrize(
    ("message", "changes"),
    [
        ("12000000e1010101", [Change(GROUP, True, "IGMPv1")]),
        ("16000000e1010101", [Change(GROUP, True, "IGMPv2")]),
        ("17000000e1010101", [Change(GROUP, False, "IGMPv2")]),
        ("1100000000000000", []),
        ("220000000000000204000000e101010103000000e1010101",
         [Change(GROUP, True, "IGMPv3"), Change(GROUP, False, "IGMPv3")]),
        ("220000000000000103000001e10101010a000001", [Change(GROUP, True, "IGMPv3")]),
        ("22000000000000ff04000000e1010101", [Change(GROUP, True, "IGMPv3")]),
    ],
)  # fmt: skip
def test_messages_say_who_joins_and_leaves(message: str, changes: list[Change]) -> None:
    assert read_igmp(frame(bytes.fromhex(message))) == changes


def test_a_wrong_checksum_is_noticed() -> None:
    packet = frame(bytes.fromhex("16000000e1010101"))
    assert read_igmp(packet[:-1] + b"\xff") is None


@given(st.binary(max_size=120))
def test_no_message_is_too_odd_to_read(body: bytes) -> None:
    changes = read_igmp(frame(b"\x22\0\0\0" + body))
    assert changes is None or all(change.protocol == "IGMPv3" for change in changes)
    source = b"\xfe\x80" + bytes(14)
    ip = build.ipv6(source, source, 58, build.icmpv6(source, source, 143, 0, body))
    listed = read_mld(build.ethernet(bytes(6), bytes(6), 0x86DD, ip))
    assert listed is None or all(change.protocol == "MLDv2" for change in listed)
