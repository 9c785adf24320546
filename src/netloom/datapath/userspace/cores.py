"""Processor cores and their NUMA nodes, as those see them who share out work among cores."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Final, NamedTuple

from netloom.base.log import get_logger
from netloom.base.numbers import leading_int

log: Final = get_logger("ovs_numa")

#: Numbers of nodes are below this.
MAX_NODES: Final = 128


class Core(NamedTuple):
    """A core: its number, and the NUMA node that it belongs to."""

    number: int
    node: int


def parse_cores(text: str) -> tuple[Core, ...]:
    """The cores of a made-up machine (`--dummy-numa`): the nodes of core 0, core 1 and so on, as in
    "0,0,1,1". What is no node is left out, with a warning."""
    numbers = count()
    cores = []
    for word in filter(None, text.split(",")):
        node = leading_int(word)
        if 0 <= node < MAX_NODES:
            cores.append(Core(next(numbers), node))
        else:
            log.warn("Invalid numa node %d", node)
    return tuple(cores)


def log_cores(cores: Sequence[Core]) -> None:
    """Tell the log what there is."""
    nodes = sorted({core.node for core in cores})
    for node in nodes:
        on_node = sum(core.node == node for core in cores)
        log.info("Discovered %d CPU cores on NUMA node %d", on_node, node)
    log.info("Discovered %d NUMA nodes and %d CPU cores", len(nodes), len(cores))


def cores_in_mask(cores: Sequence[Core], mask: str) -> tuple[Core, ...]:
    """The cores whose bits are set in `mask`: hex digits, "0x" in front or not, the last one for
    cores 0 to 3. Any other character counts as a 0, with a warning."""
    bits = 0
    for char in mask[2:] if mask[:2] in ("0x", "0X") else mask:
        try:
            digit = int(char, 16)
        except ValueError:
            log.warn("Invalid cpu mask: %s", char)
            digit = 0
        bits = bits << 4 | digit
    return tuple(core for core in cores if bits >> core.number & 1)


def first_cores(cores: Sequence[Core], per_node: int) -> tuple[Core, ...]:
    """The first cores of every node."""
    taken: dict[int, int] = {}
    found = []
    for core in cores:
        if taken.setdefault(core.node, 0) < per_node:
            taken[core.node] += 1
            found.append(core)
    return tuple(found)
