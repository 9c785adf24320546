"""Numbers of messages: one table, versions as columns.

Columns are OpenFlow 1.0 to 1.5. `7` is a message type, `s3` a multipart ("statistics") type, `n13`
a Nicira message, `v0` a Nicira multipart type, `o2300` an ONF message, `p1870` an ONF multipart
type; `-` is "not in this version"; `=` "as before"; the last column holds for all that follow.
Before them: the name that messages are printed with, the value classes (of request and reply for
multipart types) and the module that has their `decode_` and `encode_` functions. Numbers: OpenFlow
1.0-1.5; ovs-ofctl(8).
"""

from __future__ import annotations

from struct import error as StructError

from netloom.base.errors import ProtocolError
from netloom.base.log import get_logger
from netloom.openflow.errors import OpenFlowError
from netloom.openflow.message_sizes import SIZES
from netloom.openflow.messages import NX_VENDOR_ID, ONF_VENDOR_ID

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from netloom.openflow.instruction_memo import InstructionMemo

    Entry = TypeVar("Entry")

log = get_logger("ofp_msgs")

_ROWS = """
OFPT_HELLO                    Hello                 basic  0
OFPT_ERROR                    Error                 basic  1
OFPT_ECHO_REQUEST             EchoRequest           basic  2
OFPT_ECHO_REPLY               EchoReply             basic  3
OFPT_FEATURES_REQUEST         FeaturesRequest       basic  5
OFPT_FEATURES_REPLY           FeaturesReply         ports  6
OFPT_GET_CONFIG_REQUEST       GetConfigRequest      basic  7
OFPT_GET_CONFIG_REPLY         GetConfigReply        basic  8
OFPT_SET_CONFIG               SetConfig             basic  9
OFPT_PACKET_IN                PacketIn              packets 10
OFPT_FLOW_REMOVED             FlowRemoved           flows  11
OFPT_PORT_STATUS              PortStatus            ports  12
OFPT_PACKET_OUT               PacketOut             packets 13
OFPT_FLOW_MOD                 FlowMod               flows  14
OFPT_GROUP_MOD                GroupMod              groups - 15
OFPT_PORT_MOD                 PortMod               ports  15 16
OFPT_TABLE_MOD                TableMod              basic  - 17
OFPT_BARRIER_REQUEST          BarrierRequest        basic  18 20
OFPT_BARRIER_REPLY            BarrierReply          basic  19 21
OFPT_QUEUE_GET_CONFIG_REQUEST QueueGetConfigRequest queues 20 22 = = -
OFPT_QUEUE_GET_CONFIG_REPLY   QueueGetConfigReply   queues 21 23 = = -
OFPT_ROLE_REQUEST             RoleRequest           basic  - = 24
OFPT_ROLE_REPLY               RoleReply             basic  - = 25
OFPT_GET_ASYNC_REQUEST        GetAsyncRequest       basic  - = = 26
OFPT_GET_ASYNC_REPLY          GetAsyncReply         basic  - = = 27
OFPT_SET_ASYNC                SetAsync              basic  - = = 28
OFPT_METER_MOD                MeterMod              meters - = = 29
OFPT_ROLE_STATUS              RoleStatus            basic  - = = = 30
ONFT_ROLE_STATUS              RoleStatus            basic  - = = o1911 -
OFPT_TABLE_STATUS             TableStatus           tables - = = = 31
OFPT_REQUESTFORWARD           RequestForward        tables - = = = 32
ONFT_REQUESTFORWARD           RequestForward        tables - = = o2350 -
NXT_REQUESTFORWARD            RequestForward        tables n132 = = -
OFPT_BUNDLE_CONTROL           BundleControl         bundles - = = = 33
OFPT_BUNDLE_ADD_MESSAGE       BundleAdd             bundles - = = = 34
ONFT_BUNDLE_CONTROL           BundleControl         bundles - = = o2300 -
ONFT_BUNDLE_ADD_MESSAGE       BundleAdd             bundles - = = o2301 -
NXT_ROLE_REQUEST              RoleRequest           basic  n10
NXT_ROLE_REPLY                RoleReply             basic  n11
NXT_SET_FLOW_FORMAT           SetFlowFormat         basic  n12 -
NXT_FLOW_MOD                  FlowMod               flows  n13
NXT_FLOW_REMOVED              FlowRemoved           flows  n14
NXT_FLOW_MOD_TABLE_ID         FlowModTableId        basic  n15
NXT_SET_PACKET_IN_FORMAT      SetPacketInFormat     basic  n16
NXT_PACKET_IN                 PacketIn              packets n17
NXT_FLOW_AGE                  FlowAge               basic  n18
NXT_SET_ASYNC_CONFIG          SetAsync              basic  n19
NXT_SET_CONTROLLER_ID         SetControllerId       basic  n20
NXT_FLOW_MONITOR_CANCEL       FlowMonitorCancel     monitor n21 = = -
NXT_FLOW_MONITOR_PAUSED       FlowMonitorPaused     monitor n22 = = -
NXT_FLOW_MONITOR_RESUMED      FlowMonitorResumed    monitor n23 = = -
ONFT_FLOW_MONITOR_CANCEL      FlowMonitorCancel     monitor - = = o1870 -
ONFT_FLOW_MONITOR_PAUSED      FlowMonitorPaused     monitor - = = o1871 -
ONFT_FLOW_MONITOR_RESUMED     FlowMonitorResumed    monitor - = = o1872 -
NXT_TLV_TABLE_MOD             TlvTableMod           nx     n24
NXT_TLV_TABLE_REQUEST         TlvTableRequest       nx     n25
NXT_TLV_TABLE_REPLY           TlvTableReply         nx     n26
NXT_SET_ASYNC_CONFIG2         SetAsync              basic  n27 = = = -
NXT_CT_FLUSH_ZONE             CtFlushZone           nx     n29
NXT_CT_FLUSH                  CtFlush               nx     n32
NXT_RESUME                    Resume                packets n28
NXT_PACKET_IN2                PacketIn              packets n30
NXT_GROUP_MOD                 GroupMod              groups n31 -
OFPST_DESC     DescRequest/DescReply                 stats  s0
OFPST_FLOW     FlowStatsRequest/FlowStatsReply       flows  s1
OFPST_AGGREGATE AggregateRequest/AggregateReply      flows  s2
OFPST_TABLE    TableStatsRequest/TableStatsReply     stats  s3
OFPST_PORT     PortStatsRequest/PortStatsReply       ports  s4
OFPST_QUEUE    QueueStatsRequest/QueueStatsReply     queues s5
OFPST_GROUP GroupStatsRequest/GroupStatsReply groups - s6
OFPST_GROUP_DESC GroupDescRequest/GroupDescReply groups - s7
OFPST_GROUP_FEATURES GroupFeaturesRequest/GroupFeaturesReply groups - = s8
OFPST_METER MeterStatsRequest/MeterStatsReply meters - = = s9
OFPST_METER_CONFIG MeterConfigRequest/MeterConfigReply meters - = = s10
OFPST_METER_FEATURES MeterFeaturesRequest/MeterFeaturesReply meters - = = s11
OFPST_TABLE_FEATURES  TableFeaturesRequest/TableFeaturesReply features - = = s12
OFPST_PORT_DESC       PortDescRequest/PortDescReply  ports  s13
OFPST_TABLE_DESC      TableDescRequest/TableDescReply tables - = = = s14
OFPST_QUEUE_DESC      QueueGetConfigRequest/QueueGetConfigReply queues - = = = s15
OFPST_FLOW_MONITOR FlowMonitorRequest/FlowMonitorReply monitor - = = = s16
NXST_FLOW      FlowStatsRequest/FlowStatsReply       flows  v0 -
NXST_AGGREGATE AggregateRequest/AggregateReply       flows  v1 -
NXST_FLOW_MONITOR FlowMonitorRequest/FlowMonitorReply monitor v2 = = -
ONFST_FLOW_MONITOR FlowMonitorRequest/FlowMonitorReply monitor - = = p1870 -
NXST_IPFIX_BRIDGE IpfixStatsRequest/IpfixStatsReply nx v3
NXST_IPFIX_FLOW IpfixStatsRequest/IpfixStatsReply nx v4
NXST_GROUP            GroupStatsRequest/GroupStatsReply groups v7 -
NXST_GROUP_DESC       GroupDescRequest/GroupDescReply groups v8 -
NXST_GROUP_FEATURES   GroupFeaturesRequest/GroupFeaturesReply groups v9 = -
"""

