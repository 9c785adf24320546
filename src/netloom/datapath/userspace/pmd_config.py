"""What `Open_vSwitch.other_config` says about threads that poll, and what the log tells of it.

Wrong values count as none, some with a warning, as ovs-vswitchd.conf.db(5) has it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from netloom.base.log import get_logger
from netloom.base.numbers import decimal
from netloom.base.record import Record
from netloom.datapath.userspace.rxq_assignment import ALGORITHMS, CYCLES, GROUP

log: Final = get_logger("dpif_netdev")

#: Longest that a thread may sleep, in microseconds.
MAX_SLEEP_US: Final = 10_000
#: Packets that are remembered in the exact-match cache: one in so many.
DEFAULT_EMC_INVERSE: Final = 100
MS_PER_MINUTE: Final = 60_000
MAX_INTERVAL_MIN: Final = 20_000
MAX_PERCENT: Final = 100
_MAX_UINT: Final = 0xFFFFFFFF
#: Of lists such as "50,1:100": what stands between their parts.
_SEPARATORS: Final = re.compile(r"[,\s]+")


class BalanceConfig(Record):
    """When queues are shared out anew by themselves: how often that is considered, what load a
    thread must have, in percent, and how much better it must get, in percent."""

    is_enabled: bool = False
    interval_min: int = 1
    load_percent: int = 95
    improvement_percent: int = 25


class PollingConfig(Record):
    """All of it. `cpu_mask` is None if nobody chose cores; `sleeps` has (core, microseconds)."""

    cpu_mask: str | None = None
    algorithm: str = CYCLES
    isolates: bool = True
    balance: BalanceConfig = BalanceConfig()
    sleep_us: int = 0
    sleeps: tuple[tuple[int, int], ...] = ()
    measures: bool = False
    emc_inverse: int = DEFAULT_EMC_INVERSE
    #: What `emc_inverse` is was said by somebody.
    chooses_emc: bool = False
    has_smc: bool = False
    tx_flush_us: int = 0

    def sleep_of(self, core: int) -> int:
        """How long the thread of a core may sleep, in microseconds."""
        return dict(self.sleeps).get(core, self.sleep_us)


def read_config(config: Mapping[str, str]) -> PollingConfig:
    """The configuration; what is wrong with it goes to the log."""
    algorithm = config.get("pmd-rxq-assign", CYCLES)
    if algorithm not in ALGORITHMS:
        log.warn("Unsupported rx queue to PMD assignment mode in pmd-rxq-assign. Defaulting to "
                 "'cycles'.")  # fmt: skip
        algorithm = CYCLES
    isolates = config.get("pmd-rxq-isolate") != "false"
    if not isolates and algorithm != GROUP:
        log.warn("pmd-rxq-isolate can only be set false when using pmd-rxq-assign=group")
        isolates = True
    sleep_us, sleeps = _read_sleeps(config)
    emc = decimal(config.get("emc-insert-inv-prob", ""))
    is_probability = emc is not None and emc <= _MAX_UINT
    return PollingConfig(
        cpu_mask=config.get("pmd-cpu-mask"),
        algorithm=algorithm,
        isolates=isolates,
        balance=_read_balance(config),
        sleep_us=sleep_us,
        sleeps=sleeps,
        measures=config.get("pmd-perf-metrics") == "true",
        emc_inverse=emc if emc is not None and is_probability else DEFAULT_EMC_INVERSE,
        chooses_emc=is_probability,
        has_smc=config.get("smc-enable") == "true",
        tx_flush_us=decimal(config.get("tx-flush-interval", "")) or 0,
    )


def _read_balance(config: Mapping[str, str]) -> BalanceConfig:
    default = BalanceConfig()
    interval = decimal(config.get("pmd-auto-lb-rebal-interval", ""))
    if interval is None or interval > MAX_INTERVAL_MIN:
        interval = default.interval_min
    return BalanceConfig(
        is_enabled=config.get("pmd-auto-lb") == "true",
        interval_min=max(interval, 1),
        load_percent=_percent(config, "pmd-auto-lb-load-threshold", default.load_percent),
        improvement_percent=_percent(
            config, "pmd-auto-lb-improvement-threshold", default.improvement_percent
        ),
    )


def _percent(config: Mapping[str, str], key: str, default: int) -> int:
    value = decimal(config.get(key, ""))
    return default if value is None or value > MAX_PERCENT else value


def split_pairs(text: str) -> Iterator[tuple[str, str]]:
    """The parts of "KEY:VALUE,KEY,..." with "" for a value that is not there."""
    for part in filter(None, _SEPARATORS.split(text)):
        key, _, value = part.replace("=", ":", 1).partition(":")
        yield key, value


def _read_sleeps(config: Mapping[str, str]) -> tuple[int, tuple[tuple[int, int], ...]]:
    """How long threads may sleep, and how long those of certain cores; what is no number is left
    out. An earlier name of the key is known too."""
    text = config.get("pmd-sleep-max")
    if text is None:
        old = decimal(config.get("pmd-maxsleep", ""))
        if old is not None:
            log.warn_rl("pmd-maxsleep is deprecated. Please use pmd-sleep-max instead.")
        return min(old or 0, MAX_SLEEP_US), ()
    default = 0
    sleeps: dict[int, int] = {}
    for key, value in split_pairs(text):
        number = decimal(key)
        sleep = decimal(value) if value else number
        if number is None or sleep is None:
            continue
        if value:
            sleeps[number] = min(sleep, MAX_SLEEP_US)
        else:
            default = min(sleep, MAX_SLEEP_US)
    return default, tuple(sleeps.items())


def parse_affinity(text: str) -> dict[int, int] | None:
    """The cores of the queues that "QUEUE:CORE,..." pins; None if it is wrong."""
    cores = {}
    for key, value in split_pairs(text):
        queue, core = decimal(key), decimal(value)
        if queue is None or core is None:
            return None
        cores[queue] = core
    return cores


def log_changes(old: PollingConfig | None, new: PollingConfig) -> None:
    """Tell the log what has changed since `old`, None for the start."""
    before = old or PollingConfig()
    if new.tx_flush_us != before.tx_flush_us:
        log.info("Flushing interval for tx queues set to %d us", new.tx_flush_us)
    if new.emc_inverse != before.emc_inverse:
        log.info("EMC insertion probability changed to %s", describe_probability(new.emc_inverse))
    if new.measures != before.measures:
        log.info("PMD performance metrics collection %s", _enabled(new.measures))
    if new.has_smc != before.has_smc:
        log.info("SMC cache is %s", _enabled(new.has_smc))
    if new.algorithm != before.algorithm:
        log.info("Rxq to PMD assignment mode changed to: '%s'.", new.algorithm)
    if new.isolates != before.isolates:
        verb = "isolates" if new.isolates else "does not isolate"
        log.info("pmd-rxq-affinity %s PMD core", verb)
    _log_balance(None if old is None else old.balance, new.balance)


def describe_probability(inverse: int) -> str:
    """`1/100 (~1.00%)`"""
    return "zero" if not inverse else f"1/{inverse} (~{100 / inverse:.2f}%)"


def _enabled(is_enabled: bool) -> str:
    return "enabled" if is_enabled else "disabled"


def _log_balance(old: BalanceConfig | None, new: BalanceConfig) -> None:
    what = "PMD auto load balance"
    if old is None or old.interval_min != new.interval_min:
        log.info("%s interval set to %d mins", what, new.interval_min)
    if old is None or old.improvement_percent != new.improvement_percent:
        log.info("%s improvement threshold set to %d%%", what, new.improvement_percent)
    if old is None or old.load_percent != new.load_percent:
        log.info("%s load threshold set to %d%%", what, new.load_percent)
    if old == new:
        return
    if new.is_enabled:
        log.info(
            "%s is enabled, interval %d mins, pmd load threshold %d%%, improvement threshold %d%%.",
            what, new.interval_min, new.load_percent, new.improvement_percent,
        )  # fmt: skip
    else:
        log.info("%s is disabled.", what)
