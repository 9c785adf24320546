"""The meters of the data path in Python: token buckets that limit packets or kilobits a second."""

from __future__ import annotations

from netloom.datapath.meters import (
    BAND_DROP,
    BAND_DSCP_REMARK,
    DpMeter,
    DpMeterBand,
    DpMeterFeatures,
    DpMeterStats,
)

FEATURES = DpMeterFeatures(1 << 18, 8, frozenset({BAND_DROP, BAND_DSCP_REMARK}))


#: What a packet may do that came to a meter.
PASS, DROP = 0, -1


class _Band:
    """A token bucket: kilobits a second fill it with bits, packets a second with thousandths of
    packets, so that a millisecond is worth `rate` in either case."""

    __slots__ = ("bucket", "n_bytes", "n_packets", "prec_level", "rate", "size", "type")

    def __init__(self, band: DpMeterBand, with_burst: bool) -> None:
        self.type = band.type
        self.rate = band.rate
        self.prec_level = band.prec_level
        self.size = 1_000 * (band.burst_size if with_burst and band.burst_size else band.rate)
        self.bucket = self.size
        self.n_packets = 0
        self.n_bytes = 0

    def takes(self, elapsed_ms: int, volume: int) -> bool:
        """Is there room for a packet? Then it has used it up."""
        self.bucket = min(self.bucket + elapsed_ms * self.rate, self.size)
        if self.bucket < volume:
            return False
        self.bucket -= volume
        return True


class Meter:
    """One meter and what it has counted. A packet hits the band of the highest rate among those
    that are exceeded."""

    __slots__ = ("bands", "config", "kbps", "n_bytes", "n_packets", "used_ms")

    def __init__(self, config: DpMeter, now_ms: int) -> None:
        self.config = config
        self.kbps = config.kbps
        self.bands = tuple(_Band(band, config.burst) for band in config.bands)
        self.used_ms = now_ms
        self.n_packets = 0
        self.n_bytes = 0

    def judge(self, n_bytes: int, now_ms: int) -> int:
        """Count a packet: PASS, DROP, or by how much its drop precedence is to be raised."""
        elapsed_ms, self.used_ms = max(now_ms - self.used_ms, 0), now_ms
        self.n_packets += 1
        self.n_bytes += n_bytes
        volume = 8 * n_bytes if self.kbps else 1_000
        hit: _Band | None = None
        for band in self.bands:
            if not band.takes(elapsed_ms, volume) and (hit is None or band.rate > hit.rate):
                hit = band
        if hit is None:
            return PASS
        hit.n_packets += 1
        hit.n_bytes += n_bytes
        return DROP if hit.type == BAND_DROP else hit.prec_level

    def stats(self) -> DpMeterStats:
        """The counts as a value."""
        bands = tuple((band.n_packets, band.n_bytes) for band in self.bands)
        return DpMeterStats(self.n_packets, self.n_bytes, bands)


def raise_drop_precedence(tos: int, levels: int) -> int:
    """The TOS with the drop precedence of its class raised, as far as there are levels (assured
    forwarding, RFC 2597); other code points have none and stay."""
    dscp = tos >> 2
    if not (1 <= dscp >> 3 <= 4 and dscp >> 1 & 3) or dscp & 1:
        return tos
    precedence = min((dscp >> 1 & 3) + levels, 3)
    return (dscp & ~6 | precedence << 1) << 2 | tos & 3


class Meters:
    """All meters, by number."""

    def __init__(self) -> None:
        self._meters: dict[int, Meter] = {}

    def get(self, number: int) -> Meter | None:
        return self._meters.get(number)

    def set(self, number: int, config: DpMeter, now_ms: int) -> None:
        """Make a meter, or make it anew: its buckets are full and its counts start from 0."""
        self._meters[number] = Meter(config, now_ms)

    def judge(self, number: int, n_bytes: int, now_ms: int) -> int:
        """What becomes of a packet; a meter that is not there lets it pass."""
        meter = self._meters.get(number)
        return PASS if meter is None else meter.judge(n_bytes, now_ms)

    def remove(self, number: int) -> DpMeterStats | None:
        """The last counts; None if there is no such meter."""
        meter = self._meters.pop(number, None)
        return None if meter is None else meter.stats()
