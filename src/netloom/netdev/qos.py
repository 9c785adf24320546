"""How what leaves a device is queued (the QoS and Queue tables), and how much may come in.

A `Qos` says which discipline a device has (`type`, as in the QoS table), its options and its
queues. Only devices of the kernel take one: they have a `Shaper` (`ShapedDevice`). A dummy takes
none and has one queue, number 0, of which nothing is known, as in Open vSwitch. Options stay
text here, for they are shown to people as they are understood, not as they were written;
`disciplines` reads them.

Queues are chosen by a packet's priority. The kernel calls queue N of a device the class 1:N+1, so
that is the priority that sends a packet there; 0 means that no queue was asked for, which is the
queue 0 of whatever discipline there is.
"""

from __future__ import annotations

from typing import Final, Protocol, runtime_checkable

from netloom.base.record import Record
from netloom.netdev.device import UNKNOWN_COUNT

Pairs = tuple[tuple[str, str], ...]

#: tc's number of the discipline that Open vSwitch gives a device (1:0), and of the class that is
#: above all queues.
ROOT_HANDLE: Final = 0x10000
ROOT_CLASS: Final = 0x1FFFE
#: Queues of a device that can be named by a priority.
MAX_QUEUES: Final = 0xF000
#: Sizes of buckets that are not given: 8000 kbit, 16 kpkts.
_USUAL_KBIT, _USUAL_KPKTS = 8_000, 16


class QueueSettings(Record):
    """A Queue row under its number; `dscp` -1 for none."""

    number: int
    options: Pairs = ()
    dscp: int = -1


class Qos(Record):
    """A QoS row with its queues, by number."""

    type: str
    options: Pairs = ()
    queues: tuple[QueueSettings, ...] = ()


class QueueFacts(Record):
    """A queue as it is: its options as they were understood, and what it has counted."""

    number: int
    options: Pairs = ()
    tx_packets: int = UNKNOWN_COUNT
    tx_bytes: int = UNKNOWN_COUNT
    tx_errors: int = UNKNOWN_COUNT
    #: When it was made, by the monotonic clock; -1: nobody knows.
    created_ms: int = -1


class QosFacts(Record):
    """A device's discipline as it is, with the numbers of its queues, oldest first; `type` is empty
    where there is none."""

    type: str = ""
    options: Pairs = ()
    queues: tuple[int, ...] = ()


class Policing(Record):
    """How much may come in: kilobits and thousands of packets, a second and at once. A rate of 0 is
    no limit."""

    kbps: int = 0
    burst_kbit: int = 0
    kpps: int = 0
    burst_kpkts: int = 0

    def buckets(self) -> tuple[int, int]:
        """The sizes of the buckets, in bits and packets."""
        kbit = self.burst_kbit or _USUAL_KBIT
        kpkts = self.burst_kpkts or _USUAL_KPKTS
        return 1_000 * kbit, 1_000 * kpkts


FREE: Final = Policing()
#: Of a device that takes no discipline: it has this one queue.
DEFAULT_QUEUE: Final = QueueFacts(0)


class Shaper(Protocol):
    """The queues of one device."""

    def types(self) -> tuple[str, ...]:
        """The types of QoS that it may have."""

    def set(self, qos: Qos | None) -> list[str]:
        """Have this discipline, or none; returns what went wrong, in words for the log. What is
        there already, from an earlier daemon too, is changed and not made anew."""

    def clear(self) -> None:
        """The device is no port any more: take away what `set` gave it."""

    def facts(self) -> QosFacts: ...

    def queues(self) -> list[QueueFacts]:
        """The queues in the kernel's order, with their counts as of now; raises OSError."""


@runtime_checkable
class ShapedDevice(Protocol):
    """A device whose queues can be set."""

    @property
    def shaper(self) -> Shaper: ...


def shaper_of(device: object) -> Shaper | None:
    """What sets a device's queues; None for a device that has none to set."""
    return device.shaper if isinstance(device, ShapedDevice) else None


def queue_priority(queue: int) -> int:
    """The priority of packets for a queue (below MAX_QUEUES)."""
    return ROOT_HANDLE | queue + 1
