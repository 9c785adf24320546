"""The tree of `ofproto.shortcuts`: what is asked about a packet, and what comes of the answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from netloom.datapath.actions import DpActions
from netloom.ofproto.translate.context import Credit
from netloom.ofproto.translate.finish import datapath_mask
from netloom.ofproto.translate.normal import MacRefresh
from netloom.ofproto.translate.tables import TableCredit
from netloom.ofproto.translate.walk_log import LookupStep, NormalStep

if TYPE_CHECKING:
    from netloom.ofproto.bundle import Bundle
    from netloom.ofproto.classifier import Absent, Classifier
    from netloom.ofproto.mac_table import MacTable
    from netloom.ofproto.rules import Rule
    from netloom.ofproto.trails import Trail

#: Answers of one table that are kept.
MAX_ANSWERS: Final = 512
#: What a way asks tables not to have, at most: about as much as a lookup costs.
MAX_ABSENT: Final = 8
#: Partial keys, and how a packet's is made: its bits under a mask, and what all of the kind have.
Lacking = tuple[Mapping[int, object], int, int]


class Plan:
    """What rules do that have the same actions; identity is what counts."""

    __slots__ = ()


class Question:
    """Base of the nodes that are not leaves: each answer seen leads on."""

    __slots__ = ("bits", "branches")

    def __init__(self, bits: int) -> None:
        self.bits = bits
        self.branches: dict[object, Node] = {}


class Lookup(Question):
    """Which rule matches?"""

    __slots__ = (
        "classifier", "free", "key", "known", "mask", "matched", "missed", "stamp", "varies",
    )  # fmt: skip

    def __init__(self, step: LookupStep) -> None:
        super().__init__(step.bits)
        #: When that was: what follows is of older rules if they have changed since.
        self.stamp = -1
        #: The bits that the answer depends on (-1 if that is not to be used), and what it was.
        self.mask = -1
        self.known: dict[int, tuple[Rule | None, int]] = {}
        #: Packets of the kind may get different answers, without tries.
        self.varies = False
        self.free = step.free
        self.key = step.key
        self.classifier: Classifier[Rule] = step.table.classifier
        self.matched = TableCredit(step.table, True)
        self.missed = TableCredit(step.table, False)

    def start_anew(self, stamp: int) -> None:
        """Rules have changed."""
        self.stamp = stamp
        self.known.clear()
        self.mask = self.classifier.plain_mask()
        self.varies = self.mask > 0 and bool(self.mask & self.free)

    def ask(self, key: int, mask: int) -> tuple[Rule | None, int]:
        """The rule, and what its lookup looked at beside `mask`."""
        if self.mask < 0:
            return self.classifier.lookup(key, mask)
        short = key & self.mask
        found = self.known.get(short)
        if found is None:
            found = self.classifier.lookup(key, 0)
            if len(self.known) >= MAX_ANSWERS:
                # They are all different: no use.
                self.known.clear()
                self.mask = -1
            else:
                self.known[short] = found
        return found

    def ask_alike(self, key: int, mask: int, absent: list[Lacking]) -> tuple[Rule | None, int, int]:
        """The same, and the bits of which others must have the same values to get this answer, if
        they do not have what is added to `absent`."""
        if self.varies:
            missing: list[Absent] = []
            found = self.classifier.lookup_alike(key, self.free, missing)
            if found is not None and len(absent) + len(missing) <= MAX_ABSENT:
                absent += [(keys, upto & self.free, upto & self.key) for keys, upto in missing]
                return found
        rule, looked = self.ask(key, mask)
        return rule, looked, looked | self.classifier.told if self.mask < 0 else looked


class Normal(Question):
    """At which bundle is the destination?"""

    __slots__ = ("bundle", "macs", "name", "refresh", "vlan")

    def __init__(self, step: NormalStep) -> None:
        super().__init__(step.bits)
        self.name = step.name
        self.macs: MacTable[Bundle] = step.macs
        self.vlan = step.vlan
        self.bundle: Bundle = step.bundle
        #: That of the last source: one that speaks to many has it many times.
        self.refresh: MacRefresh | None = None

    def refresh_of(self, src: int) -> MacRefresh:
        """What keeps the source's address from ageing."""
        refresh = self.refresh
        if refresh is None or refresh.mac != src:
            refresh = self.refresh = MacRefresh(self.macs, src, self.vlan, self.bundle)
        return refresh


