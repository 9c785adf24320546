"""Bonds of mode `balance-tcp`: the data path hashes packets, and rules say where each hash goes.

A packet to such a bond is not output: it is hashed and looked up once more, under a number of the
bond's own. There a hidden rule of the internal table takes each of the 256 buckets to its member.
So a flow that carries many connections spreads them, and moving a bucket changes one rule only.

With other_config:lb-output-action, and a data path that can (`datapath.bonds`), there are no rules:
the data path is told the member of each bucket, and counts what each carries.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from netloom.flow.fields import FIELD, SLOT
from netloom.flow.match import Match
from netloom.flow.ports import NONE
from netloom.ofproto.recirculations import FrozenState
from netloom.ofproto.tables import INTERNAL_TABLE
from netloom.openflow import actions as a
from netloom.openflow import messages as m

if TYPE_CHECKING:
    from netloom.ofproto.bridge import Ofproto
    from netloom.ofproto.rules import Rule
    from netloom.protocols.bond import Bond

_PRIORITY = 20
_BUCKETS = 0xFF
#: A packet that comes back has come in by none of the ports.
_NO_PORT = SLOT["in_port"].put(0, NONE)


class _Spread:
    """One bond: its number, and what its rules are and had counted, by bucket."""

    def __init__(self, recirc_id: int) -> None:
        self.recirc_id = recirc_id
        self.members: list[int] = []
        self.is_in_datapath = False
        self.rules: list[Rule] = []
        self.counted: list[int] = []


class Spreading:
    """All such bonds of a bridge, by port."""

    def __init__(self, bridge: Ofproto) -> None:
        self._bridge = bridge
        self._spreads: dict[str, _Spread] = {}

    def is_in_datapath(self, bond: Bond) -> bool:
        """Does the data path choose members by itself?"""
        wished = bond.settings.lb_output and bond.settings.mode == "balance-tcp"
        return wished and self._bridge.backer.features.has("lb_output_action")

    def recirc_id(self, bundle: str) -> int:
        """The number of a bond; 0 if it is none of these."""
        spread = self._spreads.get(bundle)
        return 0 if spread is None else spread.recirc_id

    def count(self, now_ms: int) -> None:
        """Tell bonds that are about to move buckets what these carried."""
        for name, spread in self._spreads.items():
            bond = self._bridge.bundles[name].bond if name in self._bridge.bundles else None
            if bond is None or not bond.settings.rebalance_ms or bond.next_rebalance_ms > now_ms:
                continue
            totals = self._totals(spread)
            for number, (_, bucket) in enumerate(bond.rules_wanted()[: len(spread.counted)]):
                n_bytes = totals[number]
                bucket.n_bytes += n_bytes - spread.counted[number]
                spread.counted[number] = n_bytes

    def _totals(self, spread: _Spread) -> Sequence[int]:
        """What the buckets have carried."""
        if spread.is_in_datapath:
            assert self._bridge.backer.dpif.bonds is not None
            return self._bridge.backer.dpif.bonds.n_bytes(spread.recirc_id)
        self._bridge.refresh_statistics()
        return [rule.n_bytes for rule in spread.rules]

    def follow(self, now_ms: int) -> None:
        """Have the rules that the bonds want now."""
        wanted = {
            name: bundle.bond
            for name, bundle in self._bridge.bundles.items()
            if bundle.bond is not None and bundle.bond.settings.mode == "balance-tcp"
        }
        for name in [name for name in self._spreads if name not in wanted]:
            self._remove(self._spreads.pop(name), now_ms)
        for name, bond in wanted.items():
            if name not in self._spreads:
                self._spreads[name] = _Spread(self._acquire(name))
            self._follow_bond(self._spreads[name], name, bond, now_ms)

    def _acquire(self, bundle: str) -> int:
        # What is frozen is nothing but the table; the name keeps states of bonds apart.
        name = self._bridge.name
        state = FrozenState(name, INTERNAL_TABLE, _NO_PORT, userdata=bundle.encode())
        return self._bridge.backer.recirculations.acquire(state)

    def _follow_bond(self, spread: _Spread, name: str, bond: Bond, now_ms: int) -> None:
        is_in_datapath = self.is_in_datapath(bond)
        numbers = {
            port.name: port.dp_port if is_in_datapath else port.number
            for port in self._bridge.bundles[name].members
        }
        members = [numbers.get(member, -1) for member, _ in bond.rules_wanted()]
        if members == spread.members and is_in_datapath == spread.is_in_datapath:
            return
        if is_in_datapath and spread.is_in_datapath and members:
            self._set_bond(spread, members)
            return
        self._clear(spread)
        spread.is_in_datapath = is_in_datapath
        if is_in_datapath and members:
            spread.counted = [0] * len(members)
            self._set_bond(spread, members)
            return
        recirc_id, dp_hash = FIELD["recirc_id"], FIELD["dp_hash"]
        base = Match().with_field(recirc_id, spread.recirc_id, recirc_id.ones)
        spread.rules = [
            self._bridge.tables.add_hidden(
                INTERNAL_TABLE, base.with_field(dp_hash, bucket, _BUCKETS), _PRIORITY,
                (a.Output(number, 0),), now_ms,
            )
            for bucket, number in enumerate(members)
        ]  # fmt: skip
        spread.members = members
        spread.counted = [0] * len(members)

    def _set_bond(self, spread: _Spread, members: list[int]) -> None:
        bonds = self._bridge.backer.dpif.bonds
        assert bonds is not None
        bonds.set(spread.recirc_id, members)
        spread.members = members

    def _clear(self, spread: _Spread) -> None:
        if spread.is_in_datapath and self._bridge.backer.dpif.bonds is not None:
            self._bridge.backer.dpif.bonds.remove(spread.recirc_id)
        for rule in spread.rules:
            self._bridge.tables.remove(rule, m.OFPRR_DELETE)
        spread.rules, spread.members, spread.counted = [], [], []

    def _remove(self, spread: _Spread, now_ms: int) -> None:
        self._clear(spread)
        self._bridge.backer.recirculations.release((spread.recirc_id,), now_ms)
