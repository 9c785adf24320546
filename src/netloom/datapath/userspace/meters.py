"""The meters of the data path in Python: their configuration and their counts."""

from __future__ import annotations

from netloom.datapath.meters import (
    BAND_DROP,
    BAND_DSCP_REMARK,
    DpMeter,
    DpMeterFeatures,
    DpMeterStats,
)

FEATURES = DpMeterFeatures(1 << 18, 8, frozenset({BAND_DROP, BAND_DSCP_REMARK}))


class Meter:
    """One meter and what it has counted; `bands` are [packets, bytes] for each band."""

    __slots__ = ("bands", "config", "n_bytes", "n_packets")

    def __init__(self, config: DpMeter) -> None:
        self.config = config
        self.n_packets = 0
        self.n_bytes = 0
        self.bands = [[0, 0] for _ in config.bands]

    def stats(self) -> DpMeterStats:
        """The counts as a value."""
        bands = tuple((packets, bytes_) for packets, bytes_ in self.bands)
        return DpMeterStats(self.n_packets, self.n_bytes, bands)


class Meters:
    """All meters, by number."""

    def __init__(self) -> None:
        self._meters: dict[int, Meter] = {}

    def get(self, number: int) -> Meter | None:
        return self._meters.get(number)

    def set(self, number: int, config: DpMeter) -> None:
        """Make a meter, or make it anew: its counts start from 0."""
        self._meters[number] = Meter(config)

    def remove(self, number: int) -> DpMeterStats | None:
        """The last counts; None if there is no such meter."""
        meter = self._meters.pop(number, None)
        return None if meter is None else meter.stats()
