"""Conjunctive matches: several flows that together stand for the product of what each matches.

Flows with `conjunction(id, k/n)` say "clause k of conjunction `id` is met". When a packet meets all
n clauses through flows of one priority, it is looked up again with `conj_id` set to `id`, and the
flow found then is what it matches (ovs-fields(7), "Conjunctive Match Fields").

A search collects the *soft* matches (flows with `conjunction`) beside the best *hard* one. `decide`
then goes down the priorities of the soft ones that beat the hard one: at each it tells which ids
are met; where none leads to a flow, each soft match falls back to the next flow below with the same
match, which may be soft or hard.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, Generic, Protocol, TypeVar

from netloom.openflow.actions import Conjunction

#: Of 64 clauses at most.
_ALL_CLAUSES: Final = (1 << 64) - 1


class Clauses(Protocol):
    """A flow that may be part of conjunctions."""

    @property
    def priority(self) -> int: ...

    @property
    def conjunctions(self) -> tuple[Conjunction, ...]: ...


R = TypeVar("R", bound=Clauses)


class Soft(Generic[R]):
    """A matching flow with `conjunction`, and those of the same match below it."""

    __slots__ = ("at", "rule", "same")

    def __init__(self, same: tuple[R, ...]) -> None:
        self.same = same
        self.at = 0
        self.rule: R | None = same[0]

    def fall(self) -> None:
        """To the next flow of lower priority with the same match."""
        self.at += 1
        self.rule = self.same[self.at] if self.at < len(self.same) else None


def decide(
    softs: list[Soft[R]],
    hard: R | None,
    look_again: Callable[[int], R | None],
    parts: list[R] | None = None,
) -> R | None:
    """The flow that a packet matches; `look_again(id)` looks it up with that conj_id, regarding
    flows with `conjunction` as not there. `parts` gets the flows that met the clauses."""
    while True:
        beaten = hard.priority if hard is not None else -1
        softs = [soft for soft in softs if soft.rule is not None and soft.rule.priority > beaten]
        if not softs:
            return hard
        highest = max(soft.rule.priority for soft in softs if soft.rule is not None)
        level = [soft for soft in softs if soft.rule is not None and soft.rule.priority == highest]
        rules = [soft.rule for soft in level if soft.rule is not None]
        for conj_id in _met(rules):
            found = look_again(conj_id)
            if found is not None:
                if parts is not None:
                    parts += _parts_of(rules, conj_id)
                return found
        for soft in level:
            soft.fall()
            below = soft.rule
            if below is not None and not below.conjunctions:
                if hard is None or below.priority > hard.priority:
                    hard = below
                soft.rule = None


def _met(rules: Sequence[R]) -> Iterable[int]:
    """Ids of the conjunctions whose clauses are all met, in the order in which that shows; of those
    that one flow completes, the first it names."""
    clauses: dict[int, int] = {}
    for rule in rules:
        if min(part.n_clauses for part in rule.conjunctions) > len(rules):
            continue
        for part in rule.conjunctions:
            if part.n_clauses > len(rules):
                continue
            met = clauses.get(part.conj_id, _ALL_CLAUSES >> part.n_clauses << part.n_clauses)
            met |= 1 << part.clause
            clauses[part.conj_id] = met
            if met == _ALL_CLAUSES:
                yield part.conj_id
                break


def _parts_of(rules: Sequence[R], conj_id: int) -> list[R]:
    """The flows of a conjunction, by clause."""
    numbered = [
        (part.clause, number)
        for number, rule in enumerate(rules)
        for part in rule.conjunctions
        if part.conj_id == conj_id
    ]
    return [rules[number] for _, number in sorted(numbered)]
