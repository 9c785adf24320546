"""Meters of the data path in Python: what passes, what is dropped, what is marked."""

from __future__ import annotations

import pytest

from netloom.datapath.meters import BAND_DROP, BAND_DSCP_REMARK, DpMeter, DpMeterBand
from netloom.datapath.userspace.meters import DROP, PASS, Meters, raise_drop_precedence


def meters(kbps: bool, *bands: DpMeterBand, burst: bool = False) -> Meters:
    made = Meters()
    made.set(0, DpMeter(kbps, burst, bands), 1_000)
    return made


def test_bucket_starts_full_and_fills_with_time() -> None:
    made = meters(False, DpMeterBand(BAND_DROP, 2))
    verdicts = [made.judge(0, 60, 1_000) for _ in range(3)]
    assert verdicts == [PASS, PASS, DROP]
    assert made.judge(0, 60, 1_499) == DROP
    assert made.judge(0, 60, 1_500) == PASS


def test_kilobits_count_the_bits_of_packets() -> None:
    made = meters(True, DpMeterBand(BAND_DROP, 1))
    assert [made.judge(0, 60, 1_000) for _ in range(3)] == [PASS, PASS, DROP]


def test_burst_is_the_size_of_the_bucket() -> None:
    made = meters(False, DpMeterBand(BAND_DROP, 1, burst_size=5), burst=True)
    assert [made.judge(0, 60, 1_000) for _ in range(6)] == [PASS] * 5 + [DROP]


def test_the_band_of_the_highest_exceeded_rate_is_hit() -> None:
    made = meters(False, DpMeterBand(BAND_DSCP_REMARK, 1, prec_level=2), DpMeterBand(BAND_DROP, 3))
    assert [made.judge(0, 60, 1_000) for _ in range(4)] == [PASS, 2, 2, DROP]
    stats = made.get(0)
    assert stats is not None
    assert stats.stats().bands == ((2, 120), (1, 60))
    assert (stats.stats().packets, stats.stats().bytes) == (4, 240)


def test_a_meter_that_is_not_there_lets_pass() -> None:
    assert Meters().judge(7, 60, 0) == PASS


@pytest.mark.parametrize(
    ("dscp", "levels", "expected"),
    [(10, 1, 12), (10, 2, 14), (10, 9, 14), (38, 1, 38), (0, 1, 0), (46, 1, 46), (8, 1, 8)],
)
def test_drop_precedence_rises_within_its_class(dscp: int, levels: int, expected: int) -> None:
    assert raise_drop_precedence(dscp << 2 | 1, levels) == expected << 2 | 1
