"""Multipart messages: what a controller asks a switch for, and the answers.

OpenFlow 1.0 to 1.2 call them statistics; the names are from there. A reply that goes on in another
message says so in `more`. Users know these as part of `netloom.openflow.messages`, whose notes on
shapes hold here.
"""

from __future__ import annotations

from netloom.base.record import Record
from netloom.flow.match import MATCH_ALL, Match
from netloom.openflow.actions import Action
from netloom.openflow.message_base import (
    OFPG_ANY,
    OFPP_ANY,
    OFPQ_ALL,
    UNKNOWN,
    Message,
    PhyPort,
)


class DescRequest(Message):
    pass


class DescReply(Message):
    manufacturer: str
    hardware: str
    software: str
    serial: str
    datapath: str
    more: bool = False


class FlowStatsRequest(Message):
    """`nx`: NXST_FLOW of OpenFlow 1.0."""

    match: Match = MATCH_ALL
    table_id: int = 255
    out_port: int = OFPP_ANY
    out_group: int = OFPG_ANY
    cookie: int = 0
    cookie_mask: int = 0
    nx: bool = False


class FlowStats(Record):
    """One flow. Ages in seconds; -1: the encoding has none."""

    match: Match
    priority: int
    table_id: int = 0
    actions: tuple[Action, ...] = ()
    cookie: int = 0
    duration_sec: int = 0
    duration_nsec: int = 0
    idle_timeout: int = 0
    hard_timeout: int = 0
    idle_age: int = -1
    hard_age: int = -1
    flags: int = 0
    importance: int = 0
    packet_count: int = 0
    byte_count: int = 0


class FlowStatsReply(Message):
    flows: tuple[FlowStats, ...] = ()
    nx: bool = False
    more: bool = False


class AggregateRequest(Message):
    match: Match = MATCH_ALL
    table_id: int = 255
    out_port: int = OFPP_ANY
    out_group: int = OFPG_ANY
    cookie: int = 0
    cookie_mask: int = 0
    nx: bool = False


class AggregateReply(Message):
    packet_count: int
    byte_count: int
    flow_count: int
    nx: bool = False
    more: bool = False


class TableStatsRequest(Message):
    pass


class TableStats(Record):
    """`name`, `wildcards` and `max_entries` are OpenFlow 1.0's (1.1 and 1.2 have more)."""

    table_id: int
    active_count: int
    lookup_count: int
    matched_count: int
    name: str = ""
    wildcards: int = 0
    max_entries: int = 0


class TableStatsReply(Message):
    tables: tuple[TableStats, ...] = ()
    more: bool = False


class PortStatsRequest(Message):
    """OFPP_ANY: all ports."""

    port_no: int = OFPP_ANY


class PortStats(Record):
    """Counters; UNKNOWN where the switch has none. `custom` are OVS's own, of OpenFlow 1.4."""

    port_no: int
    rx_packets: int = UNKNOWN
    tx_packets: int = UNKNOWN
    rx_bytes: int = UNKNOWN
    tx_bytes: int = UNKNOWN
    rx_dropped: int = UNKNOWN
    tx_dropped: int = UNKNOWN
    rx_errors: int = UNKNOWN
    tx_errors: int = UNKNOWN
    rx_frame_err: int = UNKNOWN
    rx_over_err: int = UNKNOWN
    rx_crc_err: int = UNKNOWN
    collisions: int = UNKNOWN
    duration_sec: int = 0xFFFFFFFF
    duration_nsec: int = 0xFFFFFFFF


class PortStatsReply(Message):
    ports: tuple[PortStats, ...] = ()
    more: bool = False


class PortDescRequest(Message):
    """`port_no` is OpenFlow 1.5's."""

    port_no: int = OFPP_ANY


class PortDescReply(Message):
    ports: tuple[PhyPort, ...] = ()
    more: bool = False


class QueueStatsRequest(Message):
    port_no: int = OFPP_ANY
    queue: int = OFPQ_ALL


class QueueStats(Record):
    port_no: int
    queue: int
    tx_bytes: int = UNKNOWN
    tx_packets: int = UNKNOWN
    tx_errors: int = UNKNOWN
    duration_sec: int = 0xFFFFFFFF
    duration_nsec: int = 0xFFFFFFFF


class QueueStatsReply(Message):
    queues: tuple[QueueStats, ...] = ()
    more: bool = False


class TableFeaturesRequest(Message):
    """`body`: features to set, as they came; empty to ask."""

    body: bytes = b""


class InstructionFeatures(Record):
    """What a flow of a table (or its table-miss flow) may do: `instructions`, `write_actions` and
    `apply_actions` as bits of OFPIT_* and OFPAT_* of the wire, fields by name."""

    next_tables: tuple[int, ...] = ()
    instructions: int = 0
    write_actions: int = 0
    apply_actions: int = 0
    write_set_fields: tuple[str, ...] = ()
    apply_set_fields: tuple[str, ...] = ()


class TableFeatures(Record):
    table_id: int
    name: str
    metadata_match: int
    metadata_write: int
    max_entries: int
    config: int = 0
    nonmiss: InstructionFeatures = InstructionFeatures()
    miss: InstructionFeatures = InstructionFeatures()
    #: Fields that can be matched exactly, with a mask, be absent.
    match: tuple[str, ...] = ()
    maskable: tuple[str, ...] = ()
    wildcards: tuple[str, ...] = ()


class TableFeaturesReply(Message):
    tables: tuple[TableFeatures, ...] = ()
    more: bool = False


class OpaqueRequest(Message):
    """A multipart request of groups, meters or others that this version only recognises: `name`
    is that of its type, such as "OFPST_GROUP"."""

    name: str
    body: bytes = b""


class OpaqueReply(Message):
    name: str
    body: bytes = b""
    more: bool = False