MESSAGE, MULTIPART, NICIRA, NICIRA_MULTIPART, ONF, ONF_MULTIPART = "", "s", "n", "v", "o", "p"
_VENDOR_OF = {
    NICIRA: NX_VENDOR_ID, NICIRA_MULTIPART: NX_VENDOR_ID, ONF: ONF_VENDOR_ID,
    ONF_MULTIPART: ONF_VENDOR_ID,
}  # fmt: skip

OFPT_VENDOR = 4
_EXPERIMENTER_STATS = 0xFFFF
#: Flag of a multipart reply that is not the last.
MORE = 1


class Row:
    """A kind of message; `numbers[version - 1]` is (kind of number, number) or None."""

    __slots__ = ("module", "name", "numbers", "reply", "request", "sizes")

    def __init__(self, text: str) -> None:
        self.name, classes, self.module, *columns = text.split()
        self.request, _, self.reply = classes.partition("/")
        numbers: list[tuple[str, int] | None] = []
        for column in columns:
            if column == "=":
                numbers.append(numbers[-1])
            elif column == "-":
                numbers.append(None)
            else:
                kind = column[0] if column[0].isalpha() else MESSAGE
                numbers.append((kind, int(column.lstrip("snvop"))))
        numbers += [numbers[-1]] * (6 - len(numbers))
        self.numbers = tuple(numbers)
        #: Of its requests (or of the message, if it is no multipart) and of its replies.
        kinds = ("request", "reply") if self.reply else ("",)
        self.sizes = [SIZES[self.name, kind] for kind in kinds]

    @property
    def multipart(self) -> bool:
        return bool(self.reply)


