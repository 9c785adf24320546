"""The classifier against a linear scan, and the soundness of the masks that it returns."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netloom.base.record import Record
from netloom.flow.fields import FIELD
from netloom.flow.match import Match
from netloom.ofproto.classifier import Classifier
from netloom.ofproto.prefix_trie import PrefixTrie
from netloom.openflow.actions import Conjunction

#: Few values each, so that rules and packets meet.
VALUES = {
    "in_port": (1, 2),
    "dl_src": (0x0A, 0x0B),
    "dl_type": (0x0800, 0x86DD),
    "vlan_tci": (0, 0x100A, 0x1014),
    "nw_src": (0x0A000001, 0x0A000002, 0x0A800001, 0xC0A80001),
    "nw_dst": (0x0A000001, 0x0A800001),
    "nw_proto": (6, 17),
    "tp_src": (80, 81, 443),
    "tp_dst": (80, 8080),
    "reg0": (0, 7),
}
MASKS = {
    "nw_src": (0xFF000000, 0xFFFFFF00, 0xFFFFFFFF, 0x0000FFFF),
    "nw_dst": (0xFF800000, 0xFFFFFFFF),
    "tp_src": (0xFFFF, 0xFFFE, 0xFF00),
    "vlan_tci": (0x1FFF, 0x1000, 0xFFFF),
}


class Rule(Record):
    match: Match
    priority: int
    conjunctions: tuple[Conjunction, ...] = ()


def keys() -> st.SearchStrategy[int]:
    chosen = st.fixed_dictionaries({name: st.sampled_from(v) for name, v in VALUES.items()})
    return chosen.map(lambda row: sum(v << FIELD[name].shift for name, v in row.items()))


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    match = Match()
    for name in draw(st.sets(st.sampled_from(sorted(VALUES)), max_size=4)):
        field = FIELD[name]
        mask = draw(st.sampled_from(MASKS.get(name, (field.ones,))))
        match = match.with_field(field, draw(st.sampled_from(VALUES[name])), mask)
    return Rule(match, draw(st.integers(0, 5)))


def scan(table: list[Rule], key: int) -> int:
    """The highest priority of a rule that matches; -1 for none."""
    return max((rule.priority for rule in table if rule.match.matches(key)), default=-1)


def fill(table: list[Rule]) -> tuple[Classifier[Rule], list[Rule]]:
    classifier: Classifier[Rule] = Classifier()
    present = {}
    for rule in table:
        replaced = classifier.insert(rule)
        assert replaced == present.get((rule.match, rule.priority))
        present[rule.match, rule.priority] = rule
    return classifier, list(present.values())


@settings(deadline=None)
@given(st.lists(rules(), max_size=20), st.lists(keys(), min_size=1, max_size=10))
def test_lookup_finds_what_a_scan_finds(table: list[Rule], packets: list[int]) -> None:
    classifier, present = fill(table)
    for key in packets:
        rule, _ = classifier.lookup(key)
        assert (rule.priority if rule else -1) == scan(present, key)
        assert rule is None or rule.match.matches(key)


@settings(deadline=None)
@given(st.lists(rules(), max_size=20), keys(), st.integers(min_value=0))
def test_bits_outside_the_mask_do_not_matter(table: list[Rule], key: int, noise: int) -> None:
    classifier, _ = fill(table)
    rule, mask = classifier.lookup(key)
    other, _ = classifier.lookup(key ^ noise & ~mask)
    assert (rule.priority if rule else -1) == (other.priority if other else -1)
    flipped = key
    for name in VALUES:
        flipped ^= FIELD[name].mask & ~mask & noise * 0x9E3779B97F4A7C15
    third, _ = classifier.lookup(flipped)
    assert (third.priority if third else -1) == (rule.priority if rule else -1)


@settings(deadline=None)
@given(st.lists(rules(), min_size=1, max_size=20), st.data())
def test_removal_leaves_what_was_never_removed(table: list[Rule], data: st.DataObject) -> None:
    classifier, present = fill(table)
    gone = data.draw(st.sets(st.sampled_from(range(len(present)))))
    for number in gone:
        classifier.remove(present[number])
    left = [rule for number, rule in enumerate(present) if number not in gone]
    fresh, _ = fill(left)
    assert len(classifier) == len(left)
    key = data.draw(keys())
    found, mask = classifier.lookup(key)
    assert (found.priority if found else -1) == scan(left, key)
    # Stages, tries and port tries forget what is gone: the masks are those of a fresh table,
    # unless rules of equal priority may be tried in another order.
    if len({rule.priority for rule in left}) == len(left):
        assert mask == fresh.lookup(key)[1]


@given(st.lists(st.tuples(st.integers(0, 255), st.integers(0, 8)), max_size=12),
       st.integers(0, 255))  # fmt: skip
def test_a_trie_names_all_matching_lengths_and_enough_bits(
    prefixes: list[tuple[int, int]], address: int
) -> None:
    def matching(value: int) -> int:
        return sum(
            1 << length for length in {n for p, n in prefixes if p >> 8 - n == value >> 8 - n}
        )

    trie = PrefixTrie(8)
    for prefix, length in prefixes:
        trie.insert(prefix, length)
    lengths, n_bits = trie.lookup(address)
    assert lengths == matching(address)
    for rest in range(1 << 8 - n_bits):
        assert matching(address >> 8 - n_bits << 8 - n_bits | rest) == lengths
    for prefix, length in prefixes:
        trie.remove(prefix, length)
    assert trie.is_empty


@pytest.mark.parametrize("spread", [1, 7, 97])
def test_prefixes_put_in_at_once_are_as_those_put_in_one_by_one(spread: int) -> None:
    rng = random.Random(spread)
    at_once, one_by_one = PrefixTrie(16), PrefixTrie(16)
    for length in (16, 12, 16):
        addresses = [rng.randrange(4_000) * spread % 65_536 for _ in range(4_000)]
        at_once.insert_all(addresses, length)
        for address in addresses:
            one_by_one.insert(address, length)
        for address in range(0, 65_536, 61):
            assert at_once.lookup(address) == one_by_one.lookup(address)
        half = addresses[::2]
        at_once.remove_all(half, length)
        for address in half:
            one_by_one.remove(address, length)
        for address in range(0, 65_536, 61):
            assert at_once.lookup(address) == one_by_one.lookup(address)


def test_a_lookup_sees_many_rules_that_came_and_went_before_it() -> None:
    classifier: Classifier[Rule] = Classifier()
    ip_dst = FIELD["ip_dst"]
    ip = Match().with_field(FIELD["eth_type"], 0x0800)
    rules = [Rule(ip.with_field(ip_dst, number), 1) for number in range(20_000)]
    for rule in rules:
        classifier.insert(rule)
    for rule in rules[::3]:
        classifier.remove(rule)
    for number in range(0, 21_000, 13):
        expected = rules[number] if number < len(rules) and number % 3 else None
        assert classifier.lookup(ip.with_field(ip_dst, number).value)[0] is expected
