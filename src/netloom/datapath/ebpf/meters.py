"""Meters that the programs and the slow path share: their buckets and counts are in a map.

The programs take a lock for each packet. Python takes none: it sees a packet of a metered flow only
before the flow is in the kernel, and a race with the programs costs at most the count of a packet.
Time is the kernel's monotonic clock.
"""

from __future__ import annotations

import time
from struct import Struct, pack_into

from netloom.datapath.ebpf.maps import SharedArray
from netloom.datapath.ebpf.spec import BAND_DROPS, MAX_BANDS, MAX_METERS, METER
from netloom.datapath.meters import BAND_DROP, DpMeter, DpMeterStats
from netloom.datapath.userspace.meters import DROP, PASS, Meters

_U64 = Struct("<Q")


class KernelMeters(Meters):
    """Meters of one data path; those that the map has no room for are Python's alone."""

    def __init__(self, array: SharedArray) -> None:
        super().__init__()
        self._array = array
        self._n_bands: dict[int, int] = {}

    def set(self, number: int, config: DpMeter, now_ms: int) -> None:
        super().set(number, config, now_ms)
        if number >= MAX_METERS:
            return
        data = bytearray(METER.size)
        offsets = METER.offsets
        pack_into("<I", data, offsets["kbps"], config.kbps)
        pack_into("<Q", data, offsets["used_ms"], _now_ms())
        for at, band in enumerate(config.bands[:MAX_BANDS]):
            size = 1_000 * (band.burst_size if config.burst and band.burst_size else band.rate)
            level = BAND_DROPS if band.type == BAND_DROP else band.prec_level
            for member, value in (
                ("rate", band.rate), ("size", size), ("bucket", size), ("level", level),
            ):  # fmt: skip
                _U64.pack_into(data, offsets[member] + 8 * at, value)
        self._n_bands[number] = n_bands = len(config.bands[:MAX_BANDS])
        pack_into("<I", data, offsets["n_bands"], n_bands)
        self._entry(number)[: METER.size] = data

    def remove(self, number: int) -> DpMeterStats | None:
        stats = self.stats(number)
        super().remove(number)
        if self._n_bands.pop(number, None) is not None:
            self._entry(number)[: METER.size] = bytes(METER.size)
        return stats

    def stats(self, number: int) -> DpMeterStats | None:
        """The counts; None if there is no such meter."""
        n_bands = self._n_bands.get(number)
        if n_bands is None:
            meter = self.get(number)
            return None if meter is None else meter.stats()
        words = self._words(number)
        packets, n_bytes = _index("band_packets"), _index("band_bytes")
        bands = tuple((words[packets + at], words[n_bytes + at]) for at in range(n_bands))
        return DpMeterStats(words[_index("packets")], words[_index("bytes")], bands)

    def judge(self, number: int, n_bytes: int, now_ms: int) -> int:
        n_bands = self._n_bands.get(number)
        if n_bands is None:
            return super().judge(number, n_bytes, now_ms)
        meter, words = self.get(number), self._words(number)
        assert meter is not None
        now_ms, used = _now_ms(), _index("used_ms")
        elapsed_ms, words[used] = max(now_ms - words[used], 0), now_ms
        words[_index("packets")] += 1
        words[_index("bytes")] += n_bytes
        volume = 8 * n_bytes if meter.kbps else 1_000
        rates, buckets = _index("rate"), _index("bucket")
        hit = -1
        for at in range(n_bands):
            rate = words[rates + at]
            bucket = min(words[buckets + at] + elapsed_ms * rate, words[_index("size") + at])
            if bucket >= volume:
                bucket -= volume
            elif hit < 0 or rate > words[rates + hit]:
                hit = at
            words[buckets + at] = bucket
        if hit < 0:
            return PASS
        words[_index("band_packets") + hit] += 1
        words[_index("band_bytes") + hit] += n_bytes
        level = words[_index("level") + hit]
        return DROP if level == BAND_DROPS else level

    def close(self) -> None:
        self._array.close()

    def _entry(self, number: int) -> memoryview:
        start = number * self._array.stride
        return self._array.view[start : start + self._array.stride]

    def _words(self, number: int) -> memoryview:
        return self._entry(number).cast("Q")


def _index(member: str) -> int:
    """The number of a member's word."""
    return METER.offsets[member] // 8


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000
