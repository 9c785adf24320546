"""OpenFlow messages as values, free of any version.

One class per meaning. A message says what its peer is to do or to know; which of several encodings
carries it (OFPT_FLOW_MOD of OpenFlow 1.0, NXT_FLOW_MOD, OFPT_FLOW_MOD of 1.1 and later) is decided
by the protocol given to `codec.encode_message`. Where the difference matters to the receiver (a
NXST_FLOW request wants an NXST_FLOW reply), the message has a field for it.

Shapes: ports are OpenFlow 1.1+ numbers (32 bits, reserved ones from 0xffffff00); MAC addresses are
integers; a `Match` has the port in `in_port`; actions are a tuple that may hold instructions. Port
configuration, state and features are bits of the constants below, which are those of OpenFlow 1.1
and later, whatever the version on the wire. Names and numbers: the OpenFlow specifications 1.0 to
1.5; the NX ones: ovs-fields(7), ovs-ofctl(8).
"""

from __future__ import annotations

from netloom.base.record import Record
from netloom.flow.match import MATCH_ALL, Match
from netloom.openflow.constants import *  # noqa: F403
from netloom.openflow.constants import (
    OFPG_ANY,
    OFPP_ANY,
    OFPQ_ALL,
    UNKNOWN,
)
from netloom.openflow.flow_mod import BundleAdd
from netloom.openflow.flow_mod import FlowMod as FlowMod
from netloom.openflow.flow_mod import FlowStats as FlowStats
from netloom.openflow.flow_mod import PacketIn as PacketIn
from netloom.openflow.flow_mod import PacketOut as PacketOut


class MessageRecord(Record):
    """Base of all messages but those of `flow_mod`."""


#: Any message.
Message = MessageRecord | FlowMod | BundleAdd | PacketIn | PacketOut


# Symmetric messages


class Hello(MessageRecord):
    """`versions`: wire versions that the sender speaks, in increasing order. `understood`: is there
    nothing else in what came?"""

    versions: tuple[int, ...]
    understood: bool = True


class Error(MessageRecord):
    """`name` as in `error_table` ("" when unknown, then type and code tell); `data` starts with
    the failed request (or is text, for OFPET_HELLO_FAILED). To send one, a name is enough."""

    name: str
    data: bytes = b""
    type: int = 0
    code: int = 0
    vendor: int = 0


class EchoRequest(MessageRecord):
    data: bytes = b""


class EchoReply(MessageRecord):
    data: bytes = b""


class Experimenter(MessageRecord):
    """A vendor message that nothing here understands."""

    vendor: int
    subtype: int
    data: bytes = b""


# Features and configuration


class PhyPort(Record):
    """One port of the switch. Speeds in kbps; in OpenFlow 1.0 they follow from the features."""

    port_no: int
    hw_addr: int
    name: str
    config: int = 0
    state: int = 0
    current: int = 0
    advertised: int = 0
    supported: int = 0
    peer: int = 0
    current_speed_kbps: int = 0
    max_speed_kbps: int = 0


class FeaturesRequest(MessageRecord):
    pass


class FeaturesReply(MessageRecord):
    """`actions` (a bit per OFPAT10_*) and `ports` exist in OpenFlow 1.0, ports up to 1.2;
    `auxiliary_id` from 1.3."""

    datapath_id: int
    n_buffers: int = 0
    n_tables: int = 254
    auxiliary_id: int = 0
    capabilities: int = 0
    actions: int = 0
    ports: tuple[PhyPort, ...] = ()


class GetConfigRequest(MessageRecord):
    pass


class GetConfigReply(MessageRecord):
    """`flags`: OFPC_FRAG_* and OFPC_INVALID_TTL_TO_CONTROLLER."""

    flags: int = 0
    miss_send_len: int = 0


class SetConfig(MessageRecord):
    flags: int = 0
    miss_send_len: int = 0


# Asynchronous messages


class FlowRemoved(MessageRecord):
    match: Match
    priority: int
    cookie: int = 0
    reason: int = 0
    table_id: int = 0
    duration_sec: int = 0
    duration_nsec: int = 0
    idle_timeout: int = 0
    hard_timeout: int = 0
    packet_count: int = 0
    byte_count: int = 0


class PortStatus(MessageRecord):
    reason: int
    port: PhyPort


class RoleStatus(MessageRecord):
    role: int
    reason: int
    generation_id: int


# Changes


class PortMod(MessageRecord):
    """Bits of `config` under `mask`; `advertise` 0 leaves the advertised features alone."""

    port_no: int
    hw_addr: int
    config: int
    mask: int
    advertise: int = 0


class TableMod(MessageRecord):
    """`config` is the raw OFPTC_* word; `eviction` and `vacancy` are OpenFlow 1.4."""

    table_id: int
    config: int = 0
    eviction_flags: int | None = None
    vacancy: tuple[int, int] | None = None


class BarrierRequest(MessageRecord):
    pass


class BarrierReply(MessageRecord):
    pass


class QueueGetConfigRequest(MessageRecord):
    """`queue` is OpenFlow 1.4's; before, all queues of the port are meant."""

    port: int
    queue: int = OFPQ_ALL


class QueueConfig(Record):
    """Rates in tenths of a percent; 65535: not set."""

    port: int
    queue: int
    min_rate: int = 0xFFFF
    max_rate: int = 0xFFFF


class QueueGetConfigReply(MessageRecord):
    port: int
    queues: tuple[QueueConfig, ...] = ()
    more: bool = False


# Roles and asynchronous configuration


