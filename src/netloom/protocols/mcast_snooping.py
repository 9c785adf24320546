"""Multicast snooping (RFC 4541): which bundles want which groups, and where routers are.

A bridge that snoops sends packets of a group to those that reported to be members of it, and to
multicast routers, instead of everywhere. The table learns from reports, leaves and queries
(`mcast_messages` reads them), forgets members that were not heard of for `aging_ms` and routers
after three minutes, and is bounded in groups: the one that was heard of longest ago goes.

Bundles may be flagged: one that `floods` gets every multicast packet, and is no member of anything;
one that `floods_reports` gets the reports of others, so that a leave behind it may be that of one
host of many: its membership only ages.

IPv4 groups are kept as IPv6-mapped addresses. `generation` grows with every change that the
forwarding of packets may depend on; a membership that is renewed is no such change.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Generic, NamedTuple, TypeVar

DEFAULT_AGING_S = 300
DEFAULT_ENTRIES = 2_048
MIN_AGING_S, MAX_AGING_S = 15, 3_600
ROUTER_AGING_MS = 180_000
_MAPPED = 0xFFFF << 32

B = TypeVar("B")


def mapped(address: int) -> int:
    """An IPv4 address as one of IPv6."""
    return _MAPPED | address


class Group(Generic[B]):
    """A group in a VLAN; `used_ms` says when each bundle's membership was heard of, the longest
    ago first. `protocol` is that of the latest report."""

    __slots__ = ("address", "protocol", "used_ms", "vlan")

    def __init__(self, address: int, vlan: int) -> None:
        self.address = address
        self.vlan = vlan
        self.protocol = ""
        self.used_ms: dict[B, int] = {}


class Change(NamedTuple):
    """What a message says of one group: somebody joins it (or still is in it), or leaves."""

    address: int
    joins: bool
    protocol: str


class McastTable(Generic[B]):
    """One bridge's groups and routers; bundles are any hashable objects."""

    def __init__(self) -> None:
        # Heard of longest ago first, as are the routers.
        self._groups: dict[tuple[int, int], Group[B]] = {}
        self._routers: dict[tuple[B, int], int] = {}
        self.floods: list[B] = []
        self.floods_reports: list[B] = []
        self.aging_ms = DEFAULT_AGING_S * 1_000
        self.max_entries = DEFAULT_ENTRIES
        self.floods_unregistered = True
        self.generation = 0
        self.n_learned = 0
        self.n_expired = 0

    def configure(self, aging_s: int, max_entries: int, floods_unregistered: bool) -> None:
        """Set ageing time and size, and whether packets of unknown groups go everywhere."""
        self.aging_ms = min(max(aging_s, MIN_AGING_S), MAX_AGING_S) * 1_000
        self.max_entries = max(max_entries, 1)
        self.floods_unregistered = floods_unregistered
        while len(self._groups) > self.max_entries:
            self._drop_group(next(iter(self._groups)))
        self.generation += 1

    def flag(self, floods: Iterable[B], floods_reports: Iterable[B]) -> None:
        """Say which bundles get all packets, and which all reports; in the order of being said."""
        reports = _keep_order(self.floods_reports, floods_reports)
        wanted = _keep_order(self.floods, floods), reports
        if wanted != (self.floods, self.floods_reports):
            self.floods, self.floods_reports = wanted
            self.generation += 1

    def groups(self) -> Iterator[Group[B]]:
        return iter(self._groups.values())

    def routers(self) -> Iterator[tuple[B, int, int]]:
        """Bundle, VLAN and time of the last query of each."""
        return ((bundle, vlan, used_ms) for (bundle, vlan), used_ms in self._routers.items())

    def lookup(self, address: int, vlan: int) -> Group[B] | None:
        return self._groups.get((address, vlan))

    def apply(self, changes: Iterable[Change], vlan: int, bundle: B, now_ms: int) -> int:
        """What one message from `bundle` says; returns how many of its changes mattered."""
        return sum(
            self.join(change.address, vlan, bundle, now_ms, change.protocol)
            if change.joins
            else self.leave(change.address, vlan, bundle)
            for change in changes
        )

    def join(self, address: int, vlan: int, bundle: B, now_ms: int, protocol: str) -> bool:
        """A member of a group was heard of; True if the group is new. (A new member of a known
        group changes forwarding too, but Open vSwitch does not report it.)"""
        if bundle in self.floods or (bundle, vlan) in self._routers:
            # It gets all packets as it is: a second copy is not wanted.
            return False
        known = self._groups.pop((address, vlan), None)
        group = known or Group(address, vlan)
        if known is None and len(self._groups) >= self.max_entries:
            self._drop_group(next(iter(self._groups)))
        self._groups[address, vlan] = group
        group.protocol = protocol
        if group.used_ms.pop(bundle, None) is None:
            self.generation += 1
        group.used_ms[bundle] = now_ms
        self.n_learned += known is None
        return known is None

    def leave(self, address: int, vlan: int, bundle: B) -> bool:
        """A member leaves; True if that ends the membership of its bundle."""
        group = self._groups.get((address, vlan))
        if group is None or bundle in self.floods_reports or bundle not in group.used_ms:
            return False
        self._drop_member(group, bundle)
        return True

    def add_router(self, vlan: int, bundle: B, now_ms: int) -> bool:
        """A query was heard; True if the router is new."""
        if bundle in self.floods:
            return False
        is_new = self._routers.pop((bundle, vlan), None) is None
        self._routers[bundle, vlan] = now_ms
        self.generation += is_new
        return is_new

    def flush(self) -> None:
        """Forget all groups and routers."""
        self._groups.clear()
        self._routers.clear()
        self.generation += 1

    def forget_bundle(self, bundle: B) -> None:
        """A bundle is gone, or means something else now."""
        for group in list(self._groups.values()):
            if bundle in group.used_ms:
                self._drop_member(group, bundle)
                if not group.used_ms:
                    self._drop_group((group.address, group.vlan))
        for router in [router for router in self._routers if router[0] == bundle]:
            del self._routers[router]
            self.generation += 1
        self.flag(
            [other for other in self.floods if other != bundle],
            [other for other in self.floods_reports if other != bundle],
        )

    def run(self, now_ms: int) -> None:
        """Let members and routers age. A group that its members left goes only when it is the one
        that was heard of longest ago, as with Open vSwitch: until then its packets go to nobody."""
        for name, group in list(self._groups.items()):
            n_members = len(group.used_ms)
            for bundle, used_ms in list(group.used_ms.items()):
                if used_ms + self.aging_ms > now_ms:
                    break
                self._drop_member(group, bundle)
            self.n_expired += n_members - len(group.used_ms)
            if not group.used_ms:
                self._drop_group(name)
                self.n_expired += 1
            elif len(group.used_ms) == n_members:
                break
        for router, used_ms in list(self._routers.items()):
            if used_ms + ROUTER_AGING_MS > now_ms:
                break
            del self._routers[router]
            self.n_expired += 1
            self.generation += 1

    def deadline(self) -> int | None:
        """When the group that was heard of longest ago, or a router, may have aged."""
        due = [next(iter(group.used_ms.values()), -self.aging_ms) + self.aging_ms
               for group in itertools.islice(self._groups.values(), 1)]  # fmt: skip
        due += [used_ms + ROUTER_AGING_MS for used_ms in self._routers.values()]
        return min(due, default=None)

    def _drop_group(self, name: tuple[int, int]) -> None:
        del self._groups[name]
        self.generation += 1

    def _drop_member(self, group: Group[B], bundle: B) -> None:
        del group.used_ms[bundle]
        self.generation += 1


def _keep_order(old: list[B], new: Iterable[B]) -> list[B]:
    """The new ones, those first that were there before."""
    wanted = list(new)
    return [one for one in old if one in wanted] + [one for one in wanted if one not in old]