ROWS: dict[str, Row] = {row.name: row for row in map(Row, _ROWS.strip().split("\n"))}
_BY_NUMBER: dict[tuple[int, str, int], Row] = {
    (index + 1, *number): row
    for row in ROWS.values()
    for index, number in enumerate(row.numbers)
    if number is not None
}


class Frame:
    """A message with its headers read: `body` is where its own structure starts in `data`.

    `printed`: the message is decoded to be shown, not to be obeyed. Then its values are not judged,
    and of a reply with several entries those before the first wrong one are decoded; `error` is
    the name of what was wrong. `memo`: instructions that the connection has seen before."""

    __slots__ = (
        "body",
        "data",
        "error",
        "memo",
        "more",
        "printed",
        "reply",
        "row",
        "version",
        "xid",
    )

    def __init__(
        self, data: bytes, version: int, xid: int, row: Row, body: int, reply: bool, more: bool
    ) -> None:
        self.data = data
        self.version = version
        self.xid = xid
        self.row = row
        self.body = body
        self.reply = reply
        self.more = more
        self.printed = False
        self.error = ""
        self.memo: InstructionMemo | None = None

    def entries(self, read: Callable[[bytes, int, int], tuple[Entry, int]]) -> tuple[Entry, ...]:
        """What `read(data, position, version)` finds from the start of the body to the end; it
        returns an entry and where that ends."""
        found = []
        data, pos = self.data, self.body
        while pos < len(data):
            try:
                entry, pos = read(data, pos, self.version)
            except (OpenFlowError, StructError, IndexError) as error:
                if not self.printed:
                    raise
                self.error = error.name if isinstance(error, OpenFlowError) else "OFPBRC_BAD_LEN"
                break
            found.append(entry)
        return tuple(found)

    def need(self, size: int) -> int:
        """Where the body starts, which must have at least `size` bytes."""
        if len(self.data) - self.body < size:
            raise OpenFlowError("OFPBRC_BAD_LEN")
        return self.body

    def exactly(self, size: int) -> int:
        if len(self.data) - self.body != size:
            raise OpenFlowError("OFPBRC_BAD_LEN")
        return self.body


def is_multipart_type(version: int, kind: int) -> int:
    """1: a multipart request, 2: a reply, 0: another message."""
    first = 16 if version == 1 else 18
    return kind - first + 1 if first <= kind <= first + 1 else 0


#: Kinds of messages of which all but version and type is body, by these two bytes.
_PLAIN: dict[bytes, Row] = {
    bytes((version, number)): row
    for (version, kind, number), row in _BY_NUMBER.items()
    if kind == MESSAGE
}


#: Their types, by name and version.
PLAIN_NUMBERS: dict[tuple[str, int], int] = {
    (row.name, version): number
    for (version, kind, number), row in _BY_NUMBER.items()
    if kind == MESSAGE
}
#: Experimenter messages, by version, experimenter and type.
_EXPERIMENTERS: dict[bytes, Row] = {
    bytes((version,)) + _VENDOR_OF[kind].to_bytes(4, "big") + number.to_bytes(4, "big"): row
    for (version, kind, number), row in _BY_NUMBER.items()
    if kind in (NICIRA, ONF)
}


def read_frame(data: bytes) -> Frame:
    """Reads the headers of a message, which `data` holds exactly; OpenFlowError if there is no
    such message, or none of that length."""
    row = _PLAIN.get(data[:2])
    if row is not None and len(data) >= 8:
        frame = Frame(data, data[0], int.from_bytes(data[4:8], "big"), row, 8, False, False)
    else:
        frame = read_headers(data)
    if not has_length_of_its_kind(frame):
        _log_length(frame)
        raise OpenFlowError("OFPBRC_BAD_LEN")
    return frame


def has_length_of_its_kind(frame: Frame) -> bool:
    """Is the message as long as one of its kind may be?"""
    size = frame.row.sizes[frame.reply][min(frame.version, 6) - 1]
    if size is None:
        return True
    least, step = size
    extra = len(frame.data) - frame.body - least
    return extra >= 0 and not (extra % step if step else extra)


