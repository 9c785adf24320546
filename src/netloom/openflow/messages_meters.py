"""Messages of meters, which limit rates: OpenFlow 1.3 to 1.5."""

from __future__ import annotations

from netloom.base.record import Record
from netloom.openflow.messages import MessageRecord

OFPM_MAX = 0xFFFF0000
OFPM_SLOWPATH = 0xFFFFFFFD
OFPM_CONTROLLER = 0xFFFFFFFE
OFPM_ALL = 0xFFFFFFFF

OFPMC_ADD = 0
OFPMC_MODIFY = 1
OFPMC_DELETE = 2

OFPMF_KBPS = 1
OFPMF_PKTPS = 2
OFPMF_BURST = 4
OFPMF_STATS = 8

OFPMBT_DROP = 1
OFPMBT_DSCP_REMARK = 2


class MeterBand(Record):
    """`rate` and `burst_size` in kb/s and kb, or packets, as the meter's flags say."""

    type: int
    rate: int
    burst_size: int = 0
    prec_level: int = 0


class MeterMod(MessageRecord):
    command: int
    meter_id: int
    flags: int = 0
    bands: tuple[MeterBand, ...] = ()


class MeterStatsRequest(MessageRecord):
    meter_id: int = OFPM_ALL


class BandStats(Record):
    packet_count: int
    byte_count: int


class MeterStats(Record):
    """What one meter has counted."""

    meter_id: int
    flow_count: int
    packet_in_count: int
    byte_in_count: int
    duration_sec: int
    duration_nsec: int
    bands: tuple[BandStats, ...] = ()


class MeterStatsReply(MessageRecord):
    meters: tuple[MeterStats, ...] = ()
    more: bool = False


class MeterConfigRequest(MessageRecord):
    meter_id: int = OFPM_ALL


class MeterConfig(Record):
    meter_id: int
    flags: int
    bands: tuple[MeterBand, ...] = ()


class MeterConfigReply(MessageRecord):
    meters: tuple[MeterConfig, ...] = ()
    more: bool = False


class MeterFeaturesRequest(MessageRecord):
    pass


class MeterFeaturesReply(MessageRecord):
    """`band_types`: a bit per OFPMBT_*; `capabilities`: OFPMF_*."""

    max_meters: int
    band_types: int
    capabilities: int
    max_bands: int
    max_color: int
    more: bool = False
