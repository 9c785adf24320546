"""Groups and meters as controllers change them, and flows that go with them."""

from __future__ import annotations

import pytest
from tests.support.openflow_bench import Bench, Client, add, settings

from netloom.base.log import DBG
from netloom.datapath.meters import BAND_DROP, DpMeter, DpMeterBand
from netloom.ofproto import selection
from netloom.ofproto.groups import Groups
from netloom.openflow import actions as a
from netloom.openflow import messages as m
from netloom.openflow import messages_groups as g
from netloom.openflow import messages_meters as mm
from netloom.openflow.errors import OpenFlowError


def bucket(number: int, *actions: a.Action) -> g.Bucket:
    return g.Bucket(actions or (a.Output(number),), number, 1)


def mod(command: int, *buckets: g.Bucket, group_id: int = 1, at: int = g.OFPG_BUCKET_ALL,
        kind: int = g.OFPGT_SELECT) -> g.GroupMod:  # fmt: skip
    return g.GroupMod(command, group_id, kind, buckets, at)


def numbers(groups: Groups, group_id: int = 1) -> list[int]:
    group = groups.get(group_id)
    assert group is not None
    return [each.bucket_id for each in group.buckets]


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (g.OFPG_BUCKET_FIRST, [9, 0, 1]),
        (g.OFPG_BUCKET_LAST, [0, 1, 9]),
        (0, [0, 9, 1]),
        (1, [0, 1, 9]),
    ],
)
def test_a_bucket_is_inserted_where_it_is_asked_for(at: int, expected: list[int]) -> None:
    groups = Groups()
    groups.apply(mod(g.OFPGC_ADD, bucket(0), bucket(1)), 0)
    groups.apply(mod(g.OFPGC_INSERT_BUCKET, bucket(9), at=at), 0)
    assert numbers(groups) == expected


@pytest.mark.parametrize(
    ("at", "expected"),
    [(g.OFPG_BUCKET_FIRST, [1]), (g.OFPG_BUCKET_LAST, [0]), (1, [0]), (g.OFPG_BUCKET_ALL, [])],
)
def test_buckets_are_removed_by_place_or_number(at: int, expected: list[int]) -> None:
    groups = Groups()
    groups.apply(mod(g.OFPGC_ADD, bucket(0), bucket(1)), 0)
    groups.apply(mod(g.OFPGC_REMOVE_BUCKET, at=at), 0)
    assert numbers(groups) == expected


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (mod(g.OFPGC_ADD, bucket(0)), "OFPGMFC_GROUP_EXISTS"),
        (mod(g.OFPGC_ADD, bucket(0), group_id=0xFFFFFF01), "OFPGMFC_INVALID_GROUP"),
        (mod(g.OFPGC_MODIFY, bucket(0), group_id=2), "OFPGMFC_UNKNOWN_GROUP"),
        (mod(g.OFPGC_INSERT_BUCKET, bucket(0), at=0), "OFPGMFC_BUCKET_EXISTS"),
        (mod(g.OFPGC_INSERT_BUCKET, bucket(7), at=5), "OFPGMFC_UNKNOWN_BUCKET"),
        (mod(g.OFPGC_REMOVE_BUCKET, at=5), "OFPGMFC_UNKNOWN_BUCKET"),
        (mod(g.OFPGC_MODIFY, bucket(0, a.Group(1))), "OFPGMFC_LOOP"),
        (mod(g.OFPGC_ADD, bucket(0, a.Group(1)), group_id=3), "OFPGMFC_LOOP"),
    ],
)
def test_a_group_mod_that_cannot_be_changes_nothing(bad: g.GroupMod, error: str) -> None:
    groups = Groups()
    groups.apply(mod(g.OFPGC_ADD, bucket(0, a.Clone((a.Group(3),)))), 0)
    before = (groups.get(1), groups.generation)
    with pytest.raises(OpenFlowError, match=error):
        groups.apply(bad, 0)
    assert (groups.get(1), groups.generation) == before


