"""Translating a miss by what was done to others of its kind.

A miss costs tens of microseconds to translate, most of which go into finding out what was found
out for the miss before: that the port lets packets in, what the actions of a rule are, which ports
a flood goes to. What differs between misses is which rules match, and what NORMAL knows about the
addresses. So a walk through the tables is kept as a tree of just these questions:

    kind of packet -> look into table 0 -> [actions of the rule found] -> look into table 71 -> ...
                   -> ask NORMAL for the destination -> [bundle] -> actions, who is credited

and a miss whose answers lead to a leaf is done. What must hold: the result is what `translate`
gives, with the same mask and credits. The tables and the MAC table are really asked, for this
packet, so masks are right by construction; all else a walk may depend on is either the same for all
packets of a kind (port, type, tags, registers: all bits but `FREE_MASK`) or ends the walk's being
kept (`WalkLog.give_up`). A change of settings empties the tree; after a change of rules the tables
are asked anew, but what actions do is known still.

A path is kept when it is met a second time: random traffic should not pay for being remembered.
Before it is kept, it is tried: a path whose result differs from the translation's is not used.

Most of the questions at the beginning of a path are about tables, and what their answers depend on
is known: `decided`, the bits that the lookups looked at. So the answers together are a *way*, and
another X
Cost: about 1 us and what the lookups cost, if tables have to be asked. Limits: packets of tunnels,
fragments, ARP, bonds, mirrors, multicast snooping, groups, learning and rewritten headers take the
long road.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from netloom.datapath.actions import DpActions
from netloom.flow.fields import KEY_MASK, SLOT, VLAN_CFI
from netloom.flow.key import TUNNEL_MASK
from netloom.ofproto.shared_credits import CreditPool, SharedCredit, all_targets
from netloom.ofproto.shortcut_tree import (
    MET_ONCE,
    UNUSABLE,
    Arrival,
    Kind,
    Lacking,
    Leaf,
    Lookup,
    Node,
    Normal,
    Plan,
    Question,
    Stop,
    Way,
    flow_mask_of,
    question_of,
)
from netloom.ofproto.translate import translate
from netloom.ofproto.translate.context import Credit, MacLookup, Translated
from netloom.ofproto.translate.finish import DATAPATH_MASK, shape_mask
from netloom.ofproto.translate.normal import RESERVED_OUIS, MacRefresh, is_reserved
from netloom.ofproto.translate.tables import TableCredit
from netloom.ofproto.translate.walk_log import FREE_MASK, LookupStep, NormalStep, WalkLog
from netloom.openflow.actions import Actions

if TYPE_CHECKING:
    from netloom.ofproto.bridge import Ofproto
    from netloom.ofproto.recirculations import Recirculations
    from netloom.ofproto.rules import Rule

#: Questions and leaves that are kept; beyond, all are forgotten.
MAX_NODES: Final = 4_096
#: Ways of a kind of packets, and the different masks of what decided them.
MAX_WAYS: Final = 512
MAX_WAY_MASKS: Final = 8
#: Flow masks that are kept once.
MAX_MASKS: Final = 1_024

KIND_MASK: Final = KEY_MASK & ~FREE_MASK
_DL_SRC_SHIFT: Final = SLOT["dl_src"].shift
_DL_DST_SHIFT: Final = SLOT["dl_dst"].shift
_DL_SRC_MASK: Final = SLOT["dl_src"].mask
_DL_DST_MASK: Final = SLOT["dl_dst"].mask
_DL_TYPE: Final = SLOT["dl_type"]
_NW_FRAG: Final = SLOT["nw_frag"]
_TCIS: Final = tuple(
    (slot.mask, VLAN_CFI << slot.shift) for slot in (SLOT["vlan_tci"], SLOT["vlan1_tci"])
)
#: ARP, whose announcements NORMAL treats otherwise; and what bridges tell one another.
_LONG_ROAD: Final = frozenset({0x0806, 0x8035, 0x05FF})


class Shortcuts:
    """The tree of one backer."""

    def __init__(self, recirculations: Recirculations, pool: CreditPool) -> None:
        self._recirculations = recirculations
        self._pool = pool
        self._kinds: dict[int, Kind] = {}
        self._masks: dict[int, int] = {}
        self._plans: dict[Actions, Plan] = {}
        self._n_nodes = 0
        #: Frozen states that leaves mention.
        self._held: list[int] = []
        #: Of settings, when the tree was made; of rules, when tables were asked what they look at.
        self._generation = self._rules = -1
        #: Grows with changes of rules.
        self._stamp = 0
        #: The last miss that was not found here has been met before: it is worth to be kept.
        self.wants = False

    def follow(self, generation: int, rules: int, now_ms: int) -> None:
        """Forget all if settings have changed; if only rules have, what tables answered."""
        if generation != self._generation or len(self._plans) > MAX_NODES:
            self._generation = generation
            self.forget(now_ms)
        if rules != self._rules:
            self._rules = rules
            self._stamp += 1

    def forget(self, now_ms: int) -> None:
        self._kinds.clear()
        self._plans.clear()
        self._n_nodes = 0
        if len(self._masks) > MAX_MASKS:
            self._masks.clear()
        held, self._held = self._held, []
        self._recirculations.release(tuple(held), now_ms)

    def find(self, key: int, now_ms: int, n_bytes: int) -> Translated | None:
        """The translation of a packet of `n_bytes` with the data path's `key`, which is credited;
        the mask is the flow's. None if it is not known here."""
        return self._walk(key, now_ms, n_bytes)

    def find_again(self, key: int, now_ms: int) -> Translated | None:
        """The same for a flow that there is, without a packet."""
        return self._walk(key, now_ms, 0)

    def _walk(self, key: int, now_ms: int, n_bytes: int) -> Translated | None:
        """`n_bytes` 0: there is no packet, nothing is learned or credited."""
        self.wants = False
        kind = self._kinds.get(key & KIND_MASK)
        if kind is None:
            self._meet_kind(key & KIND_MASK, now_ms)
            return None
        way = self._way_of(kind, key)
        if way is not None:
            node, mask, credits_ = way.node, way.mask, way.credits
        elif kind.remembers:
            return None
        else:
            node, mask, credits_ = kind.branches[None], 0, []
        mac_lookups: tuple[MacLookup, ...] = ()
        refreshes: tuple[MacRefresh, ...] = ()
        answer: object
        while isinstance(node, Question):
            mask |= node.bits
            if type(node) is Normal:
                dst = (key & _DL_DST_MASK) >> _DL_DST_SHIFT
                if dst >> 24 in RESERVED_OUIS and is_reserved(dst):
                    return None
                src, vlan, macs = (key & _DL_SRC_MASK) >> _DL_SRC_SHIFT, node.vlan, node.macs
                if n_bytes:
                    macs.learn(src, vlan, node.bundle, now_ms)
                if macs.may_learn(src, vlan):
                    refreshes += (node.refresh_of(src),)
                entry = macs.lookup(dst, vlan)
                mac_lookups += ((node.name, dst, vlan),)
                answer = entry.bundle if entry is not None else None
            else:
                assert isinstance(node, Lookup)
                if way is not None:
                    credits_, way = credits_.copy(), None
                rule, looked = self._ask(node, key, mask)
                mask |= looked
                if rule is None:
                    answer = None
                    credits_.append(node.missed)
                else:
                    answer = rule.plan or self._plan_of(rule)
                    self._take_credit(node, rule, credits_)
            following = node.branches.get(answer)
            if following is None:
                self._meet(node.branches, answer)
                return None
            node = following
        if not isinstance(node, Leaf):
            assert isinstance(node, Stop)
            self.wants = node.is_wanted
            return None
        arrival = way.arrivals.get(node) if way is not None else None
        if arrival is None:
            arrival = Arrival(self._flow_mask(mask, node), credits_ + node.credits)
            if way is not None:
                way.arrivals[node] = arrival
        if n_bytes:
            arrival.credit(n_bytes, now_ms)
        return self._arrive(node, arrival, refreshes, mac_lookups)

    def _arrive(
        self,
        leaf: Leaf,
        arrival: Arrival,
        refreshes: tuple[MacRefresh, ...],
        mac_lookups: tuple[MacLookup, ...],
    ) -> Translated:
        """The translation of a packet that went to `leaf`."""
        for number in leaf.recirc_ids:
            self._recirculations.hold(number)
        return Translated(
            leaf.actions, arrival.flow_mask, 0, arrival.credits_and(refreshes), "", (),
            mac_lookups, leaf.recirc_ids, (), leaf.trail,
        )  # fmt: skip

    def _ask(self, node: Lookup, key: int, mask: int) -> tuple[Rule | None, int]:
        """The rule of a packet, and what its lookup looked at beside `mask`."""
        if node.stamp != self._stamp:
            node.start_anew(self._stamp)
        short = key & node.free | node.key
        if node.mask < 0:
            return node.classifier.lookup(short, mask)
        return node.known.get(short & node.mask) or node.ask(short, mask)

    def _way_of(self, kind: Kind, key: int) -> Way | None:
        """The way of a packet up to the first question that is not about tables; None if it leads
        nowhere, or ways are not remembered."""
        if kind.stamp != self._stamp:
            kind.start_anew(self._stamp)
        for decided, ways in kind.ways.items():
            way = ways.get(key & decided)
            if way is not None and way.fits(key):
                kind.n_hits += 1
                return way
        return self._look_up(kind, key) if kind.remembers else None

    def _flow_mask(self, mask: int, leaf: Leaf) -> int:
        """What the flow matches of packets of which that was looked at; one number for all flows
        with that mask, for it is long."""
        flow_mask = leaf.flow_masks.get(mask)
        if flow_mask is not None:
            return flow_mask
        flow_mask = flow_mask_of(mask | leaf.bits, leaf)
        flow_mask = self._masks.setdefault(flow_mask, flow_mask)
        if len(leaf.flow_masks) >= MAX_MASKS:
            leaf.flow_masks.clear()
        leaf.flow_masks[mask] = flow_mask
        return flow_mask

    def _look_up(self, kind: Kind, key: int) -> Way | None:
        """Ask the tables, up to the first question that is not theirs; the way is remembered if
        others may go it. None if it leads to nothing that is known."""
        node = kind.branches[None]
        mask = decided = 0
        credits_: list[Credit] = []
        absent: list[Lacking] = []
        while type(node) is Lookup:
            mask |= node.bits
            if node.stamp != self._stamp:
                node.start_anew(self._stamp)
            rule, looked, values = node.ask_alike(key & node.free | node.key, mask, absent)
            mask |= looked
            decided |= values
            if rule is None:
                credits_.append(node.missed)
                following = node.branches.get(None)
            else:
                self._take_credit(node, rule, credits_)
                following = node.branches.get(rule.plan or self._plan_of(rule))
            if following is None:
                self._meet(node.branches, None if rule is None else rule.plan)
                return None
            node = following
        if isinstance(node, Stop):
            self.wants = node.is_wanted
            return None
        if kind.n_ways >= MAX_WAYS or len(kind.ways) >= MAX_WAY_MASKS:
            kind.forget_ways()
        way = Way(node, mask, [SharedCredit(all_targets(credits_), self._pool)], absent)
        kind.ways.setdefault(decided, {})[key & decided] = way
        kind.n_ways += 1
        return way

    def _meet_kind(self, kind: int, now_ms: int) -> None:
        """Packets of a new kind."""
        if self._n_nodes >= MAX_NODES:
            self.forget(now_ms)
        known = self._kinds[kind] = Kind()
        self._meet(known.branches, None)

    def _meet(self, branches: dict[object, Node], answer: object) -> None:
        """Something new; a second time it will be wanted."""
        branches[answer] = MET_ONCE
        self._n_nodes += 1

    def _take_credit(self, node: Lookup, rule: Rule, credits_: list[Credit]) -> None:
        """Credit a rule and its table, together once there is a second time."""
        if rule.shared is not None:
            credits_.append(rule.shared)
        elif rule.n_packets:
            rule.shared = SharedCredit([node.matched, rule], self._pool)
            credits_.append(rule.shared)
        else:
            credits_.append(node.matched)
            credits_.append(rule)

    def _plan_of(self, rule: Rule) -> Plan:
        plan = self._plans.get(rule.actions)
        if plan is None:
            plan = self._plans[rule.actions] = Plan()
        rule.plan = plan
        return plan

    # Keeping paths

    def keep(
        self,
        bridge: Ofproto,
        key: int,
        dp_key: int,
        result: Translated,
        now_ms: int,
        flow_mask: int,
    ) -> None:
        """Remember how a miss was translated: `key` at `bridge`, to `result`; `flow_mask` is that
        of its flow."""
        if self._n_nodes >= MAX_NODES:
            self.forget(now_ms)
        log = WalkLog()
        again = translate(bridge, key, now_ms, side_effects=False, log=log)
        kind = dp_key & KIND_MASK
        is_usable = not (
            log.gave_up or result.error or result.slow or _takes_long_road(dp_key)
            or again.recirc_ids != result.recirc_ids or again.actions != result.actions
        )  # fmt: skip
        end: Node = UNUSABLE
        if is_usable:
            # The data path's program for these actions is kept by identity.
            end = self._leaf(dp_key, result.actions, again, log)
        self._attach(kind, log.steps, end)
        if is_usable and not self._is_right(dp_key, result, flow_mask, now_ms):
            self._attach(kind, log.steps, UNUSABLE)
        self._held += again.recirc_ids

    def _leaf(self, dp_key: int, actions: DpActions, again: Translated, log: WalkLog) -> Leaf:
        tags = tuple(tag for tag in _TCIS if dp_key & tag[1])
        rules = {id(step.rule) for step in log.steps if isinstance(step, LookupStep)}
        others = [
            target
            for target in again.credits
            if id(target) not in rules and not isinstance(target, TableCredit | MacRefresh)
        ]
        keep = DATAPATH_MASK & shape_mask(dp_key, dp_key) & ~TUNNEL_MASK
        return Leaf(actions, again.mask, keep, tags, others, again.recirc_ids, again.trail)

    def _attach(self, kind: int, steps: list[LookupStep | NormalStep], end: Node) -> None:
        """Have the path of these steps, from a kind of packet on, lead to `end`."""
        if kind not in self._kinds:
            self._kinds[kind] = Kind()
        known = self._kinds[kind]
        known.ways.clear()
        known.n_ways = 0
        branches = known.branches
        answer: object = None
        for step in steps:
            node = branches.get(answer)
            if not isinstance(node, Question):
                node = branches[answer] = question_of(step)
                self._n_nodes += 1
            branches = node.branches
            if isinstance(step, NormalStep):
                answer = step.target
            else:
                answer = None if step.rule is None else step.rule.plan or self._plan_of(step.rule)
        branches[answer] = end
        self._n_nodes += 1

    def _is_right(self, dp_key: int, result: Translated, flow_mask: int, now_ms: int) -> bool:
        """Does the path give what the translation gave?"""
        found = self._walk(dp_key, now_ms, 0)
        if found is None:
            return False
        self._recirculations.release(found.recirc_ids, now_ms)
        return (
            found.mask == flow_mask
            and found.mac_lookups == result.mac_lookups
            and _names(found.credits) == _names(result.credits)
        )


def _names(credits_: list[Credit]) -> list[tuple[str, int]]:
    """Who is credited, comparably: rules by themselves, others by what they are."""
    targets = all_targets(credits_)
    return sorted((type(target).__name__, getattr(target, "id", 0)) for target in targets)


def _takes_long_road(dp_key: int) -> bool:
    return bool(dp_key & TUNNEL_MASK or _NW_FRAG.get(dp_key) or _DL_TYPE.get(dp_key) in _LONG_ROAD)