class Leaf:
    """What is done in the end."""

    __slots__ = (
        "actions", "bits", "credits", "flow_masks", "keep", "recirc_ids", "tags", "trail",
    )  # fmt: skip

    def __init__(
        self,
        actions: DpActions,
        bits: int,
        keep: int,
        tags: tuple[tuple[int, int], ...],
        credits_: list[Credit],
        recirc_ids: tuple[int, ...],
        trail: Trail | None,
    ) -> None:
        self.trail = trail
        self.actions = actions
        self.bits = bits
        #: What questions looked at -> what a flow of the data path matches.
        self.flow_masks: dict[int, int] = {}
        self.keep = keep
        self.tags = tags
        self.credits = credits_
        self.recirc_ids = recirc_ids


class Stop:
    """The end of a path that is not known: it was met once, or cannot be kept."""

    __slots__ = ("is_wanted",)

    def __init__(self, is_wanted: bool) -> None:
        self.is_wanted = is_wanted


Node = Question | Leaf | Stop


class Way:
    """What the tables say of packets that agree on what decided it: what they looked at, who is
    credited, and the question (or leaf) that they lead to."""

    __slots__ = ("absent", "arrivals", "credits", "mask", "node")

    def __init__(
        self, node: Question | Leaf, mask: int, credits_: list[Credit], absent: list[Lacking]
    ) -> None:
        self.node: Node = node
        self.mask = mask
        self.credits = credits_
        #: What the packets of this way must not be in.
        self.absent = absent
        #: What it comes to at leaves, if no table is asked on the rest of the way.
        self.arrivals: dict[Leaf, Arrival] = {}

    def fits(self, key: int) -> bool:
        """Is what the tables must not have of a packet absent?"""
        for keys, free, rest in self.absent:  # noqa: SIM110 - no generator for each packet
            if key & free | rest in keys:
                return False
        return True


class Arrival:
    """The end of a way at a leaf: the mask of flows, and who is credited; the list with one more,
    who was the last, is kept for flows that credit the same."""

    __slots__ = ("_all", "_last", "credits", "flow_mask")

    def __init__(self, flow_mask: int, credits_: list[Credit]) -> None:
        self.flow_mask = flow_mask
        self.credits = credits_
        self._last: Credit | None = None
        self._all = credits_

    def credit(self, n_bytes: int, now_ms: int) -> None:
        """Credit a packet."""
        for target in self.credits:
            target.credit(1, n_bytes, now_ms)

    def credits_and(self, refreshes: tuple[MacRefresh, ...]) -> list[Credit]:
        """All credits; nobody changes the list."""
        if len(refreshes) != 1:
            return [*self.credits, *refreshes] if refreshes else self.credits
        if refreshes[0] is not self._last:
            self._last = refreshes[0]
            self._all = [*self.credits, *refreshes]
        return self._all


class Kind:
    """The packets that agree on all but `FREE_MASK`."""

    __slots__ = ("branches", "n_hits", "n_ways", "remembers", "stamp", "ways")

    def __init__(self) -> None:
        #: The first question, under None.
        self.branches: dict[object, Node] = {}
        #: What decides -> its value in a packet -> its way.
        self.ways: dict[int, dict[int, Way]] = {}
        self.n_ways = 0
        self.n_hits = 0
        self.remembers = True
        self.stamp = -1

    def start_anew(self, stamp: int) -> None:
        """Rules have changed."""
        self.stamp = stamp
        self.ways.clear()
        self.n_ways = self.n_hits = 0

    def forget_ways(self) -> None:
        """There are too many; if most were of no use, remember no more."""
        self.remembers = self.n_hits >= self.n_ways
        self.ways.clear()
        self.n_ways = self.n_hits = 0


MET_ONCE: Final = Stop(True)
UNUSABLE: Final = Stop(False)


def question_of(step: LookupStep | NormalStep) -> Question:
    return Lookup(step) if isinstance(step, LookupStep) else Normal(step)


def flow_mask_of(mask: int, leaf: Leaf) -> int:
    """What a flow of the data path matches, as the end of a translation has it."""
    mask &= leaf.keep
    for tci, cfi in leaf.tags:
        if mask & tci:
            mask |= cfi
    return datapath_mask(mask)
