"""Messages of OpenFlow 1.4 about tables (eviction, vacancy) and about requests of others."""

from __future__ import annotations

from netloom.base.record import Record
from netloom.openflow.messages import MessageRecord

OFPTC_EVICTION = 1 << 2
OFPTC_VACANCY_EVENTS = 1 << 3

OFPTMPEF_OTHER = 1
OFPTMPEF_IMPORTANCE = 2
OFPTMPEF_LIFETIME = 4

OFPTR_VACANCY_DOWN = 3
OFPTR_VACANCY_UP = 4

OFPRFR_GROUP_MOD = 0
OFPRFR_METER_MOD = 1


class TableDesc(Record):
    """`vacancy`: the two limits and what there is, in percent; None: not said."""

    table_id: int
    config: int = 0
    eviction_flags: int | None = None
    vacancy: tuple[int, int, int] | None = None


class TableDescRequest(MessageRecord):
    pass


class TableDescReply(MessageRecord):
    tables: tuple[TableDesc, ...] = ()
    more: bool = False


class TableStatus(MessageRecord):
    reason: int
    table: TableDesc


class RequestForward(MessageRecord):
    """Another controller's group or meter mod, which is `data`, with its header."""

    data: bytes
