"""What other_config says about threads that poll."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from netloom.base.log import CONSOLE, INFO, vlog
from netloom.datapath.userspace.pmd_config import (
    BalanceConfig,
    PollingConfig,
    log_changes,
    parse_affinity,
    read_config,
)


@pytest.fixture
def console(capsys: pytest.CaptureFixture[str]) -> Iterator[pytest.CaptureFixture[str]]:
    levels = vlog.levels()
    vlog.set_level(INFO, "dpif_netdev", CONSOLE)
    yield capsys
    vlog.set_levels(levels)


def test_nothing_said_is_the_default() -> None:
    assert read_config({}) == PollingConfig()


@pytest.mark.parametrize(
    ("text", "default", "cores"),
    [
        ("1", 1, {}),
        ("10001", 10_000, {}),
        ("3:300,0:100,5:400", 0, {3: 300, 0: 100, 5: 400}),
        ("50,3:300", 50, {3: 300}),
        ("3:400 200", 200, {3: 400}),
        ("50,1:qwe,2:0", 50, {2: 0}),
        ("qwe", 0, {}),
        ("3:1,3:2,7=20000", 0, {3: 2, 7: 10_000}),
    ],
)
def test_sleeps_of_all_and_of_cores(text: str, default: int, cores: dict[int, int]) -> None:
    config = read_config({"pmd-sleep-max": text})
    assert (config.sleep_us, dict(config.sleeps)) == (default, cores)
    assert config.sleep_of(3) == cores.get(3, default)


def test_the_earlier_name_counts_if_it_is_alone(console: pytest.CaptureFixture[str]) -> None:
    assert read_config({"pmd-maxsleep": "70"}).sleep_us == 70
    assert "pmd-maxsleep is deprecated" in console.readouterr().err
    assert read_config({"pmd-maxsleep": "70", "pmd-sleep-max": "5"}).sleep_us == 5


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("10", 10), ("0", 1), ("20000", 20_000), ("20001", 1), ("-1", 1), ("x", 1)],
)
def test_intervals_out_of_range_are_the_default(text: str, minutes: int) -> None:
    assert read_config({"pmd-auto-lb-rebal-interval": text}).balance.interval_min == minutes


@pytest.mark.parametrize(("text", "percent"), [("0", 0), ("100", 100), ("101", 25), ("-1", 25)])
def test_thresholds_out_of_range_are_the_default(text: str, percent: int) -> None:
    config = read_config({"pmd-auto-lb-improvement-threshold": text})
    assert config.balance.improvement_percent == percent


def test_only_the_group_algorithm_shares_threads_of_pinned_queues(
    console: pytest.CaptureFixture[str],
) -> None:
    assert not read_config({"pmd-rxq-assign": "group", "pmd-rxq-isolate": "false"}).isolates
    assert console.readouterr().err == ""
    assert read_config({"pmd-rxq-isolate": "false"}).isolates
    assert "can only be set false when using" in console.readouterr().err
    assert read_config({"pmd-rxq-assign": "best"}).algorithm == "cycles"
    assert "Defaulting to 'cycles'" in console.readouterr().err


def test_affinity_is_all_numbers_or_wrong() -> None:
    assert parse_affinity("0:3,1:7") == {0: 3, 1: 7}
    assert parse_affinity("") == {}
    assert parse_affinity("0:3,1") is None
    assert parse_affinity("0:x") is None


def test_the_log_tells_of_the_start_and_of_changes_only(
    console: pytest.CaptureFixture[str],
) -> None:
    log_changes(None, PollingConfig())
    shown = console.readouterr().err
    for text in (
        "PMD auto load balance interval set to 1 mins",
        "PMD auto load balance improvement threshold set to 25%",
        "PMD auto load balance load threshold set to 95%",
        "PMD auto load balance is disabled.",
    ):
        assert text in shown
    log_changes(PollingConfig(), PollingConfig())
    assert console.readouterr().err == ""
    new = PollingConfig(algorithm="group", isolates=False, emc_inverse=1, has_smc=True)
    log_changes(PollingConfig(), new)
    shown = console.readouterr().err
    assert "mode changed to: 'group'." in shown
    assert "pmd-rxq-affinity does not isolate PMD core" in shown
    assert "EMC insertion probability changed to 1/1 (~100.00%)" in shown
    assert "SMC cache is enabled" in shown
    log_changes(PollingConfig(), PollingConfig(balance=BalanceConfig(is_enabled=True)))
    assert (
        "PMD auto load balance is enabled, interval 1 mins, pmd load threshold 95%, improvement "
        "threshold 25%."
    ) in console.readouterr().err
