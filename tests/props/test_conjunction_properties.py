"""Conjunctive matches against the flows that they stand for, and the soundness of their masks."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from netloom.base.record import Record
from netloom.flow.fields import FIELD
from netloom.flow.match import Match
from netloom.ofproto.classifier import Classifier
from netloom.openflow.actions import Conjunction

NAMES = ("in_port", "reg0", "tp_dst")


class Rule(Record):
    match: Match
    priority: int
    conjunctions: tuple[Conjunction, ...] = ()
    name: str = ""


def match(**values: int) -> Match:
    found = Match()
    for name, value in values.items():
        found = found.with_field(FIELD[name], value, FIELD[name].ones)
    return found


@st.composite
def clauses(draw: st.DrawFn) -> list[list[tuple[str, int]]]:
    """Two or three clauses, each a choice of (field, value) that meet it."""
    names = draw(st.permutations(NAMES))[: draw(st.integers(2, 3))]
    values = st.sets(st.integers(1, 5), min_size=1, max_size=4)
    return [[(name, value) for value in sorted(draw(values))] for name in names]


def fill(rules: list[Rule]) -> Classifier[Rule]:
    classifier: Classifier[Rule] = Classifier()
    for rule in rules:
        classifier.insert(rule)
    return classifier


@given(
    clauses(), st.integers(0, 5), st.dictionaries(st.sampled_from(NAMES), st.integers(1, 5)),
    st.tuples(*[st.integers(1, 6)] * 3), st.integers(0, 7),
)  # fmt: skip
def test_conjunction_equals_the_product_of_its_clauses(
    parts: list[list[tuple[str, int]]],
    hard_priority: int,
    hard: dict[str, int],
    packet: tuple[int, int, int],
    flipped: int,
) -> None:
    other = Rule(match(**hard), hard_priority, name="hard")
    soft = [
        Rule(match(**{name: value}), 3, (Conjunction(7, number, len(parts)),))
        for number, part in enumerate(parts)
        for name, value in part
        # A flow of the same match and priority would be replaced.
        if (match(**{name: value}), 3) != (other.match, hard_priority)
    ]
    end = Rule(match(conj_id=7), 9, name="both")
    met: dict[int, list[Match]] = {}
    for rule in soft:
        met.setdefault(rule.conjunctions[0].clause, []).append(rule.match)
    product = []
    if len(met) == len(parts):
        for chosen in itertools.product(*met.values()):
            values = {n: m.value >> FIELD[n].shift & FIELD[n].ones for m in chosen for n in NAMES
                      if m.mask & FIELD[n].mask}  # fmt: skip
            product.append(Rule(match(**values), 3, name="both"))
    key = match(**dict(zip(NAMES, packet, strict=True))).value
    classifier = fill([*soft, end, other])
    found, mask = classifier.lookup(key)
    hits = [rule for rule in [*product, other] if rule.match.matches(key)]
    best = max((rule.priority for rule in hits), default=-1)
    wanted = {rule.name for rule in hits if rule.priority == best}
    assert (found.name if found else None) in (wanted or {None})
    noise = sum(flipped << FIELD[name].shift for name in NAMES) & ~mask
    again, _ = classifier.lookup(key ^ noise)
    assert again == found
