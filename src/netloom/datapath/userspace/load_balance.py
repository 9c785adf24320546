"""When receive queues are shared out among threads anew by themselves (`pmd-auto-lb`).

Every so many minutes, if a thread has had too much to do in each of the last intervals, a dry run
shows how the load would be spread. If on some NUMA node the variance of the threads' load would be
so much smaller as the configuration asks for, it is worth it. Where queues are polled from other
nodes nobody can tell, and nothing is done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from netloom.base.log import get_logger
from netloom.datapath.userspace.pmd import N_INTERVALS, PollThread
from netloom.datapath.userspace.pmd_config import MS_PER_MINUTE, BalanceConfig, PollingConfig
from netloom.datapath.userspace.rxq_assignment import ROUND_ROBIN, Assignment

log: Final = get_logger("dpif_netdev")

_NOTHING: Final = "PMD auto load balance nothing to do, "
#: Sharing out makes no difference with fewer threads that are free to poll any queue.
_LEAST_THREADS: Final = 2


class Balancer:
    """Decides when it is time."""

    def __init__(self) -> None:
        self._last_ms: int | None = None
        #: The configuration has changed since it was last looked at.
        self._is_unsure = True
        self._may_help = False

    def stop(self) -> None:
        """Nobody asks any more."""
        self._last_ms = None

    def recheck(self) -> None:
        """Threads, queues or configuration are others than before."""
        self._is_unsure = True

    def is_due(self, now_ms: int, config: BalanceConfig, threads: Iterable[PollThread]) -> bool:
        """Is it time to think about it, and has a thread too much to do?"""
        if self._last_ms is None:
            self._last_ms = now_ms
        if now_ms <= self._last_ms + config.interval_min * MS_PER_MINUTE:
            return False
        self._last_ms = now_ms
        return any(thread.n_overloaded >= N_INTERVALS for thread in threads)

    def wants(
        self,
        config: PollingConfig,
        threads: Mapping[int, PollThread],
        plan: Callable[[], Assignment],
    ) -> bool:
        """Would it be so much better?"""
        if not self._is_worth_a_try(config, threads.values()):
            return False
        log.dbg("PMD auto load balance performing dry run.")
        return _improves(config, threads, plan())

    def _is_worth_a_try(self, config: PollingConfig, threads: Iterable[PollThread]) -> bool:
        if self._is_unsure:
            self._is_unsure = False
            reason = _obstacle(config, threads)
            self._may_help = not reason
        else:
            reason = "no configuration changes since last check."
        if not self._may_help:
            log.dbg("%s%s", _NOTHING, reason)
        return self._may_help


def _obstacle(config: PollingConfig, threads: Iterable[PollThread]) -> str:
    """Why it cannot help; "" for nothing."""
    if config.algorithm == ROUND_ROBIN:
        return "pmd-rxq-assign=roundrobin assignment type configured."
    free = [thread for thread in threads if not thread.is_isolated]
    if len(free) >= _LEAST_THREADS and any(len(thread.queues) > 1 for thread in free):
        return ""
    return "not enough non-isolated PMDs or RxQs."


def _improves(config: PollingConfig, threads: Mapping[int, PollThread], plan: Assignment) -> bool:
    for message in plan.messages:
        log.dbg("%s", message.text)
    if len(plan.nodes) > 1 and _polls_across(threads.values(), plan):
        log.dbg("PMD auto load balance detected cross-numa polling with multiple numa nodes. "
                "Unable to accurately estimate.")  # fmt: skip
        return False
    least = config.balance.improvement_percent
    gains = [_gain(node, threads, plan) for node in sorted(plan.nodes)]
    is_met = any(gain >= least for gain in gains)
    log.dbg("PMD load variance improvement threshold %d%% is %s.", least,
            "met" if is_met else "not met")  # fmt: skip
    return is_met


def _polls_across(threads: Iterable[PollThread], plan: Assignment) -> bool:
    """Is a queue, that nobody has pinned, polled from another node than its device's?"""
    free = {number for number, slot in plan.slots.items() if not slot.is_isolated}
    nodes = {
        (queue.port.number, queue.number): thread.core.node
        for thread in threads
        for queue in thread.queues
    }
    return any(
        queue.pinned is None and nodes.get((queue.port, queue.number), queue.node) != queue.node
        for number in free
        for queue in plan.slots[number].queues
    )


def _gain(node: int, threads: Mapping[int, PollThread], plan: Assignment) -> int:
    """By how many percent the variance of the load on a node would get smaller."""
    numbers = [slot.core.number for slot in plan.nodes[node].slots]
    now = variance(
        [
            _percent(threads[number], sum(q.history.last() for q in threads[number].queues))
            for number in numbers
            if not threads[number].is_isolated
        ]
    )
    then = variance(
        [
            _percent(threads[number], plan.slots[number].cycles)
            for number in numbers
            if not plan.slots[number].is_isolated
        ]
    )
    gain = (now - then) * 100 // now if then < now else 0
    log.dbg("Numa node %d. Current variance %d Estimated variance %d. Variance improvement %d%%.",
            node, now, then, gain)  # fmt: skip
    return gain


def _percent(thread: PollThread, cycles: int) -> int:
    """The load that so many cycles over all intervals are for a thread."""
    total = thread.interval_cycles * N_INTERVALS
    return 100 * cycles // total if total else 0


def variance(values: list[int]) -> int:
    """In whole numbers, as Open vSwitch has it; 0 of nothing."""
    if not values:
        return 0
    mean = sum(values) // len(values)
    return sum((value - mean) ** 2 for value in values) // len(values)