class RoleRequest(MessageRecord):
    """`generation_id` None: not given (always so in the Nicira form). `nx`: in that form though the
    version has one of its own."""

    role: int
    generation_id: int | None = None
    nx: bool = False


class RoleReply(MessageRecord):
    role: int
    generation_id: int | None = None
    nx: bool = False


class AsyncConfig(Record):
    """Bit per reason that a controller wants, as (primary or equal, secondary); the last three
    are of OpenFlow 1.4. A mask of ASYNC_UNSET in a request leaves what there is."""

    packet_in: tuple[int, int] = (0, 0)
    port_status: tuple[int, int] = (0, 0)
    flow_removed: tuple[int, int] = (0, 0)
    role_status: tuple[int, int] = (0, 0)
    table_status: tuple[int, int] = (0, 0)
    requestforward: tuple[int, int] = (0, 0)


class GetAsyncRequest(MessageRecord):
    pass


class GetAsyncReply(MessageRecord):
    config: AsyncConfig


class SetAsync(MessageRecord):
    config: AsyncConfig


class SetFlowFormat(MessageRecord):
    """NXT_SET_FLOW_FORMAT: an NXFF_*."""

    format: int


class FlowModTableId(MessageRecord):
    """NXT_FLOW_MOD_TABLE_ID: the upper byte of a 1.0 flow mod's command is a table from now on."""

    enable: bool


class SetPacketInFormat(MessageRecord):
    """NXT_SET_PACKET_IN_FORMAT: a PACKET_IN_*."""

    format: int


class SetControllerId(MessageRecord):
    controller_id: int


class FlowAge(MessageRecord):
    """NXT_FLOW_AGE; of no effect."""


class Resume(MessageRecord):
    """NXT_RESUME: go on with a packet that a `pause` stopped."""

    packet_in: PacketIn


# Multipart ("statistics")


class DescRequest(MessageRecord):
    pass


class DescReply(MessageRecord):
    manufacturer: str
    hardware: str
    software: str
    serial: str
    datapath: str
    more: bool = False


class FlowStatsRequest(MessageRecord):
    """`nx`: NXST_FLOW of OpenFlow 1.0."""

    match: Match = MATCH_ALL
    table_id: int = 255
    out_port: int = OFPP_ANY
    out_group: int = OFPG_ANY
    cookie: int = 0
    cookie_mask: int = 0
    nx: bool = False


TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


class FlowStatsReply(MessageRecord):
    flows: tuple[FlowStats, ...] = ()
    nx: bool = False
    more: bool = False


class FlowRowsReply(MessageRecord):
    """A `FlowStatsReply` for who sends very many flows; `rows` are read once."""

    rows: Iterable[FlowStats]
    nx: bool = False


class FlowPartsReply(MessageRecord):
    """The same, where the flows are bytes already: the bodies of the messages of the reply. `nx`:
    in Nicira's form."""

    parts: list[bytes]
    nx: bool = False


class AggregateRequest(MessageRecord):
    match: Match = MATCH_ALL
    table_id: int = 255
    out_port: int = OFPP_ANY
    out_group: int = OFPG_ANY
    cookie: int = 0
    cookie_mask: int = 0
    nx: bool = False


class AggregateReply(MessageRecord):
    packet_count: int
    byte_count: int
    flow_count: int
    nx: bool = False
    more: bool = False


class TableStatsRequest(MessageRecord):
    pass


class TableStats(Record):
    """`name` and `max_entries` are of OpenFlow 1.0 to 1.2, `wildcards` of 1.0 alone; 1.1 and 1.2
    tell here what a table can do, which later has a message of its own."""

    table_id: int
    active_count: int
    lookup_count: int
    matched_count: int
    name: str = ""
    wildcards: int = 0
    max_entries: int = 0
    features: TableFeatures | None = None


class TableStatsReply(MessageRecord):
    tables: tuple[TableStats, ...] = ()
    more: bool = False


class PortStatsRequest(MessageRecord):
    """OFPP_ANY: all ports."""

    port_no: int = OFPP_ANY


class PortStats(Record):
    """Counters; UNKNOWN where the switch has none. OpenFlow 1.4 and later carry more, of a vendor:
    `rfc2819`, packets by size and kind in the order of `port_counters.RFC2819` (empty: none known);
    `custom`, whatever else the device counts, by name."""

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
    rfc2819: tuple[int, ...] = ()
    custom: tuple[tuple[str, int], ...] = ()


class PortStatsReply(MessageRecord):
    ports: tuple[PortStats, ...] = ()
    more: bool = False


class PortDescRequest(MessageRecord):
    """`port_no` is OpenFlow 1.5's."""

    port_no: int = OFPP_ANY


class PortDescReply(MessageRecord):
    ports: tuple[PhyPort, ...] = ()
    more: bool = False


class QueueStatsRequest(MessageRecord):
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


class QueueStatsReply(MessageRecord):
    queues: tuple[QueueStats, ...] = ()
    more: bool = False


class TableFeaturesRequest(MessageRecord):
    """`body`: features to set, as they came; empty to ask."""

    body: bytes = b""


OFPTFC_REPLACE, OFPTFC_MODIFY, OFPTFC_ENABLE, OFPTFC_DISABLE = range(4)


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
    """`command` (OFPTFC_*) is of OpenFlow 1.5 requests; `described`: what the table can do is said
    at all."""

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
    command: int = 0
    described: bool = True


class TableFeaturesReply(MessageRecord):
    tables: tuple[TableFeatures, ...] = ()
    more: bool = False
