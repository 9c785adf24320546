"""Messages of groups: sets of buckets of actions, of which all, one or the first that lives run.

Names and numbers: OpenFlow 1.1 to 1.5; OpenFlow 1.0 has them as Nicira extensions. The selection
method of a select group is Netronome's extension, which OpenFlow 1.0 and 1.5 carry.
"""

from __future__ import annotations

from netloom.base.record import Record
from netloom.openflow.actions import Action
from netloom.openflow.constants import OFPG_ANY, OFPP_ANY
from netloom.openflow.messages import MessageRecord

OFPG_MAX = 0xFFFFFF00
OFPG_ALL = 0xFFFFFFFC

OFPGC_ADD = 0
OFPGC_MODIFY = 1
OFPGC_DELETE = 2
OFPGC_INSERT_BUCKET = 3
OFPGC_REMOVE_BUCKET = 5
OFPGC_ADD_OR_MOD = 0x8000

OFPGT_ALL = 0
OFPGT_SELECT = 1
OFPGT_INDIRECT = 2
OFPGT_FF = 3

OFPG_BUCKET_MAX = 0xFFFFFF00
OFPG_BUCKET_FIRST = 0xFFFFFFFD
OFPG_BUCKET_LAST = 0xFFFFFFFE
OFPG_BUCKET_ALL = 0xFFFFFFFF


class Bucket(Record):
    """`bucket_id` travels in OpenFlow 1.0 and 1.5 only; elsewhere it is the place in the list.
    OFPG_BUCKET_ALL: a free one is chosen when the bucket is encoded."""

    actions: tuple[Action, ...] = ()
    bucket_id: int = OFPG_BUCKET_ALL
    weight: int = 0
    watch_port: int = OFPP_ANY
    watch_group: int = OFPG_ANY


class GroupProperties(Record):
    """How a select group chooses; `fields` (name, value) are what is hashed, whose values are
    masks."""

    selection_method: str = ""
    selection_method_param: int = 0
    fields: tuple[tuple[str, int], ...] = ()


NO_PROPERTIES = GroupProperties()


class GroupMod(MessageRecord):
    """`command_bucket_id`: where to insert, what to remove (all unless it is said)."""

    command: int
    group_id: int
    type: int = OFPGT_ALL
    buckets: tuple[Bucket, ...] = ()
    command_bucket_id: int = OFPG_BUCKET_ALL
    properties: GroupProperties = NO_PROPERTIES


class GroupStatsRequest(MessageRecord):
    group_id: int = OFPG_ALL


class BucketCounter(Record):
    packet_count: int
    byte_count: int


class GroupStats(Record):
    """`duration_sec` 0xffffffff: not known, as before OpenFlow 1.3."""

    group_id: int
    ref_count: int
    packet_count: int
    byte_count: int
    duration_sec: int = 0xFFFFFFFF
    duration_nsec: int = 0xFFFFFFFF
    buckets: tuple[BucketCounter, ...] = ()


class GroupStatsReply(MessageRecord):
    groups: tuple[GroupStats, ...] = ()
    more: bool = False


class GroupDescRequest(MessageRecord):
    """`group_id` is of OpenFlow 1.0 and 1.5; the others tell about all groups."""

    group_id: int = OFPG_ALL


class GroupDesc(Record):
    group_id: int
    type: int
    buckets: tuple[Bucket, ...] = ()
    properties: GroupProperties = NO_PROPERTIES


class GroupDescReply(MessageRecord):
    groups: tuple[GroupDesc, ...] = ()
    more: bool = False


class GroupFeaturesRequest(MessageRecord):
    pass


class GroupFeaturesReply(MessageRecord):
    """`types` is a bit per OFPGT_*; the tuples have a member per type, `actions` in the bits of
    the wire."""

    types: int
    capabilities: int
    max_groups: tuple[int, int, int, int]
    actions: tuple[int, int, int, int]
    more: bool = False
