"""A bond's members: who is active, who carries what, and when that changes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from netloom.protocols.bond import ACCEPT, DROP, DROP_IF_MOVED, Bond, BondSettings, Hint
from netloom.protocols.rebalancing import moves

BROADCAST = 0xFFFFFFFFFFFF
UNICAST = 0x020000000001


def links(*up: str) -> dict[str, tuple[bool, str]]:
    return {name: (name in up, f"mac {name}") for name in ("a", "b", "c")}


def make(settings: BondSettings, *up: str) -> Bond:
    bond = Bond("bond", settings, 0)
    bond.configure(settings, links(*(up or ("a", "b", "c"))), 0)
    return bond


def active(bond: Bond) -> str:
    return bond.active.name if bond.active is not None else ""


def test_the_active_member_stays_as_long_as_it_works() -> None:
    bond = make(BondSettings(), "b")
    bond.run(links("a", "b", "c"), 1)
    assert active(bond) == "b"
    bond.run(links("a", "c"), 2)
    assert active(bond) == "a" and bond.should_announce
    bond.run(links(), 3)
    assert active(bond) == "" and bond.choose(1, 0) is None


def test_the_primary_is_preferred() -> None:
    bond = make(BondSettings(primary="c"), "a", "b")
    assert active(bond) == "a"
    bond.run(links("a", "b", "c"), 1)
    assert active(bond) == "c"


def test_links_that_flap_within_the_delay_change_nothing() -> None:
    bond = make(BondSettings(updelay_ms=100, downdelay_ms=50))
    before = bond.changes
    bond.run(links("b", "c"), 10)
    assert bond.deadline() == 60
    bond.run(links("a", "b", "c"), 40)
    bond.run(links("a", "b", "c"), 200)
    assert active(bond) == "a" and bond.changes == before
    bond.run(links("b", "c"), 300)
    bond.run(links("b", "c"), 350)
    assert active(bond) == "b"


def test_nobody_waits_when_nobody_else_is_there() -> None:
    bond = make(BondSettings(updelay_ms=10_000), "a")
    bond.run(links(), 5)
    bond.run(links("b"), 10)
    assert active(bond) == "b"


def test_members_that_are_gone_carry_nothing() -> None:
    settings = BondSettings("balance-slb")
    bond = make(settings)
    names = {bond.choose(mac, 0)[0] for mac in range(64)}  # type: ignore[index]
    assert names == {"a", "b", "c"}
    bond.configure(settings, {"a": (True, "")}, 1)
    assert {bond.choose(mac, 0)[0] for mac in range(64)} == {"a"}  # type: ignore[index]


def test_copies_and_echoes_are_refused() -> None:
    backup = make(BondSettings())
    assert backup.admits("a", BROADCAST) == backup.admits("a", UNICAST) == ACCEPT
    assert backup.admits("b", BROADCAST) == backup.admits("b", UNICAST) == DROP
    balanced = make(BondSettings("balance-slb"))
    assert balanced.admits("b", BROADCAST) == DROP
    assert balanced.admits("b", UNICAST) == balanced.admits("a", BROADCAST) == DROP_IF_MOVED
    everywhere = make(BondSettings("balance-slb", all_members_active=True))
    assert everywhere.admits("b", BROADCAST) == DROP_IF_MOVED


@given(st.lists(st.integers(0, 5_000_000), min_size=1, max_size=40))
def test_rebalancing_brings_loads_closer(sizes: list[int]) -> None:
    bond = make(BondSettings("balance-slb", rebalance_ms=1_000))
    for number, size in enumerate(sizes):
        bucket = bond.choose(number, 0)[1]  # type: ignore[index]
        assert bucket is not None
        bucket.member = bond.members["a"]
        bucket.credit(1, size, 0)
    total = sum(sum(shares.values()) for shares in bond.loads().values())
    bond.run(links("a", "b", "c"), 1_000)
    after = {name: sum(shares.values()) for name, shares in bond.loads().items()}
    assert sum(after.values()) <= total // 2 + len(sizes)
    largest = max(sizes)
    assert max(after.values()) - min(after.values()) <= max(total // 2, largest)
    if len(sizes) > 6 and min(sizes) > 200_000:
        assert after["b"] and after["c"]


def test_the_same_source_takes_the_same_member() -> None:
    bond = make(BondSettings("balance-slb"))
    first = bond.choose(UNICAST, 7)
    assert all(bond.choose(UNICAST, 7) == first for _ in range(10))
    assert first is not None
    bond.run(links(*({"a", "b", "c"} - {first[0]})), 1)
    moved = bond.choose(UNICAST, 7)
    assert moved is not None and moved[0] != first[0]


def test_what_has_passed_of_an_interval_counts_for_another_one() -> None:
    bond = make(BondSettings("balance-slb", rebalance_ms=60_000))
    everyone = links("a", "b", "c")
    bond.run(everyone, 50_000)
    assert bond.next_rebalance_ms == 60_000
    bond.configure(BondSettings("balance-slb", rebalance_ms=10_000), everyone, 50_000)
    assert bond.next_rebalance_ms == 10_000
    bond.run(everyone, 50_001)
    assert bond.next_rebalance_ms == 60_001
    bond.configure(BondSettings("balance-slb", rebalance_ms=60_000), everyone, 55_001)
    assert bond.next_rebalance_ms == 110_001


def test_who_was_active_before_is_active_again() -> None:
    bond = make(BondSettings(last_active=Hint("mac b")))
    assert active(bond) == "b"
    bond.run(links("a", "c"), 1)
    bond.run(links("a", "b", "c"), 2)
    assert active(bond) == "a"
    assert BondSettings(last_active=Hint("mac b")) == BondSettings()


def test_many_light_buckets_are_moved_at_once() -> None:
    found = moves({"a": dict.fromkeys(range(200), 100_000), "b": {}})
    assert len(found) in range(91, 101)
    assert {(move.source, move.target) for move in found} == {("a", "b")}
    assert found[-1].source_load + found[-1].target_load == 20_000_000


def test_what_gains_little_stays() -> None:
    assert moves({"a": {1: 10_000_000}, "b": {}}) == []
    assert moves({"a": {1: 10_000_000, 2: 1_000}, "b": {}}) == []
    assert moves({"a": {1: 50_000, 2: 40_000}, "b": {}}) == []
