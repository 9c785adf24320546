from __future__ import annotations

from netloom.ofproto.mac_table import MacTable

A, B, C = 0x020000000001, 0x020000000002, 0x020000000003


def table() -> MacTable[str]:
    return MacTable()


def test_an_address_is_found_where_it_was_seen_last() -> None:
    macs = table()
    assert macs.learn(A, 0, "p1", 0)
    assert not macs.learn(A, 0, "p1", 10)
    assert macs.learn(A, 0, "p2", 20)
    entry = macs.lookup(A, 0)
    assert entry is not None
    assert entry.bundle == "p2"
    assert macs.total_moved == 1


def test_vlans_are_apart() -> None:
    macs = table()
    macs.learn(A, 10, "p1", 0)
    assert macs.lookup(A, 20) is None


def test_group_addresses_and_flood_vlans_are_not_learned() -> None:
    macs = table()
    macs.configure(300, 8192, frozenset({7}))
    assert not macs.learn(0x010000000001, 0, "p1", 0)
    assert not macs.learn(A, 7, "p1", 0)
    assert len(macs) == 0


def test_entries_age_unless_they_are_used() -> None:
    macs = table()
    macs.learn(A, 0, "p1", 0)
    macs.learn(B, 0, "p1", 0)
    macs.learn(A, 0, "p1", 200_000)
    macs.run(300_000)
    assert macs.lookup(B, 0) is None
    assert macs.lookup(A, 0) is not None
    assert macs.deadline() == 500_000
    assert macs.total_expired == 1


def test_only_changes_of_answers_count_as_changes() -> None:
    macs = table()
    macs.learn(A, 0, "p1", 0)
    generation = macs.generation
    macs.learn(A, 0, "p1", 10)
    assert macs.generation == generation
    macs.learn(A, 0, "p2", 20)
    assert macs.generation > generation


def test_a_full_table_evicts_from_the_bundle_with_most_entries() -> None:
    macs = table()
    macs.configure(300, 10, frozenset())
    macs.learn(A, 0, "quiet", 0)
    for number in range(9):
        macs.learn(B + number, 0, "noisy", number + 1)
    macs.learn(0x0200000000FF, 0, "other", 100)
    assert macs.lookup(A, 0) is not None
    assert macs.lookup(B, 0) is None
    assert len(macs) == 10
    assert macs.total_evicted == 1


def test_a_reflected_gratuitous_arp_does_not_move_the_entry() -> None:
    macs = table()
    macs.learn(A, 0, "p1", 0, gratuitous_arp=True)
    assert not macs.learn(A, 0, "bond", 1_000, gratuitous_arp=True, is_bond=True)
    assert macs.learn(A, 0, "bond", 5_000, gratuitous_arp=True, is_bond=True)


def test_static_entries_stay() -> None:
    macs = table()
    macs.add_static(A, 0, "p1", 0)
    assert not macs.learn(A, 0, "p2", 10)
    macs.flush()
    macs.run(10_000_000)
    entry = macs.lookup(A, 0)
    assert entry is not None
    assert entry.bundle == "p1"
    assert macs.n_static == 1
    assert macs.remove(A, 0)


def test_a_bundle_that_is_gone_is_forgotten() -> None:
    macs = table()
    macs.learn(A, 0, "p1", 0)
    macs.learn(B, 0, "p2", 0)
    macs.forget_bundle("p1")
    assert macs.lookup(A, 0) is None
    assert macs.lookup(B, 0) is not None
