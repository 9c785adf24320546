"""The meters of a bridge: rate limits that flows share.

A meter lives in the data path, where it is known by a number of its own (`Meter.dp_meter`), which
is unique among all bridges of a data path: `MeterNumbers` of the backer gives them out, the lowest
first. Here is what controllers may do with meters (OpenFlow 1.3, 5.7 and 6.4). Two meters of
Open vSwitch's own numbers, `controller` and `slowpath`, limit what goes up to the daemon.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from netloom.base.counters import Counters
from netloom.base.record import replace
from netloom.datapath.dpif import Dpif
from netloom.datapath.dpif_log import log_operation
from netloom.datapath.meters import (
    BAND_DROP,
    BAND_DSCP_REMARK,
    DpMeter,
    DpMeterBand,
    DpMeterFeatures,
    DpMeterStats,
)
from netloom.ofproto.events import Events
from netloom.openflow import messages_meters as mm
from netloom.openflow.errors import OpenFlowError

_BANDS = {mm.OFPMBT_DROP: BAND_DROP, mm.OFPMBT_DSCP_REMARK: BAND_DSCP_REMARK}
_FLAGS = mm.OFPMF_KBPS | mm.OFPMF_PKTPS | mm.OFPMF_BURST | mm.OFPMF_STATS
_VIRTUAL = (mm.OFPM_SLOWPATH, mm.OFPM_CONTROLLER)


class MeterNumbers:
    """Gives out the numbers of meters in one data path."""

    def __init__(self) -> None:
        #: All below were given out; those that came back are in `_free`, a heap.
        self._next = 0
        self._free: list[int] = []

    def take(self) -> int:
        """The lowest number that is not in use."""
        if self._free:
            return heapq.heappop(self._free)
        self._next += 1
        return self._next - 1

    def give_back(self, number: int) -> None:
        """Nobody uses the number any more."""
        heapq.heappush(self._free, number)


class Meter:
    """One meter: as a controller gave it, and its number in the data path."""

    __slots__ = ("bands", "created_ms", "dp_meter", "flags", "meter_id")

    def __init__(
        self,
        meter_id: int,
        dp_meter: int,
        flags: int,
        bands: tuple[mm.MeterBand, ...],
        created_ms: int,
    ) -> None:
        self.meter_id = meter_id
        self.dp_meter = dp_meter
        self.flags = flags
        self.bands = bands
        self.created_ms = created_ms


class Meters:
    """All meters of one bridge. `generation` grows when a meter comes or goes."""

    def __init__(self, dpif: Dpif, numbers: MeterNumbers, events: Events | None = None) -> None:
        self._dpif = dpif
        self._events = events or Events(Counters())
        self._numbers = numbers
        self._meters: dict[int, Meter] = {}
        self.generation = 0

    def get(self, meter_id: int) -> Meter | None:
        return self._meters.get(meter_id)

    def __iter__(self) -> Iterator[Meter]:
        return iter([self._meters[meter_id] for meter_id in sorted(self._meters)])

    def __len__(self) -> int:
        return len(self._meters)

    def features(self) -> DpMeterFeatures:
        """What the data path can."""
        return self._dpif.meter_features()

    def stats(self, meter: Meter) -> DpMeterStats:
        """What the data path has counted."""
        self._events.meter_get.add()
        log_operation(self._dpif, f"DPIF meter {meter.dp_meter} get stats")
        found = self._dpif.meter_stats(meter.dp_meter)
        return found or DpMeterStats(0, 0, tuple((0, 0) for _ in meter.bands))

    # Changes; all raise OpenFlowError and then change nothing

    def add(self, mod: mm.MeterMod, now_ms: int) -> None:
        """Make a new meter."""
        self._check(mod)
        if mod.meter_id in self._meters:
            raise OpenFlowError("OFPMMFC_METER_EXISTS")
        config = self._config(mod)
        if len(self._meters) >= self._dpif.meter_features().max_meters:
            raise OpenFlowError("OFPMMFC_OUT_OF_METERS")
        number = self._numbers.take()
        self._dpif.meter_set(number, config)
        self._events.meter_set.add()
        log_operation(self._dpif, f"DPIF meter {number} set")
        bands = with_bursts(mod.bands)
        self._meters[mod.meter_id] = Meter(mod.meter_id, number, mod.flags, bands, now_ms)
        self.generation += 1

    def modify(self, mod: mm.MeterMod) -> None:
        """Give a meter other bands; its number in the data path stays."""
        self._check(mod)
        meter = self._meters.get(mod.meter_id)
        if meter is None:
            raise OpenFlowError("OFPMMFC_UNKNOWN_METER")
        self._dpif.meter_set(meter.dp_meter, self._config(mod))
        self._events.meter_set.add()
        log_operation(self._dpif, f"DPIF meter {meter.dp_meter} set")
        meter.flags = mod.flags
        meter.bands = with_bursts(mod.bands)

    def remove(self, meter: Meter) -> None:
        """Remove a meter, whose flows are gone."""
        del self._meters[meter.meter_id]
        self._dpif.meter_del(meter.dp_meter)
        self._events.meter_del.add()
        log_operation(self._dpif, f"DPIF meter {meter.dp_meter} deleted")
        self._numbers.give_back(meter.dp_meter)
        self.generation += 1

    def clear(self) -> None:
        for meter in self:
            self.remove(meter)

    def _check(self, mod: mm.MeterMod) -> None:
        known = 0 < mod.meter_id <= mm.OFPM_MAX or mod.meter_id in _VIRTUAL
        if not known:
            raise OpenFlowError("OFPMMFC_INVALID_METER")
        if len(mod.bands) > self._dpif.meter_features().max_bands:
            raise OpenFlowError("OFPMMFC_OUT_OF_BANDS")

    def _config(self, mod: mm.MeterMod) -> DpMeter:
        units = mod.flags & (mm.OFPMF_KBPS | mm.OFPMF_PKTPS)
        if units not in (mm.OFPMF_KBPS, mm.OFPMF_PKTPS):
            raise OpenFlowError("OFPMMFC_BAD_FLAGS")
        if not mod.bands:
            raise OpenFlowError("OFPMMFC_OUT_OF_BANDS")
        if not all(band.rate for band in mod.bands):
            raise OpenFlowError("OFPMMFC_BAD_RATE")
        if mod.flags & ~_FLAGS:
            raise OpenFlowError("OFPMMFC_BAD_FLAGS")
        possible = self._dpif.meter_features().band_types
        bands = []
        for band in mod.bands:
            kind = _BANDS.get(band.type)
            if kind is None or kind not in possible:
                raise OpenFlowError("OFPMMFC_BAD_BAND")
            bands.append(DpMeterBand(kind, band.rate, band.burst_size, band.prec_level))
        return DpMeter(
            not units & mm.OFPMF_PKTPS, bool(mod.flags & mm.OFPMF_BURST), tuple(bands)
        )  # fmt: skip


def with_bursts(bands: tuple[mm.MeterBand, ...]) -> tuple[mm.MeterBand, ...]:
    """A burst that was not given is a second's worth, also for who asks."""
    return tuple(band if band.burst_size else replace(band, burst_size=band.rate) for band in bands)
