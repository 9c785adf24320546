"""What NORMAL has learned: which bundle a MAC address of a VLAN was last seen on.

Entries age (300 s unless told otherwise) and are bounded in number; when the table is full, the
bundle with the most entries loses the one that it used least recently, so that one noisy port
cannot push out the others. `generation` grows with every change that an answer may depend on: flows
that were made from an older generation must be made again. A refresh of an entry that stays where
it is, is no change.

After a gratuitous ARP on a port that is no bond, an entry is locked for five seconds: a reflection
of the packet that comes back over a bond must not move it.

A static entry (`fdb/add`) neither ages nor moves.

A data path that runs the bridge by itself learns too: it is the `teacher` then, and what it has
learned is taken over before anybody is told anything.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from itertools import count
from typing import Final, Generic, Protocol, TypeVar

from netloom.base.counters import Counters
from netloom.datapath.switching import Totals
from netloom.ofproto.events import MacEvents

DEFAULT_AGING_S: Final = 300
DEFAULT_ENTRIES: Final = 8_192
GRATUITOUS_ARP_LOCK_MS: Final = 5_000
#: Bounds that Open vSwitch puts on what a Bridge row asks for.
MIN_AGING_S: Final = 15
MAX_AGING_S: Final = 3_600
MIN_ENTRIES: Final = 10
MAX_ENTRIES: Final = 1_000_000

#: Group address bit of a MAC address.
_MULTICAST: Final = 1 << 40

B = TypeVar("B")


class MacEntry(Generic[B]):
    """One address in one VLAN."""

    __slots__ = ("bundle", "is_static", "lock_until_ms", "mac", "used_ms", "vlan")

    def __init__(self, mac: int, vlan: int, bundle: B, now_ms: int, is_static: bool) -> None:
        self.mac = mac
        self.vlan = vlan
        self.bundle = bundle
        self.used_ms = now_ms
        self.lock_until_ms = 0
        self.is_static = is_static


class Teacher(Protocol[B]):
    """Who learns addresses beside the table, and is told what the table knows."""

    def totals(self) -> Totals: ...

    def entries(self) -> Iterator[tuple[int, int, B, int, bool]]:
        """(address, VLAN, bundle, when it was used, is it static) of all that it knows."""

    def put(self, entry: MacEntry[B]) -> None: ...

    def delete(self, mac: int, vlan: int) -> None: ...


class MacTable(Generic[B]):
    """One bridge's table; bundles are any hashable objects."""

    def __init__(
        self, stamps: Iterator[int] | None = None, events: MacEvents | None = None
    ) -> None:
        self._events = events or MacEvents(Counters())
        # Least recently used first. (A plain dict finds its first entry slowly once many before it
        # have been deleted.)
        self._entries: OrderedDict[tuple[int, int], MacEntry[B]] = OrderedDict()
        self._per_bundle: dict[B, int] = {}
        self.aging_ms = DEFAULT_AGING_S * 1_000
        self.max_entries = DEFAULT_ENTRIES
        self.flood_vlans: frozenset[int] = frozenset()
        self.generation = 0
        #: Addresses and VLANs whose answer has changed since somebody emptied this, with the stamp
        #: of the change: whoever took a later one from `stamps` asked after it.
        self.changed: dict[tuple[int, int], int] = {}
        self._stamps = stamps or count(1)
        self.teacher: Teacher[B] | None = None
        self._heard = Totals()
        self.clear_stats()

    def __len__(self) -> int:
        self._hear()
        return len(self._entries)

    def __iter__(self) -> Iterator[MacEntry[B]]:
        self._hear(is_exact=True)
        return iter(self._entries.values())

    def teach(self, teacher: Teacher[B] | None) -> None:
        """Have somebody learn beside the table, or nobody any more."""
        self._hear(is_exact=True)
        self.teacher = teacher
        if teacher is not None:
            self._heard = teacher.totals()
            for entry in self._entries.values():
                teacher.put(entry)
            self._hear(is_exact=True)

    def _hear(self, is_exact: bool = False) -> None:
        """Take over what the teacher has learned; `is_exact`: when addresses were used, too."""
        if self.teacher is None:
            return
        totals = self.teacher.totals()
        if totals[:2] == self._heard[:2] and not is_exact:
            return
        learned, moved = totals.learned - self._heard.learned, totals.moved - self._heard.moved
        self.total_learned += learned
        self.total_moved += moved
        self._events.learned.add(learned)
        self._events.moved.add(moved)
        self._heard = totals
        for mac, vlan, bundle, used_ms, is_static in self.teacher.entries():
            entry = self._entries.get((mac, vlan))
            if entry is None:
                entry = self._entries[mac, vlan] = MacEntry(mac, vlan, bundle, used_ms, is_static)
                self._count(bundle, 1)
                self._changed(mac, vlan)
            elif entry.bundle != bundle:
                self._count(entry.bundle, -1)
                self._count(bundle, 1)
                entry.bundle = bundle
                self._changed(mac, vlan)
            entry.used_ms = max(entry.used_ms, used_ms)
        by_use = sorted(self._entries.values(), key=lambda entry: entry.used_ms)
        self._entries = OrderedDict(((entry.mac, entry.vlan), entry) for entry in by_use)

    def _make_room(self) -> None:
        """The teacher had no room for addresses: have some."""
        assert self.teacher is not None
        refused = self.teacher.totals().refused
        if refused != self._heard.refused:
            self._hear(is_exact=True)
            for _ in range(max(len(self._entries) - self.max_entries * 15 // 16, 0)):
                self._evict()

    def clear_stats(self) -> None:
        self.total_learned = 0
        self.total_expired = 0
        self.total_evicted = 0
        self.total_moved = 0

    @property
    def n_static(self) -> int:
        self._hear()
        return sum(entry.is_static for entry in self._entries.values())

    def configure(self, aging_s: int, max_entries: int, flood_vlans: frozenset[int]) -> None:
        """Set ageing time, size and the VLANs in which nothing is learned."""
        self.aging_ms = min(max(aging_s, MIN_AGING_S), MAX_AGING_S) * 1_000
        self.max_entries = min(max(max_entries, MIN_ENTRIES), MAX_ENTRIES)
        if flood_vlans != self.flood_vlans:
            self.flood_vlans = flood_vlans
            self.flush()
        while len(self._entries) > self.max_entries:
            self._evict()

    def lookup(self, mac: int, vlan: int) -> MacEntry[B] | None:
        if mac & _MULTICAST or vlan in self.flood_vlans:
            return None
        self._hear()
        return self._entries.get((mac, vlan))

    def may_learn(self, mac: int, vlan: int) -> bool:
        return not mac & _MULTICAST and vlan not in self.flood_vlans

    def learn(
        self,
        mac: int,
        vlan: int,
        bundle: B,
        now_ms: int,
        *,
        gratuitous_arp: bool = False,
        is_bond: bool = False,
        is_again: bool = False,
    ) -> bool:
        """`mac` was seen in `vlan` on `bundle`; True if that changed an answer of `lookup`.
        `is_again`: as it was before, by packets of the same flow."""
        if not self.may_learn(mac, vlan):
            return False
        self._hear()
        entry = self._entries.get((mac, vlan))
        if entry is None:
            self._add(MacEntry(mac, vlan, bundle, now_ms, is_static=False))
            self.total_learned += 1
            self._events.learned.add()
            entry = self._entries[mac, vlan]
            if gratuitous_arp and not is_bond:
                entry.lock_until_ms = now_ms + GRATUITOUS_ARP_LOCK_MS
            return True
        if entry.is_static:
            if entry.bundle != bundle and not is_again:
                self._events.held.add()
            return False
        if gratuitous_arp and not is_bond:
            entry.lock_until_ms = now_ms + GRATUITOUS_ARP_LOCK_MS
        elif gratuitous_arp and now_ms < entry.lock_until_ms:
            return False
        self._touch(entry, now_ms)
        if entry.bundle == bundle:
            return False
        self._count(entry.bundle, -1)
        self._count(bundle, 1)
        entry.bundle = bundle
        self.total_moved += 1
        self._events.moved.add()
        self._changed(mac, vlan)
        self._tell(entry)
        return True

    def add_static(self, mac: int, vlan: int, bundle: B, now_ms: int) -> None:
        self.remove(mac, vlan)
        self._add(MacEntry(mac, vlan, bundle, now_ms, is_static=True))

    def remove(self, mac: int, vlan: int) -> bool:
        """Forget an address; False if it was not known."""
        self._hear()
        entry = self._entries.get((mac, vlan))
        if entry is None:
            return False
        self._drop(entry)
        return True

    def flush(self) -> None:
        """Forget all that was learned; static entries stay."""
        self._hear()
        self._drop_all([entry for entry in self._entries.values() if not entry.is_static])

    def forget_bundle(self, bundle: B) -> list[tuple[int, int]]:
        """A bundle is gone, or means something else now. Returns the addresses with their VLANs
        that were on it."""
        self._hear()
        entries = [entry for entry in self._entries.values() if entry.bundle == bundle]
        self._drop_all(entries)
        return [(entry.mac, entry.vlan) for entry in entries]

    def move_bundle(self, old: B, new: B) -> None:
        """What was on one bundle is on another from now on."""
        self._hear()
        for entry in self._entries.values():
            if entry.bundle == old:
                self._count(old, -1)
                self._count(new, 1)
                entry.bundle = new
                self._changed(entry.mac, entry.vlan)
                self._tell(entry)

    def run(self, now_ms: int) -> None:
        """Let entries age."""
        limit = now_ms - self.aging_ms
        if self.teacher is not None:
            self._make_room()
            due = self.deadline()
            self._hear(is_exact=due is not None and due <= now_ms)
        old = []
        for entry in self._entries.values():
            if entry.is_static:
                continue
            if entry.used_ms > limit:
                break
            old.append(entry)
        for entry in old:
            self._drop(entry)
        self.total_expired += len(old)
        self._events.expired.add(len(old))

    def deadline(self) -> int | None:
        """When the oldest entry will have aged."""
        for entry in self._entries.values():
            if not entry.is_static:
                return entry.used_ms + self.aging_ms
        return None

    def _add(self, entry: MacEntry[B]) -> None:
        if len(self._entries) >= self.max_entries:
            self._evict()
        self._entries[entry.mac, entry.vlan] = entry
        self._count(entry.bundle, 1)
        self._changed(entry.mac, entry.vlan)
        self._tell(entry)

    def _tell(self, entry: MacEntry[B]) -> None:
        if self.teacher is not None:
            self.teacher.put(entry)

    def _touch(self, entry: MacEntry[B], now_ms: int) -> None:
        if entry.used_ms != now_ms:
            entry.used_ms = now_ms
            self._entries.move_to_end((entry.mac, entry.vlan))

    def _drop(self, entry: MacEntry[B]) -> None:
        del self._entries[entry.mac, entry.vlan]
        if self.teacher is not None:
            self.teacher.delete(entry.mac, entry.vlan)
        self._count(entry.bundle, -1)
        self._changed(entry.mac, entry.vlan)

    def _changed(self, mac: int, vlan: int) -> None:
        self.changed[mac, vlan] = next(self._stamps)
        self.generation += 1

    def _drop_all(self, entries: list[MacEntry[B]]) -> None:
        for entry in entries:
            self._drop(entry)

    def _evict(self) -> None:
        """Drop the least recently used entry of the bundle that has most."""
        victims = (entry for entry in self._entries.values() if not entry.is_static)
        greediest = max(self._per_bundle, key=lambda bundle: self._per_bundle[bundle])
        first: MacEntry[B] | None = None
        for entry in victims:
            first = first or entry
            if entry.bundle == greediest:
                first = entry
                break
        if first is None:
            first = next(iter(self._entries.values()))
        self._drop(first)
        self.total_evicted += 1
        self._events.evicted.add()

    def _count(self, bundle: B, change: int) -> None:
        count = self._per_bundle.get(bundle, 0) + change
        if count:
            self._per_bundle[bundle] = count
        else:
            self._per_bundle.pop(bundle, None)
