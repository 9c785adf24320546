"""Keeping the data path's flows true to the tables, and reading what they counted.

Each installed flow remembers the key of the packet that made it, what it was translated to, and
whom its packets are credited to: rules, tables, MAC entries, patch ports. A *sweep* reads the
counters, credits the increments, and removes flows that have been idle. A *revalidation* translates
every flow again after a change: one that comes out the same stays, one with other actions is given
them, one whose mask changed is removed, so that its packets come up and get a right one.

What must hold: every packet that a flow carried is credited exactly once, also by a flow that is
removed (its last counters come with the removal).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from netloom.base.log import get_logger
from netloom.datapath.dpif import Flow
from netloom.datapath.dpif_log import is_told, log_deletion, log_dump, log_flow, log_missing
from netloom.flow.fields import KEY_MASK
from netloom.ofproto.export_netflow import end_flow
from netloom.ofproto.translate import NO_CONTEXT, Translated, translate
from netloom.ofproto.translate.context import Credit, MacLookup
from netloom.ofproto.translate.finish import datapath_mask
from netloom.ofproto.translate.small import credit_all
from netloom.ofproto.upcall import IN_PORT, origin

if TYPE_CHECKING:
    from netloom.ofproto.backer import Backer
    from netloom.ofproto.trails import RuleChanges

log: Final = get_logger("ofproto_dpif_upcall")

#: Flows are asked for one by one if they are fewer than this share of all.
SHARE_OF_DUMP: Final = 8
#: A flow that carried nothing for this long is removed (other_config:max-idle).
MAX_IDLE_MS: Final = 10_000
#: How far out of the order of their use flows may stand: more than one sweep comes after another.
ORDER_MS: Final = 2_000
#: Above the limit flows are removed much sooner.
IDLE_ABOVE_LIMIT_MS: Final = 100
#: This many times the limit are too many to wait for idle ones: all are removed.
KILL_FACTOR: Final = 2
#: Flows that the data path is given at most (other_config:flow-limit).
FLOW_LIMIT: Final = 200_000


#: Masked key and mask.
FlowName = tuple[int, int]


class InstalledFlow:
    """A flow of the data path, seen from here."""

    __slots__ = ("actions", "credits", "is_permanent", "key", "mac_lookups", "mask",
                 "n_bytes", "n_packets", "recirc_ids", "stamp", "trail", "used_ms")  # fmt: skip

    def __init__(self, key: int, mask: int, result: Translated, now_ms: int, stamp: int) -> None:
        self.key = key
        self.mask = mask
        self.actions = result.flow_actions
        self.credits = result.credits
        self.mac_lookups = result.mac_lookups
        #: Frozen states that the actions mention, held as long as the flow is there.
        self.recirc_ids = result.recirc_ids
        self.trail = result.trail
        #: When MAC tables were asked: see `MacTable.changed`.
        self.stamp = stamp
        self.used_ms = now_ms
        self.n_packets = 0
        self.n_bytes = 0
        #: Neither idle nor translated again: whoever made it removes it.
        self.is_permanent = False


class Revalidator:
    """The installed flows of one backer."""

    def __init__(self, backer: Backer) -> None:
        self._backer = backer
        #: In the order of their use (see `_idle_since`).
        self._flows: dict[FlowName, InstalledFlow] = {}
        #: The flows that depend on what a MAC table answered.
        self._by_mac: dict[MacLookup, FlowName | set[FlowName]] = {}
        #: How many flows were added and removed here, and how many in all: `Dpif.take_used`.
        self._changes = self._changes_seen = 0
        self.max_idle_ms = MAX_IDLE_MS
        self.flow_limit = FLOW_LIMIT
        self.max_flows = 0
        self._n_dumps = 0
        self._flows_dumped = 0
        self.dump_duration_ms = 0

    @property
    def asked(self) -> Mapping[MacLookup, object]:
        """What flows depend on of what MAC tables answered."""
        return self._by_mac

    @property
    def n_flows(self) -> int:
        return len(self._flows)

    def average_flows(self) -> int:
        """The mean number of flows over all sweeps."""
        return self._flows_dumped // self._n_dumps if self._n_dumps else 0

    def credited(self, key: int, mask: int) -> Sequence[Credit] | None:
        """What an installed flow's packets are credited to, in the order in which its translation
        came by; None if there is no such flow."""
        flow = self._flows.get((key & mask, mask))
        return flow.credits if flow is not None else None

    def install(self, key: int, mask: int, result: Translated, now_ms: int) -> None:
        """Give the data path the flow of a translated miss."""
        if mask > KEY_MASK:
            mask &= KEY_MASK
        # Hashing keys of this size costs: each dict is asked once.
        name = (key & mask, mask)
        flows, backer = self._flows, self._backer
        n_flows = len(flows)
        switched = backer.switched.ports
        is_refused = n_flows >= self.flow_limit
        if switched and IN_PORT.get(key) in switched:
            is_refused = True
        if not is_refused:
            flow = InstalledFlow(key, mask, result, now_ms, next(backer.stamps))
            is_refused = flows.setdefault(name, flow) is not flow
        if is_refused:
            self._refuse(key, name, result, now_ms)
            return
        if result.mac_lookups:
            self._index(name, result.mac_lookups)
        if n_flows >= self.max_flows:
            self.max_flows = n_flows + 1
        backer.dpif.flow_put(key, mask, result.flow_actions)
        self._changes += 1

    def _refuse(self, key: int, name: FlowName, result: Translated, now_ms: int) -> None:
        """A flow is known already, one too many, or of a port that switches by itself."""
        backer = self._backer
        if backer.dpif.polling is not None and name in self._flows:
            backer.dpif.polling.share(*name)
        if IN_PORT.get(key) not in backer.switched.ports:
            events = backer.events
            (events.flow_known if name in self._flows else events.limit_hit).add()
        backer.recirculations.release(result.recirc_ids, now_ms)

    def install_permanent(self, flow: InstalledFlow) -> None:
        """Give the data path a flow that stays, or change the one that is there."""
        name = (flow.key & flow.mask, flow.mask)
        old = self._flows.get(name)
        if old is not None and old.is_permanent:
            self._push_statistics_of([name])
            old.credits = flow.credits
            if old.actions == flow.actions:
                return
            flow.n_packets, flow.n_bytes = old.n_packets, old.n_bytes
        self._changes += name not in self._flows
        self._flows[name] = flow
        self._backer.dpif.flow_put(flow.key, flow.mask, flow.actions)

    def remove_permanent(self, port: int, mask: int) -> None:
        """Remove the flow that stays of a data-path port."""
        name = (IN_PORT.put(0, port) & mask, mask)
        flow = self._flows.get(name)
        if flow is not None:
            self._remove(name, flow)

    def remove_from(self, ports: frozenset[int]) -> None:
        """Remove the flows of packets from these data-path ports."""
        for name, flow in list(self._flows.items()):
            if IN_PORT.get(flow.key) in ports:
                self._remove(name, flow)

    def sweep(self, now_ms: int) -> None:
        """Credit what flows counted, and remove the idle ones. Flows that somebody else took out of
        the data path (`dpctl/del-flows`) are forgotten, so that misses bring them back."""
        started_ms = self._backer.clock.now_ms()
        if is_told():
            log_dump(self._backer.dpif, now_ms)
        present = self.push_statistics()
        if present is not None:
            self._changes = self._changes_seen
            for name in present - self._flows.keys():
                self._meet_stranger(name, now_ms)
            for name in [name for name in self._flows if name not in present]:
                self._has_vanished(name)
        if len(self._flows) > KILL_FACTOR * self.flow_limit:
            self._backer.events.limit_killed.add()
            self.purge()
        many = len(self._flows) > self.flow_limit
        oldest_ms = now_ms - (IDLE_ABOVE_LIMIT_MS if many else self.max_idle_ms)
        for name in self._idle_since(oldest_ms):
            self._remove(name, self._flows[name])
        self._n_dumps += 1
        self._flows_dumped += len(self._flows)
        self.dump_duration_ms = self._backer.clock.now_ms() - started_ms

    def _meet_stranger(self, name: FlowName, now_ms: int) -> None:
        """Somebody else has put a flow into the data path (`dpctl/add-flow`): it stays if it is
        used, doing what the tables say."""
        events, dpif = self._backer.events, self._backer.dpif
        events.flow_get.add()
        dumped = dpif.flow_get(*name)
        if dumped is None or not dpif.has_strangers:
            return
        result = self._translate_again(dumped.key, now_ms) if dumped.stats.packets else None
        if result is None or datapath_mask(result.mask) & ~dumped.mask:
            if result is not None:
                self._backer.recirculations.release(result.recirc_ids, now_ms)
            events.flow_del.add()
            self._changes += dpif.flow_del(*name) is not None
            return
        events.flow_found.add()
        stats = dumped.stats
        stamp = next(self._backer.stamps)
        flow = self._flows[name] = InstalledFlow(dumped.key, dumped.mask, result, now_ms, stamp)
        flow.n_packets, flow.n_bytes, flow.used_ms = stats.packets, stats.bytes, stats.used_ms
        self._index(name, result.mac_lookups)
        if dumped.actions != flow.actions:
            self._put("put[modify]", flow)

    def _has_vanished(self, name: FlowName) -> None:
        """Somebody else took the flow out of the data path: one that stays comes back."""
        self._backer.events.flow_missed.add()
        flow = self._flows[name]
        if not flow.is_permanent:
            self._backer.events.flow_forgotten.add()
            self._remove(name, flow)
            return
        flow.n_packets = flow.n_bytes = 0
        self._put("put[create]", flow)
        self._changes += 1

    def _put(self, operation: str, flow: InstalledFlow) -> None:
        """Have the data path do what a flow is to do now."""
        self._backer.events.flow_put.add()
        if is_told():
            log_flow(self._backer.dpif, operation, flow.key, flow.mask, flow.actions)
        self._backer.dpif.flow_put(flow.key, flow.mask, flow.actions)

    def _idle_since(self, oldest_ms: int) -> list[FlowName]:
        """The flows that were not used after that. Flows stand in the order of their use, as far as
        one look at the counters tells it."""
        idle = []
        for name, flow in self._flows.items():
            if flow.used_ms <= oldest_ms:
                if not flow.is_permanent:
                    idle.append(name)
            elif flow.used_ms > oldest_ms + ORDER_MS:
                break
        return idle

    def _outdated(self, moved: Mapping[MacLookup, int]) -> list[FlowName]:
        names: dict[FlowName, None] = {}
        for lookup, stamp in moved.items():
            found = self._by_mac.get(lookup)
            if found is None:
                continue
            for name in found if isinstance(found, set) else (found,):
                if self._flows[name].stamp < stamp:
                    names[name] = None
        return list(names)

    def _push_statistics_of(self, names: Sequence[FlowName]) -> set[FlowName]:
        """Credit what these flows have counted: to whom they were credited so far. Returns those
        that the data path does not have any more."""
        if len(names) > len(self._flows) // SHARE_OF_DUMP:
            present = self.push_statistics()
            return set() if present is None else set(names) - present
        gone: set[FlowName] = set()
        if self._credit_used():
            return gone
        for name in names:
            dumped = self._backer.dpif.flow_get(*name)
            if dumped is None:
                gone.add(name)
            else:
                stats = dumped.stats
                self._credit(name, stats.packets, stats.bytes, stats.used_ms, stats.tcp_flags)
        return gone

    def push_statistics(self) -> set[FlowName] | None:
        """Credit what the data path has counted since the last time; returns what flows it has, or
        None if they are those that it was given."""
        if self._credit_used():
            self._backer.credits.push()
            return None
        present = set()
        for dumped in self._backer.dpif.flow_dump():
            name = (dumped.key & dumped.mask, dumped.mask)
            present.add(name)
            stats = dumped.stats
            self._credit(name, stats.packets, stats.bytes, stats.used_ms, stats.tcp_flags)
        self._backer.credits.push()
        return present

    def _credit_used(self) -> bool:
        """Credit the flows that the data path says it used; False if that leaves something to be
        found out by a dump."""
        taken = self._backer.dpif.take_used()
        if taken is None:
            return False
        used, changes = taken
        for flow in used:
            name = (flow.key & flow.mask, flow.mask)
            self._credit(name, flow.packets, flow.bytes, flow.used_ms, flow.tcp_flags)
        self._changes_seen = changes
        # If not, somebody else has put or removed flows.
        return changes == self._changes

    def _credit(
        self, name: FlowName, n_packets: int, n_bytes: int, used_ms: int, tcp_flags: int
    ) -> None:
        """Credit what these counters are more than they were."""
        flow = self._flows.get(name)
        if flow is None or n_packets <= flow.n_packets:
            return
        new_packets, new_bytes = n_packets - flow.n_packets, n_bytes - flow.n_bytes
        flow.n_packets, flow.n_bytes, flow.used_ms = n_packets, n_bytes, used_ms
        credit_all(flow.credits, new_packets, new_bytes, used_ms, tcp_flags)
        self._flows[name] = self._flows.pop(name)

    def _index(self, name: FlowName, lookups: tuple[MacLookup, ...]) -> None:
        for lookup in lookups:
            names = self._by_mac.get(lookup)
            if names is None:
                # Most often it is the only one.
                self._by_mac[lookup] = name
            elif isinstance(names, set):
                names.add(name)
            else:
                self._by_mac[lookup] = {names, name}

    def _unindex(self, name: FlowName, lookups: tuple[MacLookup, ...]) -> None:
        for lookup in lookups:
            names = self._by_mac.get(lookup)
            if isinstance(names, set):
                names.discard(name)
                if not names:
                    del self._by_mac[lookup]
            elif names == name:
                del self._by_mac[lookup]

    def revalidate(self, now_ms: int) -> None:
        """Translate every flow again, and change or remove what came out otherwise."""
        self._revalidate(list(self._flows), now_ms)

    def revalidate_moved(self, now_ms: int, moved: Mapping[MacLookup, int]) -> None:
        """The same for the flows that depend on these answers of MAC tables, and asked before that
        stamp."""
        self._revalidate(self._outdated(moved), now_ms)

    def revalidate_changed(
        self, now_ms: int, changes: RuleChanges, moved: Mapping[MacLookup, int]
    ) -> None:
        """The same for these and for the flows that changes of rules concern."""
        concern = changes.concern
        names = [
            name for name, flow in self._flows.items() if concern(flow.trail, flow.key, flow.mask)
        ]
        others = self._outdated(moved)
        if others:
            names = list(dict.fromkeys([*names, *others]))
        self._revalidate(names, now_ms)

    def _revalidate(self, names: list[FlowName], now_ms: int) -> None:
        gone = self._push_statistics_of(names) if names else set()
        self._backer.follow_tables(now_ms)
        for name in names:
            flow = self._flows[name]
            if flow.is_permanent:
                continue
            result = self._translate_again(flow.key, now_ms)
            if result is None:
                self._remove(name, flow)
                continue
            self._backer.recirculations.release(flow.recirc_ids, now_ms)
            flow.recirc_ids = result.recirc_ids
            if (
                datapath_mask(result.mask) & ~flow.mask
                or result.error == NO_CONTEXT
                or result.avoid_caching
            ):
                # It depends on more than the flow matches (to depend on less does no harm), or
                # its packets come back no more, or something hangs on the next of them.
                self._remove(name, flow)
                continue
            flow.credits = result.credits
            flow.trail = result.trail
            flow.stamp = next(self._backer.stamps)
            if result.mac_lookups != flow.mac_lookups:
                self._unindex(name, flow.mac_lookups)
                flow.mac_lookups = result.mac_lookups
                self._index(name, flow.mac_lookups)
            if result.flow_actions != flow.actions:
                flow.actions = result.flow_actions
                if name in gone:
                    # Somebody else took it away; who waits for it comes up again.
                    log_missing(self._backer.dpif, "put[modify]", flow.key, flow.mask, flow.actions)
                    self._remove(name, flow)
                else:
                    self._put("put[modify]", flow)

    def _translate_again(self, key: int, now_ms: int) -> Translated | None:
        """What becomes of the packets of a flow; None if they come from nowhere."""
        shortcuts = self._backer.shortcuts
        result = shortcuts.find_again(key, now_ms)
        if result is not None:
            self._backer.events.translated.add()
            return result
        is_wanted = shortcuts.wants
        found = origin(self._backer, key)
        if found is None:
            return None
        result = translate(*found, now_ms, side_effects=False)
        if is_wanted:
            shortcuts.keep(*found, key, result, now_ms, datapath_mask(result.mask))
        return result

    def purge(self) -> None:
        """Remove every flow."""
        for name, flow in list(self._flows.items()):
            if not flow.is_permanent:
                self._remove(name, flow)

    def flows_of(self, bridge_ports: set[int]) -> list[Flow]:
        """The data path's flows from these data-path ports."""
        dump = self._backer.dpif.flow_dump()
        return [flow for flow in dump if IN_PORT.get(flow.key) in bridge_ports]

    def _remove(self, name: FlowName, flow: InstalledFlow) -> None:
        self._backer.events.flow_del.add()
        last = self._backer.dpif.flow_del(*name)
        if last is not None:
            if is_told():
                now_ms = self._backer.clock.now_ms()
                log_deletion(self._backer.dpif, flow.key, flow.mask, last.stats, now_ms)
            self._changes += 1
            stats = last.stats
            self._credit(name, stats.packets, stats.bytes, stats.used_ms, stats.tcp_flags)
        if self._backer.n_netflows:
            end_flow(flow.credits)
        del self._flows[name]
        self._unindex(name, flow.mac_lookups)
        self._backer.recirculations.release(flow.recirc_ids, self._backer.clock.now_ms())
