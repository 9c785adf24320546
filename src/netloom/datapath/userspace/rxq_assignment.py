"""Which thread polls which receive queue: pure decisions about cores, queues and their load.

A queue may be pinned to a core (`other_config:pmd-rxq-affinity`). The others are shared out among
the threads of their device's NUMA node: in turn (`roundrobin`), in turn by load and back again
(`cycles`), or each to the thread with the least load (`group`). Threads that poll pinned queues
get no others, unless `isolates` is false. If a node has no thread that is free for that, the
threads of the other nodes take its queues in turn. All as ovs-vswitchd.conf.db(5) and Open
vSwitch's Documentation/topics/dpdk/pmd.rst tell it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from netloom.datapath.userspace.cores import Core

CYCLES: Final = "cycles"
ROUND_ROBIN: Final = "roundrobin"
GROUP: Final = "group"
ALGORITHMS: Final = (CYCLES, ROUND_ROBIN, GROUP)


class Queue(NamedTuple):
    """A receive queue: the number and name of its port, its own number, the NUMA node of its
    device, the core that it is pinned to if it is, and the load that was measured."""

    port: int
    name: str
    number: int
    node: int
    pinned: int | None = None
    cycles: int = 0


class Message(NamedTuple):
    """A line for the log about a decision."""

    is_warning: bool
    text: str


class Slot:
    """A thread with what it is to poll."""

    __slots__ = ("core", "cycles", "is_isolated", "queues")

    def __init__(self, core: Core) -> None:
        self.core = core
        self.queues: list[Queue] = []
        self.cycles = 0
        #: It polls pinned queues and shall poll nothing else.
        self.is_isolated = False

    def add(self, queue: Queue) -> None:
        """Have it poll a queue more."""
        self.queues.append(queue)
        self.cycles += queue.cycles


class Node:
    """The threads of a NUMA node, and whose turn it is."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.slots: list[Slot] = []
        self._at = 0
        self._goes_up = True

    @property
    def is_free(self) -> bool:
        """Is there a thread that takes queues that are not pinned?"""
        return any(not slot.is_isolated for slot in self.slots)

    def _next(self, turns_back: bool) -> Slot:
        slot = self.slots[self._at]
        end = len(self.slots) - 1 if self._goes_up else 0
        if self._at != end:
            self._at += 1 if self._goes_up else -1
        elif turns_back:
            self._goes_up = not self._goes_up
        else:
            self._at = 0
        return slot

    def in_turn(self, turns_back: bool) -> Slot | None:
        """The next thread that is free, of all in a circle; with `turns_back` from the first to the
        last and back again, so that each end comes twice."""
        # Those that come twice must not hide the others.
        for _ in range(2 * len(self.slots)):
            slot = self._next(turns_back)
            if not slot.is_isolated:
                return slot
        return None

    def least_loaded(self, by_cycles: bool) -> Slot | None:
        """The thread with the least load, or else with the fewest queues."""
        free = [slot for slot in self.slots if not slot.is_isolated]
        return min(
            free, key=lambda slot: slot.cycles if by_cycles else len(slot.queues), default=None
        )


class Assignment:
    """Threads with their queues, by node."""

    def __init__(self, cores: Sequence[Core]) -> None:
        self.nodes: dict[int, Node] = {}
        self.slots: dict[int, Slot] = {}
        self.messages: list[Message] = []
        for core in sorted(cores):
            slot = self.slots[core.number] = Slot(core)
            self.nodes.setdefault(core.node, Node(core.node)).slots.append(slot)

    def tell(self, text: str, is_warning: bool = False) -> None:
        self.messages.append(Message(is_warning, text))

    def core_of(self, queue: Queue) -> Core | None:
        """The core whose thread polls a queue; None if nobody does."""
        for slot in self.slots.values():
            if any((q.port, q.number) == (queue.port, queue.number) for q in slot.queues):
                return slot.core
        return None


def assign(
    cores: Sequence[Core], queues: Sequence[Queue], algorithm: str, isolates: bool = True
) -> Assignment:
    """Share `queues` out among threads on `cores`. `isolates`: threads of pinned queues get no
    others."""
    found = Assignment(cores)
    free = [queue for queue in queues if not _pin(found, queue, algorithm, isolates)]
    if algorithm != ROUND_ROBIN:
        free.sort(key=lambda queue: (-queue.cycles, queue.port, queue.number))
    if free:
        found.tell(f"Performing pmd to rx queue assignment using {algorithm} algorithm.")
    far = _Circle(found)
    for queue in free:
        _place(found, far, queue, algorithm)
    return found


class _Circle:
    """The nodes in turn, for queues whose own node has no free thread."""

    def __init__(self, assignment: Assignment) -> None:
        self._nodes = [assignment.nodes[number] for number in sorted(assignment.nodes)]
        self._at = 0

    def next_free(self) -> Node | None:
        for _ in self._nodes:
            node = self._nodes[self._at]
            self._at = (self._at + 1) % len(self._nodes)
            if node.is_free:
                return node
        return None


def _pin(found: Assignment, queue: Queue, algorithm: str, isolates: bool) -> bool:
    """Give a pinned queue to its thread, if there is one."""
    if queue.pinned is None:
        return False
    slot = found.slots.get(queue.pinned)
    if slot is None:
        found.tell(
            f"Core {queue.pinned:2} cannot be pinned with port '{queue.name}' rx queue "
            f"{queue.number}. Use pmd-cpu-mask to enable a pmd on core {queue.pinned}. "
            "An alternative core will be assigned.",
            is_warning=True,
        )
        return False
    slot.is_isolated = slot.is_isolated or isolates
    found.tell(
        f"Core {slot.core.number:2} on numa node {slot.core.node} is pinned with port "
        f"'{queue.name}' rx queue {queue.number}{_load(queue, algorithm)}"
    )
    slot.add(queue)
    return True


def _place(found: Assignment, far: _Circle, queue: Queue, algorithm: str) -> None:
    """Give a queue to the thread that the algorithm chooses."""
    node = found.nodes.get(queue.node)
    if node is None or not node.is_free:
        node = far.next_free()
    slot = None if node is None else _choose(node, queue, algorithm)
    name = f"'{queue.name}' rx queue {queue.number}"
    if slot is None:
        found.tell(
            f"No non-isolated pmd on any numa available for port {name}"
            f"{_load(queue, algorithm)}. This rx queue will not be polled.",
            is_warning=True,
        )
        return
    core = slot.core
    if core.node != queue.node:
        found.tell(
            f"There's no available (non-isolated) pmd thread on numa node {queue.node}. Port "
            f"{name} will be assigned to a pmd on numa node {core.node}. This may lead to reduced "
            "performance."
        )
    found.tell(
        f"Core {core.number:2} on numa node {core.node} assigned port {name}"
        f"{_load(queue, algorithm)}."
    )
    slot.add(queue)


def _choose(node: Node, queue: Queue, algorithm: str) -> Slot | None:
    if algorithm == GROUP:
        return node.least_loaded(by_cycles=queue.cycles > 0)
    return node.in_turn(turns_back=algorithm == CYCLES)


def _load(queue: Queue, algorithm: str) -> str:
    return "" if algorithm == ROUND_ROBIN else f" (measured processing cycles {queue.cycles})"
