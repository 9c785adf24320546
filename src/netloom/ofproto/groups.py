"""The groups of a bridge: sets of buckets of actions that many flows share.

    changes = groups.apply(mod, now_ms)        # or OpenFlowError, and nothing has changed
    groups.undo(changes)                       # as it was: the bundle that `mod` was of has failed

Which buckets run, and how, is the translation's business; here is who they are, what they have
counted and what controllers may do with them. A group that is modified is a new object that counts
from 0, as in Open vSwitch; a `Group` that somebody holds never changes but for its counts.

What must hold: no group leads back to itself through the `group` actions of its buckets (a mod that
would close such a ring is refused; Open vSwitch lets it pass and drops the packets), and bucket
numbers within a group are distinct. Semantics: OpenFlow 1.3, 5.6 and 6.4; 1.5, 7.3.4.3.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from netloom.base.record import Record
from netloom.ofproto import selection
from netloom.openflow import actions as a
from netloom.openflow import messages_groups as g
from netloom.openflow.action_nesting import flattened
from netloom.openflow.errors import OpenFlowError

#: Groups of one type that there may be.
MAX_GROUPS = g.OFPG_MAX


class GroupBucket:
    """One bucket; `weight` counts in select groups, the watches in fast failover and select."""

    __slots__ = ("actions", "bucket_id", "n_bytes", "n_packets", "watch_group", "watch_port",
                 "weight")  # fmt: skip

    def __init__(self, bucket: g.Bucket) -> None:
        self.bucket_id = bucket.bucket_id
        self.weight = bucket.weight
        self.watch_port = bucket.watch_port
        self.watch_group = bucket.watch_group
        self.actions = bucket.actions
        self.n_packets = 0
        self.n_bytes = 0

    def credit(self, n_packets: int, n_bytes: int, used_ms: int) -> None:
        """Count packets that ran this bucket."""
        self.n_packets += n_packets
        self.n_bytes += n_bytes

    def message(self) -> g.Bucket:
        """The bucket as messages carry it."""
        return g.Bucket(
            self.actions, self.bucket_id, self.weight, self.watch_port, self.watch_group
        )


class Group:
    """One group; `type` is an OFPGT_*. `created_ms` is that of the first group of this number
    since the last deletion. `selection_method` is "" (the switch chooses), "hash" or "dp_hash";
    `fields` are (name, mask) of what is hashed."""

    __slots__ = (
        "buckets", "created_ms", "fields", "group_id", "hash_shares", "n_bytes",
        "n_packets", "properties", "selection_method", "selection_method_param", "type",
    )  # fmt: skip

    def __init__(
        self,
        group_id: int,
        type_: int,
        buckets: tuple[g.Bucket, ...],
        properties: g.GroupProperties,
        created_ms: int,
    ) -> None:
        self.group_id = group_id
        self.type = type_
        self.buckets = tuple(GroupBucket(bucket) for bucket in buckets)
        self.properties = properties
        self.selection_method = properties.selection_method
        self.selection_method_param = properties.selection_method_param
        self.fields = properties.fields
        #: Hash value -> bucket of a select group; None until worked out (`translate.groups`).
        self.hash_shares: tuple[GroupBucket, ...] | None = None
        self.created_ms = created_ms
        self.n_packets = 0
        self.n_bytes = 0

    def credit(self, n_packets: int, n_bytes: int, used_ms: int) -> None:
        """Count packets that came to this group."""
        self.n_packets += n_packets
        self.n_bytes += n_bytes

    def messages(self) -> tuple[g.Bucket, ...]:
        """The buckets as messages carry them."""
        return tuple(bucket.message() for bucket in self.buckets)


class GroupChange(Record):
    """One group before and after; None for not there."""

    group_id: int
    old: Group | None
    new: Group | None


class Groups:
    """All groups of one bridge. `generation` grows with every change."""

    def __init__(self) -> None:
        self._groups: dict[int, Group] = {}
        #: How many there are of each type.
        self._n_of_type: Counter[int] = Counter()
        self.generation = 0

    def get(self, group_id: int) -> Group | None:
        return self._groups.get(group_id)

    def __iter__(self) -> Iterator[Group]:
        return iter([self._groups[group_id] for group_id in sorted(self._groups)])

    def __len__(self) -> int:
        return len(self._groups)

    # Changes

    def apply(self, mod: g.GroupMod, now_ms: int) -> list[GroupChange]:
        """Carry out a group mod; raises OpenFlowError and changes nothing if it cannot be."""
        handler = _COMMANDS.get(mod.command)
        if handler is None:
            raise OpenFlowError("OFPGMFC_BAD_COMMAND")
        changes = handler(self, mod, now_ms)
        for change in changes:
            self._put(change.group_id, change.new)
            if selection.log.is_dbg_enabled and change.new and change.new.type == g.OFPGT_SELECT:
                selection.log_change(change.new, mod.buckets, change.old is not None)
        return changes

    def undo(self, changes: list[GroupChange]) -> None:
        """Make what `apply` returned undone; the newest changes must be undone first."""
        for change in reversed(changes):
            self._put(change.group_id, change.old)

    def _put(self, group_id: int, group: Group | None) -> None:
        old = self._groups.pop(group_id, None)
        if old is not None:
            self._n_of_type[old.type] -= 1
        if group is not None:
            self._groups[group_id] = group
            self._n_of_type[group.type] += 1
        self.generation += 1

    def _add(self, mod: g.GroupMod, now_ms: int) -> list[GroupChange]:
        if mod.group_id > g.OFPG_MAX:
            raise OpenFlowError("OFPGMFC_INVALID_GROUP")
        if mod.group_id in self._groups:
            raise OpenFlowError("OFPGMFC_GROUP_EXISTS")
        if self._n_of_type[mod.type] >= MAX_GROUPS:
            raise OpenFlowError("OFPGMFC_OUT_OF_GROUPS")
        new = Group(mod.group_id, mod.type, mod.buckets, mod.properties, now_ms)
        return self._change(None, new)

    def _modify(self, mod: g.GroupMod, now_ms: int) -> list[GroupChange]:
        old = self._existing(mod)
        return self._change(
            old, Group(old.group_id, mod.type, mod.buckets, mod.properties, old.created_ms)
        )

    def _add_or_modify(self, mod: g.GroupMod, now_ms: int) -> list[GroupChange]:
        exists = mod.group_id in self._groups
        return self._modify(mod, now_ms) if exists else self._add(mod, now_ms)

    def _delete(self, mod: g.GroupMod, now_ms: int) -> list[GroupChange]:
        if mod.group_id == g.OFPG_ALL:
            return [GroupChange(group.group_id, group, None) for group in self]
        group = self._groups.get(mod.group_id)
        return [] if group is None else [GroupChange(group.group_id, group, None)]

    def _insert_bucket(self, mod: g.GroupMod, now_ms: int) -> list[GroupChange]:
        old = self._existing(mod)
        have = old.messages()
        # Where buckets have no numbers, new ones come first.
        in_front = mod.command_bucket_id in (g.OFPG_BUCKET_FIRST, g.OFPG_BUCKET_ALL)
        at = 0 if in_front else _place(have, mod.command_bucket_id) + 1
        known = {bucket.bucket_id for bucket in have}
        if any(bucket.bucket_id in known for bucket in mod.buckets):
            raise OpenFlowError("OFPGMFC_BUCKET_EXISTS")
        return self._rebuild(old, have[:at] + mod.buckets + have[at:])

    def _remove_bucket(self, mod: g.GroupMod, now_ms: int) -> list[GroupChange]:
        old = self._existing(mod)
        if mod.command_bucket_id == g.OFPG_BUCKET_ALL:
            return self._rebuild(old, ())
        have = old.messages()
        at = _place(have, mod.command_bucket_id)
        return self._rebuild(old, have if at < 0 else have[:at] + have[at + 1 :])

    def _existing(self, mod: g.GroupMod) -> Group:
        group = self._groups.get(mod.group_id)
        if group is None:
            raise OpenFlowError("OFPGMFC_UNKNOWN_GROUP")
        return group

    def _rebuild(self, old: Group, buckets: tuple[g.Bucket, ...]) -> list[GroupChange]:
        new = Group(old.group_id, old.type, buckets, old.properties, old.created_ms)
        return self._change(old, new)

    def _change(self, old: Group | None, new: Group) -> list[GroupChange]:
        if self._leads_back(new):
            raise OpenFlowError("OFPGMFC_LOOP")
        return [GroupChange(new.group_id, old, new)]

    def _leads_back(self, group: Group) -> bool:
        """Would `group`, if it were there, be reached from itself?"""
        seen: set[int] = set()
        todo = [group]
        while todo:
            for next_id in groups_of_buckets(todo.pop()):
                if next_id == group.group_id:
                    return True
                following = self._groups.get(next_id)
                if following is not None and next_id not in seen:
                    seen.add(next_id)
                    todo.append(following)
        return False


def groups_of_buckets(group: Group) -> set[int]:
    """The groups that the actions of a group name."""
    return {
        action.group_id
        for bucket in group.buckets
        for action in flattened(bucket.actions)
        if isinstance(action, a.Group)
    }


def _place(buckets: tuple[g.Bucket, ...], bucket_id: int) -> int:
    """The index of a bucket; -1 for the first or last of none."""
    if bucket_id == g.OFPG_BUCKET_FIRST:
        return 0 if buckets else -1
    if bucket_id == g.OFPG_BUCKET_LAST:
        return len(buckets) - 1
    for at, bucket in enumerate(buckets):
        if bucket.bucket_id == bucket_id:
            return at
    raise OpenFlowError("OFPGMFC_UNKNOWN_BUCKET")


_COMMANDS: dict[int, Callable[[Groups, g.GroupMod, int], list[GroupChange]]] = {
    g.OFPGC_ADD: Groups._add,
    g.OFPGC_MODIFY: Groups._modify,
    g.OFPGC_ADD_OR_MOD: Groups._add_or_modify,
    g.OFPGC_DELETE: Groups._delete,
    g.OFPGC_INSERT_BUCKET: Groups._insert_bucket,
    g.OFPGC_REMOVE_BUCKET: Groups._remove_bucket,
}
