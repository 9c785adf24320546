"""The queues of a dummy: those that packets wait in, and those that they were sent from.

A `dummy-pmd`, which threads poll, has as many as it is configured to have (`options:n_rxq`,
`n_txq`), on a NUMA node of its choice (`numa_id`); every other dummy has one of each.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Final

from netloom.base.log import get_logger
from netloom.base.numbers import leading_number
from netloom.netdev.device import Packet

log: Final = get_logger("netdev_dummy")

#: As many queues as a device may have for each direction.
MAX_QUEUES: Final = 1_024


class DummyQueues:
    """All queues of one device. `config` is what was asked for: receive queues, send queues,
    NUMA node."""

    def __init__(self) -> None:
        self.config: tuple[int, int, int] = (1, 1, 0)
        self.waiting: list[deque[Packet]] = [deque()]
        #: Packets and bytes of each queue, by direction.
        self._received = [[0, 0]]
        self._sent = [[0, 0]]

    def configure(self, name: str, options: Mapping[str, str]) -> None:
        """Have as many as the options of the device `name` say; too many are cut to the most that
        may be, with a warning. Packets that wait in a queue that goes are lost."""
        n_rx, n_tx = _count(options, "n_rxq"), _count(options, "n_txq")
        if max(n_rx, n_tx) > MAX_QUEUES:
            log.warn("The one or both of interface %s queues (rxq: %d, txq: %d) exceed %d. Sets "
                     "it %d.", name, n_rx, n_tx, MAX_QUEUES, MAX_QUEUES)  # fmt: skip
            n_rx, n_tx = min(n_rx, MAX_QUEUES), min(n_tx, MAX_QUEUES)
        node = leading_number(options.get("numa_id", "")) or 0
        if (n_rx, n_tx, node) == self.config:
            return
        self.config = (n_rx, n_tx, node)
        del self.waiting[n_rx:]
        self.waiting += [deque() for _ in range(n_rx - len(self.waiting))]
        # The counts are those of these queues, since they are as they are.
        self._received = [[0, 0] for _ in range(n_rx)]
        self._sent = [[0, 0] for _ in range(n_tx)]

    def shown(self) -> dict[str, str]:
        """The configuration as options."""
        return dict(zip(("n_rxq", "n_txq", "numa_id"), map(str, self.config), strict=True))

    def n_waiting(self) -> int:
        return sum(map(len, self.waiting))

    def count_received(self, queue: int, n_packets: int, n_bytes: int) -> None:
        """Packets were taken from a queue."""
        _add(self._received, queue, n_packets, n_bytes)

    def count_sent(self, queue: int, n_bytes: int) -> None:
        """A packet was sent from a queue."""
        _add(self._sent, queue, 1, n_bytes)

    def counts(self) -> list[tuple[str, int]]:
        """The counters of each queue, by the names that Open vSwitch's dummies have."""
        return [
            (f"{direction}_q{number}_{what}", count)
            for direction, queues in (("rx", self._received), ("tx", self._sent))
            for number, (n_packets, n_bytes) in enumerate(queues)
            for what, count in (("bytes", n_bytes), ("packets", n_packets))
        ]


def _add(queues: list[list[int]], queue: int, n_packets: int, n_bytes: int) -> None:
    counts = queues[queue % len(queues)]
    counts[0] += n_packets
    counts[1] += n_bytes


def _count(options: Mapping[str, str], key: str) -> int:
    return max(leading_number(options.get(key, "")) or 1, 1)