def read_headers(data: bytes) -> Frame:
    """Reads the headers of a message of which `data` may have only the first part."""
    if len(data) < 8:
        raise ProtocolError("OpenFlow message shorter than its header")
    version = data[0]
    kind = data[1]
    xid = int.from_bytes(data[4:8], "big")
    if not 1 <= version <= 6:
        # The messages of a connection's first moments are the same in versions to come.
        if kind == OFPT_VENDOR:
            _check_vendor(data)
        row = _BY_NUMBER.get((6, MESSAGE, kind)) if version and kind < OFPT_VENDOR else None
        if row is None:
            raise OpenFlowError("OFPBRC_BAD_TYPE")
        return Frame(data, version, xid, row, 8, False, False)
    part = is_multipart_type(version, kind)
    if part:
        return _multipart(data, version, xid, part == 2)
    if kind == OFPT_VENDOR:
        _check_vendor(data)
        row = _EXPERIMENTERS.get(data[:1] + data[8:16])
        if row is None:
            raise OpenFlowError("OFPBRC_BAD_SUBTYPE")
        return Frame(data, version, xid, row, 16, False, False)
    row = _BY_NUMBER.get((version, MESSAGE, kind))
    if row is None:
        raise OpenFlowError("OFPBRC_BAD_TYPE")
    return Frame(data, version, xid, row, 8, False, False)


def _check_vendor(data: bytes) -> None:
    """Is an experimenter message long enough to say whose it is, and known?"""
    if len(data) < 16:
        raise OpenFlowError("OFPBRC_BAD_LEN")
    if int.from_bytes(data[8:12], "big") not in (NX_VENDOR_ID, ONF_VENDOR_ID):
        raise OpenFlowError("OFPBRC_BAD_VENDOR")


def _log_length(frame: Frame) -> None:
    name = frame.row.name
    least, step = frame.row.sizes[frame.reply][min(frame.version, 6) - 1] or (0, 1)
    least += frame.body
    if frame.row.multipart:
        name += " reply" if frame.reply else " request"
    expected = f"expected length {least}"
    if step == 1:
        expected = f"expected length at least {least} bytes"
    elif step:
        expected = f"must be exactly {least} bytes or longer by an integer multiple of {step} bytes"
    log.warn_rl("received %s with incorrect length %d (%s)", name, len(frame.data), expected)


def _multipart(data: bytes, version: int, xid: int, reply: bool) -> Frame:
    body = 12 if version == 1 else 16
    if len(data) < body:
        raise OpenFlowError("OFPBRC_BAD_LEN")
    number = int.from_bytes(data[8:10], "big")
    more = bool(data[11] & MORE)
    kind = MULTIPART
    if number == _EXPERIMENTER_STATS:
        if len(data) < (16 if version == 1 else 24):
            raise OpenFlowError("OFPBRC_BAD_LEN")
        vendor = int.from_bytes(data[body : body + 4], "big")
        if vendor != NX_VENDOR_ID and (vendor != ONF_VENDOR_ID or version == 1):
            raise OpenFlowError("OFPBRC_BAD_VENDOR")
        if len(data) < 24:
            raise OpenFlowError("OFPBRC_BAD_LEN")
        number = int.from_bytes(data[body + 4 : body + 8], "big")
        kind = NICIRA_MULTIPART if vendor == NX_VENDOR_ID else ONF_MULTIPART
        body = 24
        row = _BY_NUMBER.get((version, kind, number))
        if row is None:
            raise OpenFlowError("OFPBRC_BAD_SUBTYPE")
    else:
        row = _BY_NUMBER.get((version, kind, number))
        if row is None:
            raise OpenFlowError("OFPBRC_BAD_STAT")
    return Frame(data, version, xid, row, body, reply, more)


def head(name: str, version: int, reply: bool = False, more: bool = False) -> bytearray:
    """The headers of a message, its length and xid still zero."""
    number = ROWS[name].numbers[version - 1]
    if number is None:
        raise OpenFlowError("OFPBRC_BAD_TYPE")
    kind, value = number
    out = bytearray(8)
    out[0] = version
    if kind == MESSAGE:
        out[1] = value
        return out
    if kind in (NICIRA, ONF):
        out[1] = OFPT_VENDOR
        return out + _VENDOR_OF[kind].to_bytes(4, "big") + value.to_bytes(4, "big")
    out[1] = (16 if version == 1 else 18) + reply
    stats = value if kind == MULTIPART else _EXPERIMENTER_STATS
    out += stats.to_bytes(2, "big") + (MORE if more else 0).to_bytes(2, "big")
    if version > 1:
        out += bytes(4)
    if kind != MULTIPART:
        out += _VENDOR_OF[kind].to_bytes(4, "big") + value.to_bytes(4, "big")
        if version == 1:
            out += bytes(4)
    return out
