"""Nicira's messages about tunnel options, connection tracking and IPFIX."""

from __future__ import annotations

from netloom.base.record import Record
from netloom.openflow.messages import MessageRecord

NXTTMC_ADD = 0
NXTTMC_DELETE = 1
NXTTMC_CLEAR = 2


class TlvMap(Record):
    """The Geneve option of `option_class`, `option_type` and `option_len` bytes is
    tun_metadata`index`."""

    option_class: int
    option_type: int
    option_len: int
    index: int


class TlvTableMod(MessageRecord):
    command: int
    maps: tuple[TlvMap, ...] = ()


class TlvTableRequest(MessageRecord):
    pass


class TlvTableReply(MessageRecord):
    max_option_space: int
    max_fields: int
    maps: tuple[TlvMap, ...] = ()


class CtFlushZone(MessageRecord):
    zone_id: int


class CtTuple(Record):
    """One direction of a connection; addresses are 128 bits, IPv4 as ::ffff:a.b.c.d; None is not
    given. For ICMP the ports are not used, else the last three."""

    src: int | None = None
    dst: int | None = None
    src_port: int | None = None
    dst_port: int | None = None
    icmp_id: int | None = None
    icmp_type: int | None = None
    icmp_code: int | None = None


NO_TUPLE = CtTuple()


class CtFlush(MessageRecord):
    """NXT_CT_FLUSH: connections of `zone_id` (None: of all) that fit the tuples, the mark and the
    labels (value and mask; mask 0: any)."""

    ip_proto: int = 0
    original: CtTuple = NO_TUPLE
    reply: CtTuple = NO_TUPLE
    zone_id: int | None = None
    mark: tuple[int, int] = (0, 0)
    labels: tuple[int, int] = (0, 0)


class IpfixStatsRequest(MessageRecord):
    """`flow`: of the exporters of flows (the `sample` action), else of the bridge's."""

    flow: bool = False


class IpfixStats(Record):
    """Counters of an exporter."""

    total_flows: int
    current_flows: int
    packets: int
    ipv4_packets: int
    ipv6_packets: int
    error_packets: int
    ipv4_error_packets: int
    ipv6_error_packets: int
    tx_packets: int
    tx_errors: int
    collector_set_id: int = 0


#: The members of IpfixStats that count, in their order on the wire.
IPFIX_COUNTERS = (
    "total_flows", "current_flows", "packets", "ipv4_packets", "ipv6_packets", "error_packets",
    "ipv4_error_packets", "ipv6_error_packets", "tx_packets", "tx_errors",
)  # fmt: skip


class IpfixStatsReply(MessageRecord):
    flow: bool
    stats: tuple[IpfixStats, ...] = ()
    more: bool = False