def test_what_is_undone_has_never_been() -> None:
    groups = Groups()
    groups.apply(mod(g.OFPGC_ADD, bucket(0)), 0)
    first = groups.get(1)
    done = groups.apply(mod(g.OFPGC_MODIFY, bucket(5)), 0)
    later = groups.apply(mod(g.OFPGC_DELETE, group_id=g.OFPG_ALL), 0)
    groups.undo(later)
    groups.undo(done)
    assert groups.get(1) is first


def join(version: int = 6) -> tuple[Bench, Client]:
    bench = Bench(settings("secure"))
    client = bench.join(version)
    client.ask(m.SetConfig(miss_send_len=128))
    return bench, client


def put(bench: Bench, *actions: a.Action) -> None:
    """A flow straight into the tables."""
    bench.switch.tables.apply(add(*actions, flags=m.OFPFF_SEND_FLOW_REM), bench.now_ms)


def test_flows_go_with_their_group_and_are_told_why() -> None:
    bench, client = join()
    client.ask(mod(g.OFPGC_ADD, bucket(0)))
    put(bench, a.WriteActions((a.Group(1),)))
    (removed,) = client.ask(mod(g.OFPGC_DELETE, kind=0))
    assert isinstance(removed, m.FlowRemoved)
    assert removed.reason == m.OFPRR_GROUP_DELETE
    assert bench.switch.tables.rules() == []


def test_a_group_knows_how_often_flows_name_it() -> None:
    bench, client = join()
    client.ask(mod(g.OFPGC_ADD, bucket(0), bucket(1)))
    put(bench, a.Group(1), a.Group(1))
    group = bench.switch.groups.get(1)
    assert group is not None
    group.credit(2, 120, 0)
    group.buckets[1].credit(1, 60, 0)
    bench.run(1_500)
    (reply,) = client.ask(g.GroupStatsRequest())
    counters = (g.BucketCounter(0, 0), g.BucketCounter(1, 60))
    assert reply == g.GroupStatsReply((g.GroupStats(1, 2, 2, 120, 1, 500_000_000, counters),))
    assert client.ask(g.GroupStatsRequest(7)) == [g.GroupStatsReply()]


def test_a_meter_is_set_in_the_data_path_and_flows_go_with_it() -> None:
    bench, client = join(4)
    band = mm.MeterBand(mm.OFPMBT_DROP, 1_000, 50)
    flags = mm.OFPMF_KBPS | mm.OFPMF_BURST
    assert client.ask(mm.MeterMod(mm.OFPMC_ADD, 5, flags, (band,))) == []
    meter = bench.switch.meters.get(5)
    assert meter is not None
    assert meter.dp_meter == 0
    found = bench.dpif.meters.get(0)
    assert found is not None
    assert found.config == DpMeter(True, True, (DpMeterBand(BAND_DROP, 1_000, 50),))
    put(bench, a.Meter(5), a.Output(1))
    (stats,) = client.ask(mm.MeterStatsRequest())
    assert isinstance(stats, mm.MeterStatsReply)
    assert stats.meters[0].flow_count == 1
    # OpenFlow 1.3 has no reason for that and is not told, unless its controller asks.
    modern = bench.join(5)
    modern.ask(m.SetConfig(0, 128))
    (removed,) = modern.ask(mm.MeterMod(mm.OFPMC_DELETE, mm.OFPM_ALL))
    assert client.received() == []
    assert isinstance(removed, m.FlowRemoved)
    assert removed.reason == m.OFPRR_METER_DELETE
    assert bench.dpif.meters.get(0) is None
    assert bench.switch.tables.rules() == []


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (mm.MeterMod(mm.OFPMC_ADD, 1, mm.OFPMF_KBPS), "OFPMMFC_METER_EXISTS"),
        (mm.MeterMod(mm.OFPMC_MODIFY, 2, mm.OFPMF_KBPS), "OFPMMFC_UNKNOWN_METER"),
        (mm.MeterMod(mm.OFPMC_ADD, 0, mm.OFPMF_KBPS), "OFPMMFC_INVALID_METER"),
        (mm.MeterStatsRequest(7), "OFPMMFC_UNKNOWN_METER"),
        (mm.MeterConfigRequest(7), "OFPMMFC_UNKNOWN_METER"),
        (mm.MeterMod(mm.OFPMC_ADD, 3, mm.OFPMF_KBPS), "OFPMMFC_OUT_OF_BANDS"),
        (mm.MeterMod(mm.OFPMC_MODIFY, 1, mm.OFPMF_KBPS), "OFPMMFC_OUT_OF_BANDS"),
        (mm.MeterMod(mm.OFPMC_ADD, 3, 0), "OFPMMFC_BAD_FLAGS"),
        (
            mm.MeterMod(mm.OFPMC_ADD, 3, mm.OFPMF_KBPS, (mm.MeterBand(1, 1),) * 9),
            "OFPMMFC_OUT_OF_BANDS",
        ),
    ],
)
def test_a_meter_mod_that_cannot_be_is_refused(bad: m.Message, error: str) -> None:
    _, client = join(4)
    client.ask(mm.MeterMod(mm.OFPMC_ADD, 1, mm.OFPMF_KBPS, (mm.MeterBand(1, 1),)))
    assert client.error(bad) == error


