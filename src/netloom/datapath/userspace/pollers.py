"""The threads of a data path that poll, and the queues that they poll: who is there and does what.

Threads are there while a port has queues to poll: one on each core of `pmd-cpu-mask`, or one on
each NUMA node. `reconfigure` makes threads and queues what configuration, ports and devices ask
for, and shares the queues out (`rxq_assignment`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from netloom.base.log import get_logger
from netloom.datapath.userspace.cores import Core, cores_in_mask, first_cores
from netloom.datapath.userspace.load_balance import Balancer
from netloom.datapath.userspace.pmd import BY_HASH, BY_THREAD, PolledPort, PollThread, RxQueue
from netloom.datapath.userspace.pmd_config import (
    PollingConfig,
    describe_probability,
    log_changes,
    parse_affinity,
    read_config,
)
from netloom.datapath.userspace.rxq_assignment import Assignment, assign
from netloom.flow.extract import extract_key
from netloom.flow.hashes import hash_five_tuple
from netloom.netdev.dummy import DummyDevice

log: Final = get_logger("dpif_netdev")

#: Threads on each NUMA node if nobody chooses cores.
THREADS_PER_NODE: Final = 1
#: The send queue of the main thread.
_MAIN_SEND_QUEUE: Final = 0


class Pollers:
    """All threads of one data path, on a machine with these cores."""

    def __init__(self, cores: Sequence[Core]) -> None:
        self._cores = cores
        self.config = PollingConfig()
        self._has_config = False
        self.ports: dict[int, PolledPort] = {}
        self.threads: dict[int, PollThread] = {}
        self.balancer = Balancer()
        self._is_asked = False

    # Configuration

    def set_config(self, values: Mapping[str, str], now_ms: int) -> None:
        """Take over `Open_vSwitch.other_config`."""
        old, new = self.config, read_config(values)
        log_changes(old if self._has_config else None, new)
        self.config = new
        self._is_asked |= (old.cpu_mask, old.algorithm, old.isolates) != (
            new.cpu_mask, new.algorithm, new.isolates
        )  # fmt: skip
        if not new.balance.is_enabled:
            self.balancer.stop()
        self._set_sleeps(old)
        for thread in self.threads.values():
            thread.perf.measures = new.measures
        self._has_config = True

    def _set_sleeps(self, old: PollingConfig) -> None:
        new = self.config
        changed = not self._has_config or new.sleep_us != old.sleep_us
        for thread in self.threads.values():
            sleep_us = new.sleep_of(thread.number)
            changed = changed or sleep_us != thread.max_sleep_us
            thread.max_sleep_us = sleep_us
        if changed:
            log.info("Default PMD thread max sleep: %4d us.", new.sleep_us)
            for thread in self.sorted_threads():
                _log_sleep(thread)

    def add_port(self, number: int, device: DummyDevice) -> None:
        """A port whose queues are to be polled."""
        port = self.ports[number] = PolledPort(number, device)
        port.reconfigure()
        self._is_asked = True

    def del_port(self, number: int) -> bool:
        """The port is gone; False if it was none of these."""
        port = self.ports.pop(number, None)
        self._is_asked = self._is_asked or port is not None
        return port is not None

    def set_port_config(self, number: int, values: Mapping[str, str]) -> None:
        """Take over the part of `Interface.other_config` that is about queues."""
        port = self.ports.get(number)
        if port is None:
            return
        has_emc = values.get("emc-enable") != "false"
        if has_emc != port.has_emc:
            port.has_emc = has_emc
            self._is_asked = True
            now = describe_probability(self.config.emc_inverse)
            more = f" Current insertion probability is {now}." if has_emc else ""
            log.info("%s: EMC has been %s.%s", port.name, "enabled" if has_emc else "disabled",
                     more)  # fmt: skip
        self._set_affinity(port, values.get("pmd-rxq-affinity", ""))
        steering = BY_HASH if values.get("tx-steering") == BY_HASH else BY_THREAD
        if steering != port.steering:
            port.steering = steering
            self._is_asked = True
            log.info("%s: Tx packet steering mode has been set to '%s'.", port.name, steering)

    def _set_affinity(self, port: PolledPort, text: str) -> None:
        if text == port.affinity:
            return
        cores = parse_affinity(text)
        if cores is None:
            log.warn("%s: pmd-rxq-affinity '%s' is wrong, queues stay where they are", port.name,
                     text)  # fmt: skip
            return
        port.affinity, port.cores = text, cores
        port.pin()
        self._is_asked = True

    def ask(self) -> None:
        """Have the queues shared out anew, as soon as may be."""
        self._is_asked = True

    # Threads

    @property
    def is_outdated(self) -> bool:
        """Is there something to `reconfigure`?"""
        return self._is_asked or any(port.is_outdated() for port in self.ports.values())

    def sorted_threads(self) -> list[PollThread]:
        """The threads by core."""
        return [self.threads[number] for number in sorted(self.threads)]

    def reconfigure(self, now_ms: int) -> list[PollThread]:
        """Make it so; returns the threads that are no more."""
        self._is_asked = False
        gone = self._choose_threads(now_ms)
        for port in self.ports.values():
            if port.is_outdated():
                port.reconfigure()
        self._share_out()
        ports = tuple((port.number, port.config, port.has_emc) for port in self.ports.values())
        for thread in self.threads.values():
            loaded = ports, tuple((q.port.number, q.number) for q in thread.queues)
            if loaded != thread.loaded:
                thread.reload(now_ms, loaded)
        self.balancer.recheck()
        return gone

    def _wanted_cores(self) -> Sequence[Core]:
        if not self.ports:
            return ()
        if self.config.cpu_mask:
            return cores_in_mask(self._cores, self.config.cpu_mask)
        return first_cores(self._cores, THREADS_PER_NODE)

    def _choose_threads(self, now_ms: int) -> list[PollThread]:
        wanted = {core.number: core for core in self._wanted_cores()}
        gone = [thread for thread in self.sorted_threads() if thread.number not in wanted]
        for thread in gone:
            del self.threads[thread.number]
            log.info("PMD thread on numa_id: %d, core id: %2d destroyed.", thread.core.node,
                     thread.number)  # fmt: skip
        if gone:
            self._renumber_send_queues()
        new = [core for core in wanted.values() if core.number not in self.threads]
        for core in sorted(new):
            self._create(core, now_ms)
        if gone or new:
            for node in sorted({core.node for core in wanted.values()}):
                n_threads = sum(core.node == node for core in wanted.values())
                log.info("There are %d pmd threads on numa node %d", n_threads, node)
            for port in self.ports.values():
                port.send_queues.clear()
        return gone

    def _create(self, core: Core, now_ms: int) -> None:
        taken = {thread.send_queue for thread in self.threads.values()}
        send_queue = next(number for number in range(1, len(taken) + 2) if number not in taken)
        thread = self.threads[core.number] = PollThread(core, now_ms, send_queue)
        thread.max_sleep_us = self.config.sleep_of(core.number)
        thread.perf.measures = self.config.measures
        _log_sleep(thread)
        log.info("PMD thread on numa_id: %d, core id: %2d created.", core.node, core.number)

    def _renumber_send_queues(self) -> None:
        """Leave no gaps in the numbers of send queues."""
        by_queue = sorted(self.threads.values(), key=lambda thread: thread.send_queue)
        for number, thread in enumerate(by_queue, 1):
            thread.send_queue = number

    # Queues

    def queues(self) -> list[RxQueue]:
        """All queues to be polled, by port and number."""
        return [queue for number in sorted(self.ports) for queue in self.ports[number].queues]

    def plan(self) -> Assignment:
        """How the queues would be shared out now."""
        cores = [thread.core for thread in self.threads.values()]
        queues = [queue.described() for queue in self.queues()]
        return assign(cores, queues, self.config.algorithm, self.config.isolates)

    def _share_out(self) -> None:
        plan = self.plan()
        for is_warning, text in plan.messages:
            (log.warn if is_warning else log.info)("%s", text)
        queues = {(queue.port.number, queue.number): queue for queue in self.queues()}
        for queue in queues.values():
            queue.thread = None
        for number, slot in plan.slots.items():
            thread = self.threads[number]
            thread.is_isolated = slot.is_isolated
            thread.queues = [queues[one.port, one.number] for one in slot.queues]
            for queue in thread.queues:
                queue.thread = thread

    def send_queue(self, port: PolledPort, thread: PollThread | None, data: bytes) -> int:
        """Which queue of `port` a packet of a thread (None: the main one) is sent from. With
        steering by hash that is a matter of the packet; else each thread has one of its own, or,
        where there are too few, the one that the fewest have."""
        n_queues = port.config[1]
        if n_queues == 1:
            return 0
        if port.steering == BY_HASH:
            return hash_five_tuple(extract_key(data, 0, 0, 1), 0) % n_queues
        if n_queues > len(self.threads):
            return _MAIN_SEND_QUEUE if thread is None else thread.send_queue
        name = -1 if thread is None else thread.number
        if name not in port.send_queues:
            taken = list(port.send_queues.values())
            chosen = min(range(n_queues), key=taken.count)
            port.send_queues[name] = chosen
            log.dbg("Core %d: New TX queue ID %d for port '%s'.", name, chosen, port.name)
        return port.send_queues[name]

    # Time

    def end_intervals(self, now_ms: int, now_cycles: int) -> None:
        """Have those threads keep what an interval has cost whose interval is over, and share the
        queues out anew if load and configuration ask for it."""
        balance = self.config.balance
        percent = balance.load_percent if balance.is_enabled else None
        for thread in self.threads.values():
            if thread.queues and now_ms > thread.next_interval_ms:
                thread.end_interval(now_ms, now_cycles, percent)
        if not balance.is_enabled:
            return
        is_due = self.balancer.is_due(now_ms, balance, self.threads.values())
        if is_due and not self.is_outdated and self._would_help():
            log.info("PMD auto load balance dry run. Requesting datapath reconfigure.")
            self.ask()

    def _would_help(self) -> bool:
        return self.balancer.wants(self.config, self.threads, self.plan)

    def deadline(self) -> int | None:
        """When `end_intervals` is to be called next."""
        due = [thread.next_interval_ms + 1 for thread in self.threads.values() if thread.queues]
        return min(due, default=None)


def _log_sleep(thread: PollThread) -> None:
    log.info("PMD thread on numa_id: %d, core id: %2d, max sleep: %4d us.", thread.core.node,
             thread.number, thread.max_sleep_us)  # fmt: skip
