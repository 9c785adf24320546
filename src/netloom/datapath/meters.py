"""Meters of a data path: what limits the rate of the packets that a `meter(N)` action sees."""

from __future__ import annotations

from netloom.base.record import Record

#: Kinds of bands: drop the packet, or raise the drop precedence in its DSCP.
BAND_DROP = 1
BAND_DSCP_REMARK = 2


class DpMeterBand(Record):
    """What happens above `rate`. Rate and burst are in kilobits (a second) or packets, as the
    meter counts; a burst of 0 is as large as one second's worth. `prec_level` is how much a
    `BAND_DSCP_REMARK` band adds to the drop precedence."""

    type: int
    rate: int
    burst_size: int = 0
    prec_level: int = 0


class DpMeter(Record):
    """The configuration of a meter: it counts kilobits if `kbps`, else packets. The bursts of
    bands count only with `burst`."""

    kbps: bool
    burst: bool
    bands: tuple[DpMeterBand, ...] = ()


class DpMeterStats(Record):
    """Packets and bytes that came to a meter, and (packets, bytes) that each band hit."""

    packets: int
    bytes: int
    bands: tuple[tuple[int, int], ...] = ()


class DpMeterFeatures(Record):
    """What a data path can: number of meters and of bands a meter, kinds of bands."""

    max_meters: int
    max_bands: int
    band_types: frozenset[int]