def test_the_log_says_how_a_select_group_shares_the_hash(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selection.log, "threshold", DBG)
    monkeypatch.setattr(selection.log, "levels", [DBG, DBG, DBG])
    groups = Groups()
    first = g.Bucket((a.Output(10),), 5, 5)
    groups.apply(mod(g.OFPGC_ADD, first), 0)
    second = g.Bucket((a.Output(11),), 6, 6)
    groups.apply(mod(g.OFPGC_INSERT_BUCKET, second, at=g.OFPG_BUCKET_LAST), 0)
    lines = [line.rpartition("|")[2] for line in capsys.readouterr().err.splitlines()]
    assert lines == [
        "Constructing select group 1",
        "No selection method specified. Trying dp_hash.",
        "  Minimum weight: 5, total weight: 5",
        "  Using 16 hash values:",
        "  Bucket 5: weight=5, target=16.00 hits=16",
        "Use dp_hash with 16 hash values using algorithm 1.",
        "Constructing select group 1",
        "No selection method specified. Trying dp_hash.",
        "  Minimum weight: 6, total weight: 6",
        "  Using 16 hash values:",
        "  Bucket 6: weight=6, target=16.00 hits=16",
        "Use dp_hash with 16 hash values using algorithm 1.",
        "Modifying select group 1",
        "No selection method specified. Trying dp_hash.",
        "  Minimum weight: 5, total weight: 11",
        "  Using 16 hash values:",
        "  Bucket 5: weight=5, target=7.27 hits=7",
        "  Bucket 6: weight=6, target=8.73 hits=9",
        "Use dp_hash with 16 hash values using algorithm 1.",
    ]


@pytest.mark.parametrize(("n_buckets", "n_values"), [(1, 16), (5, 32), (64, 256), (200, 256)])
def test_hash_values_are_enough_for_all_buckets_to_have_about_the_same(
    n_buckets: int, n_values: int
) -> None:
    shares = selection.share_out([bucket(number) for number in range(n_buckets)])
    counts = dict.fromkeys(range(n_buckets), 0)
    for each in shares:
        counts[each.bucket_id] += 1
    assert len(shares) == n_values
    assert max(counts.values()) - min(counts.values()) <= 1


def test_weights_too_far_apart_share_no_hash() -> None:
    assert selection.share_out([g.Bucket((), 0, 1), g.Bucket((), 1, 1000)]) == ()
    assert selection.share_out([g.Bucket((), 0, 0)]) == ()
